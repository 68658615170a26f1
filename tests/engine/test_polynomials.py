"""Polynomials over the reals: what is one, its values, fits, divisions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import chebyshev, polynomial
from small_rings import quickly, seeds

from strongroom.engine.polynomials import Basis, Polynomial, divided, polynomial_depth

BASES: tuple[Basis, ...] = ("chebyshev", "power")


@quickly
@given(seeds, st.integers(1, 40), st.data(), st.sampled_from(BASES), st.booleans())
def test_division_leaves_the_polynomial(
    seed: int, degree: int, data: st.DataObject, basis: Basis, by_slots: bool
) -> None:
    shape = (degree + 1, 3) if by_slots else (degree + 1,)
    p = Polynomial(np.random.default_rng(seed).uniform(-1, 1, shape), basis)
    index = data.draw(st.integers(1, degree))
    quotient, rest = divided(p.coefficients, index, basis)
    t = np.linspace(-1, 1, 30)[:, None] if by_slots else np.linspace(-1, 1, 30)
    power = t**index if basis == "power" else 2 * np.cos(index * np.arccos(t))
    product = Polynomial(quotient, basis)(t) * power + Polynomial(rest, basis)(t)
    assert np.abs(product - p(t)).max() < 1e-12


def test_the_depth_is_that_of_the_best_method() -> None:
    depths = [polynomial_depth(d) for d in (0, 1, 2, 3, 4, 7, 8, 31, 32, 63, 64)]
    assert depths == [0, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7]


def test_plain_values_are_numpys() -> None:
    generator = np.random.default_rng(11)
    coefficients = generator.uniform(-1, 1, 8)
    x = generator.uniform(-3, 5, 20)
    t = (x - 1) / 4
    interval = (-3.0, 5.0)
    by_powers = Polynomial(coefficients, "power", interval)(x)
    by_chebyshev = Polynomial(coefficients, "chebyshev", interval)(x)
    np.testing.assert_allclose(by_powers, polynomial.polyval(t, coefficients), rtol=1e-12)
    np.testing.assert_allclose(by_chebyshev, chebyshev.chebval(t, coefficients), rtol=1e-12)


def test_a_fit_is_close_to_its_function() -> None:
    p = Polynomial.chebyshev_fit(np.exp, 14, (-2.0, 3.0))
    x = np.linspace(-2, 3, 1000)
    assert p.degree == 14
    assert np.abs(p(x) - np.exp(x)).max() < 1e-9
    assert p.largest_value() == pytest.approx(math.exp(3))


def test_coefficients_are_kept_without_leading_zeros_and_cannot_be_changed() -> None:
    given_coefficients = np.array([1.0, 2.0, 0.0])
    p = Polynomial(given_coefficients)
    given_coefficients[0] = 9
    assert p.coefficients.tolist() == [1.0, 2.0]
    with pytest.raises(ValueError, match="read-only"):
        p.coefficients[0] = 3


@pytest.mark.parametrize(
    ("coefficients", "basis", "interval", "reason"),
    [
        ([], "power", (-1, 1), "coefficients have shape"),
        ([[[1.0]]], "power", (-1, 1), "coefficients have shape"),
        ([1.0, math.nan], "power", (-1, 1), "not finite"),
        ([1.0], "legendre", (-1, 1), "'power' or 'chebyshev'"),
        ([1.0], "chebyshev", (1, 1), "no interval"),
        ([1.0], "chebyshev", (0, math.inf), "no interval"),
    ],
)
def test_what_is_no_polynomial_is_refused(
    coefficients: object, basis: Basis, interval: tuple[float, float], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        Polynomial(np.array(coefficients), basis, interval)
