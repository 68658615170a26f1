"""Choosing scales and flooding of a hidden linear model: rows and weights are ciphertexts.

    product    [ score range | score scale = input scale + weight scale              ]  Q
    response   [ score range | the same scale, less what the noise of both needs     ]  Q / D

The noise of a product is that of the rows times the weights, and that of the weights times the
rows: both are as large as what they are multiplied by, so both scales are long, and rescaling drops
about as many bits as one of them has. Nothing is flooded before decryption, which happens at
`response`, by the owner or by a committee's members.

As for a model in the clear, all of this follows from public numbers alone (`compiler.precision`).
Here weights, and so scores, are divided by the order of magnitude of scores before anything else:
no shape has another `log_bound` than 0, and a scale never exceeds the modulus.
"""

from __future__ import annotations

import math
from typing import Final

from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.messages import Limbs
from strongroom.compiler.noise import (
    TAIL,
    log_decryption_sigma,
    log_sanitising_sigma,
)
from strongroom.compiler.precision import (
    ERROR_SIGMAS,
    LARGEST_LOG_SCALE,
    SPARE_BITS,
    LinearShape,
    Scales,
    log_score_scale,
)
from strongroom.engine import LARGEST_LOG_FLOOD, Parameters
from strongroom.engine.noise_model import (
    ERROR_DEVIATION,
    public_key_deviation,
    rounding_deviation,
    switching_deviation,
)
from strongroom.policy import Policy

_TRIED_AROUND: Final = 4
"""Input scales are tried so many bits around the best by the largest terms of noise."""


def result_bound(
    parameters: Parameters,
    limbs: Limbs,
    log_input: int,
    log_weight: int,
    shape: LinearShape,
    holding: KeyHolding,
) -> float:
    """B: bound on a result's noise, at the `response` level: rows' errors times weights, weights'
    errors times rows, errors times errors, the key switch, and the division's rounding."""
    n, key, packing = parameters.ring_degree, holding.noise, shape.packing
    log_dropped = parameters.log_prefix(limbs.input) - parameters.log_prefix(limbs.response)
    # An owner encrypts with its secret key, others with a committee's public key.
    fresh = public_key_deviation(parameters, key) if key.collective else ERROR_DEVIATION
    weights = shape.euclidean * math.exp2(log_weight - log_dropped)
    rows = _largest_rows(shape) * math.exp2(log_input - log_dropped)
    switching = switching_deviation(parameters, limbs.input, key.relinearisation_error(n))
    errors = math.hypot(math.sqrt(packing.column_chunks * n) * fresh**2, switching)
    return TAIL * math.hypot(
        fresh * weights,
        fresh * rows,
        errors * math.exp2(-log_dropped),
        rounding_deviation(n, key),
    )


def hidden_flood(
    parameters: Parameters,
    limbs: Limbs,
    log_input: int,
    log_weight: int,
    shape: LinearShape,
    holding: KeyHolding,
    policy: Policy,
) -> float:
    """log2 of the flooding of one who decrypts, at the `response` level.

    An owner's answers may be published: it protects the key. A member's share says a part of the
    key but for the flooding, which is sized for every result that the key's budget allows: all of
    them together, with `exposed` coefficients each, and proofs of all shares.
    """
    bound = result_bound(parameters, limbs, log_input, log_weight, shape, holding)
    decryption = log_decryption_sigma(
        policy.decryption_bits,
        policy.decryption_queries * shape.packing.groups,
        shape.exposed,
        bound,
    )
    if holding.smudged_results is None:
        return decryption
    bits = max(policy.sanitising_bits, policy.decryption_bits)
    smudging = log_sanitising_sigma(bits, holding.smudged_results * shape.exposed, bound)
    return max(decryption, smudging)


def choose_hidden_scales(
    parameters: Parameters, limbs: Limbs, shape: LinearShape, holding: KeyHolding, policy: Policy
) -> Scales | None:
    """The scales with the least score error at given levels; None if no scale fits.

    Args:
        shape: of scores below 1.
    """
    log_score = log_score_scale(parameters, limbs, shape.log_bound)
    # Where the errors of rows and of weights bring as much noise.
    balance = math.log2(shape.euclidean) - math.log2(_largest_rows(shape))
    middle = round((log_score + balance) / 2.0)
    # The largest input, not only the largest score, must stay below half of the modulus.
    room = math.floor(parameters.log_prefix(limbs.input) - 1.0 - math.log2(shape.headroom))
    tried = {
        min(max(log_input, 1), room - 1)
        for log_input in range(middle - _TRIED_AROUND, middle + _TRIED_AROUND + 1)
    }
    candidates = (
        _scales(parameters, limbs, log_input, log_score - log_input, shape, holding, policy)
        for log_input in sorted(tried)
        if log_input >= 1 and abs(log_score - log_input) <= LARGEST_LOG_SCALE
    )
    fitting = [scales for scales in candidates if scales is not None]
    return min(fitting, key=lambda scales: scales.score_error, default=None)


def _largest_rows(shape: LinearShape) -> float:
    """Bound on the Euclidean norm of all numbers of one block of rows."""
    numbers = shape.packing.rows_per_ciphertext * shape.packing.columns
    return shape.headroom * math.sqrt(numbers)


def _scales(
    parameters: Parameters,
    limbs: Limbs,
    log_input: int,
    log_weight: int,
    shape: LinearShape,
    holding: KeyHolding,
    policy: Policy,
) -> Scales | None:
    log_q, log_r = (parameters.log_prefix(count) for count in (limbs.input, limbs.response))
    flood = hidden_flood(parameters, limbs, log_input, log_weight, shape, holding, policy)
    # Each part of the key is answered for once.
    together = flood + 0.5 * math.log2(holding.parts)
    if flood > LARGEST_LOG_FLOOD or together - log_r + math.log2(TAIL) > -SPARE_BITS:
        return None
    bound = result_bound(parameters, limbs, log_input, log_weight, shape, holding)
    log_score = log_input + log_weight
    sigma = math.hypot(math.exp2(together), bound / TAIL) * math.exp2(log_q - log_r - log_score)
    log_step = math.floor(math.log2(sigma)) + 1
    # The last column is as large as the headroom, the others of a sample are at most 1.
    sizes = shape.packing.columns - 1 + shape.headroom
    return Scales(
        limbs=limbs,
        log_input=log_input,
        log_weight=log_weight,
        flooding_log_sigma=flood,
        decryption_log_sigma=flood,
        log_output_step=log_step,
        score_error=ERROR_SIGMAS * sigma
        + math.ldexp(0.5, log_step)
        + math.ldexp(0.5 * sizes, -log_weight)
        + math.ldexp(0.5 * shape.absolute, -log_input)
        + 2.0**-50,
    )
