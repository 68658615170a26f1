"""Predictions hold after every step of long computations, not only once (see measured_noise)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from measured_noise import Keys, Ring, Slots, assert_predicted, encoded, errors
from small_rings import chain, unchecked

from strongroom import engine
from strongroom.engine import Ciphertext
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import NoiseEstimate


def deep_ring() -> Ring:
    primes = chain(256, (50, *[40] * 10, 45, 45))
    return Ring(unchecked(256, primes[:-2], primes[-2:]), 40, 64)


def run_chain(
    step: Callable[[Keys, Ciphertext, Slots], tuple[Ciphertext, Slots]],
    predict: Callable[[NoiseEstimate], NoiseEstimate],
    length: int,
) -> None:
    """Predictions hold after every step of a chain."""
    ring = deep_ring()
    generator = np.random.default_rng(9)
    every_key = [Keys.generate(ring, generator) for _ in range(ring.keys)]
    states = [(keys.cx, keys.x) for keys in every_key]
    prediction = noise.encrypted(encoded(ring))
    for _ in range(length):
        states = [step(k, *state) for k, state in zip(every_key, states, strict=True)]
        prediction = predict(prediction)
        assert states[0][0].limbs == prediction.limbs
        assert states[0][0].scale == prediction.scale
        assert_predicted(
            [errors(k.secret, *state) for k, state in zip(every_key, states, strict=True)],
            prediction,
        )


def test_ten_squarings_are_predicted() -> None:
    run_chain(
        lambda k, c, x: (k.evaluator.square(c, drop=1), x**2),
        lambda x: noise.multiply(x, x, drop=1),
        10,
    )


def test_products_with_rotations_of_themselves_are_predicted() -> None:
    def step(keys: Keys, c: Ciphertext, x: Slots) -> tuple[Ciphertext, Slots]:
        return keys.evaluator.multiply(c, keys.evaluator.rotate(c, 3), drop=1), x * np.roll(x, -3)

    run_chain(step, lambda x: noise.multiply(x, noise.rotate(x, 3), drop=1), 8)


def test_cubes_of_one_ciphertext_are_predicted() -> None:
    """x^3 = x^2 x: the noise of both factors is the argument's."""

    def step(keys: Keys, c: Ciphertext, x: Slots) -> tuple[Ciphertext, Slots]:
        square = keys.evaluator.square(c, drop=1)
        return keys.evaluator.multiply(square, engine.truncate(c, square.limbs), drop=1), x**3

    def predict(x: NoiseEstimate) -> NoiseEstimate:
        square = noise.multiply(x, x, drop=1)
        return noise.multiply(square, noise.truncate(x, square.limbs), drop=1)

    run_chain(step, predict, 5)


def test_forty_rotations_are_predicted() -> None:
    run_chain(
        lambda k, c, x: (k.evaluator.rotate(c, 1), np.roll(x, -1)),
        lambda x: noise.rotate(x, 1),
        40,
    )
