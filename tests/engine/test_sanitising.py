"""Sanitised results: the declared coefficients, flooded, and nothing else."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from slow_reference import centred, decrypt, from_residues
from small_rings import (
    message,
    parts,
    quickly,
    secret_coefficients,
    seeds,
    small_parameters,
    small_rings,
)

from strongroom import engine
from strongroom.engine import Ciphertext, Parameters, PublicKey, SecretKey

FALSE_ALARM = 1e-10
DEVIATIONS = 6.6  # a normal value is further away with probability 4e-11


def opening(ciphertext: Ciphertext, secret: SecretKey) -> list[int]:
    """Its decryption by the reference."""
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    c0, c1 = (from_residues(part, primes) for part in parts(ciphertext))
    return decrypt(c0, c1, secret_coefficients(secret), math.prod(primes))


@quickly
@given(parameters=small_rings(), seed=seeds, log_sigma=st.floats(0, 12), count=st.integers(0, 16))
def test_declared_coefficients_open_to_the_message_and_a_bounded_flood(
    parameters: Parameters, seed: int, log_sigma: float, count: int
) -> None:
    generator = np.random.default_rng(seed)
    n, modulus = parameters.ring_degree, parameters.modulus(parameters.limbs)
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, generator)
    ciphertext = secret.encrypt(plaintext)
    before = parts(ciphertext)
    positions = generator.choice(n, count, replace=False).astype(np.uint32)
    result = engine.sanitise(ciphertext, secret.public_key(parameters.limbs), positions, log_sigma)
    assert parts(ciphertext) == before
    assert result.scale == ciphertext.scale
    assert result.seed is None
    c0, c1 = parts(result)
    hidden = sorted(set(range(n)) - set(positions.tolist()))
    assert all(limb[i] == 0 for limb in c0 for i in hidden)
    assert all(ours != theirs for ours, theirs in zip(c1, before[1], strict=True))
    # Box-Muller on 64 bits ends at 9.5 deviations; the encryption of zero is below nine of its.
    bound = 9.5 * 2**log_sigma + 1 + 9 * 3.2 * math.sqrt(4 * n / 3 + 1) + 60
    opened, original = opening(result, secret), opening(ciphertext, secret)
    for i in positions.tolist():
        assert abs(centred([opened[i] - original[i]], modulus)[0]) <= bound


@pytest.mark.parametrize("log_sigma", [0.0, 8.0, 20.5, 41.25, 64.5, 90.0])
def test_the_flood_has_its_declared_deviation(log_sigma: float) -> None:
    parameters = small_parameters(256, (50, 50, 50))
    secret = SecretKey.generate(parameters)
    key = secret.public_key(3)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    ciphertext = secret.encrypt(plaintext)
    original = opening(ciphertext, secret)
    positions = np.arange(0, 256, 2, dtype=np.uint32)
    runs = 40
    differences = np.array(
        [
            [float(opened[i] - original[i]) for i in positions.tolist()]
            for opened in (
                opening(engine.sanitise(ciphertext, key, positions, log_sigma), secret)
                for _ in range(runs)
            )
        ]
    )
    # The encryption of zero: e u + e0 + e1 s, of which e and s are this key's. Its deviation is
    # known only to the fluctuation of |e|^2 and |s|^2 over 256 terms (some 7 %), so that small
    # floods get that tolerance, large ones only that of 5120 samples (1 %, 6.6 times).
    masking = 3.2 * math.sqrt(4 * 256 / 3 + 1)
    expected = math.hypot(2.0**log_sigma, masking)
    share = (masking / expected) ** 2
    tolerance = DEVIATIONS / math.sqrt(2 * differences.size) + 0.4 * share
    assert differences.std() == pytest.approx(expected, rel=tolerance)
    if share < 0.01:
        # The rounded Gaussian above 2^40 carries two uniform numbers below 2^shift on top.
        shift = max(0, math.ceil(log_sigma) - 40)
        mean = 2.0**shift if shift else 0.0
        assert abs(differences.mean() - mean) <= DEVIATIONS * expected / math.sqrt(differences.size)
        assert stats.kstest(differences.ravel() / expected, "norm").pvalue > FALSE_ALARM


def test_every_result_is_masked_and_flooded_afresh() -> None:
    parameters = small_parameters(64, (50, 50))
    secret = SecretKey.generate(parameters)
    key = secret.public_key(2)
    ciphertext = secret.encrypt(message(parameters, np.random.default_rng(0))[0])
    positions = np.arange(64, dtype=np.uint32)
    results = [parts(engine.sanitise(ciphertext, key, positions, 40.0)) for _ in range(50)]
    for index in (0, 1):
        seen = [tuple(r[index][0]) for r in results]
        assert len(set(seen)) == len(seen)
        # 64 coefficients of 50 bits: two results that share even three would be an accident of
        # probability below 1e-30.
        for x, y in itertools.pairwise(seen):
            assert sum(a == b for a, b in zip(x, y, strict=True)) < 3


def second_parts(key: PublicKey, ciphertext: Ciphertext, runs: int) -> NDArray[np.float64]:
    """c1 of many sanitised results, as fractions of the prime."""
    positions = np.zeros(1, dtype=np.uint32)
    rows = [
        engine.sanitise(ciphertext, key, positions, 0.0).native.residues()[1][0]
        for _ in range(runs)
    ]
    return np.array(rows, dtype=np.float64) / ciphertext.parameters.primes[0]


def test_the_second_part_says_nothing_of_what_was_sent() -> None:
    # For an input whose second part is known to be zero, what comes out is the mask alone.
    parameters = small_parameters(256, (50,))
    secret = SecretKey.generate(parameters)
    ciphertext = secret.encrypt(message(parameters, np.random.default_rng(0))[0])
    zero = engine.multiply_plain(
        ciphertext, engine.encode_coefficients(parameters, np.zeros(1), ciphertext.scale, 1)
    )
    assert not any(parts(zero)[1][0])
    fractions = second_parts(secret.public_key(1), zero, 400).ravel()
    counts = np.histogram(fractions, bins=64, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


@pytest.mark.parametrize("positions", [[16], [2**32 - 1], [3, 3], [0, 1, 0]])
def test_positions_must_exist_and_differ(positions: list[int]) -> None:
    parameters = small_parameters(16, (40,))
    secret = SecretKey.generate(parameters)
    ciphertext = secret.encrypt(message(parameters, np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="coefficient"):
        engine.sanitise(ciphertext, secret.public_key(1), np.array(positions, dtype=np.uint32), 1.0)


def test_what_cannot_be_sanitised_is_refused() -> None:
    parameters, others = small_parameters(16, (40, 41)), small_parameters(16, (42, 43))
    secret, stranger = SecretKey.generate(parameters), SecretKey.generate(others)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    ciphertext = secret.encrypt(plaintext)
    positions = np.zeros(1, dtype=np.uint32)
    slots = Ciphertext(ciphertext.native, parameters, ciphertext.scale, "slots")
    with pytest.raises(ValueError, match="coefficients"):
        engine.sanitise(slots, secret.public_key(2), positions, 1.0)
    with pytest.raises(ValueError, match="too few primes"):
        engine.sanitise(ciphertext, secret.public_key(1), positions, 1.0)
    with pytest.raises(ValueError, match="ring"):
        engine.sanitise(ciphertext, stranger.public_key(2), positions, 1.0)
    for log_sigma in (-1.0, 100.5, math.nan):
        with pytest.raises(ValueError, match="flooding"):
            engine.sanitise(ciphertext, secret.public_key(2), positions, log_sigma)
