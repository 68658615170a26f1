"""Noise measured at the catalogue's parameters against the formulas that planning relies on.

Each test draws at least 150 000 coefficients under 20 keys or more. Coefficients of one product
are not independent: the energy of e u, a sum over N / 2 pairs of roots of products of two
exponential variables, fluctuates by sqrt(3 / (N / 2)) = 3.8 % at N = 4096 in one run, so by 0.6 %
in 40, and the deviation by half of that. Three per cent are ten times as much. A coefficient beyond
8 deviations has a probability of 160 000 * 1.3e-15 = 2e-10. The sum of all coefficients of e u is
like a product of two normals, for which Chernoff's bound gives 2 e^-32 at 12 deviations of the mean
of 20 runs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from slow_reference import centred, from_residues

from strongroom import engine
from strongroom.engine import Ciphertext, Parameters, SecretKey

LARGEST_DEVIATIONS = 8.0
TOLERANCE = 0.03
every_entry = pytest.mark.parametrize("name", list(engine.CATALOGUE))


def opening(ciphertext: Ciphertext, secret: SecretKey) -> list[int]:
    """c0 + c1 s as centred integers. The small rings of test_keys show that decryption is exact."""
    raw = secret.decrypt_raw_do_not_publish(ciphertext).native.residues().tolist()
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    return centred(from_residues(raw, primes), math.prod(primes))


def keys(parameters: Parameters, runs: int) -> Iterator[tuple[SecretKey, engine.PublicKey]]:
    """A key pair for every run."""
    for _ in range(runs):
        secret = SecretKey.generate(parameters)
        yield secret, secret.public_key(parameters.limbs)


def integer_message(
    parameters: Parameters, generator: np.random.Generator
) -> tuple[engine.Plaintext, NDArray[np.int64]]:
    """Integers at scale 1, so that encoding adds no error."""
    integers = generator.integers(-(2**40), 2**40, parameters.ring_degree)
    return (
        engine.encode_coefficients(
            parameters, integers.astype(np.float64), Fraction(1), parameters.limbs
        ),
        integers,
    )


def assert_deviation(noise: NDArray[np.float64], expected: float) -> None:
    assert noise.size >= 150_000
    assert noise.std() == pytest.approx(expected, rel=TOLERANCE)
    assert abs(noise.mean()) <= 12 * expected / math.sqrt(noise.size)
    assert np.abs(noise).max() <= LARGEST_DEVIATIONS * expected


@every_entry
def test_fresh_symmetric_noise_has_the_deviation_of_the_errors(name: str) -> None:
    parameters = engine.catalogued(name)
    generator = np.random.default_rng(0)
    noise = []
    for secret, _ in keys(parameters, 160_000 // parameters.ring_degree + 1):
        plaintext, integers = integer_message(parameters, generator)
        opened = opening(secret.encrypt(plaintext), secret)
        noise.append(np.array(opened, dtype=np.float64) - integers)
    assert_deviation(np.concatenate(noise), 3.2)


@every_entry
def test_public_key_noise_is_that_of_three_errors_or_of_their_division(name: str) -> None:
    parameters = engine.catalogued(name)
    n = parameters.ring_degree
    generator = np.random.default_rng(0)
    noise = []
    for secret, key in keys(parameters, 160_000 // n + 1):
        plaintext, integers = integer_message(parameters, generator)
        opened = opening(key.encrypt(plaintext), secret)
        noise.append(np.array(opened, dtype=np.float64) - integers)
    # e u + e0 + e1 s: u and s have variance 2/3.
    expected = 3.2 * math.sqrt(4 * n / 3 + 1)
    if parameters.special_primes:
        # Divided by these, and rounded: r0 + r1 s, with r0 and r1 uniform over a unit.
        special = math.prod(parameters.special_primes)
        expected = math.hypot(expected / special, math.sqrt((1 + 2 * n / 3) / 12))
    assert_deviation(np.concatenate(noise), expected)


@every_entry
@pytest.mark.parametrize("drop", [1, 2])
def test_rescaling_adds_the_rounding_of_both_parts(name: str, drop: int) -> None:
    parameters = engine.catalogued(name)
    n = parameters.ring_degree
    generator = np.random.default_rng(0)
    divisor = math.prod(parameters.primes[-drop:])
    noise = []
    for secret, key in keys(parameters, 160_000 // n + 1):
        ciphertext = key.encrypt(integer_message(parameters, generator)[0])
        before = opening(ciphertext, secret)
        after = opening(engine.rescale(ciphertext, drop), secret)
        # Exact rationals first: the message is far above a double's precision of the noise.
        noise += [
            float(Fraction(y * divisor - x, divisor)) for x, y in zip(before, after, strict=True)
        ]
    # The last division rounds to units; the one before it, to units over the last prime.
    variance = (1 + 2 * n / 3) / 12
    earlier = sum(1 / math.prod(parameters.primes[-drop : -drop + k]) ** 2 for k in range(1, drop))
    assert_deviation(np.array(noise), math.sqrt(variance * (1 + earlier)))


@every_entry
def test_a_product_carries_its_noise_times_the_norm_of_the_weights(name: str) -> None:
    parameters = engine.catalogued(name)
    n = parameters.ring_degree
    generator = np.random.default_rng(0)
    weights = generator.integers(-1000, 1000, n)
    factor = engine.encode_coefficients(
        parameters, weights.astype(np.float64), Fraction(1), parameters.limbs
    )
    zero = engine.encode_coefficients(parameters, np.zeros(1), Fraction(1), parameters.limbs)
    noise = [
        np.array(opening(engine.multiply_plain(secret.encrypt(zero), factor), secret), np.float64)
        for secret, _ in keys(parameters, 160_000 // n + 1)
    ]
    expected = 3.2 * math.sqrt(float((weights.astype(np.float64) ** 2).sum()))
    flat = np.concatenate(noise)
    # No test of the mean: it depends on how the signs of these weights happen to add up.
    assert flat.std() == pytest.approx(expected, rel=TOLERANCE)
    assert np.abs(flat).max() <= LARGEST_DEVIATIONS * expected


@every_entry
def test_sanitising_adds_one_public_encryption_and_the_flood(name: str) -> None:
    parameters = engine.catalogued(name)
    n = parameters.ring_degree
    generator = np.random.default_rng(0)
    positions = np.arange(n, dtype=np.uint32)
    log_sigma = 8.0
    noise = []
    for secret, key in keys(parameters, 160_000 // n + 1):
        ciphertext = secret.encrypt(integer_message(parameters, generator)[0])
        before = opening(ciphertext, secret)
        after = opening(engine.sanitise(ciphertext, key, positions, log_sigma), secret)
        noise.append(np.array(after, dtype=np.float64) - np.array(before, dtype=np.float64))
    expected = math.hypot(2**log_sigma, 3.2 * math.sqrt(4 * n / 3 + 1))
    assert_deviation(np.concatenate(noise), expected)


def test_the_deviation_test_notices_an_error_of_half_a_bit() -> None:
    noise = np.random.default_rng(0).normal(0, 3.2, 160_000)
    assert_deviation(noise, 3.2)
    with pytest.raises(AssertionError):
        assert_deviation(noise * 1.19, 3.2)
    with pytest.raises(AssertionError):
        assert_deviation(np.append(noise, 8.1 * 3.2), 3.2)
