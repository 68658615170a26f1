"""What encoding asks of kernels: the same doubles and the same residues from all of them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from slow_reference import ntt_primes
from small_rings import chain, small_parameters

from strongroom import _native_testing
from strongroom.engine import available_kernels, decode, encode_coefficients, encode_slots

KERNELS = available_kernels()
every_kernel = pytest.mark.parametrize("kernel", KERNELS)
together = pytest.mark.parametrize("kernels", [KERNELS], ids=["+".join((*KERNELS, "reference"))])


def bits_of(values: NDArray[np.float64] | NDArray[np.complex128]) -> NDArray[np.uint64]:
    """The words that doubles are, so that equality is that of bits."""
    return np.ascontiguousarray(values).view(np.uint64)


def random_slots(slots: int, seed: int) -> NDArray[np.complex128]:
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, slots) + 1j * generator.uniform(-1, 1, slots)


def value_at(values: NDArray[np.complex128], slot: int) -> complex:
    """The polynomial with coefficients Re x_k at k and Im x_k at k + N/2, at zeta^(5^slot).

    There zeta^(N/2) is i. Angles are brought below a turn as integers.
    """
    slots = len(values)
    turn = 4 * slots
    exponents = pow(5, slot, turn) * np.arange(slots) % turn
    angles = 2 * math.pi * exponents / turn
    products = values * (np.cos(angles) + 1j * np.sin(angles))
    return complex(math.fsum(products.real), math.fsum(products.imag))


@together
@pytest.mark.parametrize("log_degree", range(3, 18))
def test_embeddings_agree_bit_for_bit_and_are_the_definition(
    kernels: tuple[str, ...], log_degree: int
) -> None:
    slots = 2 ** (log_degree - 1)
    values = random_slots(slots, log_degree)
    results = {}
    for to_slots in (True, False):
        outputs = [
            _native_testing.embed(k, values.real.copy(), values.imag.copy(), to_slots)
            for k in kernels
        ]
        for real, imaginary in outputs[1:]:
            np.testing.assert_array_equal(bits_of(outputs[0][0]), bits_of(real))
            np.testing.assert_array_equal(bits_of(outputs[0][1]), bits_of(imaginary))
        results[to_slots] = outputs[0][0] + 1j * outputs[0][1]
    # Errors grow with the square root of the number of stages, and sums with that of the slots.
    tolerance = 2**-51 * math.sqrt(slots)
    generator = np.random.default_rng(slots)
    for slot in {0, 1, slots - 1, *generator.integers(0, slots, 8).tolist()}:
        assert abs(results[True][slot] - value_at(values, slot)) <= 4 * tolerance
        assert abs(values[slot] - value_at(results[False], slot)) <= 4 * tolerance


@together
def test_residues_of_words_agree_and_are_exact(kernels: tuple[str, ...]) -> None:
    generator = np.random.default_rng(64)
    primes = {
        next(ntt_primes(16, b, smallest_first=f)) for b in range(8, 51) for f in (True, False)
    }
    for prime in (97, 193, *primes):
        sizes = generator.integers(1, 64, 400)
        words = [
            int(w) >> int(64 - s)
            for w, s in zip(generator.integers(-(2**63), 2**63 - 1, 400), sizes, strict=True)
        ]
        multiples = [(w // prime) * prime + d for w in words[:96] for d in (-1, 0, 1)]
        edges = [0, 1, -1, prime, -prime, 2**51, 2**51 - 1, -(2**51), 2**63 - 1, -(2**63), 2**62]
        chosen = [x for x in (*edges, *multiples, *words) if -(2**63) <= x < 2**63]
        x = np.array(chosen[: len(chosen) // 8 * 8], dtype=np.int64)
        expected = [int(v) % prime for v in x]
        for kernel in kernels:
            assert _native_testing.reduce_integers(kernel, x, prime).tolist() == expected


@together
@pytest.mark.parametrize("log_degree", range(12, 17))
@pytest.mark.parametrize("scale_bits", [40, 70])
def test_plaintexts_agree_bit_for_bit_there_and_back(
    kernels: tuple[str, ...], log_degree: int, scale_bits: int
) -> None:
    degree = 2**log_degree
    values = random_slots(degree // 2, log_degree)
    row = values.real.repeat(2)
    scale = Fraction(2**scale_bits)
    first = None
    for kernel in kernels:
        parameters = small_parameters(degree, (50, 31, 43), kernel)
        assert parameters.kernel == kernel
        slots = encode_slots(parameters, values, scale, 3)
        coefficients = encode_coefficients(parameters, row, scale, 3, transformed=True)
        results = [
            _native_testing.rows_as_they_lie(slots.native),
            _native_testing.rows_as_they_lie(coefficients.native),
            bits_of(decode(slots)),
            bits_of(decode(coefficients)),
        ]
        first = first or results
        for ours, theirs in zip(first, results, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_allclose(decode(slots), values, atol=degree * 2.0 ** -min(scale_bits, 50))


@every_kernel
def test_small_messages_in_long_chains_are_found_exactly(kernel: str) -> None:
    # Twenty primes, more than one sum of products takes.
    degree = 2**12
    parameters = small_parameters(degree, (50,) * 12 + (44,) * 8, kernel)
    assert len(set(chain(degree, (50,) * 12 + (44,) * 8))) == 20
    integers = np.random.default_rng(20).integers(-(2**52), 2**52, degree).astype(np.float64)
    for limbs in (1, 2, 8, 9, 16, 17, 20):
        largest = min(2**52, parameters.modulus(limbs) // 2 - 1)
        message = np.clip(integers, -largest, largest)
        plaintext = encode_coefficients(parameters, message, Fraction(1), limbs)
        np.testing.assert_array_equal(decode(plaintext), message)
