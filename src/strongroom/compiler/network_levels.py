"""Where the bits of a modulus go in a network.

    input        scale 2^t, or a little less                      all primes of the request
    a step       times weights at 2^w, rescaled: 2^t again        one prime or a few fewer
                 circuits: each level squares and rescales        about t bits fewer a level
    sums         times weights at 2^s: the scores' scale          the primes that are left
    sanitised    there, then rescaled for the response

t is what precision and the hiding of weights need, and every level pays it; w and s need only the
precision of weights. Levels may consist of several primes.

Where weights are ciphertexts they have noise of their own, as large as that of rows, and w and s
are about t too: a matrix is a level like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from strongroom.compiler.activation_circuits import Circuit
from strongroom.engine import Parameters
from strongroom.engine.slot_functions import SlotFunctionPlan, plan_slot_function

LEAST_WEIGHT_BITS = 24
"""Weights are encoded at this scale at least: their rounding, spread over the slots, must vanish
beside what a score needs."""

MOST_SLACK = 3
"""A request may have a scale by so many bits below the others: fresh noise is less than that of a
division. Where the first rescaling drops little, weights gain what the request loses."""

SPARE_SUM_BITS = 8
"""The final weights are encoded at so many bits more than they need, if there is room."""

HIDDEN_WEIGHT_SLACK = 3
"""Encrypted weights may have a scale by so many bits below 2^t."""

HIDDEN_SUM_SLACK = 8
"""And those of the sums by so many more than a bit for each of the largest score's: by then the
values' own noise has grown."""

SCALE_TOLERANCE = 1.0
"""Scales may be by so many bits below 2^t: primes are not exactly as long as their names say."""

SPARE_BITS = 2
"""One for the sign and one that noise and flooding may use."""


MOST_SCALE_BITS = 1 << 16
"""Of a scale's numerator and denominator, which every square doubles."""


@dataclass(frozen=True, slots=True, eq=False)
class StepLevels:
    """One hidden step.

    Attributes:
        limbs: primes of its vector.
        log_weight_scale: of the matrix.
        drop: primes that the product is rescaled by.
        scale: of the product.
        circuits: levels and scales of the circuits; none where the step is affine.
    """

    limbs: int
    log_weight_scale: int
    drop: int
    scale: Fraction
    circuits: tuple[SlotFunctionPlan, ...]

    @property
    def product_limbs(self) -> int:
        """Primes of the product."""
        return self.limbs - self.drop

    @property
    def result_limbs(self) -> int:
        """Primes of what the circuits make."""
        return self.circuits[-1].limbs if self.circuits else self.product_limbs

    @property
    def result_scale(self) -> Fraction:
        """Its scale."""
        return self.circuits[-1].scale if self.circuits else self.scale


@dataclass(frozen=True, slots=True, eq=False)
class NetworkLevels:
    """All of a network.

    Attributes:
        input_limbs, log_input_scale: of a request's ciphertexts.
        steps: the hidden steps.
        sum_limbs: primes at which sums are made and sanitised; what the last step has more is cut
            off.
        log_sum_scale: of the final weights.
        response_limbs: primes of a response.
        hidden: whether all weights are ciphertexts.
    """

    input_limbs: int
    log_input_scale: int
    steps: tuple[StepLevels, ...]
    sum_limbs: int
    log_sum_scale: int
    response_limbs: int
    hidden: bool = False

    def score_scale(self) -> Fraction:
        """Of the sums, before they are rescaled for the response."""
        return self.steps[-1].result_scale * Fraction(2) ** self.log_sum_scale

    def response_scale(self, parameters: Parameters) -> Fraction:
        """Of a response, as it is sent."""
        dropped = math.prod(parameters.primes[self.response_limbs : self.sum_limbs])
        return sent_scale(self.score_scale() / dropped)


def sent_scale(scale: Fraction) -> Fraction:
    """The scale that a response says: the nearest double. Levels make fractions of thousands of
    bits, and a score's error of 2^-53 of itself is nothing beside the others."""
    return Fraction(float(scale))


@dataclass(frozen=True, slots=True)
class Magnitudes:
    """What the levels must have room for.

    Attributes:
        arguments: largest absolute argument of each step's first circuit.
        log_bound: scores below 2^this do not wrap around.
        log_sum_scale: least scale of the final weights.
        hidden: whether all weights are ciphertexts.
    """

    arguments: tuple[float, ...]
    log_bound: int
    log_sum_scale: int
    hidden: bool = False


def walk(
    parameters: Parameters,
    circuits: Sequence[Sequence[Circuit]],
    magnitudes: Magnitudes,
    input_limbs: int,
    target: int,
) -> NetworkLevels | None:
    """Levels and scales with all ciphertexts near a scale of 2^target; None if that does not fit
    the modulus of `input_limbs` primes."""
    last = math.log2(parameters.primes[input_limbs - 1])
    slack = min(MOST_SLACK, max(0, math.ceil(LEAST_WEIGHT_BITS + 2 - last)))
    least_weight, least_sum = LEAST_WEIGHT_BITS, magnitudes.log_sum_scale
    if magnitudes.hidden:
        slack, least_weight = 0, target - HIDDEN_WEIGHT_SLACK
        least_sum = max(least_sum, target - HIDDEN_SUM_SLACK - magnitudes.log_bound)
    limbs, scale = input_limbs, Fraction(2) ** (target - slack)
    steps: list[StepLevels] = []
    for chain, largest in zip(circuits, magnitudes.arguments, strict=True):
        step = _step(parameters, chain, largest, limbs, scale, target, least_weight)
        if step is None:
            return None
        steps.append(step)
        limbs, scale = step.result_limbs, step.result_scale
        if max(scale.numerator.bit_length(), scale.denominator.bit_length()) > MOST_SCALE_BITS:
            return None
    log_scale = math.log2(scale)
    for left in range(1, limbs + 1):
        room = parameters.log_prefix(left) - log_scale - magnitudes.log_bound - SPARE_BITS
        if room >= least_sum:
            log_sum = min(math.floor(room), least_sum + SPARE_SUM_BITS)
            hidden = magnitudes.hidden
            log_input = target - slack
            return NetworkLevels(input_limbs, log_input, tuple(steps), left, log_sum, left, hidden)
    return None


def _step(
    parameters: Parameters,
    circuits: Sequence[Circuit],
    largest: float,
    limbs: int,
    scale: Fraction,
    target: int,
    least_weight: int,
) -> StepLevels | None:
    log_scale, dropped = math.log2(scale), 0.0
    for drop in range(1, limbs):
        dropped += math.log2(parameters.primes[limbs - drop])
        log_weight = round(target + dropped - log_scale)
        if log_weight >= least_weight:
            break
    else:
        return None
    product = scale * Fraction(2) ** log_weight
    log_largest = max(0.0, math.log2(largest)) if largest > 0.0 else 0.0
    if math.log2(product) + log_largest + SPARE_BITS > parameters.log_prefix(limbs):
        return None
    left = limbs - drop
    rescaled = product / math.prod(parameters.primes[left:limbs])
    plans: list[SlotFunctionPlan] = []
    at, at_scale = left, rescaled
    for circuit in circuits:
        try:
            plan = plan_slot_function(parameters, circuit, at, at_scale, target - SCALE_TOLERANCE)
        except ValueError:
            return None
        plans.append(plan)
        at, at_scale = plan.limbs, plan.scale
    return StepLevels(limbs, log_weight, drop, rescaled, tuple(plans))
