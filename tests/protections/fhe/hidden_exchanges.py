"""Both ends of a hidden linear model in one process, for tests."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from exchanges import linear_graph
from numpy.typing import NDArray

from strongroom import protections
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.plan import CommitteeKey, HiddenLinearLayout, Plan
from strongroom.engine import (
    EvaluationKeys,
    PublicKey,
    SecretKey,
    SwitchingKey,
    catalogued,
    public_key_to_bytes,
    threshold,
)
from strongroom.engine.debugging import RawDecryptor, joined_secret_do_not_use
from strongroom.engine.threshold import KeyPart
from strongroom.keys.key_sets import stored_secret
from strongroom.keys.local_sets import LocalKeySet, LocalKeySets
from strongroom.keys.model_holder import OwnerHolder
from strongroom.keys.store import KeyStore
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.hidden_linear import HiddenLinearCandidate
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_client import HiddenLinearClient
from strongroom.protections.fhe.hidden_linear_server import HiddenLinearServer
from strongroom.protections.fhe.holders import holder_key_set
from strongroom.protections.fhe.shared_client import SharedClient, SharedPending
from strongroom.protections.fhe.shared_results import FheSharedResults
from strongroom.protections.interface import KeyNeeds

Table = NDArray[np.float64]
PACKAGE = "sha256:0"
HIDE = Policy(hide="model")
PARTS, BUDGET = 3, 1 << 20


def candidate_of(
    weights: Table,
    bias: Table,
    sample: Table,
    *,
    policy: Policy = HIDE,
    holding: KeyHolding = ONE_OWNER,
) -> HiddenLinearCandidate:
    """The way in which a model would run hidden."""
    graph = linear_graph(weights, bias)
    (found,) = protections.by_name("fhe").candidates(graph, sample, policy, holding)
    assert isinstance(found, HiddenLinearCandidate)
    return found


@dataclass(frozen=True)
class HiddenExchange:
    """A hidden model, its plan, and an owner and a server that have never met elsewhere."""

    weights: Table
    bias: Table
    plan: Plan
    payload: Payload
    store: KeyStore
    client: HiddenLinearClient
    server: HiddenLinearServer
    keys: LocalKeySets

    @classmethod
    def over(
        cls, weights: Table, bias: Table, sample: Table, *, policy: Policy = HIDE
    ) -> HiddenExchange:
        """Plan and protect a model under a fresh key of one owner, and open both ends."""
        fhe = protections.by_name("fhe")
        candidate = candidate_of(weights, bias, sample, policy=policy)
        store = KeyStore.in_memory()
        key, holder = OwnerHolder(store).weight_key(candidate.plan)
        plan = msgspec.structs.replace(candidate.plan, holder=holder)
        payload = candidate.payload(key)
        client = fhe.open_client(plan, store, policy, package=PACKAGE)
        server = fhe.open_server(plan, payload, package=PACKAGE)
        assert isinstance(client, HiddenLinearClient)
        assert isinstance(server, HiddenLinearServer)
        keys = LocalKeySets(client.key_set)
        return cls(weights, bias, plan, payload, store, client, server, keys)

    @property
    def circuit(self) -> HiddenLinearCircuit:
        return HiddenLinearCircuit.of(self.plan, PACKAGE)

    @property
    def layout(self) -> HiddenLinearLayout:
        return self.circuit.layout

    @property
    def secret(self) -> SecretKey:
        """The owner's key."""
        return stored_secret(self.store, self.plan.parameters)

    def plain(self, rows: Table) -> Table:
        """The plain model's scores, shape (n, outputs)."""
        return rows @ self.weights.T + self.bias

    def request(self, rows: Table) -> PendingRequest:
        """One encrypted request."""
        self.client.check(rows)
        return self.client.encrypt(self.client.encode(rows))

    def answer(self, request: bytes) -> bytes:
        """The server's response."""
        return self.server.answer(request, keys=self.keys, threads=2)

    def scores(self, rows: Table) -> Table:
        """One protected exchange."""
        pending = self.request(rows)
        return self.client.decrypt(pending, self.answer(pending.body))


@dataclass(frozen=True)
class CommitteeExchange:
    """A hidden model under a key in three parts, whose holders, in this process, made its public
    and its relinearisation key together."""

    weights: Table
    bias: Table
    plan: Plan
    parts: tuple[KeyPart, ...]
    asker: SharedClient
    results: FheSharedResults
    server: HiddenLinearServer
    keys: CollectiveKeys

    @classmethod
    def over(cls, weights: Table, bias: Table, sample: Table) -> CommitteeExchange:
        """Plan and protect a model, and open an asker and a server."""
        fhe = protections.by_name("fhe")
        holding = KeyHolding(PARTS, BUDGET)
        candidate = candidate_of(weights, bias, sample, holding=holding)
        parameters = catalogued(candidate.plan.parameters)
        parts = tuple(KeyPart.generate(parameters) for _ in range(PARTS))
        public, relinearisation = collective_keys(parts, HiddenLinearCircuit.of(candidate.plan))
        digits = hashlib.sha256(public_key_to_bytes(public)).hexdigest()
        holder = CommitteeKey(f"sha256:{digits}", digits, BUDGET)
        plan = msgspec.structs.replace(candidate.plan, holder=holder)
        server = fhe.open_server(plan, candidate.payload(public), package=PACKAGE)
        asker = fhe.open_shared_client(plan, public, HIDE, package=PACKAGE)
        results = fhe.shared_results(plan, package=PACKAGE)
        assert isinstance(server, HiddenLinearServer)
        assert isinstance(asker, SharedClient)
        assert isinstance(results, FheSharedResults)
        keys = CollectiveKeys(holder_key_set(plan), relinearisation)
        return cls(weights, bias, plan, parts, asker, results, server, keys)

    @property
    def circuit(self) -> HiddenLinearCircuit:
        return HiddenLinearCircuit.of(self.plan, PACKAGE)

    @property
    def secret(self) -> RawDecryptor:
        """What no member has: the sum of all parts."""
        return joined_secret_do_not_use(self.parts)

    def request(self, rows: Table) -> SharedPending:
        """One encrypted request."""
        return self.asker.encrypt(self.asker.encode(rows))

    def answer(self, request: bytes) -> bytes:
        """The results, as the server has them."""
        return self.server.answer(request, keys=self.keys, threads=2)

    def shares_of(self, part: KeyPart, response: bytes) -> list[NDArray[np.uint64]]:
        """What the holder of one part says of each result."""
        return [
            threshold.decryption_share(
                [part],
                result.second,
                limbs=result.limbs,
                positions=result.positions,
                log_sigma=self.results.log_sigma,
            )
            for result in self.results.results(response)
        ]

    def scores(self, rows: Table) -> Table:
        """One protected exchange, all parts answering."""
        pending = self.request(rows)
        response = self.answer(pending.body)
        shares = [self.shares_of(part, response) for part in self.parts]
        return self.asker.open(pending, self.results.shown(response), shares)


def collective_keys(
    parts: Sequence[KeyPart], circuit: HiddenLinearCircuit
) -> tuple[PublicKey, SwitchingKey]:
    """The keys that the holders of parts make together."""
    parameters, limbs, seed = circuit.parameters, circuit.limbs.input, secrets.token_bytes(32)
    shares = [threshold.public_key_share(part, seed, limbs) for part in parts]
    public = threshold.combine_public_key(parameters, seed, limbs, shares)
    rounds = [threshold.RelinearisationRound.begin(part, seed, limbs) for part in parts]
    one = threshold.combine_round_one(parameters, limbs, [share for _, share in rounds])
    two = [state.finish(one) for state, _ in rounds]
    return public, threshold.combine_relinearisation_key(parameters, limbs, one, two)


@dataclass(frozen=True)
class CollectiveKeys:
    """The keys of a committee at a server."""

    key_set: bytes
    relinearisation: SwitchingKey

    def open(self, key_set: bytes, needs: KeyNeeds) -> LocalKeySet:
        assert key_set == self.key_set
        key = self.relinearisation
        return LocalKeySet(EvaluationKeys(key.parameters, {key.element: key}), None)
