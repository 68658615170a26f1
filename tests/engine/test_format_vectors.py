"""The published vectors of the serialisation format, read by the engine and by an independent
decryptor that shares no code with it."""

from __future__ import annotations

import json
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from slow_reference import bit_reverse, smallest_primitive_root, uniform

from strongroom import engine
from strongroom.engine import Parameters, SecretKey
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.key_serialisation import switching_key_from_bytes, switching_key_to_bytes
from strongroom.engine.switching_keys import EvaluationKeys

FOLDER = Path(__file__).parents[2] / "docs" / "vectors"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return json.loads((FOLDER / "format-v1.json").read_text())


@pytest.fixture(scope="module")
def key_vectors() -> dict[str, Any]:
    return json.loads((FOLDER / "switching-key-v1.json").read_text())


def test_parameters_have_the_published_digest(vectors: dict[str, Any]) -> None:
    parameters = engine.catalogued(vectors["parameters"])
    assert parameters.digest.hex() == vectors["parameters_digest"]
    assert list(parameters.primes) == vectors["primes"]


def test_the_published_ciphertext_decrypts_to_its_message(vectors: dict[str, Any]) -> None:
    parameters = engine.catalogued(vectors["parameters"])
    published = vectors["seeded_ciphertext"]
    data = bytes.fromhex(published["bytes"])
    positions = np.arange(len(published["message"]), dtype=np.uint32)
    ciphertext = engine.ciphertext_from_bytes(
        parameters, data, limbs=parameters.limbs, positions=positions
    )
    assert ciphertext.scale == Fraction(2) ** published["log2_scale"]
    c0, c1 = ciphertext.native.residues()
    assert c0[:, :4].tolist() == published["c0_first_coefficients"]
    assert c1[:, :4].tolist() == published["c1_first_coefficients"]
    assert engine.ciphertext_to_bytes(ciphertext, positions) == data


def test_an_independent_decryptor_reads_the_published_bytes(vectors: dict[str, Any]) -> None:
    published = vectors["seeded_ciphertext"]
    primes, degree = vectors["primes"], vectors["ring_degree"]
    secret = _ternary(bytes.fromhex(vectors["secret_key"])[32:], degree)
    c0 = _c0(bytes.fromhex(published["bytes"]), primes, len(published["message"]))
    _, c1 = _restored(vectors).native.residues()
    modulus = math.prod(primes)
    for place, expected in enumerate(published["message"]):
        residues = [
            (first[place] + _negacyclic_coefficient(second.tolist(), secret, place)) % q
            for first, second, q in zip(c0, c1, primes, strict=True)
        ]
        value = _centred_crt(residues, primes, modulus)
        error = abs(value - Fraction(expected) * 2 ** published["log2_scale"])
        # Doubles near 1 times 2^63 are integers, so what differs is the encryption's own error.
        assert error <= published["largest_error_in_integers"]


def test_the_published_evaluation_key_is_read_and_written_again(
    key_vectors: dict[str, Any],
) -> None:
    parameters = _key_parameters(key_vectors)
    published = key_vectors["switching_key"]
    assert parameters.digest.hex() == key_vectors["parameters_digest"]
    data = bytes.fromhex(published["bytes"])
    key = switching_key_from_bytes(parameters, data, element=published["element"], limbs=2)
    assert key.native.digits == published["digits"]
    halves = key.native.words.reshape(2, 2, 3, -1)
    assert halves[:, 1, :, :4].tolist() == published["a_first_values"]
    assert halves[:, 0, :, :4].tolist() == published["b_first_values"]
    assert switching_key_to_bytes(key) == data


def test_the_published_evaluation_key_rotates(key_vectors: dict[str, Any]) -> None:
    parameters = _key_parameters(key_vectors)
    secret = SecretKey.from_bytes(parameters, bytes.fromhex(key_vectors["secret_key"]))
    key = switching_key_from_bytes(parameters, bytes.fromhex(key_vectors["switching_key"]["bytes"]))
    values = np.exp(2j * np.pi * np.arange(1024) / 1024)
    plaintext = engine.encode_slots(parameters, values, Fraction(2**20), 2)
    evaluator = Evaluator(EvaluationKeys(parameters, {key.element: key}), threads=1)
    turned = evaluator.rotate(secret.encrypt(plaintext), 1)
    opened = engine.decode(secret.decrypt_raw_do_not_publish(turned))
    np.testing.assert_allclose(opened, np.roll(values, -1), rtol=0, atol=2**-6)


def test_an_independent_reader_finds_the_published_keys_equation(
    key_vectors: dict[str, Any],
) -> None:
    degree, element = key_vectors["ring_degree"], key_vectors["switching_key"]["element"]
    data_primes, special = key_vectors["primes"], key_vectors["special_primes"]
    data = bytes.fromhex(key_vectors["switching_key"]["bytes"])
    assert struct.unpack_from("<4s4B", data) == (b"SRCK", 1, 4, 2, 0)
    assert struct.unpack_from("<II", data, 40) == (degree, element)
    seed, at = data[48:80], 80
    secret = np.array(_ternary(bytes.fromhex(key_vectors["secret_key"])[32:], degree))
    for digit in range(2):
        errors = []
        for place, prime in enumerate([*data_primes, *special]):
            bits = prime.bit_length()
            number = int.from_bytes(data[at : at + degree * bits // 8], "little")
            at += degree * bits // 8
            b = np.array([number >> i * bits & (1 << bits) - 1 for i in range(degree)])
            assert b.max() < prime
            a = np.array(uniform(seed, 3, degree, [prime], places=[place], index=digit)[0])
            root = smallest_primitive_root(2 * degree, prime)
            length = degree.bit_length() - 1
            exponents = np.array([2 * bit_reverse(k, length) + 1 for k in range(degree)])
            powers = np.array([pow(root, k, prime) for k in range(2 * degree)])
            # The key's secret is the inverse automorphism of s: its value at x is that of s at
            # x^(1/element).
            inverse = pow(element, -1, 2 * degree)
            s = _values(secret, powers, exponents, prime)
            turned = _values(secret, powers, exponents * inverse, prime)
            factor = special[0] if place == digit else 0
            error = (b + a * turned - factor * s) % prime
            errors.append(_coefficients(error, powers, exponents, prime))
        assert errors[0] == errors[1] == errors[2], "one small integer polynomial, three residues"
        assert 0 < max(map(abs, errors[0])) <= 29
    assert at == len(data)


def _key_parameters(key_vectors: dict[str, Any]) -> Parameters:
    return Parameters(
        key_vectors["ring_degree"],
        tuple(key_vectors["primes"]),
        tuple(key_vectors["special_primes"]),
    )


def _values(
    polynomial: NDArray[np.int64], powers: NDArray[np.int64], exponents: NDArray[np.int64], q: int
) -> NDArray[np.int64]:
    """The polynomial at root^exponent for each exponent, by Horner's rule; q below 2^31."""
    points = powers[exponents % len(powers)]
    result = np.zeros_like(points)
    for coefficient in polynomial[::-1]:
        result = (result * points + coefficient) % q
    return result


def _coefficients(
    values: NDArray[np.int64], powers: NDArray[np.int64], exponents: NDArray[np.int64], q: int
) -> list[int]:
    """The polynomial with these values: 1/N times the sum of value / point^k; centred."""
    n = len(values)
    sums = [
        int((values * powers[-exponents * k % (2 * n)] % q).sum()) * pow(n, -1, q) % q
        for k in range(n)
    ]
    return [x - q if x > q // 2 else x for x in sums]


def _restored(vectors: dict[str, Any]) -> engine.Ciphertext:
    parameters = engine.catalogued(vectors["parameters"])
    published = vectors["seeded_ciphertext"]
    positions = np.arange(len(published["message"]), dtype=np.uint32)
    return engine.ciphertext_from_bytes(
        parameters, bytes.fromhex(published["bytes"]), limbs=parameters.limbs, positions=positions
    )


def _ternary(data: bytes, degree: int) -> list[int]:
    return [(0, 1, -1)[data[i // 4] >> 2 * (i % 4) & 3] for i in range(degree)]


def _c0(data: bytes, primes: list[int], count: int) -> list[list[int]]:
    """c0 by the letter of the format: header 44, scale 4 + 8 + 1, seed 32, then packed limbs."""
    at = 44 + 4 + 8 + 1 + 32
    limbs = []
    for q in primes:
        bits = q.bit_length()
        size = -(-count * bits // 8)
        number = int.from_bytes(data[at : at + size], "little")
        limbs.append([number >> i * bits & (1 << bits) - 1 for i in range(count)])
        at += size
    assert at == len(data)
    return limbs


def _negacyclic_coefficient(a: list[int], b: list[int], place: int) -> int:
    """Coefficient `place` of a b in Z[X]/(X^N + 1), by definition."""
    low = sum(a[i] * b[place - i] for i in range(place + 1))
    high = sum(a[i] * b[place - i] for i in range(place + 1, len(a)))
    return low - high


def _centred_crt(residues: list[int], primes: list[int], modulus: int) -> int:
    value = 0
    for residue, q in zip(residues, primes, strict=True):
        rest = modulus // q
        value += residue * rest * pow(rest, -1, q)
    value %= modulus
    return value - modulus if value > modulus // 2 else value
