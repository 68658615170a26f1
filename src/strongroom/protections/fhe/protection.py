"""Protection `fhe` behind the interface that every protection has."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import fold_affine
from strongroom.compiler.linear import ScaledAffine, plan_linear
from strongroom.compiler.plan import Plan
from strongroom.engine import SecretKey
from strongroom.models.graph import Graph
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.client_side import LinearClient
from strongroom.protections.fhe.payload import payload_from_bytes, payload_to_bytes
from strongroom.protections.fhe.server_side import LinearServer
from strongroom.protections.interface import KeyProvider

NAME: Final = "fhe"


class FheProtection:
    """The server computes on encrypted rows; it holds the model and sees neither rows nor
    answers."""

    @property
    def name(self) -> str:
        """As in a manifest."""
        return NAME

    def plan(self, graph: Graph, sample: NDArray[np.float64], policy: Policy) -> Plan:
        """See `protections.interface.ServedProtection.plan`."""
        return plan_linear(graph, fold_affine(graph), sample, policy)

    def protect(self, graph: Graph, plan: Plan) -> bytes:
        """See `protections.interface.ServedProtection.protect`."""
        layout = plan.layout
        model = ScaledAffine.of(
            fold_affine(graph), np.array(layout.centre), np.array(layout.half_width)
        )
        return payload_to_bytes(model)

    def open_server(self, plan: Plan, payload: bytes, *, package: str) -> LinearServer:
        """See `protections.interface.ServedProtection.open_server`."""
        circuit = LinearCircuit.of(plan, package)
        model = payload_from_bytes(payload, plan.layout.outputs, plan.layout.columns)
        return LinearServer(circuit, model)

    def check(self, plan: Plan, policy: Policy) -> None:
        """See `protections.interface.ServedProtection.check`."""
        check_plan(plan, policy)

    def open_client(
        self, plan: Plan, keys: KeyProvider, policy: Policy, *, package: str
    ) -> LinearClient:
        """See `protections.interface.ServedProtection.open_client`.

        The secret key is stored under the name of the parameters, so that models share it.
        """
        check_plan(plan, policy)
        circuit = LinearCircuit.of(plan, package)
        stored = keys.secret(plan.parameters)
        if stored is None:
            fresh = SecretKey.generate(circuit.parameters)
            stored = keys.store(plan.parameters, fresh.to_bytes())
        secret = SecretKey.from_bytes(circuit.parameters, stored)
        return LinearClient(
            circuit,
            secret,
            decryption_log_sigma=plan.layout.decryption_log_sigma,
            features=plan.features,
            names=plan.input.names,
        )

    def request_limit(self, plan: Plan) -> int:
        """See `protections.interface.ServedProtection.request_limit`."""
        circuit = LinearCircuit.of(plan)
        return circuit.sizes.request(circuit.rows_per_request)
