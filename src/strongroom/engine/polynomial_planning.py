"""How a polynomial is evaluated on a ciphertext: products, levels and exact scales.

A pure function of primes, scales and coefficients, which the compiler uses as a dry run too.

Scales are decided from both ends (Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux, EUROCRYPT 2021,
section 4). Powers come from the bottom: each has the scale that its factors and the dropped primes
give it. Everything else comes from the top: the result has the scale that was asked for, so a sum
of products is at that times the primes that it drops, so a quotient in it is at that divided by
its power's scale; and down at the linear combinations any scale can be met, because coefficients
are rounded to integers there. So every sum is of exactly equal scales.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.parameters import Parameters
from strongroom.engine.paterson_stockmeyer import (
    Costs,
    Shape,
    best_shape,
    power_depth,
    support_of,
)
from strongroom.engine.polynomial_plans import (
    Combination,
    PolynomialPlan,
    Power,
    ProductSum,
    Value,
)
from strongroom.engine.polynomials import (
    Polynomial,
    divided,
    polynomial_depth,
)

COEFFICIENT_BITS = 10
"""A coefficient is rounded to a multiple of 2^-10 or finer; by a good schedule 2^-20 and less."""

LOST_BITS = 4
"""More precision than that is worth a prime."""


def plan_polynomial(
    parameters: Parameters,
    polynomial: Polynomial,
    limbs: int,
    scale: Fraction,
    *,
    levels: Sequence[int] | None = None,
    first_drop: int | None = None,
    result_scale: Fraction | None = None,
) -> PolynomialPlan:
    """Decide how to evaluate a polynomial on ciphertexts of a level and scale.

    Arguments in an interval (a, b) need no level of their own to be mapped to [-1, 1]: the
    ciphertext's integers stay, or are multiplied by an integer, and what changes is the scale that
    they count as, from s to s (b - a) / 2. Powers keep their scale if that is near the primes that
    a level drops, or below. So arguments of a wide interval are best encoded at a scale smaller by
    (b - a) / 2; where they are not, and the precision would suffer, mapping takes a rescaling by
    one prime more.

    Args:
        parameters: primes and special primes.
        polynomial: of any degree.
        limbs, scale: of the ciphertext.
        levels: how many primes each level drops, `polynomial_depth` numbers or more: more levels
            save products, and all are consumed. By default as many levels as needed, each of the
            primes that keep the scale nearest to the argument's.
        first_drop: how many primes the argument is rescaled by before the first level. By default
            none if `levels` are given or scales drift by at most `LOST_BITS` without it; else one
            if that is better.
        result_scale: exactly the scale of the result; the argument's by default.

    Raises:
        ValueError: too few primes or levels, a scale that is not positive, a value that doesn't fit
            the modulus left, or levels that drop so little that coefficients are rounded to less
            than `COEFFICIENT_BITS`.
    """
    wanted = scale if result_scale is None else Fraction(result_scale)
    if scale <= 0 or wanted <= 0:
        raise ValueError("a scale is positive")
    if not 1 <= limbs <= parameters.limbs:
        raise ValueError(f"a ciphertext has 1 to {parameters.limbs} primes, not {limbs}")
    slots = parameters.ring_degree // 2
    if polynomial.slots is not None and polynomial.slots > slots:
        raise ValueError(f"{polynomial.slots} polynomials for {slots} slots")

    largest = polynomial.largest_value()

    def planned(drop: int) -> PolynomialPlan:
        return _Planning(parameters, polynomial, limbs, scale, levels, drop).plan(wanted, largest)

    if first_drop is not None or levels is not None:
        return planned(first_drop or 0)
    try:
        plan = planned(0)
    except ValueError as error:
        with suppress(ValueError):
            return planned(1)
        raise error from None
    if _lost_bits(plan) > LOST_BITS or _drift_bits(plan) > LOST_BITS:
        with suppress(ValueError):
            return min(plan, planned(1), key=lambda p: (_lost_bits(p) > LOST_BITS, p.primes))
    return plan


def _lost_bits(plan: PolynomialPlan) -> float:
    """How far scales fall below the argument's and the result's."""
    return math.log2(min(plan.input_scale, plan.scale) / plan.lowest_scale)


def _drift_bits(plan: PolynomialPlan) -> float:
    """How far the powers' scales are apart."""
    logs = [math.log2(power.scale) for power in plan.powers] or [0.0]
    return max(logs) - min(logs)


def _levels(
    primes: tuple[int, ...], scale: Fraction, natural: Fraction | None, depth: int
) -> tuple[int, ...]:
    """The schedule by which the scale of t^(2^k) stays nearest to that of t, level by level.

    Args:
        natural: the scale of t, if nothing is rescaled.
    """
    levels: list[int] = []
    left = list(primes)
    target = math.log2(max(scale, natural or scale))
    log_power = target
    for level in range(depth):
        choices = range(1, len(left) - (depth - level - 1))
        if not choices:
            raise ValueError(
                f"{depth} levels need more than {len(primes)} primes of this size at a scale of "
                f"2^{math.log2(scale):.1f}"
            )
        logs = [sum(math.log2(q) for q in left[-n:]) for n in choices]
        if level == 0:
            # As the scale of power 1 will be.
            log_power = target = max(
                min(logs, key=lambda log: abs(log - target)), math.log2(natural or 1)
            )
        distances = [abs(2 * log_power - log - target) for log in logs]
        drop = choices[distances.index(min(distances))]
        log_power = 2 * log_power - logs[drop - 1]
        del left[-drop:]
        levels.append(drop)
    return tuple(levels)


class _Planning:
    """The state of one planning: levels going down, powers that turn out to be needed."""

    def __init__(
        self,
        parameters: Parameters,
        polynomial: Polynomial,
        limbs: int,
        scale: Fraction,
        levels: Sequence[int] | None,
        first_drop: int,
    ) -> None:
        depth = polynomial_depth(polynomial.degree)
        if first_drop < 0 or limbs - first_drop < 1:
            raise ValueError("rescaling keeps at least one prime")
        top = limbs - first_drop
        factor, offset = polynomial.argument_map()
        if polynomial.basis == "chebyshev":
            factor, offset = 2 * factor, 2 * offset
        if levels is None:
            natural = None if first_drop else scale / factor
            levels = _levels(parameters.primes[:top], scale, natural, depth)
        if len(levels) < depth:
            raise ValueError(f"degree {polynomial.degree} needs {depth} levels, not {len(levels)}")
        if any(drop < 1 for drop in levels) or sum(levels) >= top:
            raise ValueError(
                f"levels of {list(levels)} primes do not fit a ciphertext of {top}, "
                "of which one at least is left"
            )
        self.parameters = parameters
        self.polynomial = polynomial
        self.levels = tuple(levels)
        # Limbs at each depth, and the product of the primes between a depth and the next.
        self.limbs = [top - sum(self.levels[:t]) for t in range(len(self.levels) + 1)]
        self.dropped = [
            Fraction(math.prod(parameters.primes[below:above]))
            for above, below in zip(self.limbs, self.limbs[1:], strict=False)
        ]
        # Power 1 is the argument times an integer that brings its scale near the primes that the
        # first level drops, at which powers keep their scale.
        self.input = limbs, scale, factor, offset
        self.first_drop = first_drop
        unit = scale / factor / math.prod(parameters.primes[top:limbs])
        near = self.dropped[0] if self.dropped else unit
        self.first_scale = unit * max(1, round(near / unit))
        self.lowest = self.first_scale
        self.powers: dict[int, Power] = {}
        self.shape = self._shape()

    def _shape(self) -> Shape:
        rows = self.polynomial.coefficients
        nonzero = rows.reshape(len(rows), -1).any(axis=1)
        special = len(self.parameters.special_primes)
        products, rescalings = [], []
        for limbs in self.limbs[:-1]:
            # Numbers of transforms: of digits, and of what is divided by P and the dropped primes.
            digits = math.ceil(limbs / max(special, 1))
            products.append(digits * (limbs + special) + 2 * (limbs + special))
            rescalings.append(2 * limbs)
        return best_shape(
            self.polynomial.degree,
            support_of([int(i) for i in np.flatnonzero(nonzero)]),
            self.polynomial.basis,
            Costs(tuple(products), tuple(rescalings)),
        )

    def plan(self, wanted: Fraction, largest: float) -> PolynomialPlan:
        """With this scale of the result, whose values are up to `largest`."""
        self._require_room(self.first_scale, self.limbs[0], 2)
        value = self._value(self.polynomial.coefficients, len(self.levels), wanted)
        self._require_room(wanted, self.limbs[-1], largest)
        limbs, scale, factor, offset = self.input
        return PolynomialPlan(
            basis=self.polynomial.basis,
            input_limbs=limbs,
            input_scale=scale,
            factor=factor,
            offset=offset,
            first_scale=self.first_scale,
            first_drop=self.first_drop,
            powers=tuple(self.powers[i] for i in sorted(self.powers)),
            value=value,
            levels=self.levels,
            scale=wanted,
            limbs=self.limbs[-1],
            lowest_scale=self.lowest,
        )

    def _value(self, coefficients: NDArray[np.float64], depth: int, scale: Fraction) -> Value:
        """A polynomial as a ciphertext of this depth and scale."""
        self._require_room(scale, self.limbs[depth], 1)
        if depth == 0:
            return self._combination({}, coefficients[0], 0, scale, 0)
        above, drop = depth - 1, self.levels[depth - 1]
        scale *= self.dropped[above]
        degree = len(coefficients) - 1
        if self.shape.is_linear(degree, above):
            return self._combination(
                self._factors(coefficients), coefficients[0], above, scale, drop
            )
        products: list[tuple[Value, int]] = []
        factors: dict[int, NDArray[np.float64]] = {}
        while not self.shape.is_linear(len(coefficients) - 1, above):
            index = self.shape.divisor(len(coefficients) - 1, depth)
            quotient, coefficients = divided(coefficients, index, self.polynomial.basis)
            if len(quotient) == 1:
                factors[index] = quotient[0]
            else:
                self._need(index)
                products.append((self._value(quotient, above, scale / self._scale(index)), index))
        for index, factor in self._factors(coefficients).items():
            factors[index] = factors[index] + factor if index in factors else factor
        constant = coefficients[0]
        if not products:
            return self._combination(factors, constant, above, scale, drop)
        rest = None
        if factors or constant.any():
            rest = self._combination(factors, constant, above, scale, 0)
        return ProductSum(tuple(products), rest, self.limbs[above], drop)

    def _factors(self, coefficients: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        """Of the powers from 1 on: of t^i, or of 2 T_i(t)."""
        halves = 2 if self.polynomial.basis == "chebyshev" else 1
        return {i: c / halves for i, c in enumerate(coefficients) if i and c.any()}

    def _combination(
        self,
        factors: dict[int, NDArray[np.float64]],
        constant: NDArray[np.float64],
        depth: int,
        scale: Fraction,
        drop: int,
    ) -> Combination:
        for index in factors:
            self._need(index)
            bits = math.log2(scale / self._scale(index))
            if bits < COEFFICIENT_BITS:
                raise ValueError(
                    f"coefficients would be rounded to multiples of 2^{-bits:.1f}: a level must "
                    "drop more, or the result have a larger scale"
                )
        return Combination(factors, constant, self.limbs[depth], scale, drop)

    def _scale(self, index: int) -> Fraction:
        return self.first_scale if index == 1 else self.powers[index].scale

    def _need(self, index: int) -> None:
        """Plan a power, and those that it is computed from."""
        if index <= 1 or index in self.powers:
            return
        left, right = self.shape.factors(index)
        self._need(left)
        self._need(right)
        if self.polynomial.basis == "chebyshev":
            self._need(left - right)
        depth = power_depth(index)
        scale = self._scale(left) * self._scale(right) / self.dropped[depth - 1]
        self._require_room(scale, self.limbs[depth], 2)
        self.powers[index] = Power(
            index, left, right, self.limbs[depth - 1], self.levels[depth - 1], scale
        )

    def _require_room(self, scale: Fraction, limbs: int, largest: float) -> None:
        self.lowest = min(self.lowest, scale)
        if 2 * largest * scale >= self.parameters.modulus(limbs):
            raise ValueError(
                f"values up to {largest:.3g} at a scale of 2^{math.log2(scale):.1f} do not fit "
                f"{limbs} primes: start with more primes or a smaller scale (that of arguments in "
                "a wide interval above all)"
            )
