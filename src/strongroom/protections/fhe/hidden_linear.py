"""What `fhe` does with linear models whose weights are encrypted too: candidates, and both ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine
from strongroom.compiler.hidden_linear import hidden_weights, plan_hidden_linear
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.linear import ScaledAffine
from strongroom.compiler.plan import HiddenLinearLayout, Plan
from strongroom.compiler.stages import Stage, linear_stages
from strongroom.models.graph import Graph
from strongroom.package.payload import Payload
from strongroom.policy import Policy
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_payload import hidden_payload_to_bytes
from strongroom.protections.interface import WeightKey

SEGMENT = "model"


@dataclass(frozen=True, slots=True, eq=False)
class HiddenLinearCandidate:
    """A plan of a linear model that is to be hidden, and the map that it is for."""

    plan: Plan
    affine: Affine

    @classmethod
    def of(
        cls,
        graph: Graph,
        affine: Affine,
        sample: NDArray[np.float64],
        policy: Policy,
        holding: KeyHolding,
    ) -> HiddenLinearCandidate:
        """Plan it. Raises as `compiler.hidden_linear.plan_hidden_linear`."""
        return cls(plan_hidden_linear(graph, affine, sample, policy, holding), affine)

    def payload(self, key: WeightKey | None = None) -> Payload:
        """See `protections.interface.Candidate`."""
        if key is None:
            raise ValueError("the weights of a hidden model are encrypted under a key")
        circuit = HiddenLinearCircuit.of(self.plan)
        layout = circuit.layout
        centre, half_width = np.array(layout.centre), np.array(layout.half_width)
        model = ScaledAffine.of(self.affine, centre, half_width)
        weights = hidden_weights(model, layout.headroom, layout.log_bound)
        return {SEGMENT: hidden_payload_to_bytes(circuit, weights, key)}

    def stages(self) -> tuple[Stage, ...]:
        """See `protections.interface.Candidate`."""
        layout = self.plan.layout
        return linear_stages(self.plan, layout) if isinstance(layout, HiddenLinearLayout) else ()
