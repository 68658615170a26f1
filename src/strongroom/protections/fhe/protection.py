"""Protection `fhe` behind the interface that every protection has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine, fold_affine
from strongroom.compiler.grids import arranged
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.layer_names import LayerName, layer_names
from strongroom.compiler.layering import is_affine, layered
from strongroom.compiler.linear import ScaledAffine, plan_linear
from strongroom.compiler.network import NetworkChoice, plan_network
from strongroom.compiler.network_stages import network_stages
from strongroom.compiler.plan import HiddenLinearLayout, LinearLayout, NetworkLayout, Plan
from strongroom.compiler.stages import Stage, linear_stages
from strongroom.engine import PublicKey
from strongroom.errors import ModelError, PackageError
from strongroom.keys.key_sets import stored_secret
from strongroom.models.graph import Graph
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan, circuit_of
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.client_side import LinearClient
from strongroom.protections.fhe.hidden_linear import HiddenLinearCandidate
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_client import HiddenLinearClient
from strongroom.protections.fhe.hidden_linear_payload import hidden_payload_from_bytes
from strongroom.protections.fhe.hidden_linear_server import HiddenLinearServer
from strongroom.protections.fhe.hidden_network_payload import (
    hidden_network_from_bytes,
    hidden_network_to_bytes,
)
from strongroom.protections.fhe.hidden_network_server import HiddenNetworkServer
from strongroom.protections.fhe.holders import holder_key_set, owner_secret
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
from strongroom.protections.fhe.shared_client import SharedClient
from strongroom.protections.fhe.shared_results import FheSharedResults, hidden_circuit
from strongroom.protections.interface import (
    Candidate,
    KeyNeeds,
    KeyProvider,
    SealingKeys,
    Serving,
    WeightKey,
)

NAME: Final = "fhe"

SEGMENT: Final = "model"
"""The one segment of a payload."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearCandidate:
    """A plan of a linear model, and the map that it is for."""

    plan: Plan
    affine: Affine

    def payload(self, key: WeightKey | None = None) -> Payload:
        """See `protections.interface.Candidate`."""
        if key is not None:
            raise ValueError("a key for weights of a model that hides nothing")
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

    def payload(self, key: WeightKey | None = None) -> Payload:
        """See `protections.interface.Candidate`."""
        layout = self.plan.layout
        hidden = isinstance(layout, NetworkLayout) and layout.hidden
        if not hidden and key is None:
            return {SEGMENT: network_payload_to_bytes(self.choice.model)}
        if not hidden or key is None:
            raise ValueError("a key is for the weights of a hidden model, and one needs a key")
        circuit = NetworkCircuit.of(self.plan).encrypted_under(key)
        return {SEGMENT: hidden_network_to_bytes(circuit, self.choice.model, key)}

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
        self,
        graph: Graph,
        sample: NDArray[np.float64],
        policy: Policy,
        holding: KeyHolding = ONE_OWNER,
    ) -> Sequence[Candidate]:
        """See `protections.interface.ServedProtection.candidates`."""
        if is_affine(graph):
            affine = fold_affine(graph)
        else:
            layers = layered(graph).folded()
            if len(layers.layers) > 1:
                names = layer_names(graph, layers)
                choices = plan_network(*arranged(graph, layers), sample, policy, holding)
                return [NetworkCandidate(choice, names) for choice in choices]
            (layer,) = layers.layers
            affine = Affine(layer.weights.reshape(layer.units, -1), layer.bias.reshape(-1))
        if policy.hide == "model":
            return [HiddenLinearCandidate.of(graph, affine, sample, policy, holding)]
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
    ) -> LinearServer | HiddenLinearServer | NetworkServer | HiddenNetworkServer:
        """See `protections.interface.ServedProtection.open_server`."""
        weights = _only_segment(payload)
        if isinstance(plan.layout, NetworkLayout):
            network = NetworkCircuit.of(plan, package)
            if plan.layout.hidden:
                ciphertexts = hidden_network_from_bytes(network, weights)
                return HiddenNetworkServer(network, ciphertexts, holder_key_set(plan))
            return NetworkServer(network, network_payload_from_bytes(weights, plan.layout))
        if isinstance(plan.layout, HiddenLinearLayout):
            hidden = HiddenLinearCircuit.of(plan, package)
            opened = hidden_payload_from_bytes(hidden, weights)
            return HiddenLinearServer(hidden, opened, holder_key_set(plan))
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
    ) -> LinearClient | HiddenLinearClient | NetworkClient:
        """See `protections.interface.ServedProtection.open_client`.

        The secret key is stored under the name of the parameters, so that models share it.
        """
        check_plan(plan, policy)
        if isinstance(plan.layout, HiddenLinearLayout):
            return HiddenLinearClient(
                HiddenLinearCircuit.of(plan, package),
                owner_secret(plan, keys),
                features=plan.features,
                names=plan.input.column_labels(),
            )
        hidden = isinstance(plan.layout, NetworkLayout) and plan.layout.hidden
        secret = owner_secret(plan, keys) if hidden else stored_secret(keys, plan.parameters)
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

    def open_shared_client(
        self, plan: Plan, key: PublicKey, policy: Policy, *, package: str
    ) -> SharedClient:
        """See `protections.interface.ServedProtection.open_shared_client`."""
        check_plan(plan, policy)
        return SharedClient(plan, key, package)

    def shared_results(self, plan: Plan, *, package: str) -> FheSharedResults:
        """See `protections.interface.ServedProtection.shared_results`."""
        return FheSharedResults(hidden_circuit(plan, package))

    def request_limit(self, plan: Plan) -> int:
        """See `protections.interface.ServedProtection.request_limit`."""
        circuit = circuit_of(plan)
        return circuit.sizes.request(circuit.rows_per_request)

    def key_needs(self, plan: Plan) -> KeyNeeds | None:
        """See `protections.interface.ServedProtection.key_needs`."""
        circuit = circuit_of(plan)
        return None if isinstance(circuit, LinearCircuit) else circuit.needs


def _only_segment(payload: Payload) -> bytes | memoryview:
    if set(payload) != {SEGMENT}:
        raise PackageError(
            "SR-PACKAGE-FILE",
            f'the payload of the package is damaged: it must have the one segment "{SEGMENT}"',
            "Fetch the package again from its owner",
        )
    return payload[SEGMENT]
