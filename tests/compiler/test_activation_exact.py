"""Polynomial activations are computed as they are, by the cheapest circuit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_fits import fits
from strongroom.engine import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError
from strongroom.models.activations import IDENTITY, Activation

SAMPLE = np.random.default_rng(0).uniform(-3, 2, 500)
coefficients = st.floats(-4, 4).filter(lambda c: c == 0 or abs(c) > 0.05)


def cheapest(name: str, *parameters: float) -> ActivationFit:
    return fits(Activation(name, parameters), SAMPLE, 0.1)[0]


def assert_exact(fit: ActivationFit, function: Activation, close: float = 1e-9) -> None:
    largest = np.abs(function(SAMPLE)).max() + 1.0
    assert np.abs(fit.errors(function, SAMPLE)).max() < close * largest
    assert fit.guard_error < 10 * close * largest


def test_the_identity_is_no_circuit() -> None:
    fit = fits(IDENTITY, SAMPLE, 0.1)[0]
    assert (fit.circuits, fit.levels, fit.products) == ((), 0, 0)
    assert np.array_equal(fit(SAMPLE), SAMPLE)


@pytest.mark.parametrize(
    ("exponent", "levels", "products"),
    [
        (1, 0, 0),
        (2, 1, 1),
        (3, 2, 2),
        (4, 2, 2),
        (5, 3, 3),
        (6, 3, 3),
        (8, 3, 3),
        (16, 4, 4),
    ],
)
def test_powers_take_the_fewest_levels(exponent: int, levels: int, products: int) -> None:
    fit = cheapest("Power", float(exponent))
    assert (fit.levels, fit.products) == (levels, products)
    assert_exact(fit, Activation("Power", (float(exponent),)))
    for circuit in fit.circuits:
        if isinstance(circuit, SquareTower):
            assert max(float(v) for v in circuit.largest_values()) == pytest.approx(1.0)


def test_a_square_is_a_square() -> None:
    fit = cheapest("Square")
    assert (fit.levels, fit.products) == (1, 1)
    assert_exact(fit, Activation("Square"))


def test_units_are_squared_over_their_own_ranges() -> None:
    arguments = SAMPLE[:, None] * np.array([0.1, 1.0, 50.0])
    fit = fits(Activation("Square"), arguments, 0.0)[0]
    t = fit.argument_factor * arguments
    assert np.abs(t).max(axis=0) == pytest.approx(np.ones(3))
    assert fit(arguments) == pytest.approx(arguments**2, rel=1e-12)


@settings(deadline=None, max_examples=40)
@given(st.lists(coefficients, min_size=3, max_size=3), coefficients.filter(bool))
def test_every_parabola_takes_one_level(lower: list[float], lead: float) -> None:
    parameters = (*lower[:2], lead)
    fit = cheapest("Polynomial", *parameters)
    assert fit.levels == 1
    assert_exact(fit, Activation("Polynomial", parameters))


@settings(deadline=None, max_examples=40)
@given(st.lists(coefficients, min_size=4, max_size=4), coefficients.filter(bool))
def test_every_quartic_takes_two_levels(lower: list[float], lead: float) -> None:
    parameters = (*lower, lead)
    fit = cheapest("Polynomial", *parameters)
    assert fit.levels == 2
    assert_exact(fit, Activation("Polynomial", parameters), 1e-8)


def test_an_octic_takes_three_levels_if_it_is_a_tower() -> None:
    tower = SquareTower(
        np.array([[0.0, 0, 0], [0.5, 0, 0], [-1.5, 2.0, 0]]),
        np.array([-1.0, 0.25, 3.0]),
        np.array([-1.0, 1.0]),
    )
    points = np.cos(np.pi * np.arange(9) / 8)
    parameters = np.polynomial.polynomial.polyfit(points, 2 * tower(points - 0.5), 8)
    fit = cheapest("Polynomial", *parameters.tolist())
    assert (fit.levels, fit.products) == (3, 3)
    assert_exact(fit, Activation("Polynomial", tuple(parameters.tolist())), 1e-7)
    other = parameters.copy()
    other[3] += 1.0
    assert cheapest("Polynomial", *other.tolist()).levels == 4


@pytest.mark.parametrize(("degree", "levels"), [(0, 0), (1, 0), (3, 2), (5, 3), (7, 3), (9, 4)])
def test_other_degrees_take_a_general_polynomial(degree: int, levels: int) -> None:
    parameters = tuple(np.random.default_rng(degree).uniform(0.5, 1, degree + 1).tolist())
    fit = cheapest("Polynomial", *parameters)
    assert fit.levels == levels
    assert all(isinstance(circuit, Polynomial) for circuit in fit.circuits)
    assert_exact(fit, Activation("Polynomial", parameters))


def test_leading_zeros_do_not_count() -> None:
    assert cheapest("Polynomial", 1.0, 2.0, 0.0, 0.0).levels == 0
    assert cheapest("Polynomial", 0.0).circuits == ()


@pytest.mark.parametrize(
    "function",
    [
        Activation("Power", (0.0,)),
        Activation("Power", (-2.0,)),
        Activation("Power", (1.5,)),
        Activation("Power", (200.0,)),
        Activation("Polynomial", (0.0,) * 128 + (1.0,)),
    ],
)
def test_degrees_that_cannot_be_computed_are_refused(function: Activation) -> None:
    with pytest.raises(ModelError, match="SR-MODEL-UNSUPPORTED"):
        fits(function, SAMPLE, 0.0)
