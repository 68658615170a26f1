"""Plans, followed in plain numbers: what they compute, and at which scales and levels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_rings import chain, quickly, seeds, unchecked

from strongroom.engine import Parameters
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.polynomial_plans import Combination, PolynomialPlan, Value
from strongroom.engine.polynomials import Basis, Polynomial, polynomial_depth

SCALE = Fraction(2**40)
DATA = (50,) + (40,) * 10


class Slots(NamedTuple):
    """What an operation would have as its result."""

    values: NDArray[np.float64]
    scale: Fraction
    limbs: int


class Follower:
    """Does to plain numbers what an evaluation does to ciphertexts, with the same bookkeeping."""

    def __init__(self, parameters: Parameters, plan: PolynomialPlan, x: NDArray[np.float64]):
        self.parameters = parameters
        t = float(plan.factor) * x + float(plan.offset)
        self.powers = {1: Slots(t, plan.first_scale, plan.input_limbs - plan.first_drop)}
        for power in plan.powers:
            left, right = self.powers[power.left], self.powers[power.right]
            values = left.values * right.values
            if plan.basis == "chebyshev":
                difference = power.left - power.right
                values = values - (self.at(difference, power.limbs).values if difference else 2)
            assert min(left.limbs, right.limbs) >= power.limbs
            self.powers[power.index] = self.rescaled(
                Slots(values, left.scale * right.scale, power.limbs), power.drop
            )
            assert self.powers[power.index].scale == power.scale

    def at(self, index: int, limbs: int) -> Slots:
        assert self.powers[index].limbs >= limbs
        return self.powers[index]

    def rescaled(self, slots: Slots, drop: int) -> Slots:
        left = slots.limbs - drop
        dropped = math.prod(self.parameters.primes[left : slots.limbs])
        return Slots(slots.values, slots.scale / dropped, left)

    def value(self, part: Value) -> Slots:
        values = np.zeros_like(self.powers[1].values)
        if isinstance(part, Combination):
            for index, factor in part.factors.items():
                values = values + factor * self.at(index, part.limbs).values
            return self.rescaled(Slots(values + part.constant, part.scale, part.limbs), part.drop)
        scales = set()
        for quotient, index in part.products:
            left, right = self.value(quotient), self.at(index, part.limbs)
            assert left.limbs == part.limbs
            scales.add(left.scale * right.scale)
            values = values + left.values * right.values
        if part.rest is not None:
            rest = self.value(part.rest)
            assert rest.limbs == part.limbs
            scales.add(rest.scale)
            values = values + rest.values
        assert len(scales) == 1
        return self.rescaled(Slots(values, scales.pop(), part.limbs), part.drop)


def ring(special: int) -> Parameters:
    primes = chain(256, DATA + (50,) * special)
    return unchecked(256, primes[: len(DATA)], primes[len(DATA) :])


@st.composite
def coefficients(draw: st.DrawFn) -> NDArray[np.float64]:
    """Dense or sparse; only even, only odd, or only every k-th."""
    degree = draw(st.integers(0, 130))
    generator = np.random.default_rng(draw(seeds))
    values = generator.uniform(-1, 1, degree + 1) / 8
    indices = np.arange(degree + 1)
    step = draw(st.sampled_from([1, 2, 3, 4, 6, 8, 16]))
    values[indices % step != draw(st.integers(0, step - 1))] = 0
    values[generator.uniform(size=degree + 1) < draw(st.sampled_from([0, 0, 0.7]))] = 0
    return values


@quickly
@given(
    coefficients(),
    st.sampled_from(["power", "chebyshev"]),
    st.integers(1, 5),
    st.integers(0, 1),
)
def test_a_plan_computes_the_polynomial_with_equal_scales_in_every_sum(
    values: NDArray[np.float64], basis: Basis, special: int, more_levels: int
) -> None:
    parameters, p = ring(special), Polynomial(values, basis)
    levels = (1,) * (polynomial_depth(p.degree) + more_levels)
    plan = plan_polynomial(parameters, p, parameters.limbs, SCALE, levels=levels)
    x = np.linspace(-1, 1, 41)
    result = Follower(parameters, plan, x).value(plan.value)
    assert np.abs(result.values - p(x)).max() < 1e-11
    assert result.scale == plan.scale == SCALE
    assert result.limbs == plan.limbs == parameters.limbs - len(levels)


@pytest.mark.parametrize("interval", [(-1.0, 1.0), (-8.0, 8.5), (-100.0, 50.0), (0.1, 0.2)])
@pytest.mark.parametrize("log_scale", [30, 37, 40, 43])
def test_no_scale_falls_much_below_the_arguments(
    interval: tuple[float, float], log_scale: int
) -> None:
    parameters = ring(3)
    p = Polynomial.chebyshev_fit(np.cos, 31, interval)
    scale = Fraction(2**log_scale)
    plan = plan_polynomial(parameters, p, parameters.limbs, scale)
    assert plan.lowest_scale >= scale / 16
    assert plan.primes <= 6
    x = np.linspace(*interval, 41)
    result = Follower(parameters, plan, x).value(plan.value)
    assert np.abs(result.values - p(x)).max() < 1e-9


def test_a_plan_counts_what_is_expensive() -> None:
    parameters = ring(3)
    p = Polynomial(np.random.default_rng(0).uniform(-1, 1, 32))
    plan = plan_polynomial(parameters, p, 8, SCALE)
    assert [power.index for power in plan.powers] == [2, 3, 4, 8, 16]
    assert (plan.products, plan.rescalings, plan.primes, plan.limbs) == (10, 4, 5, 3)
