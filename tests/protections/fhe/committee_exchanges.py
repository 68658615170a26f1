"""A hidden model at a server, under a key that the state machines of a committee's members made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray
from small_committees import Members, proposal_of, run_setup

from strongroom import protections
from strongroom.compiler.hidden_precision import result_bound
from strongroom.compiler.network_hidden_noise import hidden_bound
from strongroom.compiler.plan import Plan
from strongroom.engine import Ciphertext, KeyCache, PublicKey, catalogued, threshold
from strongroom.engine.debugging import JoinedSecret, RawDecryptor, joined_secret_do_not_use
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.folder import CommitteeFolderWriter, CommitteeKeys
from strongroom.keys.committee.holder import CommitteeHolder
from strongroom.keys.committee.parts import HeldParts
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.hidden_linear import HiddenLinearCandidate
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_results import read_results
from strongroom.protections.fhe.network_results import read_network_results
from strongroom.protections.fhe.protection import NetworkCandidate
from strongroom.protections.fhe.shared_client import SharedClient, SharedPending
from strongroom.protections.fhe.shared_results import FheSharedResults, HiddenCircuit
from strongroom.protections.interface import SharedResult
from strongroom.server.committees import CommitteeKeySets

Table = NDArray[np.float64]
Words = NDArray[np.uint64]
Candidate = HiddenLinearCandidate | NetworkCandidate
PACKAGE = "sha256:0"


@dataclass(frozen=True)
class OpenableResult:
    """One result as the server has it, and what members get of it.

    Attributes:
        ciphertext: whole.
        told: to members.
    """

    ciphertext: Ciphertext
    told: SharedResult

    def opened(self, secret: RawDecryptor) -> list[int]:
        """What a key makes of its declared coefficients: centred integers, exact."""
        residues = secret.decrypt_raw_do_not_publish(self.ciphertext).native.residues()
        return self._centred(residues[:, self.told.positions])

    def opened_with(self, shares: Sequence[Words]) -> list[int]:
        """What its first polynomial and some shares add up to."""
        first = threshold.first_part_at(self.ciphertext, self.told.positions)
        primes = np.array(self._primes, dtype=np.uint64)[:, None]
        total = first % primes
        for share in shares:
            total = (total + share) % primes
        return self._centred(total)

    @property
    def modulus(self) -> int:
        """Product of its primes."""
        return math.prod(self._primes)

    @property
    def _primes(self) -> tuple[int, ...]:
        return self.ciphertext.parameters.primes[: self.ciphertext.limbs]

    def _centred(self, residues: Words) -> list[int]:
        modulus = self.modulus
        basis = [(modulus // q) * pow(modulus // q, -1, q) for q in self._primes]
        values = []
        for column in residues.T.tolist():
            value = sum(word * b for word, b in zip(column, basis, strict=True)) % modulus
            values.append(value - modulus if value > modulus // 2 else value)
        return values


@dataclass(frozen=True)
class HeldModel:
    """A committee that finished its setup for a model's keys, and a server that has them.

    Attributes:
        access: who must agree.
        held: every member's parts.
        key: the committee's public key.
        candidate: the model.
        plan: of it, with the committee as holder.
        asker: of anybody.
        results: how the server takes answers apart.
        keys: of the committee, at the server.
    """

    access: Access
    held: dict[str, HeldParts]
    key: PublicKey
    candidate: Candidate
    plan: Plan
    asker: SharedClient
    results: FheSharedResults
    keys: CommitteeKeySets

    @classmethod
    def set_up(cls, access: str, budget: int, candidate: Candidate, folder: Path) -> HeldModel:
        """Run the setup of an access structure's members, below a folder."""
        fhe = protections.by_name("fhe")
        needs = fhe.key_needs(candidate.plan)
        assert needs is not None
        # The owner and the askers encrypt at any level.
        needs = replace(needs, public_limbs=catalogued(needs.parameters).limbs)
        members, public = Members(folder, access), folder / "committee"
        with CommitteeFolderWriter(public) as writer:
            proposal = proposal_of(access, needs, share_budget=budget)
            committee = run_setup(members, proposal, sink=writer)
            writer.finish(committee)
        key, holder = CommitteeHolder(public).weight_key(candidate.plan)
        plan = msgspec.structs.replace(candidate.plan, holder=holder)
        policy = Policy(hide="model", minimum_agreement=0.0)
        fhe.check(plan, policy)
        asker = fhe.open_shared_client(plan, key, policy, package=PACKAGE)
        results = fhe.shared_results(plan, package=PACKAGE)
        assert isinstance(asker, SharedClient)
        assert isinstance(results, FheSharedResults)
        keys = CommitteeKeySets(CommitteeKeys(public, KeyCache(1 << 30)))
        parts = members.held(committee)
        return cls(committee.access, parts, key, candidate, plan, asker, results, keys)

    def encrypted(self) -> ServedModel:
        """The model, its weights encrypted anew."""
        return ServedModel(self, self.candidate.payload(self.key))

    def request(self, rows: Table) -> SharedPending:
        """One encrypted request."""
        self.asker.check(rows)
        return self.asker.encrypt(self.asker.encode(rows))

    def sets_of_members(self, *, allowed: bool) -> list[tuple[str, ...]]:
        """All sets of members, those that are a quorum or the others."""
        members = self.access.members
        sets = chain.from_iterable(
            combinations(members, size) for size in range(1, len(members) + 1)
        )
        return [names for names in sets if self.access.allows(names) is allowed]

    def joined(self, names: Sequence[str]) -> JoinedSecret:
        """The sum of all parts that some members have between them, each once."""
        parts = {number: part for name in names for number, part in self.held[name].parts.items()}
        return joined_secret_do_not_use(tuple(parts.values()))

    @property
    def secret(self) -> JoinedSecret:
        """What nobody ever has."""
        return self.joined(self.access.members)

    @property
    def bound(self) -> float:
        """B: of the noise of a result, by the plan."""
        circuit: HiddenCircuit = self.results.circuit
        layout = circuit.layout
        assert layout.holding is not None
        if isinstance(circuit, HiddenLinearCircuit):
            return result_bound(
                circuit.parameters,
                circuit.limbs,
                circuit.layout.log_input_scale,
                circuit.layout.log_weight_scale,
                circuit.shape,
                layout.holding,
            )
        return hidden_bound(
            circuit.parameters,
            circuit.sending.log_dropped,
            circuit.layout.log_noise,
            layout.holding,
        )

    def read(self, pending: SharedPending, response: bytes) -> list[OpenableResult]:
        """The results of an answer, in order."""
        circuit, told = self.results.circuit, self.results.results(response)
        if isinstance(circuit, HiddenLinearCircuit):
            found = [c for _, c in read_results(circuit, pending.envelope, response)]
        else:
            found = [c for _, c in read_network_results(circuit, pending.envelope, response)]
        return [OpenableResult(*one) for one in zip(found, told, strict=True)]

    def shares(
        self, name: str, active: Sequence[str], results: Sequence[OpenableResult]
    ) -> list[Words]:
        """What one member of an active set answers, smudged, for each result."""
        return [
            threshold.decryption_share(
                self.held[name].answering(active),
                one.told.second,
                limbs=one.told.limbs,
                positions=one.told.positions,
                log_sigma=self.results.log_sigma,
            )
            for one in results
        ]


class ServedModel:
    """A server with one package of a held model."""

    def __init__(self, model: HeldModel, payload: Payload) -> None:
        fhe = protections.by_name("fhe")
        self._keys = model.keys
        self._server = fhe.open_server(model.plan, payload, package=PACKAGE)

    def answer(self, request: bytes) -> bytes:
        """Its answer: what is taken apart for asker and members."""
        return self._server.answer(request, keys=self._keys, threads=2)
