"""Kernels against each other and against the reference, bit for bit.

Where a processor runs one kernel only, that one is still compared with the reference; the names of
the tests say which kernels took part.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from slow_reference import bit_reverse, chacha20, evaluate, is_prime, ntt_primes, transform
from small_rings import extreme_residues, quickly, ring_degrees, seeds

from strongroom import _native_testing
from strongroom.engine import available_kernels

Words = NDArray[np.uint64]
KERNELS = available_kernels()
EVERY_DEGREE = [2**k for k in range(4, 18)]
# 46 and 47: where the vector kernels change from lazy to frequent reductions.
BITS = (16, 17, 20, 25, 31, 32, 33, 40, 46, 47, 49, 50)
together = pytest.mark.parametrize("kernels", [KERNELS], ids=["+".join((*KERNELS, "reference"))])
every_kernel = pytest.mark.parametrize("kernel", KERNELS)

POINTWISE = (
    "add",
    "subtract",
    "multiply",
    "multiply_add",
    "dot",
    "subtract_scale",
)


def edge_primes(ring_degree: int) -> list[int]:
    """The smallest and the largest prime of each bit length that has any for this degree."""
    found = (
        next(ntt_primes(ring_degree, bits, smallest_first=first), None)
        for bits in BITS
        for first in (True, False)
    )
    return sorted({prime for prime in found if prime is not None})


def large_and_small_primes(ring_degree: int) -> list[int]:
    """A selection of those, for work that takes long."""
    primes = edge_primes(ring_degree)
    return sorted({*primes[:2], *primes[len(primes) // 2 :: 4], *primes[-2:]})


def agreed(results: list[Words]) -> Words:
    """The one result of all kernels."""
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
    return results[0]


def test_the_portable_kernel_runs_everywhere() -> None:
    assert KERNELS[-1] == "portable"


@every_kernel
@quickly
@given(degree=ring_degrees, bits=st.integers(16, 50), seed=seeds)
def test_the_transform_evaluates_at_odd_powers_of_the_smallest_root_in_bit_reversed_order(
    kernel: str, degree: int, bits: int, seed: int
) -> None:
    prime = next(ntt_primes(degree, bits))
    x = np.random.default_rng(seed).integers(0, prime, degree, dtype=np.uint64)
    values = _native_testing.forward_ntt(kernel, x, prime)
    assert values.tolist() == transform(x.tolist(), prime)
    assert _native_testing.inverse_ntt(kernel, values, prime).tolist() == x.tolist()


@together
@pytest.mark.parametrize("degree", EVERY_DEGREE)
def test_transforms_agree_at_every_ring_degree(kernels: tuple[str, ...], degree: int) -> None:
    generator = np.random.default_rng(degree)
    bits = degree.bit_length() - 1
    primes = edge_primes(degree) if degree <= 2**12 else large_and_small_primes(degree)
    assert len(primes) >= 6
    for prime in primes:
        root = _native_testing.primitive_root(2 * degree, prime)
        assert pow(root, degree, prime) == prime - 1
        for name, x in extreme_residues(generator, prime, degree).items():
            values = agreed([_native_testing.forward_ntt(k, x, prime) for k in kernels])
            again = agreed([_native_testing.inverse_ntt(k, values, prime) for k in kernels])
            np.testing.assert_array_equal(again, x, err_msg=f"{name} modulo {prime}")
            # The inverse of an arbitrary vector, not only of a transform of a tame one.
            backwards = agreed([_native_testing.inverse_ntt(k, x, prime) for k in kernels])
            forwards = agreed([_native_testing.forward_ntt(k, backwards, prime) for k in kernels])
            np.testing.assert_array_equal(forwards, x, err_msg=f"{name} modulo {prime}")
        k = int(generator.integers(degree))
        point = pow(root, 2 * bit_reverse(k, bits) + 1, prime)
        assert int(values[k]) == evaluate(x.tolist(), point, prime)


def exact(
    operation: str,
    out: NDArray[np.uint64],
    a: NDArray[np.uint64],
    b: NDArray[np.uint64],
    prime: int,
) -> list[int]:
    """A pointwise operation in Python integers."""
    o, x, y = (v.astype(object) for v in (out, a, b))
    result = {
        "add": lambda: x + y,
        "subtract": lambda: x - y,
        "multiply": lambda: x * y,
        "multiply_add": lambda: o + x * y,
        "dot": lambda: np.concatenate([[np.dot(x, y)], o[1:]]),
        "subtract_scale": lambda: (x - y) * o[0],
    }[operation]()
    return (result % prime).tolist()


@together
@pytest.mark.parametrize("operation", POINTWISE)
def test_pointwise_operations_agree_on_every_pair_of_extremes(
    kernels: tuple[str, ...], operation: str
) -> None:
    generator = np.random.default_rng(len(operation))
    for prime in (97, 193, 7681, *edge_primes(16), *edge_primes(2**13)):
        edges = extreme_residues(generator, prime, 24)
        for a in edges.values():
            for b in edges.values():
                for out in edges.values():
                    results = [
                        _native_testing.pointwise(k, operation, out, a, b, prime) for k in kernels
                    ]
                    assert agreed(results).tolist() == exact(operation, out, a, b, prime)


@together
def test_products_are_reduced_fully_where_the_quotient_is_most_wrong(
    kernels: tuple[str, ...],
) -> None:
    # Barrett's constant floor(2^100 / q) loses most where the fraction of 2^100 / q is near one,
    # and that counts most for factors near q: there the remainder before correction reaches 2q.
    # (2^50 - d divides 2^100 with a remainder of d^2, which is just below q for d near 2^25.)
    candidates = (q for q in range(2**50 - 2**25 + 1, 2**50, 32) if is_prime(q))
    primes = [q for q in islice(candidates, 20) if (2**100 % q) / q > 0.98]
    assert len(primes) >= 10
    generator = np.random.default_rng(4)
    corrected_twice = 0
    for prime in primes:
        a, b = (
            np.uint64(prime - 1) - generator.integers(0, prime // 100, 4096, dtype=np.uint64)
            for _ in range(2)
        )
        for x, y in zip(a[:512].tolist(), b[:512].tolist(), strict=True):
            quotient = ((x * y >> 48) * (2**100 // prime)) >> 52
            corrected_twice += x * y - quotient * prime >= 2 * prime
        for operation in ("multiply", "multiply_add"):
            results = [_native_testing.pointwise(k, operation, a, a, b, prime) for k in kernels]
            assert agreed(results).tolist() == exact(operation, a, a, b, prime)
    assert corrected_twice > 0


@together
@pytest.mark.parametrize("degree", EVERY_DEGREE)
def test_pointwise_operations_agree_at_every_ring_degree(
    kernels: tuple[str, ...], degree: int
) -> None:
    generator = np.random.default_rng(degree)
    for prime in (edge_primes(degree)[0], edge_primes(degree)[-1]):
        out, a, b = (generator.integers(0, prime, degree, dtype=np.uint64) for _ in range(3))
        for operation in POINTWISE:
            results = [_native_testing.pointwise(k, operation, out, a, b, prime) for k in kernels]
            assert agreed(results).tolist() == exact(operation, out, a, b, prime)


@together
def test_the_subtracted_word_may_be_any_below_2_to_the_51(kernels: tuple[str, ...]) -> None:
    generator = np.random.default_rng(51)
    for prime in (97, *edge_primes(16)):
        multiples = generator.integers(0, 2**51 // prime, 64, dtype=np.uint64) * np.uint64(prime)
        words = np.concatenate(
            [
                np.array([0, 1, prime - 1, prime, 2**51 - 1, 2**51 - 2, 2**50, 2**50 - 1]),
                multiples,
                np.minimum(multiples + np.uint64(prime - 1), np.uint64(2**51 - 1)),
                generator.integers(0, 2**51, 64),
            ]
        ).astype(np.uint64)
        a = generator.integers(0, prime, len(words), dtype=np.uint64)
        out = np.full(len(words), prime - 1, dtype=np.uint64)
        results = [
            _native_testing.pointwise(k, "subtract_scale", out, a, words, prime) for k in kernels
        ]
        assert agreed(results).tolist() == exact("subtract_scale", out, a, words, prime)


def rows(
    generator: np.random.Generator, prime: int, count: int, n: int
) -> dict[str, NDArray[np.uint64]]:
    """Extreme vectors, `count` rows of n each."""
    edges = extreme_residues(generator, prime, count * n)
    return {name: edge.reshape(count, n) for name, edge in edges.items()}


def exact_sum(a: Words, b: Words, prime: int) -> list[int]:
    """The sum over rows of a b in Python integers."""
    return ((a.astype(object) * b.astype(object)).sum(axis=0) % prime).tolist()


@together
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 15, 16, 40, 300])
def test_sums_of_products_agree_for_few_and_for_many_terms(
    kernels: tuple[str, ...], count: int
) -> None:
    generator = np.random.default_rng(count)
    for prime in (97, 7681, *edge_primes(2**13)):
        edges = rows(generator, prime, count, 24)
        for names in (
            ("largest", "largest"),
            ("largest", "halves"),
            ("mixed", "mixed"),
            ("random", "random"),
            ("random", "zeros"),
        ):
            a, b = (edges[name] for name in names)
            results = [_native_testing.sum_products(k, a, b, prime) for k in kernels]
            assert agreed(results).tolist() == exact_sum(a, b, prime), (names, prime)


@together
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 9])
def test_products_with_both_halves_of_a_key_agree(kernels: tuple[str, ...], count: int) -> None:
    generator = np.random.default_rng(count)
    for prime in (97, *large_and_small_primes(2**13)):
        for name, digits in rows(generator, prime, count, 16).items():
            halves = [rows(generator, prime, count, 16)[name] for _ in range(2)]
            plus = [rows(generator, prime, 1, 16)[name][0] for _ in range(2)]
            factor = int(generator.choice([0, prime - 1, int(generator.integers(prime))]))
            for added in ((False, False), (True, False), (False, True), (True, True)):
                given_plus = [p if there else None for p, there in zip(plus, added, strict=True)]
                results = [
                    _native_testing.multiply_key(k, digits, *halves, *given_plus, factor, prime)
                    for k in kernels
                ]
                for i, (half, more) in enumerate(zip(halves, given_plus, strict=True)):
                    expected = exact_sum(digits, half, prime)
                    if more is not None:
                        expected = [
                            (e + int(p) * factor) % prime
                            for e, p in zip(expected, more, strict=True)
                        ]
                    assert agreed([r[i] for r in results]).tolist() == expected


def words_to_the_bound(generator: np.random.Generator, count: int, n: int) -> list[Words]:
    """Rows of words below 2^50 whose largest add up to 2^53 or, of few, nearly to `count` 2^50:
    all rows alike, all that there may be in the first rows, and random words below such bounds."""
    most = 2**50 - 1
    alike = [min(most, 2**53 // count)] * count
    uneven: list[int] = []
    for left in range(count, 0, -1):
        uneven.append(min(most, 2**53 - sum(uneven) - (left - 1)))
    tops = [np.array(tops, dtype=np.uint64)[:, None] for tops in (alike, uneven)]
    full = [np.repeat(top, n, axis=1) for top in tops]
    random = [generator.integers(0, top, (count, n), np.uint64, endpoint=True) for top in tops]
    return [*full, *random]


@together
@pytest.mark.parametrize("count", range(1, 17))
def test_combinations_of_words_agree_to_the_bound_on_the_words(
    kernels: tuple[str, ...], count: int
) -> None:
    generator = np.random.default_rng(count)
    for prime in (97, *large_and_small_primes(2**13)):
        edges = rows(generator, prime, 1, count)
        # Half of them where a centred factor changes its sign.
        for factors in (edge[0] for edge in edges.values()):
            offset = int(generator.choice([0, prime // 2, prime // 2 + 1, prime - 1]))
            scaled = (factors.astype(object) * 2**52 % prime).astype(np.uint64)
            for x in words_to_the_bound(generator, count, 8):
                results = [_native_testing.combine(k, x, scaled, offset, prime) for k in kernels]
                expected = (x.astype(object) * factors.astype(object)[:, None]).sum(axis=0)
                assert agreed(results).tolist() == ((expected + offset) % prime).tolist()


@together
@pytest.mark.parametrize("degree", EVERY_DEGREE)
def test_sums_and_combinations_agree_at_every_ring_degree(
    kernels: tuple[str, ...], degree: int
) -> None:
    generator = np.random.default_rng(degree)
    for prime in (edge_primes(degree)[0], edge_primes(degree)[-1]):
        a, b = (generator.integers(0, prime, (3, degree), dtype=np.uint64) for _ in range(2))
        results = [_native_testing.sum_products(k, a, b, prime) for k in kernels]
        assert agreed(results).tolist() == exact_sum(a, b, prime)
        factors = generator.integers(0, prime, 3, dtype=np.uint64)
        scaled = (factors.astype(object) * 2**52 % prime).astype(np.uint64)
        x = generator.integers(0, 2**50, (3, degree), dtype=np.uint64)
        results = [_native_testing.combine(k, x, scaled, prime - 1, prime) for k in kernels]
        expected = exact_sum(x, np.repeat(factors[:, None], degree, axis=1), prime)
        assert agreed(results).tolist() == [(e + prime - 1) % prime for e in expected]


def with_powers(x: Words, element: int, prime: int) -> Words:
    """The polynomial at X^element, from coefficients: X^i becomes X^(i element), X^N being -1."""
    exponents = np.arange(len(x)) * element % (2 * len(x))
    result = np.empty_like(x)
    negative = (np.uint64(prime) - x) % np.uint64(prime)
    result[exponents % len(x)] = np.where(exponents < len(x), x, negative)
    return result


@together
@pytest.mark.parametrize("degree", [16, 32, 64])
def test_every_automorphism_of_a_small_ring_puts_powers_of_x_for_x(
    kernels: tuple[str, ...], degree: int
) -> None:
    prime = next(ntt_primes(degree, 20))
    x = np.random.default_rng(degree).integers(0, prime, degree, dtype=np.uint64)
    values = np.array(transform(x.tolist(), prime), dtype=np.uint64)
    for element in range(1, 2 * degree, 2):
        results = [_native_testing.permute(k, values, element) for k in kernels]
        expected = transform(with_powers(x, element, prime).tolist(), prime)
        assert agreed(results).tolist() == expected


@together
@pytest.mark.parametrize("degree", EVERY_DEGREE)
def test_automorphisms_agree_at_every_ring_degree(kernels: tuple[str, ...], degree: int) -> None:
    generator = np.random.default_rng(degree)
    prime = next(ntt_primes(degree, 50))
    x = generator.integers(0, prime, degree, dtype=np.uint64)
    values = _native_testing.forward_ntt(KERNELS[0], x, prime)
    odd = (2 * generator.integers(0, degree, 8) + 1).tolist()
    for element in (1, 5, 2 * degree - 1, degree - 1, degree + 1, *odd):
        results = [_native_testing.permute(k, values, element) for k in kernels]
        expected = _native_testing.forward_ntt(KERNELS[0], with_powers(x, element, prime), prime)
        np.testing.assert_array_equal(agreed(results), expected)


@together
@pytest.mark.parametrize("degree", EVERY_DEGREE)
def test_residues_of_signed_integers_agree_at_every_ring_degree(
    kernels: tuple[str, ...], degree: int
) -> None:
    generator = np.random.default_rng(degree)
    for prime in (97, *large_and_small_primes(degree)):
        x = generator.integers(-(2**63), 2**63, degree, dtype=np.int64)
        multiples = generator.integers(-(2**62) // prime, 2**62 // prime, 8) * prime
        powers = [0, *(s * 2**k for k in (31, 32, 50, 51, 52, 53, 62) for s in (-1, 1))]
        edges = np.concatenate(
            [
                np.array([-(2**63), -(2**63) + 1, 2**63 - 1, 2**63 - 2, -prime, prime]),
                *(np.array([-1, 0, 1]) + p for p in powers),
                *(multiples + d for d in (-1, 0, 1)),
            ]
        )
        edges = edges[generator.permutation(len(edges))][:degree]
        x[: len(edges)] = edges
        results = [_native_testing.reduce_integers(k, x, prime) for k in kernels]
        assert agreed(results).tolist() == (x.astype(object) % prime).tolist()


@every_kernel
@quickly
@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=12, max_size=12),
    counter=st.one_of(st.integers(0, 2**32 - 1), st.sampled_from([2**32 - 1, 2**32 - 16])),
    blocks=st.integers(1, 35),
)
def test_chacha20_is_that_of_the_reference(
    kernel: str, key: bytes, nonce: bytes, counter: int, blocks: int
) -> None:
    k, n = (np.frombuffer(x, dtype=np.uint8) for x in (key, nonce))
    assert _native_testing.chacha20(kernel, k, n, counter, blocks) == chacha20(
        key, nonce, counter, blocks
    )


@together
def test_gaussian_samples_agree(kernels: tuple[str, ...]) -> None:
    words = np.random.default_rng(3).integers(0, 2**64, 2**16, dtype=np.uint64)
    words[:16] = [0, 1, 2**64 - 1, 2**64 - 2, 2**63, 2**63 - 1, *range(10)]
    samples = [_native_testing.gaussian(k, words) for k in kernels]
    for other in samples:
        np.testing.assert_array_equal(samples[0], other)
    assert samples[0][:4].tolist() == [29, -29, 0, 0]


@together
@pytest.mark.parametrize("count", [4094, 4095, 4096, 4097, 9000])
def test_thousands_of_products_add_up(kernels: tuple[str, ...], count: int) -> None:
    # Lower halves of products are summed in words; these are 2^52 - 1, whose sums are largest.
    generator = np.random.default_rng(count)
    for bits in (20, 30, 45):
        prime = next(ntt_primes(16, bits))
        a = generator.integers(0, prime, (count, 8), dtype=np.uint64)
        b = generator.integers(0, prime, (count, 8), dtype=np.uint64)
        if bits == 45:
            x = next(x for x in range(prime - 2, 1, -2) if -pow(x, -1, 2**52) % 2**52 < prime)
            a[:, :4], b[:, :4] = x, -pow(x, -1, 2**52) % 2**52
            assert int(a[0, 0]) * int(b[0, 0]) % 2**52 == 2**52 - 1
        results = [_native_testing.sum_products(k, a, b, prime) for k in kernels]
        expected = (a.astype(object) * b.astype(object)).sum(axis=0) % prime
        assert agreed(results).tolist() == expected.tolist()
