"""Operations on ciphertexts: residue by residue what the reference computes."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import (
    from_residues,
    modulo,
    negacyclic_product,
    plus,
    round_divide,
    to_residues,
)
from small_rings import (
    ciphertext_of,
    extreme_coefficients,
    message,
    parts,
    quickly,
    seeds,
    small_parameters,
    small_rings,
)

from strongroom import engine
from strongroom.engine import Ciphertext, Parameters, SecretKey


def in_both_forms(ciphertext: Ciphertext) -> tuple[Ciphertext, Ciphertext]:
    """The same ciphertext with its parts held as coefficients, and held as values."""
    one = engine.encode_coefficients(
        ciphertext.parameters, np.ones(1), Fraction(1), ciphertext.limbs
    )
    return ciphertext, engine.multiply_plain(ciphertext, one)


def polynomials(ciphertext: Ciphertext) -> list[list[int]]:
    """Both parts as integers modulo Q."""
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    return [from_residues(part, primes) for part in parts(ciphertext)]


def random_ciphertext(parameters: Parameters, seed: int) -> tuple[Ciphertext, list[list[int]]]:
    """Any two polynomials, edges among them; nobody's encryption."""
    generator = np.random.default_rng(seed)
    chosen = [extreme_coefficients(generator, parameters) for _ in range(2)]
    return ciphertext_of(parameters, *chosen), chosen


@quickly
@given(parameters=small_rings(), seed=seeds)
def test_sums_are_exact_in_either_form(parameters: Parameters, seed: int) -> None:
    primes = parameters.primes
    left, a = random_ciphertext(parameters, seed)
    right, b = random_ciphertext(parameters, seed + 1)
    expected = tuple(to_residues(plus(x, y), primes) for x, y in zip(a, b, strict=True))
    for x in in_both_forms(left):
        for y in in_both_forms(right):
            assert parts(engine.add(x, y)) == expected
    assert polynomials(left) == a
    assert polynomials(right) == b


@quickly
@given(parameters=small_rings(), seed=seeds)
def test_plaintext_sums_are_exact_in_either_form(parameters: Parameters, seed: int) -> None:
    ciphertext, (c0, c1) = random_ciphertext(parameters, seed)
    plaintext, integers = message(parameters, np.random.default_rng(seed))
    expected = tuple(to_residues(x, parameters.primes) for x in (plus(c0, integers), c1))
    for x in in_both_forms(ciphertext):
        assert parts(engine.add_plain(x, plaintext)) == expected
    plaintext = engine.prepare(plaintext)
    for x in in_both_forms(ciphertext):
        assert parts(engine.add_plain(x, plaintext)) == expected


@quickly
@given(parameters=small_rings(), seed=seeds, count=st.integers(0, 20))
def test_values_are_added_at_their_positions(parameters: Parameters, seed: int, count: int) -> None:
    ciphertext, (c0, c1) = random_ciphertext(parameters, seed)
    generator = np.random.default_rng(seed)
    # A position may come twice: both values count.
    positions = generator.integers(0, parameters.ring_degree, count).astype(np.uint32)
    integers = generator.integers(-4000, 4000, count)
    expected = list(c0)
    for p, x in zip(positions.tolist(), integers.tolist(), strict=True):
        expected[p] += x
    for x in in_both_forms(ciphertext):
        result = engine.add_at(x, positions, integers.astype(np.float64))
        assert polynomials(result) == [modulo(expected, parameters.modulus(parameters.limbs)), c1]


@quickly
@given(parameters=small_rings(), seed=seeds)
def test_plaintext_products_are_negacyclic_convolutions(parameters: Parameters, seed: int) -> None:
    ciphertext, chosen = random_ciphertext(parameters, seed)
    plaintext, integers = message(parameters, np.random.default_rng(seed))
    modulus = parameters.modulus(parameters.limbs)
    expected = [modulo(negacyclic_product(c, integers), modulus) for c in chosen]
    for x in in_both_forms(ciphertext):
        assert polynomials(engine.multiply_plain(x, plaintext)) == expected


@quickly
@given(parameters=small_rings(least=2), seed=seeds)
def test_a_longer_plaintext_multiplies_a_shorter_ciphertext(
    parameters: Parameters, seed: int
) -> None:
    ciphertext, _ = random_ciphertext(parameters, seed)
    short = engine.truncate(ciphertext, parameters.limbs - 1)
    # Its integers must be those of the shorter modulus too.
    plaintext, integers = message(parameters, np.random.default_rng(seed))
    modulus = parameters.modulus(parameters.limbs - 1)
    expected = [modulo(negacyclic_product(c, integers), modulus) for c in polynomials(short)]
    assert polynomials(engine.multiply_plain(short, plaintext)) == expected


@quickly
@given(parameters=small_rings(least=2, most=5), seed=seeds, data=st.data())
def test_rescaling_divides_and_rounds_every_coefficient(
    parameters: Parameters, seed: int, data: st.DataObject
) -> None:
    drop = data.draw(st.integers(1, parameters.limbs - 1))
    ciphertext, chosen = random_ciphertext(parameters, seed)
    scale = ciphertext.scale
    for part in chosen:
        # Edges of the first rounding: half of the last prime away from its multiples.
        p = parameters.primes[-1]
        part[0], part[1], part[2] = p * 7 + p // 2, p * 7 + p // 2 + 1, p * 9
    ciphertext = ciphertext_of(parameters, *chosen)
    for prime in reversed(parameters.primes[parameters.limbs - drop :]):
        chosen = [[round_divide(x, prime) for x in part] for part in chosen]
        scale /= prime
    left = parameters.limbs - drop
    for x in in_both_forms(ciphertext):
        result = engine.rescale(x, drop)
        assert result.limbs == left
        assert result.scale == scale
        assert polynomials(result) == [modulo(c, parameters.modulus(left)) for c in chosen]


@quickly
@given(parameters=small_rings(least=2), seed=seeds, data=st.data())
def test_truncation_keeps_the_first_residues(
    parameters: Parameters, seed: int, data: st.DataObject
) -> None:
    limbs = data.draw(st.integers(1, parameters.limbs))
    ciphertext, _ = random_ciphertext(parameters, seed)
    c0, c1 = parts(ciphertext)
    for x in in_both_forms(ciphertext):
        result = engine.truncate(x, limbs)
        assert result.limbs == limbs
        assert result.scale == ciphertext.scale
        assert parts(result) == (c0[:limbs], c1[:limbs])


def test_scales_multiply_and_divide_exactly() -> None:
    parameters = small_parameters(16, (50, 33, 31))
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, 8)
    scale = Fraction(3 * 2**30, 7)
    ciphertext = SecretKey.generate(parameters).encrypt(
        engine.encode_slots(parameters, values, scale, 3)
    )
    factor = Fraction(math.prod(parameters.primes[1:])) / scale
    product = engine.multiply_plain(ciphertext, engine.encode_slots(parameters, values, factor, 3))
    assert product.scale == scale * factor
    assert engine.rescale(product, 2).scale == 1
    assert product.seed is None


@pytest.mark.parametrize("kernel", engine.available_kernels())
@pytest.mark.parametrize("degree", [2**k for k in range(4, 14)])
def test_a_circuit_ends_in_its_message_and_noise_within_the_bound(degree: int, kernel: str) -> None:
    """Encrypt, multiply, rescale by a composite level, add: an inner product by coefficients."""
    parameters = small_parameters(degree, (50, 33, 31), kernel)
    secret = SecretKey.generate(parameters)
    key = secret.public_key(3)
    generator = np.random.default_rng(degree)
    row, weights = (generator.uniform(-1, 1, degree) for _ in range(2))
    scale, weight_scale = Fraction(2**40), Fraction(2**45)
    # Reversed and negated beyond the first: coefficient 0 of the product is the inner product.
    turned = np.concatenate([weights[:1], -weights[:0:-1]])
    plaintext = engine.encode_coefficients(parameters, turned, weight_scale, 3)
    for encrypt in (secret.encrypt, key.encrypt):
        ciphertext = encrypt(engine.encode_coefficients(parameters, row, scale, 3))
        product = engine.rescale(engine.multiply_plain(ciphertext, plaintext), 2)
        bias = engine.encode_coefficients(parameters, np.array([0.25]), product.scale, 1)
        result = engine.add_plain(product, bias)
        value = engine.decode(secret.decrypt_raw_do_not_publish(result))[0]
        # Noise of a public key times weights below 1, rounding of the two encodings, and of two
        # rescalings; each nine standard deviations.
        noise = 3.2 * math.sqrt(4 * degree / 3 + 1) * math.sqrt(degree / 3) / float(scale)
        encoding = math.sqrt(degree / 36) * (1 / float(scale) + 1 / float(weight_scale))
        rounding = math.sqrt((1 + 2 * degree / 3) / 12) * 1.001 / float(product.scale)
        assert abs(value - row @ weights - 0.25) <= 9 * (noise + encoding + rounding)


def test_operands_that_do_not_match_are_refused() -> None:
    parameters, others = small_parameters(16, (40, 41)), small_parameters(16, (42, 43))
    secret = SecretKey.generate(parameters)
    values = np.ones(4)

    def plain(scale: int, limbs: int = 2, of: Parameters = parameters) -> engine.Plaintext:
        return engine.encode_coefficients(of, values, Fraction(scale), limbs)

    slots = engine.encode_slots(parameters, values, Fraction(8), 2)
    ciphertext = secret.encrypt(plain(8))
    for refused in (
        lambda: engine.add(ciphertext, secret.encrypt(plain(16))),
        lambda: engine.add(ciphertext, secret.encrypt(plain(8, 1))),
        lambda: engine.add(ciphertext, secret.encrypt(slots)),
        lambda: engine.add_plain(ciphertext, plain(16)),
        lambda: engine.add_plain(ciphertext, plain(8, 1)),
        lambda: engine.add_plain(ciphertext, plain(8, of=others)),
        lambda: engine.add_plain(ciphertext, slots),
        lambda: engine.multiply_plain(ciphertext, plain(8, 1)),
        lambda: engine.multiply_plain(ciphertext, plain(8, of=others)),
        lambda: engine.multiply_plain(ciphertext, slots),
        lambda: engine.rescale(ciphertext, 0),
        lambda: engine.rescale(ciphertext, 2),
        lambda: engine.truncate(ciphertext, 0),
        lambda: engine.truncate(ciphertext, 3),
        lambda: engine.add_at(ciphertext, np.array([16], dtype=np.uint32), np.ones(1)),
        lambda: engine.add_at(ciphertext, np.array([1], dtype=np.uint32), np.ones(2)),
        lambda: engine.add_at(secret.encrypt(slots), np.array([1], dtype=np.uint32), np.ones(1)),
    ):
        with pytest.raises(ValueError):  # noqa: PT011  # seventeen ways, one error
            refused()
    assert parts(ciphertext) == parts(engine.truncate(ciphertext, 2))
