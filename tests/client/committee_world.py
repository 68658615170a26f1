"""A committee, its members and a server in memory, around a real client's end.

Statement, queries, shares and proofs are sealed and signed as they are; what a member computes is a
number, and a proof of it a digest. What real ones are is tested with the engine.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import VENDOR_AND_ONE, Members, identity, proposal_of, run_setup

from strongroom import Identity
from strongroom.canonical import canonical_json, digest
from strongroom.client.committees import Queries
from strongroom.client.share_checks import ShareChecks
from strongroom.client.shared_asking import SharedAsker
from strongroom.client.transport import Exchange
from strongroom.engine.threshold import Proof
from strongroom.errors import CiphertextError
from strongroom.keys.committee.statement import Committee
from strongroom.keys.query import SealedShare, SignedQuery
from strongroom.keys.share_proofs import ProofEntry, SealedProof, SignedDemand, proof_context

ASKER = Identity.generate("ward")
PACKAGE = "sha256:" + "1" * 64
MODULUS, LARGEST, SCORE = 2**32, 2**16, 7
"""Words are below the first; scores of rows below the second; of these rows the third."""

_LENGTH = struct.Struct("<I")


@dataclass
class Pending:
    body: bytes
    results: int


class Side:
    """A protection's side: a score is what the server shows plus a word of each member."""

    rows_per_request = 1
    shown_bytes_per_request = words_per_request = 1000

    def __init__(self) -> None:
        self.requests = 0

    def encode(self, rows: Any) -> Any:
        return rows

    def encrypt(self, encoded: int) -> Pending:
        self.requests += 1
        return Pending(f"request {self.requests}".encode(), encoded)

    def share_shapes(self, pending: Pending) -> list[tuple[int, int]]:
        return [(1, 1)] * pending.results

    def open(self, pending: Pending, shown: bytes, words: Any) -> list[int]:
        if len(shown) != 8 * pending.results:
            raise CiphertextError("SR-CIPHERTEXT-FORMAT", "a malformed answer")
        first = np.frombuffer(shown, "<u8").tolist()
        return [
            (one + sum(int(its[at][0, 0]) for its in words)) % MODULUS
            for at, one in enumerate(first)
        ]

    def impossible(self, pending: Pending, shown: bytes, words: Any) -> bool:
        return max(self.open(pending, shown, words)) >= LARGEST


@dataclass
class NumberExamined:
    """What stands for `threshold.Examined`: a digest that only right words and salts give."""

    challenge: bytes

    @classmethod
    def from_bytes(cls, data: bytes, limbs: int, count: int) -> NumberExamined:
        if len(data) != 32:
            raise ValueError(f"{len(data)} bytes")
        return cls(data)

    @classmethod
    def of(cls, words: NDArray[np.uint64], salts: bytes) -> NumberExamined:
        return cls(hashlib.sha256(words.astype("<u8").tobytes() + salts).digest())

    def proves(self, parameters: Any, words: NDArray[np.uint64], salts: bytes) -> bool:
        assert parameters.ring_degree == 4096
        return self == self.of(words, salts)


@dataclass
class World:
    """Members and a server, each of which a test can make deviate.

    Attributes:
        adds: what a member adds to its word.
        silent: members that prove nothing, and what the server says of it.
        busy: members that have to be asked again, and how often.
        lies: members that prove another share than they gave.
        altered: changes a proof on its way.
        examines: what the server makes of what it examined.
        refuses: what it answers to demands, in place of proofs.
        result_adds: what it adds to the result.
        demands: what members were asked to prove: name and index.
    """

    committee: Committee
    adds: dict[str, int] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    lies: set[str] = field(default_factory=set)
    altered: Any = None
    examines: Any = None
    refuses: Exception | None = None
    result_adds: int = 0
    demands: list[tuple[str, int]] = field(default_factory=list)
    queries_seen: list[tuple[str, ...]] = field(default_factory=list)

    @classmethod
    def made(cls, folder: Path) -> World:
        members = Members(folder, VENDOR_AND_ONE)
        return cls(run_setup(members, proposal_of(VENDOR_AND_ONE)))

    def asker(self, rate: float = 0.0, side: Side | None = None) -> SharedAsker:
        queries = Queries(ASKER, self.committee, PACKAGE, None)
        transport: Any = self
        used: Any = side or Side()
        serving: Any = type("Serving", (), {"proven": type("Proven", (), {"package": PACKAGE})})
        checks = ShareChecks(transport, queries, model="m", package=PACKAGE, rate=rate)
        return SharedAsker(transport, used, serving, queries, checks, model="m", receipts=False)

    # what a `Transport` is to the client's end

    def quoted(self, text: str) -> str:
        return text

    def infer(
        self,
        model: str,
        body: bytes,
        package: str,
        limit: int,
        *,
        receipt: bool = False,
        query: str = "",
        proof_demand: str = "",
    ) -> Exchange:
        signed = msgspec.json.decode(query, type=SignedQuery)
        signed.verify(ASKER.public)
        if proof_demand:
            demand = msgspec.json.decode(proof_demand, type=SignedDemand)
            demand.verify(ASKER.public)
            if self.refuses is not None:
                raise self.refuses
            content = self._proofs(signed, body, demand)
        else:
            content = self._shares(signed, body)
        assert len(content) <= limit
        return Exchange(content, 0.1, 0.0, 0.0, 0.0, len(body), len(content), None)

    def _partial(self, query: SignedQuery, body: bytes) -> bytes:
        parts = []
        for index in range(query.query.blocks):
            words = sum(self._word(name, body, index) for name in query.query.active)
            first = (SCORE + self.result_adds - words) % MODULUS
            second = hashlib.sha256(body + bytes([index])).digest()[:8]
            parts.append(first.to_bytes(8, "little") + second)
        return b"".join(parts)

    def _word(self, name: str, body: bytes, index: int) -> int:
        seed = hashlib.sha256(name.encode() + body + bytes([index])).digest()
        return int.from_bytes(seed[:4], "little")

    def _given(self, name: str, body: bytes, index: int) -> NDArray[np.uint64]:
        word = (self._word(name, body, index) + self.adds.get(name, 0)) % MODULUS
        return np.array([[word]], np.uint64)

    def _shares(self, signed: SignedQuery, body: bytes) -> bytes:
        query, partial = signed.query, self._partial(signed, body)
        self.queries_seen.append(query.active)
        shares = [
            SealedShare.by(
                identity(name),
                name,
                query,
                digest(partial),
                self.committee.state,
                [self._given(name, body, index) for index in range(query.blocks)],
            )
            for name in query.active
        ]
        plain = b"".join(partial[at : at + 8] for at in range(0, len(partial), 16))
        return _LENGTH.pack(len(plain)) + plain + canonical_json(shares)

    def _proofs(self, signed: SignedQuery, body: bytes, signed_demand: SignedDemand) -> bytes:
        query, demand = signed.query, signed_demand.demand
        partial = self._partial(signed, body)
        assert demand.result == digest(partial)
        entries = []
        for name in query.active:
            self.demands.append((name, demand.index))
            if name in self.silent:
                line = self.silent[name]
                entries.append(ProofEntry(name, code="SR-MEMBER-QUERY", line=line))
                continue
            if self.busy.get(name):
                self.busy[name] -= 1
                entries.append(ProofEntry(name, code="SR-REQUEST-BUSY", line="later"))
                continue
            words = self._given(name, body, demand.index)
            if self.adds.get(name):  # it can prove nothing but what would have been right
                words = np.array([[self._word(name, body, demand.index)]], np.uint64)
            salts = hashlib.sha256(proof_context(demand, name)).digest() * 24
            examined = NumberExamined.of(words, salts).challenge
            if self.adds.get(name) and name not in self.lies:
                examined = b"made up".ljust(32)
            if self.examines is not None:
                examined = self.examines(examined)
            proof = Proof(b"shown", salts)
            sealed = SealedProof.by(identity(name), name, query, demand, proof)
            if self.altered is not None:
                sealed = self.altered(name, sealed, query, demand, proof)
            entries.append(ProofEntry(name, sealed, examined))
        return canonical_json(entries)
