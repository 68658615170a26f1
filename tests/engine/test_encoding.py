"""Both packings against exact integers and against the canonical embedding by its definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import (
    centred,
    coefficients_of_slots,
    from_residues,
    slots,
    to_residues,
    transform,
)
from small_rings import (
    chain,
    ciphertext_of,
    extreme_coefficients,
    quickly,
    residues,
    ring_degrees,
    seeds,
    small_parameters,
    small_rings,
    unchecked,
)

from strongroom import _native_testing
from strongroom.engine import (
    Parameters,
    Plaintext,
    SecretKey,
    decode,
    encode_coefficients,
    encode_slots,
)

WIDE = (40, 45, 50)


@quickly
@given(parameters=small_rings(), seed=seeds, bits=st.integers(0, 60), count=st.integers(0, 16))
def test_coefficients_are_rounded_and_reduced_exactly(
    parameters: Parameters, seed: int, bits: int, count: int
) -> None:
    scale = Fraction(2 ** min(bits, int(parameters.log_modulus) - 6))
    values = np.random.default_rng(seed).uniform(-8, 8, count)
    plaintext = encode_coefficients(parameters, values, scale, parameters.limbs)
    # A double times a power of two is exact; ties go away from zero.
    exact = [Fraction(v) * scale for v in values.tolist()]
    integers = [math.floor(abs(x) + Fraction(1, 2)) * (1 if x > 0 else -1) for x in exact]
    expected = integers + [0] * (parameters.ring_degree - count)
    assert residues(plaintext) == to_residues(expected, parameters.primes)
    decoded = decode(plaintext)
    assert decoded.dtype == np.float64
    np.testing.assert_allclose(
        decoded, np.array([x / int(scale) for x in expected]), rtol=2**-48, atol=0
    )


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("exponent", [0, 1, 31, 51, 52, 53, 54, 63, 64, 65, 100, 133])
def test_residues_are_exact_for_doubles_of_any_size(sign: int, exponent: int) -> None:
    parameters = small_parameters(16, WIDE)
    value = sign * float(2**53 - 1) * 2.0 ** (exponent - 53)
    plaintext = encode_coefficients(parameters, np.array([value]), Fraction(1), 3)
    exact = sign * int(abs(value) + 0.5) if abs(value) < 2**52 else int(value)
    assert [row[0] for row in residues(plaintext)] == [exact % p for p in parameters.primes]
    assert decode(plaintext)[0] == pytest.approx(exact, rel=2**-48)


def test_halves_are_rounded_away_from_zero() -> None:
    below_half = math.nextafter(0.5, 0)
    values = [0.5, 1.5, 2.5, below_half, 1 - below_half, 2.0**51 + 0.5, 2.0**52 - 0.5, 2.0**52 + 1]
    expected = [1, 2, 3, 0, 1, 2**51 + 1, 2**52, 2**52 + 1]
    parameters = small_parameters(16, WIDE)
    plaintext = encode_coefficients(
        parameters, np.array(values + [-x for x in values]), Fraction(1), 3
    )
    rounded = expected + [-x for x in expected]
    assert residues(plaintext) == to_residues(rounded, parameters.primes)


@pytest.mark.parametrize("bits", [61, 62, 63, 70, 96, 97, 120, 250, 700, 1000])
def test_scales_far_beyond_a_word_are_exact(bits: int) -> None:
    # Large and small values together: each has its own place in a sum of words.
    parameters = small_parameters(64, (50,) * (bits // 50 + 2))
    generator = np.random.default_rng(bits)
    values = generator.uniform(-1, 1, 60) * 2.0 ** -generator.integers(0, bits + 3, 60)
    values[:6] = [1.0, -1.0, 0.0, 1 - 2.0**-53, 2.0**-bits, -(2.0 ** -(bits + 1))]
    plaintext = encode_coefficients(parameters, values, Fraction(2**bits), parameters.limbs)
    exact = [Fraction(v) * 2**bits for v in values.tolist()]
    integers = [math.floor(abs(x) + Fraction(1, 2)) * (1 if x > 0 else -1) for x in exact]
    assert residues(plaintext) == to_residues(integers + [0] * 4, parameters.primes)
    decoded = decode(plaintext)
    expected = [float(Fraction(x, 2**bits)) for x in integers]
    np.testing.assert_allclose(decoded[:60], expected, rtol=2**-50, atol=0)


def test_slots_at_a_scale_of_seventy_bits_keep_what_a_double_holds() -> None:
    parameters = small_parameters(256, (50,) * 3)
    generator = np.random.default_rng(70)
    values = generator.uniform(-1, 1, 128) + 1j * generator.uniform(-1, 1, 128)
    plaintext = encode_slots(parameters, values, Fraction(2**70), 3)
    assert (
        max(
            abs(x)
            for x in centred(
                from_residues(residues(plaintext), parameters.primes), parameters.modulus(3)
            )
        )
        > 2**66
    )
    np.testing.assert_allclose(decode(plaintext), values, rtol=0, atol=2**-50)


@quickly
@given(degree=ring_degrees, seed=seeds, slot_packing=st.booleans(), bits=st.sampled_from([30, 70]))
def test_plaintexts_come_transformed_and_over_special_primes_where_asked(
    degree: int, seed: int, slot_packing: bool, bits: int
) -> None:
    primes = chain(degree, (50, 33, 31, 45, 40))
    parameters = unchecked(degree, primes[:3], primes[3:])
    values = np.random.default_rng(seed).uniform(-1, 1, degree // 2)
    encode = encode_slots if slot_packing else encode_coefficients

    def rows(limbs: int, transformed: bool, extended: bool) -> list[list[int]]:
        plaintext = encode(
            parameters, values, Fraction(2**bits), limbs, transformed=transformed, extended=extended
        )
        assert plaintext.limbs == limbs
        return _native_testing.rows_as_they_lie(plaintext.native).tolist()

    for limbs in (2, 3):
        integers = centred(from_residues(rows(3, False, False), primes[:3]), math.prod(primes[:3]))
        for extended in (False, True):
            over = primes[:limbs] + (primes[3:] if extended else ())
            expected = to_residues(integers, over)
            assert rows(limbs, False, extended) == expected
            assert rows(limbs, True, extended) == [
                transform(row, prime) for row, prime in zip(expected, over, strict=True)
            ]


@quickly
@given(degree=ring_degrees, seed=seeds)
def test_decoding_takes_any_form_and_ignores_special_primes(degree: int, seed: int) -> None:
    primes = chain(degree, (45, 40, 50))
    parameters = unchecked(degree, primes[:2], primes[2:])
    values = np.random.default_rng(seed).uniform(-1, 1, degree // 2)
    for encode in (encode_slots, encode_coefficients):
        plain = encode(parameters, values, Fraction(2**40), 2)
        for transformed, extended in ((True, False), (False, True), (True, True)):
            other = encode(
                parameters, values, Fraction(2**40), 2, transformed=transformed, extended=extended
            )
            np.testing.assert_array_equal(decode(other), decode(plain))
            # Decoding leaves what it reads as it was.
            np.testing.assert_array_equal(decode(other), decode(plain))


def test_real_values_are_complex_values_without_imaginary_parts() -> None:
    parameters = small_parameters(128, WIDE)
    values = np.random.default_rng(5).uniform(-1, 1, 50)
    real, complex_, strided, single = (
        encode_slots(parameters, x, Fraction(2**40), 3)
        for x in (values, values + 0j, np.repeat(values, 2)[::2], values.astype(np.float32))
    )
    assert residues(real) == residues(complex_) == residues(strided)
    np.testing.assert_allclose(decode(single)[:50], values, atol=2**-23)


@quickly
@given(degree=ring_degrees, seed=seeds, full=st.booleans())
def test_slots_are_the_values_at_the_powers_of_five(degree: int, seed: int, full: bool) -> None:
    parameters = small_parameters(degree, WIDE)
    generator = np.random.default_rng(seed)
    count = degree // 2 if full else int(generator.integers(0, degree // 2))
    values = generator.uniform(-1, 1, count) + 1j * generator.uniform(-1, 1, count)
    scale = Fraction(2**40)
    plaintext = encode_slots(parameters, values, scale, 3)
    integers = centred(from_residues(residues(plaintext), parameters.primes), parameters.modulus(3))
    # Rounding is off by one half; double arithmetic on 2^40 by far less than 2^-6.
    for x, exact in zip(integers, coefficients_of_slots(values.tolist(), degree), strict=True):
        assert abs(x - exact * 2**40) <= 0.5 + 2**-6
    decoded = decode(plaintext)
    assert decoded.dtype == np.complex128
    direct = slots([x / 2**40 for x in integers])
    np.testing.assert_allclose(decoded, direct, atol=2**-44)
    # N coefficients, each off by at most 1/2 (and less than 1/2 + 2^-6).
    expected = np.concatenate([values, np.zeros(degree // 2 - count)])
    assert np.max(np.abs(decoded - expected)) <= 0.51 * degree / 2**40


@quickly
@given(degree=ring_degrees, seed=seeds)
def test_the_constant_coefficient_is_the_mean_of_the_slots(degree: int, seed: int) -> None:
    parameters = small_parameters(degree, WIDE)
    values = np.random.default_rng(seed).uniform(-1, 1, degree // 2)
    plaintext = encode_slots(parameters, values, Fraction(2**40), 3)
    as_coefficients = Plaintext(plaintext.native, parameters, plaintext.scale, "coefficients")
    assert decode(as_coefficients)[0] == pytest.approx(values.mean(), abs=2**-39)


@quickly
@given(parameters=small_rings(most=6), seed=seeds)
def test_decoding_centres_around_half_of_the_modulus(parameters: Parameters, seed: int) -> None:
    # A ciphertext whose second part is zero opens to its first, whatever that is: both sides of
    # half of the modulus, and everything between.
    modulus = parameters.modulus(parameters.limbs)
    generator = np.random.default_rng(seed)
    chosen = extreme_coefficients(generator, parameters)
    chosen[:4] = [modulus // 2, modulus // 2 + 1, modulus - 1, modulus // 2 - 1]
    ciphertext = ciphertext_of(parameters, chosen, [0] * parameters.ring_degree)
    opened = SecretKey.generate(parameters).decrypt_raw_do_not_publish(ciphertext)
    expected = [float(x) for x in centred(chosen, modulus)]
    np.testing.assert_allclose(decode(opened), expected, rtol=2**-47, atol=0)
    scaled = Plaintext(opened.native, parameters, Fraction(3, 7), "coefficients")
    np.testing.assert_allclose(decode(scaled), np.array(expected) * 7 / 3, rtol=2**-47, atol=0)


@pytest.mark.parametrize("bits", [(50,) * 21, (20,) * 40, (50, 17, 45, 16, 50, 33) * 4])
def test_long_chains_decode_to_the_nearest_doubles_almost(bits: tuple[int, ...]) -> None:
    parameters = small_parameters(128, bits)
    modulus = parameters.modulus(parameters.limbs)
    generator = np.random.default_rng(len(bits))
    # Of every size, and next to all edges of the digits.
    chosen = [modulus // 2, modulus // 2 + 1, modulus - 1, 1, 0, 2**52, 2**53 - 1]
    product = 1
    for prime in reversed(parameters.primes):
        product *= prime
        chosen += [x for p in (product, modulus - product) for x in (p // 2, p // 2 + 1)]
    while len(chosen) < 128:
        size = int(generator.integers(1, modulus.bit_length()))
        x = int.from_bytes(generator.bytes(160), "little") % 2**size
        chosen.append(x if generator.integers(2) else modulus - x)
    chosen = [x % modulus for x in chosen[:128]]
    ciphertext = ciphertext_of(parameters, chosen, [0] * 128)
    opened = SecretKey.generate(parameters).decrypt_raw_do_not_publish(ciphertext)
    exact = centred(chosen, modulus)
    if abs(max(exact, key=abs)) < 2**1023:
        np.testing.assert_allclose(decode(opened), [float(x) for x in exact], rtol=2**-50, atol=0)
    scale = Fraction(3 * 2 ** (modulus.bit_length() // 2))
    scaled = Plaintext(opened.native, parameters, scale, "coefficients")
    expected = [float(x / scale) for x in exact]
    np.testing.assert_allclose(decode(scaled), expected, rtol=2**-50, atol=0)


def test_a_value_that_reaches_half_of_the_modulus_is_refused() -> None:
    parameters = small_parameters(16, (20, 21))
    half = parameters.modulus(1) / 2
    encode_coefficients(parameters, np.array([0.999 * half]), Fraction(1), 1)
    for value in (half, -half, 4 * half, 1e300):
        with pytest.raises(ValueError, match="half of the modulus"):
            encode_coefficients(parameters, np.array([value]), Fraction(1), 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    parameters = small_parameters(16, (40,))
    with pytest.raises(ValueError, match="not finite"):
        encode_coefficients(parameters, np.array([0.0, value]), Fraction(1), 1)
    with pytest.raises(ValueError, match="not finite"):
        encode_slots(parameters, np.array([0.0, value]), Fraction(1), 1)
    with pytest.raises(ValueError, match="not finite"):
        encode_slots(parameters, np.array([1j * value]), Fraction(1), 1)


def test_a_scale_must_be_positive() -> None:
    # A negative one passes under the bound on values, which looks at value times scale.
    parameters = small_parameters(16, (20,))
    for scale in (Fraction(-(2**40)), Fraction(0)):
        with pytest.raises(ValueError):  # noqa: PT011  # the message is the engine's to choose
            encode_coefficients(parameters, np.array([1.0]), scale, 1)


def test_too_many_values_and_impossible_levels_are_refused() -> None:
    parameters = small_parameters(16, (20, 21))
    with pytest.raises(ValueError, match="more values than coefficients"):
        encode_coefficients(parameters, np.zeros(17), Fraction(1), 1)
    with pytest.raises(ValueError, match="more values than slots"):
        encode_slots(parameters, np.zeros(9), Fraction(1), 1)
    for limbs in (0, 3, 2**40):
        with pytest.raises(ValueError, match="limbs"):
            encode_coefficients(parameters, np.zeros(1), Fraction(1), limbs)


def test_the_longest_chains_decode() -> None:
    # The table allows 3523 bits at N = 2^17: more than the exponent of a double holds.
    parameters = small_parameters(16, (50,) * 25)
    values = np.array([1.0, -2.5, 3e5, 0.0])
    plaintext = encode_coefficients(parameters, values, Fraction(2**30), 25)
    np.testing.assert_array_equal(decode(plaintext)[:4], values)
