"""Predicted noise of polynomials on slots (`noise_model`).

All powers of an argument share its noise, and in a good approximation large coefficients cancel
each other: bounds by magnitudes would be many bits too high. So a plan is run on plain arguments,
and beside every value goes its derivative by each source of noise, with its sign (forward
differentiation). Products of two noises, far below all others, are added as sources of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.noise_model import (
    NoiseEstimate,
    NoiseSource,
    encoding_deviation,
    rounding_deviation,
    switching_deviation,
)
from strongroom.engine.parameters import Parameters
from strongroom.engine.polynomial_plans import (
    Combination,
    PolynomialPlan,
    Power,
    ProductSum,
    Value,
)

Values = NDArray[np.float64]

_POINTS: Final = 65
_SLOTS_AT_ONCE: Final = 256


def polynomial(x: NoiseEstimate, plan: PolynomialPlan) -> NoiseEstimate:
    """As `PreparedPolynomial.evaluate`: the worst of 65 arguments over the interval, and of all
    slots if they have polynomials of their own. The magnitude is that of the result.

    Raises:
        ValueError: another level or scale than the plan's.
    """
    arguments = np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))
    return polynomial_at(x, plan, _arguments(plan, arguments))


def polynomial_at(x: NoiseEstimate, plan: PolynomialPlan, arguments: Values) -> NoiseEstimate:
    """The same for given arguments, shape (k,): of the noisiest of them.

    Raises:
        ValueError: as `polynomial`.
    """
    if x.limbs != plan.input_limbs or x.scale != plan.input_scale:
        raise ValueError("the polynomial was planned for another level or scale")
    slots = max((len(c.constant) for c in plan.combinations if c.constant.ndim), default=1)
    worst: NoiseEstimate | None = None
    for begin in range(0, slots, _SLOTS_AT_ONCE):
        chunk = slice(begin, begin + _SLOTS_AT_ONCE)
        result = _Differentiation(x, plan, arguments[:, None], chunk).value(plan.value)
        found = result.noisiest(x)
        if worst is None or found.slot_bound > worst.slot_bound:
            worst = found
    assert worst is not None
    return worst


def _arguments(plan: PolynomialPlan, t: Values) -> Values:
    """The x of t = (2x - a - b) / (b - a), or of 2 t in the Chebyshev basis."""
    doubled = 2.0 if plan.basis == "chebyshev" else 1.0
    return (doubled * t - float(plan.offset)) / float(plan.factor)


@dataclass(frozen=True, slots=True, eq=False)
class _Traced:
    """Values for arguments and slots, and for each source its deviation with a sign."""

    limbs: int
    scale: Fraction
    values: Values
    deviations: Mapping[NoiseSource, Values]
    bias: Values

    def noisiest(self, x: NoiseEstimate) -> NoiseEstimate:
        """As an estimate, at the argument and slot with the largest bound."""
        variance = np.asarray(sum(np.square(d) for d in self.deviations.values()))
        estimates = []
        for worst in (int(np.argmax(variance)), int(np.argmax(np.broadcast_to(self.bias, variance.shape)))):
            def at(array: Values) -> float:
                return float(np.broadcast_to(array, variance.shape).flat[worst])
            estimates.append(0)
        raise NotImplementedError
