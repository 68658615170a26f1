"""Choosing scales and flooding: where the bits of a modulus go in a linear model.

    input      [ score range | score scale = input scale + weight scale          ]  Q
    sanitise   [ score range | the same scale, less what the product's noise needs ]  Q / D1
    response   [ score range | less again: what the answer's precision needs       ]  Q / D1 / D2

Rescaling divides scale and modulus alike, so the score range must fit only once. Flooding at
`sanitise` hides the weights from clients, flooding at decryption protects the key.

A plan is public, and every number in it that came from the weights would be an equation on them.
So all of this is computed from one such number, the order of magnitude of scores
(`LinearShape.log_bound`), and a client can compute it again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from strongroom.compiler.messages import Limbs
from strongroom.compiler.noise import (
    TAIL,
    log_decryption_sigma,
    log_sanitising_sigma,
    public_variance,
    rounding_variance,
    symmetric_variance,
)
from strongroom.compiler.packing import LinearPacking
from strongroom.engine import LARGEST_LOG_FLOOD, Parameters
from strongroom.policy import Policy

ERROR_SIGMAS: Final = 5.5
"""A score errs by more than this many standard deviations in about one row of 10^7."""

LARGEST_LOG_SCALE: Final = 900
"""Bound on the logarithms of scales, either side of zero: what doubles can still multiply."""

SPARE_BITS: Final = 2
"""One for the sign and one that noise and flooding may use."""


@dataclass(frozen=True, slots=True)
class LinearShape:
    """What the choice of scales knows of a model; all of it is public.

    Attributes:
        packing: dimensions.
        log_bound: no score of an input that is not refused reaches 2^this.
        headroom: largest |z| of such an input.
    """

    packing: LinearPacking
    log_bound: int
    headroom: float

    @property
    def absolute(self) -> float:
        """Bound on the sum of the absolute weights of one output: an input with every |z| at
        the headroom has a score of at most 2^log_bound."""
        return math.ldexp(1.0, self.log_bound) / self.headroom

    @property
    def euclidean(self) -> float:
        """Bound on the Euclidean norm of the weights of one group of outputs."""
        return math.sqrt(self.packing.outputs_per_ciphertext) * self.absolute

    @property
    def exposed(self) -> int:
        """Largest number of declared coefficients of one response ciphertext."""
        return self.packing.rows_per_ciphertext * self.packing.outputs_per_ciphertext


@dataclass(frozen=True, slots=True)
class Scales:
    """Scales and flooding of a linear model; logarithms are to base 2.

    Attributes:
        limbs: levels at which each step happens.
        log_input, log_weight: scales of rows and weights.
        flooding_log_sigma, decryption_log_sigma: in integers at their levels.
        log_output_step: answers are rounded to multiples of 2^this.
        score_error: predicted bound on the error of a score.
    """

    limbs: Limbs
    log_input: int
    log_weight: int
    flooding_log_sigma: float
    decryption_log_sigma: float
    log_output_step: int
    score_error: float


def log_score_scale(parameters: Parameters, limbs: Limbs, log_bound: int) -> int:
    """log2 of the product of the scales of rows and weights, for scores below 2^log_bound."""
    return math.floor(parameters.log_prefix(limbs.input) - SPARE_BITS) - log_bound


def log_score_bound(parameters: Parameters, limbs: Limbs, log_score: int) -> int:
    """The reverse: the bound on scores that a plan with such a scale was made for."""
    return log_score_scale(parameters, limbs, log_score)


def product_bound(
    parameters: Parameters, limbs: Limbs, log_weight: int, shape: LinearShape
) -> float:
    """B: bound on a result's noise before it is flooded, at the `sanitise` level.

    The input's error times the weights, divided by what rescaling drops; the rescaling's own
    rounding; the encryption of zero that re-randomises.
    """
    n = parameters.ring_degree
    log_dropped = parameters.log_prefix(limbs.input) - parameters.log_prefix(limbs.sanitise)
    # Rounding the weights to integers adds at most 1/2 to each: to those of one polynomial, or of
    # several where columns are cut into chunks.
    rounded = 0.5 * math.sqrt(max(n, shape.packing.columns))
    integers = shape.euclidean + math.ldexp(rounded, -log_weight)
    log_product = 2.0 * (math.log2(integers) + log_weight - log_dropped)
    product = symmetric_variance() * math.exp2(log_product)
    rounding = rounding_variance(n) if limbs.sanitise < limbs.input else 0.0
    return TAIL * math.sqrt(product + rounding + public_variance(n))


def key_dependent_bound(
    parameters: Parameters, limbs: Limbs, log_weight: int, shape: LinearShape
) -> float:
    """ne: bound on the part of a response's noise that depends on the client's key, at the
    `response` level."""
    log_dropped = parameters.log_prefix(limbs.sanitise) - parameters.log_prefix(limbs.response)
    before = product_bound(parameters, limbs, log_weight, shape) * math.exp2(-log_dropped)
    if limbs.response == limbs.sanitise:
        return before
    return math.hypot(before, TAIL * math.sqrt(rounding_variance(parameters.ring_degree)))


def sanitising_flood(
    parameters: Parameters,
    limbs: Limbs,
    log_weight: int,
    shape: LinearShape,
    sanitising_bits: int,
) -> float:
    """log2 of the flooding that hides the weights of any model of this shape."""
    bound = product_bound(parameters, limbs, log_weight, shape)
    return log_sanitising_sigma(sanitising_bits, shape.exposed, bound)


def decryption_flood(
    parameters: Parameters, limbs: Limbs, log_weight: int, shape: LinearShape, policy: Policy
) -> float:
    """log2 of the flooding with which a client may publish answers. A row gives as many response
    ciphertexts as there are groups of outputs."""
    return log_decryption_sigma(
        policy.decryption_bits,
        policy.decryption_queries * shape.packing.groups,
        shape.exposed,
        key_dependent_bound(parameters, limbs, log_weight, shape),
    )


def choose_scales(
    parameters: Parameters, limbs: Limbs, shape: LinearShape, policy: Policy
) -> Scales | None:
    """The scales with the least score error at given levels; None if no scale fits."""
    log_score = log_score_scale(parameters, limbs, shape.log_bound)
    # The largest input, not only the largest score, must stay below half of the modulus.
    room = parameters.log_prefix(limbs.input) - 1.0 - math.log2(shape.headroom)
    candidates = (
        _scales(parameters, limbs, shape, policy, log_input, log_score - log_input)
        for log_input in range(1, math.floor(room))
        if abs(log_score - log_input) <= LARGEST_LOG_SCALE
    )
    fitting = [scales for scales in candidates if scales is not None]
    return min(fitting, key=lambda scales: scales.score_error, default=None)


def _scales(
    parameters: Parameters,
    limbs: Limbs,
    shape: LinearShape,
    policy: Policy,
    log_input: int,
    log_weight: int,
) -> Scales | None:
    log_q, log_s, log_r = (
        parameters.log_prefix(count) for count in (limbs.input, limbs.sanitise, limbs.response)
    )
    flooding = sanitising_flood(parameters, limbs, log_weight, shape, policy.sanitising_bits)
    decryption = decryption_flood(parameters, limbs, log_weight, shape, policy)
    if max(flooding, decryption) > LARGEST_LOG_FLOOD:
        return None
    # Both floods together must fit into the spare half of the modulus, tails included.
    of_modulus = math.hypot(math.exp2(flooding - log_s), math.exp2(decryption - log_r))
    if math.log2(of_modulus * TAIL) > -SPARE_BITS:
        return None
    log_score = log_input + log_weight
    bound = product_bound(parameters, limbs, log_weight, shape)
    key_dependent = key_dependent_bound(parameters, limbs, log_weight, shape)
    sigma = math.hypot(
        math.exp2(flooding - (log_score - log_q + log_s)),
        math.exp2(decryption - (log_score - log_q + log_r)),
        bound / TAIL * math.exp2(-(log_score - log_q + log_s)),
        key_dependent / TAIL * math.exp2(-(log_score - log_q + log_r)),
    )
    log_step = math.floor(math.log2(sigma)) + 1
    weight_rounding = math.ldexp(0.5 * shape.packing.columns, -log_weight)
    input_rounding = math.ldexp(0.5 * shape.absolute, -log_input)
    doubles = math.ldexp(1.0, shape.log_bound - 50)
    return Scales(
        limbs=limbs,
        log_input=log_input,
        log_weight=log_weight,
        flooding_log_sigma=flooding,
        decryption_log_sigma=decryption,
        log_output_step=log_step,
        score_error=ERROR_SIGMAS * sigma
        + math.ldexp(0.5, log_step)
        + weight_rounding
        + input_rounding
        + doubles,
    )
