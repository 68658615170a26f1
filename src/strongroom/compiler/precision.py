"""Choosing scales and flooding: where the bits of a modulus go in a linear model.

    input      [ score range | score scale = input scale + weight scale          ]  Q
    sanitise   [ score range | the same scale, less what the product's noise needs ]  Q / D1
    response   [ score range | less again: what the answer's precision needs       ]  Q / D1 / D2

Rescaling divides scale and modulus alike, so the score range must fit only once. Flooding at
`sanitise` hides the weights from clients, flooding at decryption protects the key.
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
from strongroom.engine import Parameters
from strongroom.policy import Policy

ERROR_SIGMAS: Final = 5.5
"""A score errs by more than this many standard deviations in about one row of 10^7."""

_SPARE_BITS: Final = 2
"""One for the sign and one that noise and flooding may use."""


@dataclass(frozen=True, slots=True)
class WeightNorms:
    """What the choice of scales needs to know of a model, after preprocessing.

    Attributes:
        bound: largest |score| of any input that is not refused.
        euclidean: largest Euclidean norm of the weights that share one polynomial.
        absolute: largest sum of absolute weights of one output.
        columns: number of columns.
    """

    bound: float
    euclidean: float
    absolute: float
    columns: int


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


def product_bound(
    parameters: Parameters, limbs: Limbs, log_weight: int, norms: WeightNorms
) -> float:
    """B: bound on a result's noise before it is flooded, at the `sanitise` level.

    The input's error times the weights, divided by what rescaling drops; the rescaling's own
    rounding; the encryption of zero that re-randomises.
    """
    n = parameters.ring_degree
    log_dropped = parameters.log_prefix(limbs.input) - parameters.log_prefix(limbs.sanitise)
    # Rounding the weights to integers adds at most 1/2 to each: to those of one polynomial, or of
    # several where columns are cut into chunks.
    rounded = 0.5 * math.sqrt(max(n, norms.columns))
    integers = norms.euclidean + rounded * math.ldexp(1.0, -log_weight)
    product = symmetric_variance() * integers**2 * math.exp2(2.0 * (log_weight - log_dropped))
    rounding = rounding_variance(n) if limbs.sanitise < limbs.input else 0.0
    return TAIL * math.sqrt(product + rounding + public_variance(n))


def key_dependent_bound(
    parameters: Parameters, limbs: Limbs, log_weight: int, norms: WeightNorms
) -> float:
    """ne: bound on the part of a response's noise that depends on the client's key, at the
    `response` level."""
    log_dropped = parameters.log_prefix(limbs.sanitise) - parameters.log_prefix(limbs.response)
    before = product_bound(parameters, limbs, log_weight, norms) * math.exp2(-log_dropped)
    if limbs.response == limbs.sanitise:
        return before
    return math.hypot(before, TAIL * math.sqrt(rounding_variance(parameters.ring_degree)))


def choose_scales(
    parameters: Parameters,
    limbs: Limbs,
    norms: WeightNorms,
    exposed: int,
    policy: Policy,
    *,
    results: int = 1,
) -> Scales | None:
    """The scales with the least score error at given levels; None if no scale fits.

    Args:
        exposed: declared coefficients of one response ciphertext.
        results: response ciphertexts that one row gives.
    """
    log_q = parameters.log_prefix(limbs.input)
    log_score = math.floor(log_q - _SPARE_BITS - math.log2(norms.bound))
    candidates = (
        _scales(parameters, limbs, norms, exposed, policy, results, log_score, log_weight)
        for log_weight in range(1, log_score)
    )
    fitting = [scales for scales in candidates if scales is not None]
    return min(fitting, key=lambda scales: scales.score_error, default=None)


def _scales(
    parameters: Parameters,
    limbs: Limbs,
    norms: WeightNorms,
    exposed: int,
    policy: Policy,
    results: int,
    log_score: int,
    log_weight: int,
) -> Scales | None:
    log_q, log_s, log_r = (
        parameters.log_prefix(count) for count in (limbs.input, limbs.sanitise, limbs.response)
    )
    bound = product_bound(parameters, limbs, log_weight, norms)
    key_dependent = key_dependent_bound(parameters, limbs, log_weight, norms)
    # Both are rounded up to whole bits: the plan is public, and from an exact deviation the bound
    # could be computed back, and from the bound the norm of the weights.
    flooding = float(math.ceil(log_sanitising_sigma(policy.sanitising_bits, exposed, bound)))
    decryption = float(
        math.ceil(
            log_decryption_sigma(
                policy.decryption_bits,
                policy.decryption_queries * results,
                exposed,
                key_dependent,
            )
        )
    )
    # Both floods must fit into the spare half of the modulus, tails included.
    if max(flooding - log_s, decryption - log_r) > -_SPARE_BITS - math.log2(TAIL):
        return None
    in_score = [
        2.0 ** (flooding - (log_score - log_q + log_s)),
        2.0 ** (decryption - (log_score - log_q + log_r)),
        bound / TAIL * 2.0 ** -(log_score - log_q + log_s),
        key_dependent / TAIL * 2.0 ** -(log_score - log_q + log_r),
    ]
    sigma = math.hypot(*in_score)
    log_step = math.floor(math.log2(sigma)) + 1
    weight_rounding = 0.5 * norms.columns * 2.0**-log_weight
    input_rounding = 0.5 * norms.absolute * 2.0 ** (log_weight - log_score)
    doubles = norms.bound * 2.0**-50
    return Scales(
        limbs=limbs,
        log_input=log_score - log_weight,
        log_weight=log_weight,
        flooding_log_sigma=flooding,
        decryption_log_sigma=decryption,
        log_output_step=log_step,
        score_error=ERROR_SIGMAS * sigma
        + 0.5 * 2.0**log_step
        + weight_rounding
        + input_rounding
        + doubles,
    )
