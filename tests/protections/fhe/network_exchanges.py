"""Both ends of a protected network in one process, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from exchanges import changed
from numpy.typing import NDArray
from small_networks import Network, choice_of, kind, policy_of

from strongroom import protections
from strongroom.compiler.network import NetworkChoice
from strongroom.compiler.network_model import NetworkModel
from strongroom.compiler.plan import NetworkLayout, Plan
from strongroom.engine import Ciphertext, PublicKey, SecretKey
from strongroom.keys.local_sets import LocalKeySets
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe import network_server
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_client import NetworkClient
from strongroom.protections.fhe.network_payload import payload_to_bytes
from strongroom.protections.fhe.network_server import NetworkServer

Table = NDArray[np.float64]
PACKAGE = "sha256:0"


@dataclass(frozen=True)
class NetworkExchange:
    """A network, its plan, and a client and a server that have never met elsewhere."""

    network: Network
    model: NetworkModel
    plan: Plan
    policy: Policy
    client: NetworkClient
    server: NetworkServer
    keys: LocalKeySets

    @classmethod
    def over(cls, network: Network, choice: NetworkChoice, policy: Policy) -> NetworkExchange:
        """Open both ends of a choice with a fresh key."""
        return cls._opened(network, choice.model, choice.plan, policy)

    @classmethod
    def opened(cls, other: NetworkExchange, plan: Plan) -> NetworkExchange:
        """The model of another exchange under another plan, with a fresh key."""
        return cls._opened(other.network, other.model, plan, other.policy)

    @classmethod
    def _opened(
        cls, network: Network, model: NetworkModel, plan: Plan, policy: Policy
    ) -> NetworkExchange:
        fhe = protections.by_name("fhe")
        client = fhe.open_client(plan, KeyStore.in_memory(), policy, package=PACKAGE)
        server = fhe.open_server(plan, {"model": payload_to_bytes(model)}, package=PACKAGE)
        assert isinstance(client, NetworkClient)
        assert isinstance(server, NetworkServer)
        return cls(network, model, plan, policy, client, server, LocalKeySets(client.key_set))

    @property
    def circuit(self) -> NetworkCircuit:
        return NetworkCircuit.of(self.plan, PACKAGE)

    @property
    def layout(self) -> NetworkLayout:
        assert isinstance(self.plan.layout, NetworkLayout)
        return self.plan.layout

    @property
    def secret(self) -> SecretKey:
        """The client's key, which an attacking client has too."""
        return self.client._secret

    def request(self, rows: Table) -> PendingRequest:
        """One encrypted request."""
        return self.client.encrypt(self.client.encode(rows))

    def answer(self, request: bytes) -> bytes:
        """The server's response."""
        return self.server.answer(request, keys=self.keys, threads=2)

    def scores(self, rows: Table) -> Table:
        """One protected exchange."""
        pending = self.request(rows)
        return self.client.decrypt(pending, self.answer(pending.body))

    def z(self, rows: Table) -> Table:
        """Rows in the common range, shape (n, features)."""
        return (rows - np.array(self.layout.centre)) / np.array(self.layout.half_width)

    def polynomial_scores(self, rows: Table) -> Table:
        """What the model with its circuits says in float64."""
        return self.model.scores(self.z(rows))


@cache
def exchange_of(name: str, vectors: int = 1) -> NetworkExchange:
    """An exchange of one of the small networks with so many rows a ciphertext."""
    return NetworkExchange.over(kind(name), choice_of(name, vectors), policy_of(name))


def unsanitised(exchange: NetworkExchange, request: bytes) -> list[Ciphertext]:
    """The sums of a request as they come to be sanitised, which nobody but a server sees."""
    seen: list[Ciphertext] = []
    genuine = network_server.sanitise

    def sanitise(
        result: Ciphertext, key: PublicKey, positions: NDArray[np.uint32], log_sigma: float
    ) -> Ciphertext:
        seen.append(result)
        return genuine(result, key, positions, log_sigma)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network_server, "sanitise", sanitise)
        exchange.answer(request)
    return seen


def with_blocks(exchange: NetworkExchange, blocks: int) -> Plan:
    """The plan of an exchange with smaller requests."""
    rows = blocks * exchange.layout.rows_per_ciphertext
    sizes = exchange.circuit.sizes
    return changed(
        exchange.plan,
        layout__blocks_per_request=blocks,
        costs__rows_per_request=rows,
        costs__full_request_bytes=sizes.request(rows),
        costs__full_response_bytes=sizes.response(rows),
    )
