"""Rings too small to be secure, which only the testing module can make, and data over them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import islice

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from slow_reference import (
    from_residues,
    inverse_transform,
    ntt_primes,
    pack,
    secret_from_bytes,
    to_residues,
)

from strongroom import _native_testing
from strongroom.engine import (
    Ciphertext,
    Parameters,
    Plaintext,
    SecretKey,
    SwitchingKey,
    ciphertext_from_bytes,
    encode_coefficients,
)

quickly = settings(deadline=None, max_examples=25)
"""For properties: the examples that one test may take, and no deadline on shared machines."""


def unchecked(
    ring_degree: int, primes: tuple[int, ...], special: tuple[int, ...] = (), kernel: str = ""
) -> Parameters:
    """Parameters that skipped the security table."""
    native = _native_testing.without_security(ring_degree, list(primes), list(special), kernel)
    parameters = Parameters.__new__(Parameters)
    parameters._adopt(native, ring_degree, primes, special, "none")
    return parameters


@lru_cache(maxsize=256)
def chain(ring_degree: int, bits: tuple[int, ...]) -> tuple[int, ...]:
    """Distinct primes of these bit lengths, in this order."""
    found = {b: list(islice(ntt_primes(ring_degree, b), bits.count(b))) for b in set(bits)}
    return tuple(found[b].pop() for b in bits)


@lru_cache(maxsize=256)
def small_parameters(ring_degree: int, bits: tuple[int, ...], kernel: str = "") -> Parameters:
    """Unchecked parameters with primes of these bit lengths."""
    return unchecked(ring_degree, chain(ring_degree, bits), kernel=kernel)


@lru_cache(maxsize=256)
def switching_parameters(
    ring_degree: int, bits: tuple[int, ...], special_bits: tuple[int, ...], kernel: str = ""
) -> Parameters:
    """Unchecked parameters with data primes and larger special primes of these bit lengths."""
    primes = chain(ring_degree, bits + special_bits)
    return unchecked(ring_degree, primes[: len(bits)], primes[len(bits) :], kernel)


@st.composite
def switching_rings(draw: st.DrawFn) -> Parameters:
    """Very small rings over 1 to 5 data primes of 16 to 50 bits and 1 to 4 special primes, the
    first of which is larger than all data primes."""
    degree = draw(st.sampled_from([16, 16, 32, 64]))
    bits = draw(st.lists(st.integers(16, 50), min_size=1, max_size=5))
    first = draw(st.integers(max(bits), 50))
    others = draw(st.lists(st.integers(16, 50), max_size=3))
    return switching_parameters(degree, tuple(bits), (first, *others))


ring_degrees = st.sampled_from([16, 32, 64, 128, 256])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def small_rings(draw: st.DrawFn, *, least: int = 1, most: int = 4) -> Parameters:
    """Small rings over `least` to `most` primes of 16 to 50 bits, mixed."""
    degree = draw(ring_degrees)
    bits = draw(st.lists(st.integers(16, 50), min_size=least, max_size=most))
    return small_parameters(degree, tuple(bits))


def secret_coefficients(secret: SecretKey) -> list[int]:
    """The ternary coefficients of a secret key, read from its bytes."""
    return secret_from_bytes(secret.to_bytes()[32:])


def parts(ciphertext: Ciphertext) -> tuple[list[list[int]], list[list[int]]]:
    """Residues of both parts as Python integers."""
    c0, c1 = ciphertext.native.residues()
    return c0.tolist(), c1.tolist()


def integers(ciphertext: Ciphertext) -> tuple[list[int], list[int]]:
    """Both parts as polynomials with coefficients in [0, Q)."""
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    c0, c1 = parts(ciphertext)
    return from_residues(c0, primes), from_residues(c1, primes)


def key_rows(key: SwitchingKey) -> NDArray[np.uint64]:
    """The words of a key, shape (digits, 2, rows, N + 8), as the native header lays them out."""
    parameters = key.parameters
    rows = key.limbs + len(parameters.special_primes)
    return key.native.words.reshape(-1, 2, rows, parameters.ring_degree + 8)


def key_integers(key: SwitchingKey) -> list[tuple[list[int], list[int]]]:
    """For each digit of a key (b, a), with coefficients in [0, Q P).

    In long rings the engine's own transform is undone, which test_kernels holds to the slow one.
    """
    parameters = key.parameters
    n = parameters.ring_degree
    primes = parameters.primes[: key.limbs] + parameters.special_primes

    def coefficients(values: NDArray[np.uint64], prime: int) -> list[int]:
        if n > 128:
            words: list[int] = _native_testing.inverse_ntt("portable", values, prime).tolist()
            return words
        return inverse_transform(values.tolist(), prime)

    def polynomial(rows: NDArray[np.uint64]) -> list[int]:
        return from_residues(
            [coefficients(row[:n], q) for row, q in zip(rows, primes, strict=True)], primes
        )

    return [(polynomial(b), polynomial(a)) for b, a in key_rows(key)]


def residues(plaintext: Plaintext) -> list[list[int]]:
    """Residues of a plaintext as Python integers."""
    return plaintext.native.residues().tolist()


def message(
    parameters: Parameters, generator: np.random.Generator, limbs: int | None = None
) -> tuple[Plaintext, list[int]]:
    """A random plaintext at scale 1, so that its coefficients are exact integers; and these."""
    limbs = limbs or parameters.limbs
    largest = min(parameters.modulus(limbs) // 8, 2**52)
    integers = generator.integers(-largest, largest, parameters.ring_degree)
    plaintext = encode_coefficients(parameters, integers.astype(np.float64), Fraction(1), limbs)
    return plaintext, integers.tolist()


def ciphertext_bytes_by_hand(
    parameters: Parameters,
    c0: Sequence[Sequence[int]],
    c1: Sequence[Sequence[int]],
    scale: Fraction = Fraction(1),
    packing: int = 0,
) -> bytes:
    """The documented format, written without the engine."""
    numbers = [
        n.to_bytes((n.bit_length() + 7) // 8, "little")
        for n in (scale.numerator, scale.denominator)
    ]
    header = struct.pack(
        "<4sBBBB32sI", b"SRCK", 1, 1, len(c0), packing, parameters.digest, len(c0[0])
    )
    lengths = struct.pack("<HH", len(numbers[0]), len(numbers[1]))
    body = b"".join(
        pack(limb, prime.bit_length())
        for part in (c1, c0)
        for limb, prime in zip(part, parameters.primes, strict=False)
    )
    return header + lengths + b"".join(numbers) + body


def ciphertext_of(
    parameters: Parameters, c0: Sequence[int], c1: Sequence[int], limbs: int | None = None
) -> Ciphertext:
    """The ciphertext with these integer coefficients modulo the chain."""
    limbs = limbs or parameters.limbs
    primes = parameters.primes[:limbs]
    data = ciphertext_bytes_by_hand(parameters, to_residues(c0, primes), to_residues(c1, primes))
    return ciphertext_from_bytes(parameters, data, limbs=limbs)


def extreme_coefficients(
    generator: np.random.Generator, parameters: Parameters, limbs: int | None = None
) -> list[int]:
    """Integers modulo Q that break sloppy rounding: 0, Q - 1, Q / 2, halves of the primes."""
    limbs = limbs or parameters.limbs
    modulus = parameters.modulus(limbs)
    edges = [0, 1, modulus - 1, modulus // 2, modulus // 2 + 1]
    for prime in parameters.primes[:limbs]:
        edges += [prime // 2, prime // 2 + 1, modulus - prime // 2, modulus - prime // 2 - 1]
    picked = generator.integers(0, 2 * len(edges), parameters.ring_degree).tolist()
    wide = [int.from_bytes(generator.bytes(40), "little") % modulus for _ in picked]
    return [edges[k] if k < len(edges) else w for k, w in zip(picked, wide, strict=True)]


def extreme_residues(
    generator: np.random.Generator, prime: int, count: int
) -> dict[str, NDArray[np.uint64]]:
    """Vectors that break sloppy reductions: all 0, all q - 1, both mixed, near q / 2, random."""
    top = np.uint64(prime - 1)
    coins = generator.integers(0, 2, count, dtype=np.uint64)
    return {
        "zeros": np.zeros(count, dtype=np.uint64),
        "largest": np.full(count, top),
        "mixed": coins * top,
        "halves": np.uint64(prime // 2) + coins,
        "random": generator.integers(0, prime, count, dtype=np.uint64),
    }
