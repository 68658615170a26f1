"""The noise of square towers, argument by argument (see measured_noise for the tolerance)."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from measured_noise import assert_predicted, errors
from numpy.typing import NDArray
from small_rings import chain, unchecked

from strongroom.engine import RELINEARISATION, Evaluator, SecretKey, encode_slots
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import NoiseEstimate
from strongroom.engine.square_tower_evaluation import PreparedSquareTower
from strongroom.engine.square_tower_noise import square_tower
from strongroom.engine.square_towers import SquareTower

Values = NDArray[np.float64]

CHAIN = chain(256, (50, *[40] * 5, 45, 45))
PARAMETERS = unchecked(256, CHAIN[:6], CHAIN[6:])
SLOTS = 128
SCALE = Fraction(2) ** 40
RUNS = 64


def tower_of(depth: int, slots: int | None, seed: int = 0) -> SquareTower:
    """With the same coefficients in every slot, if slots have their own, but for one."""
    generator = np.random.default_rng(seed + depth)
    factors = np.tril(generator.uniform(-1, 1, (depth, depth)))
    constants = generator.uniform(-1, 1, depth)
    interval = np.array([-1.0, 1.0])
    if slots is None:
        return SquareTower(factors, constants, interval)
    factors = np.repeat(factors[..., None], slots, axis=2)
    constants = np.repeat(constants[..., None], slots, axis=1)
    constants[:, -1] *= 1.0 + 2.0**-20
    return SquareTower(factors, constants, interval)


def argument(x: Values) -> NoiseEstimate:
    return noise.encrypted(noise.encoded(PARAMETERS, float(np.sqrt(np.mean(x**2))), SCALE))


def measured(prepared: PreparedSquareTower, x: Values) -> list[Values]:
    found = []
    for _ in range(RUNS):
        secret = SecretKey.generate(PARAMETERS)
        evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
        result = prepared.evaluate(
            evaluator, secret.encrypt(encode_slots(PARAMETERS, x, SCALE, PARAMETERS.limbs))
        )
        expected = prepared.plan.tower(x).astype(np.complex128)
        found.append(errors(secret, result, expected))
    return found


@pytest.mark.parametrize("slots", [None, SLOTS], ids=["one for all", "one a slot"])
@pytest.mark.parametrize("at", [1.0, -0.8])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_noise_at_an_argument_is_as_predicted(depth: int, at: float, slots: int | None) -> None:
    prepared = PreparedSquareTower(PARAMETERS, tower_of(depth, slots), PARAMETERS.limbs, SCALE)
    assert prepared.plan.by_slots(depth) is (slots is not None)
    x = np.full(SLOTS, at)
    prediction = square_tower(argument(x), prepared.plan, np.array([at]))
    assert (prediction.scale, prediction.limbs) == (prepared.plan.scale, prepared.plan.limbs)
    assert prediction.magnitude == pytest.approx(np.abs(prepared.plan.tower(x)).max(), rel=1e-5)
    assert_predicted(measured(prepared, x), prediction, bias=prediction.bias)


@pytest.mark.parametrize("depth", [2, 3])
def test_arguments_all_over_the_interval_keep_the_bound(depth: int) -> None:
    prepared = PreparedSquareTower(PARAMETERS, tower_of(depth, None), PARAMETERS.limbs, SCALE)
    x = np.random.default_rng(0).uniform(-1, 1, SLOTS)
    prediction = square_tower(argument(x), prepared.plan)
    found = np.concatenate(measured(prepared, x))
    assert found.max() <= prediction.slot_bound
    assert prediction.slot_bound <= 2**6 * found.max()
    largest = float(prepared.plan.tower.largest_values()[-1])
    assert prediction.magnitude == pytest.approx(largest, rel=0.1)


def test_of_towers_by_slot_the_noisiest_counts() -> None:
    def tower(factors: Values) -> SquareTower:
        by_slot = np.zeros((2, 2, factors.size))
        by_slot[1, 0] = factors
        return SquareTower(by_slot, np.zeros((2, factors.size)), np.array([-1.0, 1.0]))

    mixed = PreparedSquareTower(
        PARAMETERS, tower(np.array([1.0] * 127 + [64.0])), PARAMETERS.limbs, SCALE
    )
    alone = PreparedSquareTower(PARAMETERS, tower(np.array([64.0])), PARAMETERS.limbs, SCALE)
    x = argument(np.ones(SLOTS))
    found, bound = square_tower(x, mixed.plan), square_tower(x, alone.plan)
    assert found.slot_deviation == pytest.approx(bound.slot_deviation, rel=0.05)
    assert found.magnitude == pytest.approx(1 + 64.0)


def test_many_slots_are_looked_at_part_by_part() -> None:
    primes = chain(2**12, (45, 40, 40, 46))
    parameters = unchecked(2**12, primes[:3], primes[3:])
    constants = np.zeros((1, 2**11))
    constants[0, 1500] = 5.0
    tower = SquareTower(np.zeros((1, 1, 2**11)), constants, np.array([-1.0, 1.0]))
    prepared = PreparedSquareTower(parameters, tower, 3, SCALE)
    x = noise.encrypted(noise.encoded(parameters, 1.0, SCALE))
    assert square_tower(x, prepared.plan).magnitude == pytest.approx(6.0)


def test_another_level_or_scale_is_refused() -> None:
    plan = PreparedSquareTower(PARAMETERS, tower_of(2, None), PARAMETERS.limbs, SCALE).plan
    x = argument(np.ones(SLOTS))
    with pytest.raises(ValueError, match="another level or scale"):
        square_tower(noise.truncate(x, x.limbs - 1), plan)
    with pytest.raises(ValueError, match="another level or scale"):
        square_tower(noise.encrypted(noise.encoded(PARAMETERS, 1.0, 2 * SCALE)), plan)
