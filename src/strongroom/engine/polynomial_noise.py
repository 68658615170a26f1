"""Predicted noise of polynomials on slots (`noise_model`).

All powers of an argument share its noise, and in a good approximation large terms cancel: bounds by
magnitudes would be many bits too high. So a plan is run on plain arguments, and every value takes
along its derivatives, with their signs, by all sources of noise (forward differentiation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.noise_model import (
    SLOT_TAIL,
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

Array = NDArray[np.float64]

_POINTS: Final = 65
_SLOTS_AT_ONCE: Final = 256


def polynomial(
    x: NoiseEstimate,
    plan: PolynomialPlan,
    arguments: Array | None = None,
    *,
    encoding: bool = True,
) -> NoiseEstimate:
    """As `PreparedPolynomial.evaluate`, where the noise is largest.

    Args:
        x: the argument.
        plan: of the polynomial.
        arguments: where the polynomial is looked at, shape (k,); by default 65 points of its
            interval.
        encoding: whether the rounding of slots' own coefficients counts. It is the same in every
            evaluation: an error, but no noise.

    Returns:
        The noise at the worst of the arguments, and of the slots if these have polynomials of their
        own; the magnitude is the largest at all of them.

    Raises:
        ValueError: another level or scale than the plan's.
    """
    if x.limbs != plan.input_limbs or x.scale != plan.input_scale:
        raise ValueError("the polynomial was planned for another level or scale")
    if arguments is None:
        first = np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))
        if plan.basis == "chebyshev":
            first *= 2.0
        arguments = (first - float(plan.offset)) / float(plan.factor)
    slots = max((c.constant.size for c in plan.combinations), default=1)
    worst: NoiseEstimate | None = None
    for begin in range(0, slots, _SLOTS_AT_ONCE):
        chunk = slice(begin, begin + _SLOTS_AT_ONCE)
        found = _Differentiation(x, plan, arguments[:, None], chunk, encoding).worst()
        if worst is None:
            worst = found
        magnitude = max(worst.magnitude, found.magnitude)
        worst = max(worst, found, key=lambda e: e.slot_bound).with_magnitude(magnitude)
    if worst is None:
        raise AssertionError("a polynomial has a slot")
    return worst


@dataclass(frozen=True, slots=True, eq=False)
class _Traced:
    """A ciphertext at some arguments (first axis) and slots (second axis, of size one if they are
    alike), in its integers: the message, and with a sign the deviations by source and the bias."""

    limbs: int
    scale: Fraction
    message: Array
    deviations: dict[NoiseSource, Array]
    bias: Array

    def plus(self, deviation: float | Array) -> _Traced:
        """With a source of its own."""
        fresh = np.asarray(deviation, dtype=np.float64)
        return replace(self, deviations={**self.deviations, NoiseSource(): fresh})


class _Differentiation:
    """One run of a plan, in the steps of `polynomial_evaluation`."""

    def __init__(
        self,
        x: NoiseEstimate,
        plan: PolynomialPlan,
        arguments: Array,
        slots: slice,
        encoding: bool,
    ) -> None:
        self._encoding = encoding
        self._x = x
        self._parameters: Parameters = x.parameters
        self._plan = plan
        self._slots = slots
        scale = float(x.scale)
        argument = _Traced(
            x.limbs,
            x.scale,
            arguments * scale,
            {source: np.asarray(d) for source, d in x.deviations.items()},
            np.full_like(arguments, x.bias),
        )
        dropped = math.prod(self._parameters.primes[x.limbs - plan.first_drop : x.limbs])
        first = self._combined(
            [argument], [plan.factor], plan.first_scale * dropped, plan.offset, plan.first_drop
        )
        self._powers = {1: first}
        for power in plan.powers:
            self._powers[power.index] = self._power(power)

    def worst(self) -> NoiseEstimate:
        """The result where its bound is largest."""
        result = self._value(self._plan.value)
        arrays = np.broadcast_arrays(result.message, result.bias, *result.deviations.values())
        message, bias, *deviations = (array.reshape(-1) for array in arrays)
        total = np.sqrt(np.sum(np.square(deviations), axis=0))
        tail = SLOT_TAIL * math.sqrt(self._parameters.ring_degree)
        at = int(np.argmax(tail * total + np.abs(bias)))
        return replace(
            self._x,
            limbs=result.limbs,
            scale=result.scale,
            magnitude=float(np.abs(message).max()) / float(result.scale),
            deviations={
                source: abs(float(d[at]))
                for source, d in zip(result.deviations, deviations, strict=True)
            },
            bias=abs(float(bias[at])),
        )

    def _value(self, value: Value) -> _Traced:
        if isinstance(value, Combination):
            return self._combination(value)
        return self._product_sum(value)

    def _product_sum(self, part: ProductSum) -> _Traced:
        terms = [
            self._product(self._value(value), self._at(index, part.limbs))
            for value, index in part.products
        ]
        if part.rest is not None:
            terms.append(self._combination(part.rest))
        return self._relinearised(terms, part.drop)

    def _power(self, power: Power) -> _Traced:
        left, right = self._at(power.left, power.limbs), self._at(power.right, power.limbs)
        terms = [self._product(left, right)]
        difference = power.left - power.right
        if self._plan.basis == "chebyshev" and difference:
            scale = left.scale * right.scale
            terms.append(self._combined([self._at(difference, power.limbs)], [Fraction(-1)], scale))
        product = self._relinearised(terms, power.drop)
        if self._plan.basis == "chebyshev" and not difference:
            return self._combined([product], [Fraction(1)], product.scale, Fraction(-2))
        return product

    def _combination(self, part: Combination) -> _Traced:
        terms = [self._at(index, part.limbs) for index in part.factors]
        if not all(np.ndim(f) == 0 for f in (part.constant, *part.factors.values())):
            return self._combination_by_slots(part, terms)
        return self._combined(
            terms or [self._at(1, part.limbs)],
            [Fraction(float(factor)) for factor in part.factors.values()] or [Fraction(0)],
            part.scale,
            Fraction(float(part.constant)),
            part.drop,
        )

    def _combination_by_slots(self, part: Combination, terms: Sequence[_Traced]) -> _Traced:
        products = [self._encoded(part.constant, part.scale, part.limbs)]
        for term, values in zip(terms, part.factors.values(), strict=True):
            factor = self._encoded(values, part.scale / term.scale, part.limbs)
            products.append(self._product(term, factor))
        return self._rescaled(_summed(products), part.drop) if part.drop else _summed(products)

    def _encoded(self, values: Array, scale: Fraction, limbs: int) -> _Traced:
        message = np.zeros((1, self._parameters.ring_degree // 2))
        message[0, : values.size] = values
        message = message[:, self._slots] * float(scale)
        rms = float(np.sqrt(np.mean(np.square(values))))
        plain = _Traced(limbs, scale, message, {}, np.zeros((1, 1)))
        if not self._encoding:
            return plain
        return plain.plus(encoding_deviation(self._parameters.ring_degree, rms, scale))

    def _at(self, index: int, limbs: int) -> _Traced:
        return replace(self._powers[index], limbs=limbs)

    def _combined(
        self,
        terms: Sequence[_Traced],
        factors: Sequence[Fraction],
        scale: Fraction,
        constant: Fraction = Fraction(0),
        drop: int = 0,
    ) -> _Traced:
        """Factors become integers; what that loses is bias."""
        exact = [f * scale / term.scale for f, term in zip(factors, terms, strict=True)]
        products = [_scaled(term, x, scale) for term, x in zip(terms, exact, strict=True)]
        offset = constant * scale
        total = _summed(products)
        total = replace(
            total,
            message=total.message + float(offset),
            bias=total.bias + float(round(offset) - offset),
        )
        return self._rescaled(total, drop) if drop else total

    def _product(self, a: _Traced, b: _Traced) -> _Traced:
        deviations: dict[NoiseSource, Array] = {}
        for one, other in ((a, b), (b, a)):
            _accumulate(deviations, one.deviations, other.message)
        traced = _Traced(
            min(a.limbs, b.limbs),
            a.scale * b.scale,
            a.message * b.message,
            deviations,
            a.message * b.bias + b.message * a.bias,
        )
        # At most twice the product of variances, which is what a square has.
        squares = 2.0 * _variance(a) * _variance(b)
        return traced.plus(np.sqrt(self._parameters.ring_degree * squares))

    def _relinearised(self, terms: Sequence[_Traced], drop: int) -> _Traced:
        total = _summed(terms)
        return self._rescaled(total.plus(switching_deviation(self._parameters, total.limbs)), drop)

    def _rescaled(self, a: _Traced, drop: int) -> _Traced:
        divisor = math.prod(self._parameters.primes[a.limbs - drop : a.limbs])
        divided = _Traced(
            a.limbs - drop,
            a.scale / divisor,
            a.message / divisor,
            {source: d / divisor for source, d in a.deviations.items()},
            a.bias / divisor,
        )
        return divided.plus(rounding_deviation(self._parameters.ring_degree))


def _scaled(a: _Traced, factor: Fraction, scale: Fraction) -> _Traced:
    """Times the nearest integer to a factor, as a term of a sum at a scale."""
    integer = float(round(factor))
    return _Traced(
        a.limbs,
        scale,
        a.message * float(factor),
        {source: d * integer for source, d in a.deviations.items()},
        a.bias * integer + a.message * float(round(factor) - factor),
    )


def _summed(terms: Sequence[_Traced]) -> _Traced:
    deviations: dict[NoiseSource, Array] = {}
    for term in terms:
        _accumulate(deviations, term.deviations, 1.0)
    return _Traced(
        min(term.limbs for term in terms),
        terms[0].scale,
        np.asarray(sum(term.message for term in terms)),
        deviations,
        np.asarray(sum(term.bias for term in terms)),
    )


def _accumulate(
    total: dict[NoiseSource, Array], deviations: dict[NoiseSource, Array], factor: Array | float
) -> None:
    for source, deviation in deviations.items():
        total[source] = total.get(source, np.zeros((1, 1))) + deviation * factor


def _variance(a: _Traced) -> Array:
    return np.asarray(sum(np.square(d) for d in a.deviations.values()))
