"""Keys, encryption and decryption: every ciphertext satisfies its equation exactly."""

from __future__ import annotations

import copy
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import (
    centred,
    decrypt,
    from_residues,
    inverse_transform,
    negacyclic_product,
    plus,
    transform,
    uniform,
)
from small_rings import (
    message,
    parts,
    quickly,
    residues,
    secret_coefficients,
    seeds,
    small_parameters,
    small_rings,
)

from strongroom import engine
from strongroom.engine import Parameters, PublicKey, SecretKey, encode_coefficients
from strongroom.errors import KeyStoreError

LARGEST_ERROR = 29  # of the discrete Gaussian, by the length of its table


@quickly
@given(parameters=small_rings(), seed=seeds, limbs=st.integers(1, 4))
def test_symmetric_encryption_is_message_plus_small_noise(
    parameters: Parameters, seed: int, limbs: int
) -> None:
    limbs = min(limbs, parameters.limbs)
    primes = parameters.primes[:limbs]
    secret = SecretKey.generate(parameters)
    plaintext, integers = message(parameters, np.random.default_rng(seed), limbs)
    ciphertext = secret.encrypt(plaintext)
    c0, c1 = (from_residues(part, primes) for part in parts(ciphertext))
    assert ciphertext.seed is not None
    expanded = uniform(ciphertext.seed, 1, parameters.ring_degree, primes)
    in_coefficients = [inverse_transform(v, p) for v, p in zip(expanded, primes, strict=True)]
    assert parts(ciphertext)[1] == in_coefficients
    opened = decrypt(c0, c1, secret_coefficients(secret), math.prod(primes))
    noise = centred([x - m for x, m in zip(opened, integers, strict=True)], math.prod(primes))
    assert max(map(abs, noise)) <= LARGEST_ERROR
    assert any(noise)
    raw = secret.decrypt_raw_do_not_publish(ciphertext)
    assert centred(from_residues(residues(raw), primes), math.prod(primes)) == opened


def error_of(key: PublicKey, secret: SecretKey, limbs: int) -> list[int]:
    """b + a s of a public key, from its bytes and its seed."""
    parameters = key.parameters
    n = parameters.ring_degree
    primes = parameters.primes[:limbs]
    data = engine.public_key_to_bytes(key)
    body = data[44 + 32 :]
    halves = uniform(data[44 : 44 + 32], 2, n, primes)
    s = secret_coefficients(secret)
    rows = []
    for prime, a in zip(primes, halves, strict=True):
        bits = prime.bit_length()
        size = (n * bits + 7) // 8
        number = int.from_bytes(body[:size], "little")
        body = body[size:]
        b = [(number >> (i * bits)) & ((1 << bits) - 1) for i in range(n)]
        product = zip(b, a, transform(s, prime), strict=True)
        rows.append(inverse_transform([x + y * z for x, y, z in product], prime))
    assert body == b""
    modulus = math.prod(primes)
    return centred(from_residues(rows, primes), modulus)


@quickly
@given(degree=st.sampled_from([16, 32]), bits=st.lists(st.integers(16, 50), min_size=1, max_size=3))
def test_a_public_key_is_an_encryption_of_zero(degree: int, bits: list[int]) -> None:
    parameters = small_parameters(degree, tuple(bits))
    secret = SecretKey.generate(parameters)
    key = secret.public_key(len(bits))
    assert key.limbs == len(bits)
    error = error_of(key, secret, len(bits))
    assert max(map(abs, error)) <= LARGEST_ERROR
    assert any(error)


@quickly
@given(parameters=small_rings(), seed=seeds, limbs=st.integers(1, 4))
def test_public_encryption_is_message_plus_small_noise(
    parameters: Parameters, seed: int, limbs: int
) -> None:
    limbs = min(limbs, parameters.limbs)
    primes = parameters.primes[:limbs]
    modulus = math.prod(primes)
    secret = SecretKey.generate(parameters)
    key = secret.public_key(parameters.limbs)
    plaintext, integers = message(parameters, np.random.default_rng(seed), limbs)
    first, second = key.encrypt(plaintext), key.encrypt(plaintext)
    assert first.seed is None
    assert parts(first) != parts(second)
    c0, c1 = (from_residues(part, primes) for part in parts(first))
    opened = decrypt(c0, c1, secret_coefficients(secret), modulus)
    noise = centred([x - m for x, m in zip(opened, integers, strict=True)], modulus)
    # e u + e0 + e1 s: no sample exceeds 29, no ternary polynomial has more than N terms.
    hard_bound = LARGEST_ERROR * (2 * parameters.ring_degree + 1)
    assert max(map(abs, noise)) <= min(hard_bound, modulus // 2)
    # 9 standard deviations; sums of this many bounded terms reach that less often than 1e-15.
    assert max(map(abs, noise)) <= 9 * 3.2 * math.sqrt(4 * parameters.ring_degree / 3 + 1) + 60
    raw = secret.decrypt_raw_do_not_publish(first)
    assert centred(from_residues(residues(raw), primes), modulus) == opened


def test_a_public_key_of_too_few_primes_does_not_encrypt() -> None:
    parameters = small_parameters(16, (40, 40))
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    with pytest.raises(ValueError, match="too few primes"):
        secret.public_key(1).encrypt(plaintext)


@pytest.mark.parametrize("limbs", [0, 3, 10**6, 2**31])
def test_a_public_key_over_more_primes_than_there_are_is_refused(limbs: int) -> None:
    # Refused by its number, not by running out of memory: the number may come from a served plan.
    secret = SecretKey.generate(small_parameters(256, (40, 40)))
    with pytest.raises(ValueError, match="limbs"):
        secret.public_key(limbs)


def test_keys_of_other_parameters_do_not_mix() -> None:
    ours, theirs = small_parameters(16, (40, 41)), small_parameters(16, (40, 42))
    secret = SecretKey.generate(ours)
    plaintext, _ = message(theirs, np.random.default_rng(0))
    with pytest.raises(ValueError, match="ring"):
        secret.encrypt(plaintext)
    with pytest.raises(ValueError, match="ring"):
        secret.public_key(2).encrypt(plaintext)
    with pytest.raises(ValueError, match="ring"):
        secret.decrypt_raw_do_not_publish(SecretKey.generate(theirs).encrypt(plaintext))


@quickly
@given(parameters=small_rings(), seed=seeds)
def test_secret_keys_round_trip_and_decrypt_the_same(parameters: Parameters, seed: int) -> None:
    secret = SecretKey.generate(parameters)
    data = secret.to_bytes()
    assert data[:32] == parameters.digest
    assert len(data) == 32 + parameters.ring_degree // 4
    again = SecretKey.from_bytes(parameters, data)
    assert again.to_bytes() == data
    plaintext, _ = message(parameters, np.random.default_rng(seed))
    ciphertext = secret.encrypt(plaintext)
    assert residues(again.decrypt_raw_do_not_publish(ciphertext)) == residues(
        secret.decrypt_raw_do_not_publish(ciphertext)
    )


@pytest.mark.parametrize("lost", [1, 4, 32, 35, 36])
def test_a_secret_key_of_another_length_is_refused(lost: int) -> None:
    parameters = small_parameters(16, (40,))
    data = SecretKey.generate(parameters).to_bytes()
    for damaged in (data[:-lost], data + bytes(lost)):
        with pytest.raises(KeyStoreError) as caught:
            SecretKey.from_bytes(parameters, damaged)
        assert caught.value.code == "SR-KEYS-FILE"


def test_a_secret_key_of_other_parameters_is_refused() -> None:
    data = SecretKey.generate(small_parameters(16, (40,))).to_bytes()
    with pytest.raises(KeyStoreError, match="other parameters"):
        SecretKey.from_bytes(small_parameters(16, (41,)), data)


@quickly
@given(at=st.integers(0, 15))
def test_a_secret_key_that_is_not_ternary_is_refused(at: int) -> None:
    parameters = small_parameters(16, (40,))
    data = bytearray(SecretKey.generate(parameters).to_bytes())
    data[32 + at // 4] |= 3 << (2 * (at % 4))
    with pytest.raises(KeyStoreError, match="damaged"):
        SecretKey.from_bytes(parameters, bytes(data))


def test_a_secret_key_is_neither_copied_nor_printed() -> None:
    secret = SecretKey.generate(small_parameters(16, (40,)))
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            duplicate(secret)
    assert secret.to_bytes()[32:].hex() not in repr(secret)


@pytest.mark.parametrize("log_sigma", [0.0, 10.0, 20.5])
def test_published_values_are_flooded_and_rounded(log_sigma: float) -> None:
    parameters = small_parameters(256, (50, 50))
    secret = SecretKey.generate(parameters)
    scale = Fraction(2**30)
    generator = np.random.default_rng(1)
    values = generator.uniform(-4, 4, 256)
    ciphertext = secret.encrypt(encode_coefficients(parameters, values, scale, 2))
    positions = np.sort(generator.choice(256, 100, replace=False)).astype(np.uint32)
    step = 2.0**-20
    draws = np.stack(
        [secret.decrypt(ciphertext, positions, log_sigma=log_sigma, step=step) for _ in range(100)]
    )
    np.testing.assert_array_equal(draws / step, np.round(draws / step))
    errors = (draws - values[positions]) * float(scale)
    # Encryption noise and rounding are there too; 10000 samples estimate a deviation to 0.7 %,
    # so 5 % is seven deviations.
    expected = math.sqrt(4.0**log_sigma + 3.2**2 + (step * float(scale)) ** 2 / 12)
    assert errors.std() == pytest.approx(expected, rel=0.05)
    assert np.abs(errors).max() <= 10 * 2**log_sigma + step * float(scale) + 30
    fresh = secret.decrypt(ciphertext, positions, log_sigma=39.0, step=step)
    assert not np.array_equal(
        fresh, secret.decrypt(ciphertext, positions, log_sigma=39.0, step=step)
    )


def test_published_values_follow_the_order_of_their_positions() -> None:
    parameters = small_parameters(16, (50, 50))
    secret = SecretKey.generate(parameters)
    values = np.arange(16.0)
    ciphertext = secret.encrypt(encode_coefficients(parameters, values, Fraction(2**30), 2))
    positions = np.array([3, 0, 15, 7, 7], dtype=np.uint32)
    published = secret.decrypt(ciphertext, positions, log_sigma=0.0, step=0.5)
    assert published.tolist() == [3.0, 0.0, 15.0, 7.0, 7.0]


@pytest.mark.parametrize("position", [16, 17, 32, 2**31, 2**32 - 1])
def test_positions_outside_of_the_ring_are_refused(position: int) -> None:
    parameters = small_parameters(16, (50, 50))
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    with pytest.raises(ValueError, match="coefficient"):
        secret.decrypt(
            secret.encrypt(plaintext),
            np.array([position], dtype=np.uint32),
            log_sigma=1.0,
            step=1.0,
        )


@pytest.mark.parametrize("log_sigma", [-0.1, 100.1, math.nan, math.inf])
def test_flooding_out_of_bounds_is_refused(log_sigma: float) -> None:
    parameters = small_parameters(16, (50, 50))
    secret = SecretKey.generate(parameters)
    ciphertext = secret.encrypt(message(parameters, np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="flooding"):
        secret.decrypt(ciphertext, np.zeros(1, dtype=np.uint32), log_sigma=log_sigma, step=1.0)


@pytest.mark.parametrize("step", [0.0, -1.0, math.nan, math.inf])
def test_a_rounding_step_must_be_a_positive_number(step: float) -> None:
    parameters = small_parameters(16, (50, 50))
    secret = SecretKey.generate(parameters)
    ciphertext = secret.encrypt(message(parameters, np.random.default_rng(0))[0])
    with pytest.raises(ValueError, match="step"):
        secret.decrypt(ciphertext, np.zeros(1, dtype=np.uint32), log_sigma=1.0, step=step)


@quickly
@given(parameters=small_rings(most=2), seed=seeds)
def test_sums_under_two_keys_open_under_neither(parameters: Parameters, seed: int) -> None:
    # The equation above binds noise to one key: with another the opening is not the message.
    plaintext, integers = message(parameters, np.random.default_rng(seed))
    ciphertext = SecretKey.generate(parameters).encrypt(plaintext)
    other = SecretKey.generate(parameters)
    primes = parameters.primes
    c0, c1 = (from_residues(part, primes) for part in parts(ciphertext))
    opened = plus(c0, negacyclic_product(c1, secret_coefficients(other)))
    noise = centred([x - m for x, m in zip(opened, integers, strict=True)], math.prod(primes))
    assert max(map(abs, noise)) > 1000
