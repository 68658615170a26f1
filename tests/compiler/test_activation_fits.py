"""Fits of activations: how near they come, at what cost, and that ciphertexts agree."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from small_rings import chain, unchecked

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_fits import fits
from strongroom.engine import (
    RELINEARISATION,
    Evaluator,
    PreparedPolynomial,
    SecretKey,
    decode,
    encode_slots,
)
from strongroom.engine.square_tower_evaluation import PreparedSquareTower
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError
from strongroom.models.activations import Activation

Values = NDArray[np.float64]

REACHED = {
    "Relu": (0.5, 0.3, 0.2, 0.12, 0.05),
    "LeakyRelu": (0.45, 0.28, 0.18, 0.11, 0.05),
    "Abs": (1.0, 0.6, 0.4, 0.24, 0.1),
    "Gelu": (0.35, 0.14, 0.025, 6e-4, 2e-9),
    "GeluTanh": (0.35, 0.14, 0.025, 7e-4, 5e-8),
    "Silu": (0.22, 0.06, 6e-3, 1e-4, 4e-9),
    "Softplus": (0.09, 0.015, 1e-3, 1e-5, 2e-10),
    "Sigmoid": (0.16, 0.035, 4e-3, 2e-5, 8e-10),
    "Tanh": (0.55, 0.28, 0.08, 5e-3, 3e-5),
    "HardSigmoid": (0.18, 0.06, 0.035, 0.02, 0.01),
    "Elu": (0.33, 0.12, 0.06, 0.012, 4e-3),
    "Exp": (18.0, 2.2, 0.07, 1e-7, 1e-12),
}
"""The largest error on [-4, 4] within one level, two, ... five."""

PARAMETERS = {"LeakyRelu": (0.1,), "HardSigmoid": (0.2, 0.5), "Elu": (1.0,)}


def function(name: str) -> Activation:
    return Activation(name, PARAMETERS.get(name, ()))


def sample(low: float, high: float, seed: int = 0) -> Values:
    return np.random.default_rng(seed).uniform(low, high, 2000)


def normal_units(units: int) -> Values:
    """Arguments as those of a layer, shape (n, units)."""
    generator = np.random.default_rng(5)
    spread, middle = generator.uniform(0.3, 3, units), generator.normal(size=units)
    return np.asarray(generator.normal(size=(600, units)) * spread + middle)


def root_mean_square(fit: ActivationFit, name: str, x: Values) -> float:
    return float(np.sqrt(np.mean(fit.errors(function(name), x) ** 2)))


@pytest.mark.parametrize("name", REACHED)
def test_each_level_brings_a_fit_nearer(name: str) -> None:
    found = fits(function(name), sample(-4, 4), 0.05)
    for levels, reached in enumerate(REACHED[name], 1):
        assert min(fit.error for fit in found if fit.levels <= levels) < reached, levels


@pytest.mark.parametrize("name", REACHED)
def test_candidates_are_in_order_of_cost_and_each_is_nearer(name: str) -> None:
    x = sample(-2, 5)
    found = fits(function(name), x, 0.1)
    assert [(f.levels, f.products) for f in found] == sorted((f.levels, f.products) for f in found)
    errors = [root_mean_square(fit, name, x) for fit in found]
    assert all(b < a for a, b in pairwise(errors))
    assert found[0].levels == 1


@pytest.mark.parametrize("name", REACHED)
@pytest.mark.parametrize("shape", ["shared", "by unit"])
def test_nothing_is_left_of_the_function_in_the_guard_range(name: str, shape: str) -> None:
    """Where nothing was seen a fit is worse, but by a factor, not by powers of the distance."""
    x = sample(-3, 3) if shape == "shared" else normal_units(5)
    for fit in fits(function(name), x, 0.25):
        assert fit.guard_error < 10 * fit.error + 1e-12
        low, high = fit.interval
        ends = np.stack([low, high])
        largest = np.abs(function(name)(ends)).max() + 1
        assert np.abs(fit(ends)).max() < 2 * largest
        width = x.max(axis=0) - x.min(axis=0)
        assert high - low == pytest.approx(1.5 * width)


def test_errors_are_those_of_a_dense_grid() -> None:
    relu = function("Relu")
    x = sample(-1, 3)
    for fit in fits(relu, x, 0.1):
        dense = np.linspace(x.min(), x.max(), 20001)
        assert fit.error == pytest.approx(np.abs(fit(dense) - relu(dense)).max(), rel=0.05)
        assert fit.errors(relu, dense) == pytest.approx(fit(dense) - relu(dense))


def test_a_quartic_of_an_even_function_plus_a_linear_one_is_the_best_there_is() -> None:
    """Of x/2 + |x|/2 on [-1, 1], the nearest quartic has the error 0.0676 / 2 (Bernstein)."""
    x = np.linspace(-1, 1, 4001)
    fit = next(f for f in fits(function("Relu"), x, 0.0) if f.levels == 2)
    assert 0.0676 / 2 <= fit.error < 2.2 * 0.0676 / 2
    assert fit.products == 2


@pytest.mark.parametrize("name", ["Relu", "Sigmoid", "Gelu"])
def test_towers_of_each_unit_are_nearer_than_one_for_all(name: str) -> None:
    x = normal_units(12)
    own = {f.levels: f for f in fits(function(name), x, 0.1) if f.levels <= 3}
    one = {f.levels: f for f in fits(function(name), x.reshape(-1), 0.1) if f.levels <= 3}
    for levels in (1, 2, 3):
        assert root_mean_square(own[levels], name, x) < 0.8 * root_mean_square(one[levels], name, x)
        assert own[levels].products == levels


def test_one_level_for_each_unit_needs_no_coefficients_of_slots() -> None:
    fit = fits(function("Relu"), normal_units(6), 0.1)[0]
    (tower,) = fit.circuits
    assert isinstance(tower, SquareTower)
    assert tower.slots is None
    assert fit.argument_factor.shape == fit.value_offset.shape == (6,)


def test_relu_polynomials_are_scaled_to_each_unit() -> None:
    x = normal_units(3) * np.array([0.01, 1.0, 100.0])
    for fit in fits(function("Relu"), x, 0.1):
        error = np.abs(fit.errors(function("Relu"), x)).max(axis=0)
        assert np.all(error < 0.2 * np.abs(x).max(axis=0))


def test_units_that_hardly_vary_are_no_trouble() -> None:
    x = np.stack([np.full(50, 2.0), np.zeros(50), np.linspace(-1, 1, 50), np.full(50, -3.0)], 1)
    for name in ("Relu", "Sigmoid"):
        for fit in fits(function(name), x, 0.1):
            error = np.abs(fit.errors(function(name), x)).max(axis=0)
            assert np.isfinite(fit(x)).all()
            assert np.all(error < 0.25)


@pytest.mark.parametrize("name", ["Relu", "Gelu", "Sigmoid", "Exp"])
def test_no_value_inside_of_a_tower_exceeds_one(name: str) -> None:
    x = normal_units(7)
    for fit in fits(function(name), x, 0.1):
        for tower in fit.circuits:
            if isinstance(tower, SquareTower):
                t = fit.argument_factor * x + fit.argument_offset
                for value in tower.values(t):
                    assert np.abs(value).max() <= 1 + 1e-3


@pytest.mark.parametrize("arguments", [np.zeros(0), np.array([1.0, np.nan]), np.array([np.inf])])
def test_arguments_that_are_none_are_refused(arguments: Values) -> None:
    with pytest.raises(ModelError, match="SR-MODEL-VALUES"):
        fits(function("Relu"), arguments, 0.1)


def test_a_negative_guard_is_refused() -> None:
    with pytest.raises(ValueError, match="guard range is not negative"):
        fits(function("Relu"), np.ones(3), -0.1)


@pytest.mark.parametrize("name", ["Relu", "Sigmoid"])
def test_units_that_are_encrypted_get_their_fits(name: str) -> None:
    """Units in the order 3, 0, 1, ... of a ring's slots."""
    primes = chain(256, (50,) + (40,) * 4 + (45, 45))
    parameters = unchecked(256, primes[:-2], primes[-2:])
    secret = SecretKey.generate(parameters)
    evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    scale = Fraction(2) ** 40
    arguments = normal_units(6)
    units = np.array([3, 0, 1, 5, 2, 4] * 21 + [0, 0])
    x = arguments[:128].T[units, np.arange(128)]

    def of_slots(array: Values) -> Values:
        return np.broadcast_to(array, (6,))[units]

    for fit in fits(function(name), arguments, 0.1):
        if fit.levels > 4:
            continue
        t = of_slots(fit.argument_factor) * x + of_slots(fit.argument_offset)
        c = secret.encrypt(encode_slots(parameters, t, scale, parameters.limbs))
        for circuit in fit.placed(units):
            prepared: PreparedSquareTower | PreparedPolynomial
            if isinstance(circuit, SquareTower):
                prepared = PreparedSquareTower(parameters, circuit, c.limbs, c.scale)
            else:
                prepared = PreparedPolynomial(parameters, circuit, c.limbs, c.scale)
            assert prepared.plan.products == fit.products
            c = prepared.evaluate(evaluator, c)
        assert c.limbs == parameters.limbs - fit.levels
        value = decode(secret.decrypt_raw_do_not_publish(c)).real
        found = of_slots(fit.value_factor) * value + of_slots(fit.value_offset)
        expected = fit(np.repeat(x[:, None], 6, axis=1))[np.arange(128), units]
        assert np.abs(found - expected).max() < 2.0**-13
