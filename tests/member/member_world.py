"""A committee whose key parts are numbers, so that everything around them can be tested alone."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.canonical import digest
from strongroom.engine.threshold import Proof
from strongroom.errors import CiphertextError
from strongroom.keys.committee.access import Access
from strongroom.keys.identity import Identity
from strongroom.keys.one_time_keys import OneTimeKey
from strongroom.keys.query import Query, SealedShare, SignedQuery, milliseconds
from strongroom.keys.share_proofs import ProofDemand, SealedProof, SignedDemand
from strongroom.member.given_shares import GivenShares
from strongroom.member.ledger import Ledger
from strongroom.member.policy import (
    ClientRule,
    MemberPolicy,
    PackageRule,
    PolicyFile,
    write_policy,
)
from strongroom.member.proof_request import (
    decode_proof_answer,
    decode_proof_request,
    encode_proof_request,
)
from strongroom.member.proofs import Prover
from strongroom.member.share_request import decode_share_request, encode_share_request
from strongroom.member.shares import Judge
from strongroom.member.witness import Standing, Witness
from strongroom.protections.interface import SharedResult

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ACCESS = Access.parse("vendor AND 1-of-2(hospital, auditor)")
COMMITTEE = "sha256:" + "c0" * 32
PACKAGE = "sha256:" + "ab" * 32
LIMBS, POSITIONS = 2, 3
SECRETS = {0: 1_000_003, 1: 7_000_001}
"""What the parts are: canaries, and summands of the key."""

IDENTITIES = {name: Identity.generate(name) for name in ACCESS.members}
SERVER = Identity.generate("cloud")
CLIENT = Identity.generate("ward")
OTHER = Identity.generate("stranger")


class NumberModel:
    """Its "evaluation" is a digest; its results are that digest's first bytes."""

    log_sigma = 4.0

    def __init__(self) -> None:
        self.evaluations = 0

    def results(self, partial: memoryview) -> list[SharedResult]:
        if bytes(partial[:4]) != b"SRRS" or (len(partial) - 4) % 32:
            raise CiphertextError("SR-CIPHERTEXT-FORMAT", "malformed message")
        parts = [bytes(partial[at : at + 32]) for at in range(4, len(partial), 32)]
        positions = np.arange(POSITIONS, dtype=np.uint32)
        return [SharedResult(part, LIMBS, positions) for part in parts]

    def expected(self, request: memoryview) -> bytes:
        self.evaluations += 1
        if bytes(request[:4]) != b"SRRQ":
            raise CiphertextError("SR-CIPHERTEXT-FORMAT", "malformed message")
        return evaluated(bytes(request))


class Models:
    def __init__(self) -> None:
        self.model = NumberModel()

    def find(self, package: str) -> NumberModel:
        return self.model


@dataclass
class NumberParts:
    """Parts that are numbers."""

    member: str

    def answering(self, active: Sequence[str]) -> list[int]:
        return [
            SECRETS[part] for part, who in ACCESS.answerers(active).items() if who == self.member
        ]


def evaluated(request: bytes, results: int = 1) -> bytes:
    """What an honest server makes of a request."""
    return b"SRRS" + b"".join(
        bytes.fromhex(digest(request + bytes([n]))[7:]) for n in range(results)
    )


def number_share(
    parts: Sequence[int],
    c1: bytes,
    *,
    limbs: int,
    positions: NDArray[np.uint32],
    log_sigma: float,
) -> NDArray[np.uint64]:
    noise = np.random.default_rng().integers(0, int(2**log_sigma), (limbs, len(positions)))
    return (np.full((limbs, len(positions)), sum(parts)) * 1000 + noise).astype(np.uint64)


def number_proof(
    parts: Sequence[int],
    words: NDArray[np.uint64],
    *,
    secret: bytes,
    context: bytes,
) -> Proof:
    """A "proof" of such words: a function of all that a real one is a function of."""
    if (words // 1000 != sum(parts)).any():
        raise ValueError(f"the words are not of {parts}")
    statement = words.tobytes() + context
    shown = hmac.digest(secret, b"shown" + statement, "sha256") * 1000
    return Proof(shown, hmac.digest(secret, b"salts" + statement, "sha256") * 24)


def opened(share: SealedShare, key: OneTimeKey, results: int = 1) -> list[NDArray[np.uint64]]:
    """The sums of parts in a share, without the noise."""
    return [one // 1000 for one in share.open(key, [(LIMBS, POSITIONS)] * results)]


@dataclass
class Asked:
    """A query, what it is about, and the key that opens its shares."""

    query: SignedQuery
    key: OneTimeKey
    request: bytes
    partial: bytes

    def body(self, **changes: Any) -> bytes:
        return encode_share_request(
            changes.get("query", self.query),
            changes.get("partial", self.partial),
            changes.get("request", self.request),
        )

    def demand(self, index: int = 0, client: Identity = CLIENT, **changes: Any) -> SignedDemand:
        """The client demands proofs; changes are signed."""
        fields = {
            "state": COMMITTEE,
            "query": self.query.query.digest,
            "result": digest(self.partial),
            "index": index,
        }
        return SignedDemand.by(client, ProofDemand(**(fields | changes)))


def ask(counter: int, client: Identity = CLIENT, results: int = 1, **changes: Any) -> Asked:
    """A client asks; changes go into the query before it is signed."""
    request = changes.pop("request", b"SRRQ rows of query %d" % counter)
    key = OneTimeKey()
    fields = {
        "committee": COMMITTEE,
        "package": PACKAGE,
        "client": client.fingerprint,
        "input": digest(request),
        "blocks": results,
        "target": key.public,
        "counter": counter,
        "active": ("vendor", "hospital"),
        "issued": milliseconds(NOW),
    }
    query = SignedQuery.by(client, Query(**(fields | changes)))
    return Asked(query, key, request, evaluated(request, results))


def policy(**changes: Any) -> MemberPolicy:
    fields: dict[str, Any] = {
        "format": "strongroom-member-policy-1",
        "not_after": f"{NOW + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
        "servers": (SERVER.public.to_text(),),
        "clients": (ClientRule(CLIENT.public.to_text()),),
        "packages": (PackageRule(PACKAGE, "diagnosis"),),
        "audit_rate": 0.0,
        "witnesses": 0,
    }
    return MemberPolicy(**(fields | changes))


@dataclass
class Member:
    """One member in the test's own process, with a clock that a test sets."""

    name: str
    folder: Path
    budget: int = 100
    clock: list[datetime] = field(default_factory=lambda: [NOW])
    models: Models = field(default_factory=Models)
    make_share: Any = number_share
    make_proof: Any = number_proof
    state: str = COMMITTEE
    shown: bytes = b""

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self.policy_path = self.folder / "policy.json"
        if not self.policy_path.exists():
            self.allow(policy())
        self.start()

    def start(self) -> None:
        self.identity = IDENTITIES[self.name]
        self.ledger = Ledger(
            self.folder / "ledger" / "ledger.log", COMMITTEE, self.name, self.budget
        )
        peers = {name: one.public for name, one in IDENTITIES.items() if name != self.name}
        self.standing = Standing(self.identity, self.ledger, peers)
        self.witness = Witness(self.identity, COMMITTEE, self.ledger)
        self.given = GivenShares()
        parts = NumberParts(self.name)

        def prove(
            active: Sequence[str],
            result: SharedResult,
            words: NDArray[np.uint64],
            *,
            log_sigma: float,
            secret: bytes,
            context: bytes,
        ) -> Proof:
            assert (result.limbs, log_sigma) == (LIMBS, NumberModel.log_sigma)
            held = parts.answering(active)
            return self.make_proof(held, words, secret=secret, context=context)

        self.prover = Prover(
            self.identity,
            self.name,
            COMMITTEE,
            self.state,
            self.given,
            prove,
            self.ledger,
            PolicyFile(self.policy_path),
            self.models,
        )
        self.judge = Judge(
            self.identity,
            COMMITTEE,
            self.state,
            ACCESS,
            parts,
            self.make_share,
            self.ledger,
            PolicyFile(self.policy_path),
            self.models,
            self.given,
            require_witnesses=self.standing.require,
            now=lambda: self.clock[0],
        )

    def restart(self) -> None:
        self.ledger.close()
        self.start()

    def allow(self, policy: MemberPolicy) -> None:
        write_policy(self.policy_path, policy, replace=True)

    def answer(self, asked: Asked, server: Identity = SERVER, **changes: Any) -> SealedShare:
        request = decode_share_request(asked.body(**changes))
        answer = self.judge.answer(server.public, request)
        return msgspec.json.decode(answer, type=SealedShare)

    def prove(
        self, asked: Asked, index: int = 0, server: Identity = SERVER, **changes: Any
    ) -> SealedProof:
        body = encode_proof_request(
            changes.get("query", asked.query),
            changes.get("demand", asked.demand(index)),
            changes.get("partial", asked.partial),
        )
        answer = self.prover.answer(server.public, decode_proof_request(body))
        sealed, self.shown = decode_proof_answer(answer, self.name)
        return sealed

    def show(self, other: Member) -> None:
        """This member's log to a peer, and the peer's word back."""
        while (advance := self.standing.next_advance(other.name)) is not None:
            seen = other.witness.countersign(self.name, self.identity.public, advance)
            self.standing.heard(other.name, seen)

    def recall(self, other: Member) -> None:
        self.standing.heard(other.name, other.witness.seen(self.name))
