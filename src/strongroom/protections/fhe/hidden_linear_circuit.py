"""The circuit of a hidden linear model: everything that both sides derive from a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from strongroom.compiler.hidden_messages import HiddenSizes
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.messages import Limbs
from strongroom.compiler.packing import LinearPacking
from strongroom.compiler.plan import CommitteeKey, HiddenLinearLayout, Plan
from strongroom.compiler.precision import LinearShape, log_score_scale
from strongroom.engine import RELINEARISATION, Parameters, catalogued, switching_key_bytes
from strongroom.protections.fhe.soundness import (
    binding,
    contradiction,
    require_sound_floods,
    require_sound_ranges,
)
from strongroom.protections.interface import KeyNeed, KeyNeeds


@dataclass(frozen=True, slots=True)
class HiddenLinearCircuit:
    """Parameters, packing, levels, exact scales and message sizes of one plan.

    Attributes:
        packing: of the columns and the one of the bias.
        input_scale, weight_scale: as encoded.
        response_scale: of a result's integers, which say scores divided by 2^log_bound.
        needs: the keys that a server needs: one, to relinearise with.
        committee: whether a committee holds the key; a result's two parts then travel separately.
        binding: 32 bytes that name package and plan in every message.
    """

    parameters: Parameters
    layout: HiddenLinearLayout
    packing: LinearPacking
    limbs: Limbs
    input_scale: Fraction
    weight_scale: Fraction
    response_scale: Fraction
    sizes: HiddenSizes
    needs: KeyNeeds
    committee: bool
    binding: bytes

    @classmethod
    def of(cls, plan: Plan, package: str = "") -> HiddenLinearCircuit:
        """Derive a circuit; the plan may come from a stranger.

        Args:
            package: digest of the package whose messages it shall read and write.

        Raises:
            PolicyError: SR-PLAN-INVALID, SR-PARAMETERS-UNKNOWN.
        """
        parameters, layout = catalogued(plan.parameters), plan.layout
        if not isinstance(layout, HiddenLinearLayout):
            raise contradiction("it is not that of a hidden linear model")
        _require_sound(plan, layout, parameters)
        packing = LinearPacking.choose(parameters.ring_degree, layout.columns + 1, layout.outputs)
        if (
            packing.column_chunks,
            packing.outputs_per_ciphertext,
            packing.rows_per_ciphertext,
        ) != (layout.column_chunks, layout.outputs_per_ciphertext, layout.rows_per_ciphertext):
            raise contradiction("its packing is not the one for its columns and outputs")
        limbs = Limbs(layout.input_limbs, layout.response_limbs, layout.response_limbs)
        input_scale = Fraction(2) ** layout.log_input_scale
        weight_scale = Fraction(2) ** layout.log_weight_scale
        dropped = Fraction(parameters.modulus(limbs.input), parameters.modulus(limbs.response))
        response_scale = input_scale * weight_scale / dropped
        committee = isinstance(plan.holder, CommitteeKey)
        sizes = HiddenSizes(
            parameters,
            packing,
            limbs,
            input_scale,
            weight_scale,
            response_scale,
            seeded=layout.holding.share_budget is None if plan.holder is None else not committee,
        )
        _require_true_sizes(plan, layout, sizes)
        return cls(
            parameters,
            layout,
            packing,
            limbs,
            input_scale,
            weight_scale,
            response_scale,
            sizes,
            KeyNeeds(plan.parameters, (KeyNeed(RELINEARISATION, limbs.input),), 0),
            committee,
            binding(plan, package),
        )

    @property
    def rows_per_request(self) -> int:
        """How many rows a request holds at most."""
        return self.layout.blocks_per_request * self.packing.rows_per_ciphertext

    @property
    def shape(self) -> LinearShape:
        """What scales and flooding were chosen for: scores divided by their order of magnitude."""
        return LinearShape(self.packing, 0, self.layout.headroom)

    @property
    def holding(self) -> KeyHolding:
        """How the key is held, as far as scales and flooding follow from it."""
        return self.layout.holding


def _require_sound(plan: Plan, layout: HiddenLinearLayout, parameters: Parameters) -> None:
    """Everything that must hold before a plan's numbers are computed with."""
    require_sound_ranges(plan, layout, layout.columns)
    if not parameters.special_primes:
        raise contradiction("its parameters have no keys to multiply with")
    if not 1 <= layout.response_limbs <= layout.input_limbs <= parameters.limbs:
        raise contradiction("its levels are not in order, or not in the chain")
    if not (math.isfinite(layout.headroom) and layout.headroom >= 1.0):
        raise contradiction("its headroom is below 1")
    largest = parameters.log_prefix(layout.input_limbs)
    if not 1.0 <= layout.log_input_scale < largest - 1.0 - math.log2(layout.headroom):
        raise contradiction("its rows do not fit its modulus")
    limbs = Limbs(layout.input_limbs, layout.response_limbs, layout.response_limbs)
    log_score = layout.log_input_scale + layout.log_weight_scale
    if layout.log_weight_scale < 1 or log_score > log_score_scale(parameters, limbs, 0):
        raise contradiction("its scores do not fit its modulus")
    budget = layout.holding.share_budget
    if budget is None and layout.holding.parts > 1:
        raise contradiction("its owner's key has more than one part")
    if isinstance(plan.holder, CommitteeKey) and budget != plan.holder.share_budget:
        raise contradiction("its flooding is for another share budget than its committee's")
    require_sound_floods(layout, largest)


def _require_true_sizes(plan: Plan, layout: HiddenLinearLayout, sizes: HiddenSizes) -> None:
    """Whether a plan's costs say what its messages and keys will take."""
    if not 1 <= layout.blocks_per_request <= sizes.blocks_per_request():
        raise contradiction("a full request would be larger than the protocol allows")
    rows = layout.blocks_per_request * layout.rows_per_ciphertext
    true = {
        "rows_per_request": rows,
        "response_bytes": sizes.response(1),
        "full_response_bytes": sizes.response(rows),
        "evaluation_key_bytes": switching_key_bytes(sizes.parameters, layout.input_limbs),
    }
    if any(getattr(plan.costs, name) != value for name, value in true.items()):
        raise contradiction("its costs are not those of its requests")
