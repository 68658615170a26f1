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
)
from small_rings import (
    ciphertext_of,
    extreme_coefficients,
    quickly,
    residues,
    ring_degrees,
    seeds,
    small_parameters,
    small_rings,
)

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
