"""AllOf is exact at integers, in as few levels as there can be."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from small_rings import chain, unchecked

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_conditions import MOST_CONDITIONS, fit_conditions
from strongroom.compiler.activation_fits import fits
from strongroom.engine import (
    RELINEARISATION,
    Evaluator,
    SecretKey,
    decode,
    encode_slots,
    evaluate_polynomial,
)
from strongroom.engine.square_tower_evaluation import evaluate_square_tower
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError
from strongroom.models.activations import Activation

FEWEST_LEVELS = {1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3, 8: 3, 9: 4, 15: 4, 16: 5, 31: 5, 32: 6}


def steepest(fit: ActivationFit, conditions: int) -> float:
    """The largest derivative at an integer: how much an error of the argument grows."""
    u, step = np.arange(conditions + 1.0), 1e-5
    return float(np.abs((fit(u + step) - fit(u - step)) / (2 * step)).max())


@pytest.mark.parametrize("conditions", [*range(1, 21), 31, 63, MOST_CONDITIONS])
def test_it_is_one_at_all_conditions_and_zero_below(conditions: int) -> None:
    function = Activation("AllOf", (float(conditions),))
    u = np.arange(conditions + 1.0)
    for fit in fits(function, u, 0.0):
        assert np.abs(fit.errors(function, u)).max() < 1e-9
        assert fit.error < 1e-9


@pytest.mark.parametrize(("conditions", "levels"), FEWEST_LEVELS.items())
def test_it_takes_the_fewest_levels(conditions: int, levels: int) -> None:
    first = fit_conditions(conditions)[0]
    assert first.levels == levels
    if 1 <= levels <= 3:
        assert first.products == levels
        assert isinstance(first.circuits[0], SquareTower)


@pytest.mark.parametrize("conditions", range(1, 33))
def test_errors_of_the_argument_hardly_grow(conditions: int) -> None:
    harmonic = sum(1 / k for k in range(1, conditions + 2))
    for fit in fit_conditions(conditions):
        assert steepest(fit, conditions) < 1.15 * harmonic


@pytest.mark.parametrize("conditions", range(1, 9))
def test_no_value_inside_of_a_tower_exceeds_one(conditions: int) -> None:
    fit = fit_conditions(conditions)[0]
    t = fit.argument_factor * np.arange(conditions + 1.0) + fit.argument_offset
    for tower in fit.circuits:
        assert isinstance(tower, SquareTower)
        assert max(float(value) for value in tower.largest_values()) == pytest.approx(1.0)
        for value in tower.values(t):
            assert np.abs(value).max() <= 1 + 1e-9


def test_a_unit_of_fewer_conditions_is_offset() -> None:
    counts = np.array([5, 2, 1, 4])
    for fit in fit_conditions(5, 5.0 - counts):
        for unit, count in enumerate(counts):
            u = np.zeros((count + 1, 4))
            u[:, unit] = np.arange(count + 1)
            assert fit(u)[:, unit] == pytest.approx(np.eye(count + 1)[-1], abs=1e-12)


def test_an_odd_polynomial_is_made_even_where_that_saves_products() -> None:
    assert [fit_conditions(count)[-1].degree for count in (9, 11, 15, 17)] == [10, 12, 15, 18]
    assert fit_conditions(11)[-1].products < 5


@pytest.mark.parametrize("conditions", [0.0, -1.0, 2.5, MOST_CONDITIONS + 1.0])
def test_numbers_of_conditions_that_cannot_be_are_refused(conditions: float) -> None:
    with pytest.raises(ModelError, match=r"SR-MODEL-UNSUPPORTED.*conditions"):
        fits(Activation("AllOf", (conditions,)), np.zeros(3), 0.0)


@pytest.mark.parametrize("conditions", [2, 3, 4, 5, 6, 7, 8, 11])
def test_counts_that_are_encrypted_become_answers(conditions: int) -> None:
    primes = chain(256, (50,) + (40,) * 4 + (45, 45, 45))
    parameters = unchecked(256, primes[:-3], primes[-3:])
    secret = SecretKey.generate(parameters)
    evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    u = np.arange(128) % (conditions + 1)
    for fit in fit_conditions(conditions):
        t = fit.argument_factor * u + fit.argument_offset
        scale = Fraction(2) ** 40
        x = secret.encrypt(encode_slots(parameters, t, scale, parameters.limbs))
        for circuit in fit.circuits:
            if isinstance(circuit, SquareTower):
                x = evaluate_square_tower(evaluator, x, circuit)
            else:
                x = evaluate_polynomial(evaluator, x, circuit)
        assert x.limbs == parameters.limbs - fit.levels
        value = decode(secret.decrypt_raw_do_not_publish(x)).real
        found = fit.value_factor * value + fit.value_offset
        assert np.abs(found - (u == conditions)).max() < 2.0**-22
        assert math.isclose(fit.error, 0.0, abs_tol=1e-12)
