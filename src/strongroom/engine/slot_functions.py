"""Functions of one slot, evaluated in all: towers where they serve, polynomials in general.

One face for both, so that who plans a network need not know which it has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from strongroom.engine.noise_model import NoiseEstimate
from strongroom.engine.parameters import Parameters
from strongroom.engine.polynomial_evaluation import PreparedPolynomial
from strongroom.engine.polynomial_noise import polynomial as polynomial_noise
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.polynomial_plans import PolynomialPlan
from strongroom.engine.polynomials import Polynomial
from strongroom.engine.square_tower_evaluation import PreparedSquareTower
from strongroom.engine.square_tower_noise import square_tower as square_tower_noise
from strongroom.engine.square_tower_plans import SquareTowerPlan, plan_square_tower
from strongroom.engine.square_towers import SquareTower

SlotFunction = SquareTower | Polynomial
SlotFunctionPlan = SquareTowerPlan | PolynomialPlan
PreparedSlotFunction = PreparedSquareTower | PreparedPolynomial


def plan_slot_function(
    parameters: Parameters,
    function: SlotFunction,
    limbs: int,
    scale: Fraction,
    log_least: float,
) -> SlotFunctionPlan:
    """Levels and scales for ciphertexts of a level and scale.

    Args:
        log_least: a tower's levels drop as many primes as they can while scales stay above 2^this;
            a polynomial keeps the scale.

    Raises:
        ValueError: too few primes, or values that don't fit.
    """
    if isinstance(function, SquareTower):
        levels = _tower_levels(parameters, function.depth, limbs, scale, log_least)
        return plan_square_tower(parameters, function, limbs, scale, levels=levels)
    return plan_polynomial(parameters, function, limbs, scale)


def _tower_levels(
    parameters: Parameters, depth: int, limbs: int, scale: Fraction, log_least: float
) -> list[int]:
    levels: list[int] = []
    log_scale = math.log2(scale)
    for _ in range(depth):
        log_scale *= 2.0
        drop = 0
        while drop < limbs - 1:
            log_prime = math.log2(parameters.primes[limbs - drop - 1])
            if drop and log_scale - log_prime < log_least:
                break
            log_scale -= log_prime
            drop += 1
        limbs -= drop
        levels.append(drop)
    return levels


def slot_function_drops(plan: SlotFunctionPlan) -> tuple[int, ...]:
    """How many primes each level drops; of a polynomial first those that its argument drops."""
    if isinstance(plan, SquareTowerPlan):
        return plan.levels
    return (plan.first_drop, *plan.levels)


def prepare_slot_function(
    parameters: Parameters,
    function: SlotFunction,
    limbs: int,
    scale: Fraction,
    drops: Sequence[int],
) -> PreparedSlotFunction:
    """The function planned with given drops, and encoded as far as an evaluation needs.

    Raises:
        ValueError: as `plan_slot_function`, or drops that are not this function's.
    """
    if isinstance(function, SquareTower):
        return PreparedSquareTower(parameters, function, limbs, scale, levels=drops)
    if not drops:
        raise ValueError("a polynomial has a drop for its argument")
    return PreparedPolynomial(
        parameters, function, limbs, scale, levels=drops[1:], first_drop=drops[0]
    )


def slot_function_noise(
    x: NoiseEstimate, plan: SlotFunctionPlan, *, coefficients: float = 0.0
) -> NoiseEstimate:
    """Predicted noise of the value where it is largest; the rounding of coefficients is none, since
    it is the same every time.

    Args:
        coefficients: standard deviation of the noise of a tower's encrypted coefficients.
    """
    if isinstance(plan, SquareTowerPlan):
        return square_tower_noise(x, plan, encoding=False, coefficients=coefficients)
    return polynomial_noise(x, plan, encoding=False)
