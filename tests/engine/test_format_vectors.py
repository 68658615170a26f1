"""The published vectors of the serialisation format, read by the engine and by an independent
decryptor that shares no code with it."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from strongroom import engine

VECTORS = Path(__file__).parents[2] / "docs" / "vectors" / "format-v1.json"


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    return json.loads(VECTORS.read_text())


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
