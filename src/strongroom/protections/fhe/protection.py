"""Protection `fhe` behind the interface that every protection has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine, fold_affine
from strongroom.compiler.grids import arranged
from strongroom.compiler.layer_names import LayerName, layer_names
from strongroom.compiler.layering import is_affine, layered
from strongroom.compiler.linear import ScaledAffine, plan_linear
from strongroom.compiler.network import NetworkChoice, plan_network
from strongroom.compiler.network_stages import network_stages
from strongroom.compiler.plan import LinearLayout, NetworkLayout, Plan
from strongroom.compiler.stages import Stage, linear_stages
from strongroom.engine import SecretKey, catalogued
from strongroom.errors import ModelError, PackageError
from strongroom.models.graph import Graph
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan, circuit_of
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.client_side import LinearClient
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_client import NetworkClient
from strongroom.protections.fhe.network_payload import (
    payload_from_bytes as network_payload_from_bytes,
)
from strongroom.protections.fhe.network_payload import (
    payload_to_bytes as network_payload_to_bytes,
)
from strongroom.protections.fhe.network_server import NetworkServer
from strongroom.protections.fhe.payload import payload_from_bytes, payload_to_bytes
from strongroom.protections.fhe.server_side import LinearServer
from strongroom.protections.interface import Candidate, KeyNeeds, KeyProvider, SealingKeys, Serving

NAME: Final = "fhe"

SEGMENT: Final = "model"
"""The one segment of a payload."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearCandidate:
    """A plan of a linear model, and the map that it is for."""

    plan: Plan
    affine: Affine

    def payload(self) -> Payload:
        """See `protections.interface.Candidate`."""
        layout = LinearCircuit.of(self.plan).layout
        centre, half_width = np.array(layout.centre), np.array(layout.half_width)
        return {SEGMENT: payload_to_bytes(ScaledAffine.of(self.affine, centre, half_width))}

    def stages(self) -> tuple[Stage, ...]:
        """See `protections.interface.Candidate`."""
        layout = self.plan.layout
        return linear_stages(self.plan, layout) if isinstance(layout, LinearLayout) else ()


@dataclass(frozen=True, slots=True, eq=False)
class NetworkCandidate:
    """A plan of a network, its weights and circuits, and what its hidden layers are called."""

    choice: NetworkChoice
    names: tuple[LayerName, ...]

    @property
    def plan(self) -> Plan:
        """See `protections.interface.Candidate`."""
        return self.choice.plan

    def payload(self) -> Payload:
        """See `protections.interface.Candidate`."""
        return {SEGMENT: network_payload_to_bytes(self.choice.model)}

    def stages(self) -> tuple[Stage, ...]:
        """See `protections.interface.Candidate`."""
        circuit = NetworkCircuit.of(self.plan)
        return network_stages(
            self.plan, circuit.layout, circuit.packing, self.choice.model, self.names
        )


class FheProtection:
    """The server computes on encrypted rows; it holds the model and sees neither rows nor
    answers."""

    @property
    def name(self) -> str:
        """As in a manifest."""
        return NAME

    @property
    def whole_trees(self) -> bool:
        """See `protections.interface.ServedProtection.whole_trees`."""
        return False

    def candidates(
        self, graph: Graph, sample: NDArray[np.float64], policy: Policy
    ) -> Sequence[LinearCandidate] | Sequence[NetworkCandidate]:
        """See `protections.interface.ServedProtection.candidates`."""
        if is_affine(graph):
            affine = fold_affine(graph)
        else:
            layers = layered(graph).folded()
            if len(layers.layers) > 1:
                names = layer_names(graph, layers)
                choices = plan_network(*arranged(graph, layers), sample, policy)
                return [NetworkCandidate(choice, names) for choice in choices]
            (layer,) = layers.layers
            affine = Affine(layer.weights.reshape(layer.units, -1), layer.bias.reshape(-1))
        return [LinearCandidate(plan_linear(graph, affine, sample, policy), affine)]

    def tensor_candidates(
        self, model: Any, inputs: Mapping[str, Any] | None, policy: Policy
    ) -> Sequence[Candidate]:
        """See `protections.interface.ServedProtection.tensor_candidates`: there are none."""
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "protection fhe takes models of rows, and there is no sample of rows",
            'Pass sample=, rows like those that will be asked about, or use protection="sealed"',
        )

    def open_server(
        self, plan: Plan, payload: Payload, *, package: str, serving: Serving | None = None
    ) -> LinearServer | NetworkServer:
        """See `protections.interface.ServedProtection.open_server`."""
        weights = _only_segment(payload)
        if isinstance(plan.layout, NetworkLayout):
            network = NetworkCircuit.of(plan, package)
            return NetworkServer(network, network_payload_from_bytes(weights, plan.layout))
        circuit = LinearCircuit.of(plan, package)
        layout = circuit.layout
        return LinearServer(circuit, payload_from_bytes(weights, layout.outputs, layout.columns))

    def check(self, plan: Plan, policy: Policy) -> None:
        """See `protections.interface.ServedProtection.check`."""
        check_plan(plan, policy)

    def open_client(
        self,
        plan: Plan,
        keys: KeyProvider,
        policy: Policy,
        *,
        package: str,
        serving: SealingKeys | None = None,
    ) -> LinearClient | NetworkClient:
        """See `protections.interface.ServedProtection.open_client`.

        The secret key is stored under the name of the parameters, so that models share it.
        """
        check_plan(plan, policy)
        parameters = catalogued(plan.parameters)
        stored = keys.secret(plan.parameters)
        if stored is None:
            fresh = SecretKey.generate(parameters)
            stored = keys.store(plan.parameters, fresh.to_bytes())
        secret = SecretKey.from_bytes(parameters, stored)
        if isinstance(plan.layout, NetworkLayout):
            return NetworkClient(
                NetworkCircuit.of(plan, package),
                secret,
                features=plan.features,
                names=plan.input.column_labels(),
            )
        circuit = LinearCircuit.of(plan, package)
        return LinearClient(
            circuit,
            secret,
            decryption_log_sigma=circuit.layout.decryption_log_sigma,
            features=plan.features,
            names=plan.input.column_labels(),
        )

    def request_limit(self, plan: Plan) -> int:
        """See `protections.interface.ServedProtection.request_limit`."""
        circuit = circuit_of(plan)
        return circuit.sizes.request(circuit.rows_per_request)

    def key_needs(self, plan: Plan) -> KeyNeeds | None:
        """See `protections.interface.ServedProtection.key_needs`."""
        circuit = circuit_of(plan)
        return circuit.needs if isinstance(circuit, NetworkCircuit) else None


def _only_segment(payload: Payload) -> bytes | memoryview:
    if set(payload) != {SEGMENT}:
        raise PackageError(
            "SR-PACKAGE-FILE",
            f'the payload of the package is damaged: it must have the one segment "{SEGMENT}"',
            "Fetch the package again from its owner",
        )
    return payload[SEGMENT]
