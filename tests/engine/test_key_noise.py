"""Noise under a key of several parts, against polynomials drawn at random.

What a collective key's errors are made of is multiplied out here, in plain numpy, and compared with
what the noise model says of them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from small_rings import switching_parameters

from strongroom.engine.noise_model import (
    ERROR_DEVIATION,
    ONE_KEY,
    KeyNoise,
    public_key_deviation,
    rounding_deviation,
    second_part_deviation,
    switching_deviation,
)

DEGREE = 512
RUNS = 20
Numbers = NDArray[np.float64]


def product(a: Numbers, b: Numbers) -> Numbers:
    """Modulo X^N + 1."""
    full = np.convolve(a, b)
    full = np.append(full, np.zeros(2 * DEGREE - len(full)))
    return np.asarray(full[:DEGREE] - full[DEGREE:])


class Drawn:
    """A secret and errors of some parts."""

    def __init__(self, parts: int, seed: int) -> None:
        self._parts, self._generator = parts, np.random.default_rng(seed)

    def ternary(self) -> Numbers:
        """A sum of ternary polynomials."""
        drawn = self._generator.integers(-1, 2, (self._parts, DEGREE))
        return np.asarray(drawn.sum(axis=0), dtype=np.float64)

    def error(self) -> Numbers:
        """A sum of errors."""
        drawn = self._generator.normal(0.0, ERROR_DEVIATION, (self._parts, DEGREE))
        return np.asarray(drawn.sum(axis=0))

    def rounding(self) -> Numbers:
        """What a division leaves, which is made once."""
        return self._generator.uniform(-0.5, 0.5, DEGREE)


def measured(samples: list[Numbers]) -> float:
    """Standard deviation of all coefficients."""
    return float(np.sqrt(np.mean(np.square(samples))))


@pytest.mark.parametrize("parts", [1, 2, 5])
def test_a_division_leaves_more_the_more_parts_a_key_has(parts: int) -> None:
    drawn, key = Drawn(parts, 1), KeyNoise(parts, collective=True)
    seconds = [product(drawn.rounding(), drawn.ternary()) for _ in range(RUNS)]
    both = [second + drawn.rounding() for second in seconds]
    assert measured(seconds) == pytest.approx(second_part_deviation(DEGREE, key), rel=0.1)
    assert measured(both) == pytest.approx(rounding_deviation(DEGREE, key), rel=0.1)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_relinearisation_key_of_two_rounds_has_the_error_that_is_counted(parts: int) -> None:
    drawn, key = Drawn(parts, 2), KeyNoise(parts, collective=True)
    errors = []
    for _ in range(RUNS):
        error = product(drawn.ternary(), drawn.error()) + product(drawn.ternary(), drawn.error())
        errors.append(error + drawn.error() + drawn.error())
    assert measured(errors) == pytest.approx(key.relinearisation_error(DEGREE), rel=0.1)
    assert key.relinearisation_error(DEGREE) > parts * ERROR_DEVIATION * math.sqrt(DEGREE)
    assert measured([drawn.error() for _ in range(RUNS)]) == pytest.approx(key.error, rel=0.1)


@pytest.mark.parametrize("parts", [1, 4])
def test_an_encryption_under_a_collective_public_key_has_the_noise_that_is_counted(
    parts: int,
) -> None:
    drawn, one = Drawn(parts, 3), Drawn(1, 4)
    key = KeyNoise(parts, collective=True)
    noises = []
    for _ in range(RUNS):
        noise = product(drawn.error(), one.ternary()) + product(one.error(), drawn.ternary())
        noises.append(noise + one.error())
    parameters = switching_parameters(DEGREE, (40,), (45,))
    divided = math.hypot(
        measured(noises) / math.prod(parameters.special_primes), rounding_deviation(DEGREE, key)
    )
    assert public_key_deviation(parameters, key) == pytest.approx(divided, rel=0.1)


def test_a_key_in_one_hand_has_the_noise_that_it_always_had() -> None:
    assert KeyNoise() == ONE_KEY
    assert ONE_KEY.error == ONE_KEY.relinearisation_error(DEGREE) == ERROR_DEVIATION
    assert rounding_deviation(DEGREE, ONE_KEY) == rounding_deviation(DEGREE)
    parameters = switching_parameters(DEGREE, (40, 40), (45,))
    switched = switching_deviation(parameters, 2)
    assert switching_deviation(parameters, 2, 3 * ERROR_DEVIATION) == pytest.approx(3 * switched)
