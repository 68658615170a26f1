"""Both ends of a protected linear model in one process, for tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom import protections
from strongroom.compiler.plan import Plan
from strongroom.keys.store import KeyStore
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.client_side import LinearClient, PendingRequest
from strongroom.protections.fhe.server_side import LinearServer

Table = NDArray[np.float64]


def linear_graph(weights: Table, bias: Table, names: tuple[str, ...] = ()) -> Graph:
    """The graph of rows @ weights.T + bias; weights have shape (outputs, columns)."""
    outputs, columns = weights.shape
    return Graph(
        name="linear",
        tensors=(Tensor("rows", "float64", (None, columns)),),
        nodes=(
            Node("MatMul", "product", ("rows", "weights"), ("product",), {}),
            Node("Add", "sum", ("product", "bias"), ("scores",), {}),
        ),
        constants={"weights": np.ascontiguousarray(weights.T), "bias": bias},
        scores="scores",
        input=InputSpec(columns=columns, names=names, dtype="float64"),
        features=Features.plain(columns),
        output=OutputSpec(
            task="regression",
            link="identity",
            outputs=outputs,
            classes=(),
            label_dtype="<f8",
            flat=outputs == 1,
            methods=("predict",),
        ),
    )


@dataclass(frozen=True)
class Exchange:
    """A model, its plan, and a client and a server that have never met elsewhere."""

    weights: Table
    bias: Table
    plan: Plan
    payload: Payload
    client: LinearClient
    server: LinearServer

    @classmethod
    def over(
        cls, weights: Table, bias: Table, sample: Table, *, policy: Policy | None = None
    ) -> Exchange:
        """Plan and protect a model, and open both ends with a fresh key."""
        policy = policy or Policy()
        fhe = protections.by_name("fhe")
        graph = linear_graph(weights, bias)
        candidate = fhe.candidates(graph, sample, policy)[0]
        return cls.opened(weights, bias, candidate.plan, candidate.payload(), policy)

    @classmethod
    def opened(
        cls, weights: Table, bias: Table, plan: Plan, payload: Payload, policy: Policy
    ) -> Exchange:
        """Open both ends of a plan with a fresh key."""
        fhe = protections.by_name("fhe")
        client = fhe.open_client(plan, KeyStore.in_memory(), policy, package="sha256:0")
        server = fhe.open_server(plan, payload, package="sha256:0")
        assert isinstance(client, LinearClient)
        assert isinstance(server, LinearServer)
        return cls(weights, bias, plan, payload, client, server)

    @property
    def circuit(self) -> LinearCircuit:
        return LinearCircuit.of(self.plan)

    def plain(self, rows: Table) -> Table:
        """The plain model's scores, shape (n, outputs)."""
        return rows @ self.weights.T + self.bias

    def request(self, rows: Table) -> PendingRequest:
        """One encrypted request."""
        self.client.check(rows)
        return self.client.encrypt(self.client.encode(rows))

    def scores(self, rows: Table) -> Table:
        """One protected exchange."""
        pending = self.request(rows)
        return self.client.decrypt(pending, self.server.answer(pending.body))


def changed(plan: Plan, **fields: Any) -> Plan:
    """A plan with other values, none of them checked: `layout__columns=3`, `parameters="x"`."""
    for path, value in fields.items():
        part, _, name = path.partition("__")
        if name:
            value = msgspec.structs.replace(getattr(plan, part), **{name: value})
        if part in ("input", "features", "output"):
            assert plan.prediction is not None
            value = msgspec.structs.replace(plan.prediction, **{part: value})
            part = "prediction"
        plan = msgspec.structs.replace(plan, **{part: value})
    return plan


def with_blocks(exchange: Exchange, blocks: int) -> Plan:
    """The plan of an exchange with smaller requests."""
    rows = blocks * exchange.circuit.packing.rows_per_ciphertext
    return changed(
        exchange.plan,
        layout__blocks_per_request=blocks,
        costs__rows_per_request=rows,
        costs__full_request_bytes=exchange.circuit.sizes.request(rows),
        costs__full_response_bytes=exchange.circuit.sizes.response(rows),
    )
