"""The circuit of a linear model: everything that both sides derive from a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from strongroom.compiler.messages import Limbs, MessageSizes
from strongroom.compiler.packing import LinearPacking
from strongroom.compiler.plan import LinearLayout, Plan
from strongroom.compiler.precision import LARGEST_LOG_SCALE, LinearShape, log_score_bound
from strongroom.engine import Parameters, catalogued
from strongroom.protections.fhe.soundness import (
    binding,
    contradiction,
    require_sound_floods,
    require_sound_ranges,
)


@dataclass(frozen=True, slots=True)
class LinearCircuit:
    """Parameters, packing, levels, exact scales and message sizes of one plan.

    Attributes:
        input_scale, weight_scale: as encoded.
        response_scale: of a response's integers.
        binding: 32 bytes that name package and plan in every message.
    """

    parameters: Parameters
    layout: LinearLayout
    packing: LinearPacking
    limbs: Limbs
    input_scale: Fraction
    weight_scale: Fraction
    response_scale: Fraction
    sizes: MessageSizes
    binding: bytes

    @classmethod
    def of(cls, plan: Plan, package: str = "") -> LinearCircuit:
        """Derive a circuit; the plan may come from a stranger.

        Args:
            package: digest of the package whose messages it shall read and write.

        Raises:
            PolicyError: SR-PLAN-INVALID, SR-PARAMETERS-UNKNOWN.
        """
        parameters = catalogued(plan.parameters)
        layout = plan.layout
        if not isinstance(layout, LinearLayout):
            raise contradiction("it is not that of a linear model")
        _require_sound(plan, layout, parameters)
        packing = LinearPacking.choose(parameters.ring_degree, layout.columns, layout.outputs)
        if (
            packing.column_chunks,
            packing.outputs_per_ciphertext,
            packing.rows_per_ciphertext,
        ) != (layout.column_chunks, layout.outputs_per_ciphertext, layout.rows_per_ciphertext):
            raise contradiction("its packing is not the one for its columns and outputs")
        limbs = Limbs(layout.input_limbs, layout.sanitise_limbs, layout.response_limbs)
        input_scale = Fraction(2) ** layout.log_input_scale
        weight_scale = Fraction(2) ** layout.log_weight_scale
        dropped = Fraction(parameters.modulus(limbs.input), parameters.modulus(limbs.response))
        response_scale = input_scale * weight_scale / dropped
        sizes = MessageSizes(parameters, packing, limbs, input_scale, response_scale)
        if not 1 <= layout.blocks_per_request <= sizes.blocks_per_request():
            raise contradiction("a full request would be larger than the protocol allows")
        rows = layout.blocks_per_request * packing.rows_per_ciphertext
        if (plan.costs.rows_per_request, plan.costs.full_response_bytes) != (
            rows,
            sizes.response(rows),
        ):
            raise contradiction("its costs are not those of its requests")
        return cls(
            parameters,
            layout,
            packing,
            limbs,
            input_scale,
            weight_scale,
            response_scale,
            sizes,
            binding(plan, package),
        )

    @property
    def rows_per_request(self) -> int:
        """How many rows a request holds at most."""
        return self.layout.blocks_per_request * self.packing.rows_per_ciphertext

    @property
    def shape(self) -> LinearShape:
        """What scales and flooding were chosen for."""
        log_score = self.layout.log_input_scale + self.layout.log_weight_scale
        log_bound = log_score_bound(self.parameters, self.limbs, log_score)
        return LinearShape(self.packing, log_bound, self.layout.headroom)


def _require_sound(plan: Plan, layout: LinearLayout, parameters: Parameters) -> None:
    """Everything that must hold before a plan's numbers are computed with."""
    require_sound_ranges(plan, layout, layout.columns)
    limits = (layout.response_limbs, layout.sanitise_limbs, layout.input_limbs, parameters.limbs)
    if list(limits) != sorted(limits) or limits[0] < 1:
        raise contradiction("its levels are not in order, or not in the chain")
    if not (math.isfinite(layout.headroom) and layout.headroom >= 1.0):
        raise contradiction("its headroom is below 1")
    largest = parameters.log_prefix(layout.input_limbs)
    if not 1.0 <= layout.log_input_scale < largest - 1.0 - math.log2(layout.headroom):
        raise contradiction("its rows do not fit its modulus")
    if abs(layout.log_weight_scale) > LARGEST_LOG_SCALE:
        raise contradiction("its weights' scale is out of bounds")
    require_sound_floods(layout, largest)
