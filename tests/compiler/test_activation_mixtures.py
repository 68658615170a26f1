"""Layers of several functions become one circuit, with coefficients for each slot."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_mixtures import mixed_fits
from strongroom.compiler.layers import Layer
from strongroom.engine import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError
from strongroom.models.activations import IDENTITY, Activation

Values = NDArray[np.float64]
UNITS = 9
CHOICE = np.arange(UNITS) % 3


def arguments(seed: int = 0) -> Values:
    generator = np.random.default_rng(seed)
    return np.asarray(generator.normal(size=(400, UNITS)) * generator.uniform(0.5, 3, UNITS))


def errors(fit: ActivationFit, functions: tuple[Activation, ...], x: Values) -> Values:
    """By unit, against the layer's own activation."""
    layer = Layer(np.eye(UNITS), np.zeros(UNITS), functions, CHOICE)
    return np.asarray(np.abs(fit(x) - layer.activate(x)).max(axis=0))


def test_a_layer_of_one_function_is_that_function() -> None:
    functions = (IDENTITY, Activation("Square"))
    found = mixed_fits(functions, np.ones(UNITS, dtype=np.intp), arguments(), 0.1)
    assert (found[0].levels, found[0].products) == (1, 1)


def test_polynomials_beside_each_other_are_exact() -> None:
    functions = (Activation("Square"), IDENTITY, Activation("Polynomial", (1.0, -2.0, 0.5, 0.25)))
    x = arguments()
    (fit,) = mixed_fits(functions, CHOICE, x, 0.1)
    assert fit.levels == 2
    assert errors(fit, functions, x) == pytest.approx(np.zeros(UNITS), abs=1e-9)


def test_squares_beside_what_passes_take_a_parabola_of_each_slot() -> None:
    functions = (Activation("Square"), IDENTITY, IDENTITY)
    (fit,) = mixed_fits(functions, CHOICE, arguments(), 0.1)
    assert (fit.levels, fit.products, fit.degree) == (2, 1, 2)


def test_other_functions_come_nearer_with_every_level() -> None:
    functions = (Activation("Relu"), IDENTITY, Activation("Sigmoid"))
    x = arguments()
    found = mixed_fits(functions, CHOICE, x, 0.1)
    assert [fit.levels for fit in found] == sorted(fit.levels for fit in found)
    assert isinstance(found[0].circuits[0], SquareTower)
    assert found[0].levels == 2
    last = errors(found[-1], functions, x)
    assert last.max() < 0.1
    for fit in found:
        # What only passes is passed by towers too.
        passed = errors(fit, functions, x)[CHOICE == 1]
        assert passed.max() < 1e-4
        assert fit(x).shape == x.shape
    assert errors(found[-1], functions, x).max() < errors(found[0], functions, x).max() / 4


def test_conditions_of_several_numbers_share_the_largest() -> None:
    functions = tuple(Activation("AllOf", (float(n),)) for n in (3, 1, 5))
    x = np.minimum(
        np.random.default_rng(1).integers(0, 6, (50, UNITS)), np.array([3, 1, 5])[CHOICE]
    )
    for fit in mixed_fits(functions, CHOICE, x.astype(np.float64), 0.0):
        assert fit.levels == 3
        assert errors(fit, functions, x.astype(np.float64)).max() < 1e-12


def test_conditions_beside_other_functions_stay_exact() -> None:
    functions = (Activation("AllOf", (3.0,)), IDENTITY, Activation("Relu"))
    x = arguments()
    x[:, CHOICE == 0] = np.random.default_rng(2).integers(0, 4, (len(x), 3))
    found = mixed_fits(functions, CHOICE, x, 0.0)
    assert [fit.levels for fit in found] == [2, 3, 4, 5, 6]
    for fit in found:
        assert isinstance(fit.circuits[0], Polynomial)
        assert errors(fit, functions, x)[CHOICE < 2].max() < 1e-9


def test_slots_get_the_circuits_of_their_units() -> None:
    functions = (Activation("Square"), IDENTITY, Activation("Power", (3.0,)))
    (fit,) = mixed_fits(functions, CHOICE, arguments(), 0.1)
    units = np.array([4, 0, 8, 2])
    (placed,) = fit.placed(units)
    t = np.linspace(-1, 1, 7)[:, None]
    assert placed(t) == pytest.approx(fit.circuits[0](np.repeat(t, UNITS, axis=1))[:, units])


def test_a_comparison_beside_other_functions_is_refused() -> None:
    functions = (Activation("Step"), IDENTITY, IDENTITY)
    with pytest.raises(ModelError, match="hidden comparisons beside"):
        mixed_fits(functions, CHOICE, arguments(), 0.1)
