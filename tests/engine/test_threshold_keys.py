"""Keys that several make together: ordinary keys of the exact sum of their parts."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from holders_of_parts import Holders, errors_of
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import centred, from_residues, inverse_transform, negacyclic_product, uniform
from small_rings import (
    message,
    quickly,
    seeds,
    small_parameters,
    switching_parameters,
    switching_rings,
)

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    Evaluator,
    Parameters,
    catalogued,
    rotation_element,
)
from strongroom.engine.debugging import joined_secret_do_not_use, noise_report
from strongroom.engine.noise_model import KeyNoise
from strongroom.engine.threshold import KeyPart

SIGMA = 3.2
LARGEST_ERROR = 29
MANY_DIGITS = switching_parameters(16, (40, 30, 35), (41,))
counts = st.integers(1, 5)


def relinearisation_deviation(parameters: Parameters, count: int) -> float:
    """Of s e0 + u e1 + e2 + e3: s and u have coefficients of variance 2 m / 3, errors m sigma^2."""
    return SIGMA * math.sqrt(count * (4 * count * parameters.ring_degree / 3 + 2))


# keys against the exact sum of parts


@quickly
@given(parameters=switching_rings(), count=counts, seed=seeds)
def test_a_collective_galois_key_is_a_key_of_the_sum(
    parameters: Parameters, count: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    limbs = int(generator.integers(1, parameters.limbs + 1))
    element = int(generator.integers(1, parameters.ring_degree)) * 2 + 1
    holders = Holders(parameters, count)
    key = holders.galois_key(element, limbs)
    assert (key.element, key.limbs) == (element, limbs)
    for error in errors_of(key, holders.secret()):
        assert 0 < max(map(abs, error)) <= LARGEST_ERROR * count


@quickly
@given(parameters=switching_rings(), count=counts, seed=seeds)
def test_a_collective_relinearisation_key_is_a_key_of_the_sum(
    parameters: Parameters, count: int, seed: int
) -> None:
    limbs = int(np.random.default_rng(seed).integers(1, parameters.limbs + 1))
    holders = Holders(parameters, count)
    key = holders.relinearisation_key(limbs)
    # Every coefficient of s and u is at most m, every error at most 29 m.
    hard_bound = LARGEST_ERROR * count * 2 * (count * parameters.ring_degree + 1)
    for error in errors_of(key, holders.secret()):
        assert 0 < max(map(abs, error)) <= hard_bound


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("special", [(), (41,)])
def test_a_collective_public_key_is_an_encryption_of_zero_under_the_sum(
    count: int, special: tuple[int, ...]
) -> None:
    parameters = switching_parameters(32, (40, 30), special)
    holders = Holders(parameters, count)
    key = holders.public_key()
    data = engine.public_key_to_bytes(key)
    primes = (*parameters.primes, *parameters.special_primes)
    at = 44 + 32
    b = []
    for prime in primes:
        bits, size = prime.bit_length(), (32 * prime.bit_length() + 7) // 8
        number = int.from_bytes(data[at : at + size], "little")
        at += size
        words = [(number >> (i * bits)) & ((1 << bits) - 1) for i in range(32)]
        b.append(inverse_transform(words, prime))
    expanded = uniform(data[44:76], 2, 32, primes)
    a = [inverse_transform(v, q) for v, q in zip(expanded, primes, strict=True)]
    product = negacyclic_product(from_residues(a, primes), holders.secret())
    phase = [x + y for x, y in zip(from_residues(b, primes), product, strict=True)]
    assert 0 < max(map(abs, centred(phase, math.prod(primes)))) <= LARGEST_ERROR * count


@pytest.mark.parametrize("count", [1, 2, 5])
def test_errors_of_collective_keys_have_the_deviation_of_their_derivation(count: int) -> None:
    parameters = switching_parameters(1024, (40, 40), (45,))
    galois, products = [], []
    for _ in range(6):
        holders = Holders(parameters, count)
        s = holders.secret()
        galois += [x for e in errors_of(holders.galois_key(5), s) for x in e]
        products += [x for e in errors_of(holders.relinearisation_key(), s) for x in e]
    # 12288 coefficients estimate a deviation to 0.7 %, those of products a little worse, because s
    # and u are common to many.
    noise = KeyNoise(parts=count, collective=True)
    expected = relinearisation_deviation(parameters, count)
    assert np.std(galois) == pytest.approx(SIGMA * math.sqrt(count), rel=0.06)
    assert np.std(products) == pytest.approx(expected, rel=0.1)
    assert max(map(abs, products)) <= 8 * expected
    assert noise.error == pytest.approx(SIGMA * math.sqrt(count))
    assert noise.relinearisation_error(1024) == pytest.approx(expected)


# used as ordinary ones


@pytest.mark.parametrize("name", ["n13-q172-p42-v1", "n14-q300-p130-v1"])
def test_collective_keys_encrypt_rotate_and_multiply(name: str) -> None:
    parameters = catalogued(name)
    holders = Holders(parameters, 3)
    evaluator = Evaluator(
        holders.evaluation_keys([RELINEARISATION, rotation_element(parameters, 3)]), threads=1
    )
    joined = joined_secret_do_not_use(holders.parts)
    x = np.random.default_rng(0).uniform(-1, 1, parameters.ring_degree // 2)
    plain = engine.encode_slots(parameters, x, Fraction(2) ** 60, parameters.limbs)
    ciphertext = holders.public_key().encrypt(plain)
    # Rounding of an encryption and of a switch, in slots, at 16 deviations of the worst.
    n, m = parameters.ring_degree, 3
    rounding = math.log2(16 * math.sqrt(n * (1 + 2 * m * n / 3) / 12))
    assert noise_report(ciphertext, joined, x).log_noise < rounding
    rotated = evaluator.rotate(ciphertext, 3)
    assert noise_report(rotated, joined, np.roll(x, -3)).log_noise < rounding + 1.5
    product = evaluator.multiply(ciphertext, ciphertext, drop=1)
    assert noise_report(product, joined, x * x).precision_bits > 40


def test_collective_keys_work_after_their_bytes_travelled() -> None:
    holders = Holders(MANY_DIGITS, 3)
    public = holders.public_key()
    again = engine.public_key_from_bytes(
        MANY_DIGITS, engine.public_key_to_bytes(public), limbs=MANY_DIGITS.limbs
    )
    assert again.native.pack_b(MANY_DIGITS.native) == public.native.pack_b(MANY_DIGITS.native)
    turn = holders.galois_key(5)
    sent = engine.switching_key_to_bytes(turn)
    received = engine.switching_key_from_bytes(MANY_DIGITS, sent, element=5)
    np.testing.assert_array_equal(received.native.words, turn.native.words)


def test_words_of_collective_keys_are_residues() -> None:
    holders = Holders(MANY_DIGITS, 5)
    primes = (*MANY_DIGITS.primes, *MANY_DIGITS.special_primes)
    for element in (RELINEARISATION, 5):
        words = holders.key(element).native.words.reshape(-1, len(primes), 16 + 8)
        for row, prime in enumerate(primes):
            assert words[:, row].max() < prime
        assert not words[:, :, 16:].any()


@quickly
@given(count=st.integers(2, 5), seed=seeds)
def test_fewer_than_all_parts_decrypt_to_garbage(count: int, seed: int) -> None:
    parameters = small_parameters(64, (50, 50))
    holders = Holders(parameters, count)
    generator = np.random.default_rng(seed)
    plaintext, expected = message(parameters, generator)
    ciphertext = holders.public_key().encrypt(plaintext)
    modulus = math.prod(parameters.primes)

    def distance(some: list[KeyPart]) -> int:
        raw = joined_secret_do_not_use(some).decrypt_raw_do_not_publish(ciphertext)
        opened = from_residues(raw.native.residues().tolist(), parameters.primes)
        return max(
            map(abs, centred([x - m for x, m in zip(opened, expected, strict=True)], modulus))
        )

    assert distance(holders.parts) < 2**12
    for left_out in range(count):
        others = [part for i, part in enumerate(holders.parts) if i != left_out]
        # 64 coefficients that are uniform modulo 2^100: none of them near 2^90 has no chance.
        assert distance(others) > 2**90
