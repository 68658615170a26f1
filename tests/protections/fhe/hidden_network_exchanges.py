"""Both ends of a hidden network in one process, for tests."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from small_networks import EASY, Network, kind

from strongroom import engine, protections
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.network import NetworkChoice, plan_network
from strongroom.compiler.plan import CommitteeKey, NetworkLayout, OwnerKey, Plan
from strongroom.engine import Ciphertext, Evaluator, SecretKey, catalogued
from strongroom.keys.key_sets import ClientKeySet, key_set_identifier
from strongroom.keys.local_sets import LocalKeySet, LocalKeySets
from strongroom.keys.store import KeyStore
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe import hidden_network_server
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.hidden_network_server import HiddenNetworkServer
from strongroom.protections.fhe.holders import holder_key_set
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_client import NetworkAsker, NetworkClient
from strongroom.protections.fhe.network_results import read_network_results
from strongroom.protections.fhe.protection import NetworkCandidate
from strongroom.protections.interface import KeyNeeds

Table = NDArray[np.float64]
PACKAGE = "sha256:0"
HIDE = msgspec.structs.replace(EASY, hide="model")


def hidden_choices(
    network: Network, policy: Policy = HIDE, holding: KeyHolding = ONE_OWNER
) -> list[NetworkChoice]:
    """All plans of a network that is to be hidden."""
    return plan_network(network.graph, network.layered, network.sample, policy, holding)


@dataclass(frozen=True)
class HiddenNetworkExchange:
    """A hidden network, its plan, and an owner and a server that have never met elsewhere."""

    network: Network
    choice: NetworkChoice
    policy: Policy
    plan: Plan
    payload: Payload
    store: KeyStore
    client: NetworkClient
    server: HiddenNetworkServer
    keys: LocalKeySets

    @classmethod
    def over(
        cls,
        network: Network,
        choice: NetworkChoice,
        policy: Policy = HIDE,
        secret: SecretKey | None = None,
    ) -> HiddenNetworkExchange:
        """Protect a choice under one owner's key, a fresh one if none is given."""
        fhe = protections.by_name("fhe")
        store = KeyStore.in_memory()
        secret = secret or SecretKey.generate(catalogued(choice.plan.parameters))
        store.store(choice.plan.parameters, secret.to_bytes())
        holder = OwnerKey(key_set_identifier(secret).hex())
        plan = msgspec.structs.replace(choice.plan, holder=holder)
        payload = NetworkCandidate(choice, ()).payload(secret)
        client = fhe.open_client(plan, store, policy, package=PACKAGE)
        server = fhe.open_server(plan, payload, package=PACKAGE)
        assert isinstance(client, NetworkClient)
        assert isinstance(server, HiddenNetworkServer)
        keys = LocalKeySets(client.key_set)
        return cls(network, choice, policy, plan, payload, store, client, server, keys)

    @property
    def layout(self) -> NetworkLayout:
        assert isinstance(self.plan.layout, NetworkLayout)
        return self.plan.layout

    @property
    def circuit(self) -> NetworkCircuit:
        return NetworkCircuit.of(self.plan, PACKAGE)

    def request(self, rows: Table) -> PendingRequest:
        """One encrypted request."""
        return self.client.encrypt(self.client.encode(rows))

    def answer(self, request: bytes, threads: int = 2) -> bytes:
        """The server's response."""
        return self.server.answer(request, keys=self.keys, threads=threads)

    def scores(self, rows: Table) -> Table:
        """One protected exchange."""
        pending = self.request(rows)
        return self.client.decrypt(pending, self.answer(pending.body))

    def circuit_scores(self, rows: Table) -> Table:
        """What the model with its circuits says in float64."""
        layout = self.layout
        z = (rows - np.array(layout.centre)) / np.array(layout.half_width)
        return self.choice.model.scores(z)


@cache
def hidden_exchange_of(name: str, vectors: int = 1) -> HiddenNetworkExchange:
    """An exchange of one of the small networks with so many rows a ciphertext."""
    for choice in hidden_choices(kind(name)):
        assert isinstance(choice.plan.layout, NetworkLayout)
        if choice.plan.layout.rows_per_ciphertext == vectors:
            return HiddenNetworkExchange.over(kind(name), choice)
    raise AssertionError(f"no hidden plan of {name} holds {vectors} rows a ciphertext")


def sums_of(exchange: HiddenNetworkExchange, request: bytes) -> list[Ciphertext]:
    """The sums of a request at their own level, before they are divided for the response."""
    seen: list[Ciphertext] = []
    genuine = hidden_network_server.hidden_sums

    def hidden_sums(
        evaluator: Evaluator,
        vectors: list[Ciphertext],
        weights: list[Ciphertext],
        *,
        drop: int = 0,
    ) -> Ciphertext:
        seen.append(genuine(evaluator, vectors, weights))
        return genuine(evaluator, vectors, weights, drop=drop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hidden_network_server, "hidden_sums", hidden_sums)
        exchange.answer(request)
    return seen


class CommitteeStandIn:
    """A committee's public key with the whole secret behind it, which none ever is: for what does
    not depend on who decrypts."""

    def __init__(self, choice: NetworkChoice) -> None:
        fhe = protections.by_name("fhe")
        parameters = catalogued(choice.plan.parameters)
        layout = choice.plan.layout
        assert isinstance(layout, NetworkLayout)
        assert layout.holding is not None
        assert layout.holding.share_budget is not None
        self.secret = SecretKey.generate(parameters)
        self.public = self.secret.public_key(parameters.limbs)
        digest = hashlib.sha256(engine.public_key_to_bytes(self.public)).hexdigest()
        holder = CommitteeKey("sha256:" + 64 * "1", digest, layout.holding.share_budget)
        self.plan = msgspec.structs.replace(choice.plan, holder=holder)
        self.payload = NetworkCandidate(choice, ()).payload(self.public)
        server = fhe.open_server(self.plan, self.payload, package=PACKAGE)
        assert isinstance(server, HiddenNetworkServer)
        self.server = server
        self.circuit = NetworkCircuit.of(self.plan, PACKAGE)
        self.asker = NetworkAsker(
            self.circuit,
            self.public,
            holder_key_set(self.plan),
            features=self.plan.features,
            names=self.plan.input.column_labels(),
        )
        self._keys = LocalKeySets(ClientKeySet(self.secret, self.circuit.needs))

    def open(self, key_set: bytes, needs: KeyNeeds) -> LocalKeySet:
        """`KeySets` of the committee."""
        assert key_set == holder_key_set(self.plan)
        return self._keys.open(key_set_identifier(self.secret), needs)

    def scores(self, rows: Table) -> Table:
        """One exchange, decrypted with the flooding of the plan."""
        pending = self.asker.encrypt(self.asker.encode(rows))
        response = self.server.answer(pending.body, keys=self, threads=2)
        layout = self.circuit.layout
        values = [
            self.secret.decrypt(
                ciphertext,
                place.positions,
                log_sigma=layout.decryption_log_sigma,
                step=2.0**layout.log_output_step,
            )
            for place, ciphertext in read_network_results(self.circuit, pending.envelope, response)
        ]
        return self.asker.scores(pending, values)
