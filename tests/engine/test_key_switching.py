"""Switching keys and what they compute, against big integers: bit for bit, at every level.

Ciphertexts are arbitrary pairs of polynomials here, with coefficients that break sloppy rounding;
that they decrypt to something is the business of test_evaluator.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from exact_evaluation import Exact, random_ciphertext
from hypothesis import example, given
from slow_reference import (
    Polynomial,
    automorphism,
    centred,
    divide,
    negacyclic_product,
    plus,
    split_into_digits,
    to_residues,
    uniform,
)
from small_rings import (
    ciphertext_of,
    integers,
    key_integers,
    key_rows,
    parts,
    quickly,
    secret_coefficients,
    seeds,
    switching_parameters,
    switching_rings,
)

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    EvaluationKeys,
    Evaluator,
    Parameters,
    SecretKey,
    SwitchingKey,
    conjugation_element,
    rotation_element,
)

PURPOSE_SWITCHING_KEY = 3

MANY_DIGITS = switching_parameters(16, (50,) * 7, (50,))
"""More digits than any kernel unrolls, of the largest primes."""
LONG_DIGITS = switching_parameters(16, (16,) * 13 + (40,), (50, 50, 50, 50, 16))
"""A digit of many small primes and a special one among large ones."""
ONE_PRIME = switching_parameters(32, (50,), (50,))


def with_examples(test: Callable[..., None]) -> Callable[..., None]:
    """A property of all small rings, tried on the remarkable ones first."""
    for parameters in (MANY_DIGITS, LONG_DIGITS, ONE_PRIME):
        test = example(parameters=parameters, seed=0)(test)
    return quickly(given(parameters=switching_rings(), seed=seeds)(test))


def random_element(parameters: Parameters, generator: np.random.Generator) -> int:
    return int(generator.integers(1, parameters.ring_degree)) * 2 + 1


def assert_is_key_of(key: SwitchingKey, secret: SecretKey) -> list[Polynomial]:
    """b + a s' is P g t plus a small error, for every digit; the errors."""
    parameters = key.parameters
    s = secret_coefficients(secret)
    primes, special = parameters.primes[: key.limbs], parameters.special_primes
    modulus, product = math.prod(primes), math.prod(special)
    if key.element == RELINEARISATION:
        target, final = negacyclic_product(s, s), s
    else:
        inverse = pow(key.element, -1, 2 * parameters.ring_degree)
        target, final = s, automorphism(s, inverse)
    errors = []
    digits = split_into_digits(primes, special)
    for digit, (b, a) in zip(digits, key_integers(key), strict=True):
        # g is 1 modulo the digit's primes and 0 modulo the others.
        own = math.prod(digit)
        g = modulus // own * pow(modulus // own, -1, own)
        phase = plus(b, negacyclic_product(a, final))
        error = centred(plus(phase, [-product * g * t for t in target]), modulus * product)
        assert max(map(abs, error)) <= 41
        errors.append(error)
    return errors


@with_examples
def test_a_key_encrypts_its_target_times_p_for_every_digit(
    parameters: Parameters, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    secret = SecretKey.generate(parameters)
    limbs = int(generator.integers(1, parameters.limbs + 1))
    for element in (RELINEARISATION, random_element(parameters, generator)):
        key = secret.switching_key(element, limbs)
        assert (key.limbs, key.element) == (limbs, element)
        assert_is_key_of(key, secret)


def test_every_automorphism_has_a_key() -> None:
    parameters = switching_parameters(16, (30, 30), (31,))
    secret = SecretKey.generate(parameters)
    for element in range(3, 32, 2):
        assert_is_key_of(secret.switching_key(element), secret)


@pytest.mark.parametrize("parameters", [MANY_DIGITS, LONG_DIGITS, ONE_PRIME])
def test_the_uniform_halves_are_the_expansion_of_the_seed(parameters: Parameters) -> None:
    secret = SecretKey.generate(parameters)
    for limbs in {1, parameters.limbs // 2 + 1, parameters.limbs}:
        key = secret.switching_key(5, limbs)
        assert key.native.seed is not None
        primes = parameters.primes[:limbs] + parameters.special_primes
        specials = range(parameters.limbs, parameters.limbs + len(parameters.special_primes))
        for digit, (_, a) in enumerate(key_rows(key)):
            expected = uniform(
                key.native.seed,
                PURPOSE_SWITCHING_KEY,
                parameters.ring_degree,
                primes,
                places=[*range(limbs), *specials],
                index=digit,
            )
            assert a[:, : parameters.ring_degree].tolist() == expected


def test_words_between_rows_are_zero_and_all_others_below_their_prime() -> None:
    parameters = switching_parameters(64, (50, 33, 16), (50, 20))
    key = SecretKey.generate(parameters).switching_key(RELINEARISATION)
    rows = key_rows(key)
    assert not rows[..., parameters.ring_degree :].any()
    for i, prime in enumerate(parameters.primes + parameters.special_primes):
        assert rows[:, :, i].max() < prime


def test_errors_of_keys_have_deviation_3_2_and_are_independent() -> None:
    parameters = switching_parameters(64, (40,) * 4, (41,))
    secret = SecretKey.generate(parameters)
    keys = [secret.switching_key(e) for e in (0, 0, 3, 3, 5, 7, 9, 127)]
    errors = np.array([e for key in keys for e in assert_is_key_of(key, secret)], dtype=float)
    assert errors.shape == (32, 64)
    # Six deviations of a deviation over 2048 values are a tenth.
    assert errors.std() == pytest.approx(3.2, rel=0.1)
    assert abs(errors.mean()) < 6 * 3.2 / math.sqrt(errors.size)
    correlations = np.corrcoef(errors)[np.triu_indices(len(errors), 1)]
    assert np.abs(correlations).max() < 0.8
    assert abs(correlations.mean()) < 6 / math.sqrt(64 * correlations.size)


def test_no_two_keys_or_digits_share_uniform_polynomials() -> None:
    parameters = switching_parameters(64, (40,) * 3, (41,))
    secret = SecretKey.generate(parameters)
    keys = [secret.switching_key(5), secret.switching_key(5), secret.switching_key(RELINEARISATION)]
    assert len({key.native.seed for key in keys}) == 3
    halves = [a.reshape(-1) for key in keys for _, a in key_rows(key)]
    for x, y in combinations(halves, 2):
        assert np.count_nonzero(x == y) <= 4 * 8  # only the padding


@with_examples
def test_automorphisms_are_those_of_big_integers(parameters: Parameters, seed: int) -> None:
    generator = np.random.default_rng(seed)
    secret = SecretKey.generate(parameters)
    limbs = int(generator.integers((parameters.limbs + 1) // 2, parameters.limbs + 1))
    steps = int(generator.integers(1, parameters.ring_degree // 2))
    elements = [
        rotation_element(parameters, steps),
        rotation_element(parameters, -steps),
        conjugation_element(parameters),
        random_element(parameters, generator),
    ]
    keys = secret.evaluation_keys(elements, limbs)
    evaluator = Evaluator(keys, threads=1)
    for level in range(1, limbs + 1):
        ciphertext = random_ciphertext(parameters, generator, level)
        exact = Exact(parameters, level)
        turned = (exact.turned(keys.key(e), integers(ciphertext)) for e in elements)
        expected = [exact.residues(pair) for pair in turned]
        assert parts(evaluator.rotate(ciphertext, steps)) == expected[0]
        assert parts(evaluator.conjugate(ciphertext)) == expected[2]
        assert parts(evaluator.automorphism(ciphertext, elements[3])) == expected[3]
        hoisted = evaluator.rotate_many(ciphertext, [steps, 0, -steps, steps])
        unturned = parts(ciphertext)
        assert [parts(c) for c in hoisted] == [expected[0], unturned, expected[1], expected[0]]


@with_examples
def test_products_are_those_of_big_integers(parameters: Parameters, seed: int) -> None:
    generator = np.random.default_rng(seed)
    secret = SecretKey.generate(parameters)
    limbs = int(generator.integers((parameters.limbs + 1) // 2, parameters.limbs + 1))
    keys = secret.evaluation_keys([RELINEARISATION], limbs)
    key = keys.key(RELINEARISATION)
    evaluator = Evaluator(keys, threads=1)
    for level in range(1, limbs + 1):
        a, b, c = (random_ciphertext(parameters, generator, level) for _ in range(3))
        exact = Exact(parameters, level)
        drop = int(generator.integers(0, level))
        assert parts(evaluator.multiply(a, b)) == exact.product_of(key, [(a, b)], 0)
        assert parts(evaluator.square(a, drop=drop)) == exact.product_of(key, [(a, a)], drop)
        pairs = [(a, b), (c, c), (b, b)]
        expected = exact.product_of(key, pairs, drop)
        assert parts(evaluator.sum_of_products(pairs, drop=drop)) == expected


def test_products_of_factors_at_different_levels_are_at_the_lowest() -> None:
    generator = np.random.default_rng(0)
    keys = SecretKey.generate(MANY_DIGITS).evaluation_keys([RELINEARISATION])
    key = keys.key(RELINEARISATION)
    evaluator = Evaluator(keys, threads=1)
    a, b, c = (random_ciphertext(MANY_DIGITS, generator, level) for level in (3, 7, 4))
    low = [engine.truncate(x, 3) for x in (a, b, c)]
    expected = Exact(MANY_DIGITS, 3).product_of(key, [(low[0], low[1]), (low[2], low[2])], 1)
    assert parts(evaluator.sum_of_products([(a, b), (c, c)], drop=1)) == expected


@pytest.mark.parametrize("kernel", engine.available_kernels())
def test_sums_of_thousands_of_products_do_not_overflow(kernel: str) -> None:
    parameters = switching_parameters(16, (50, 50), (50,), kernel)
    keys = SecretKey.generate(parameters).evaluation_keys([RELINEARISATION])
    largest = [parameters.modulus(2) - 1] * 16
    extreme = ciphertext_of(parameters, largest, largest)
    count = 5000
    # In values form too all residues are as large as they get: constant polynomials.
    constant = ciphertext_of(parameters, [largest[0]] + [0] * 15, [largest[0]] + [0] * 15)
    for factor in (extreme, constant):
        total = Evaluator(keys, threads=1).sum_of_products([(factor, factor)] * count)
        expected = Exact(parameters, 2).product_of(
            keys.key(RELINEARISATION), [(factor, factor)], 0, times=count
        )
        assert parts(total) == expected


@with_examples
def test_rescaling_rounds_both_parts_in_either_form(parameters: Parameters, seed: int) -> None:
    generator = np.random.default_rng(seed)
    keys = SecretKey.generate(parameters).evaluation_keys([])
    evaluator = Evaluator(keys, threads=1)
    for level in range(2, parameters.limbs + 1):
        ciphertext = random_ciphertext(parameters, generator, level)
        in_values = evaluator.linear_combination([ciphertext], [1], ciphertext.scale)
        primes = parameters.primes[:level]
        for drop in range(1, level):
            kept, divisor = primes[:-drop], math.prod(primes[-drop:])
            expected = tuple(
                to_residues(divide(part, divisor, math.prod(primes)), kept)
                for part in integers(ciphertext)
            )
            assert parts(evaluator.rescale(ciphertext, drop)) == expected
            assert parts(evaluator.rescale(in_values, drop)) == expected


@pytest.mark.parametrize("bits", [0, 7, 8, 64, 200])
def test_both_ways_of_multiplying_long_polynomials_agree(bits: int) -> None:
    generator = random.Random(bits)
    a, b = ([generator.randint(-(2**bits), 2**bits) for _ in range(128)] for _ in range(2))
    largest, least = [2**bits] * 128, [-(2**bits)] * 128
    for x, y in ((a, b), (largest, least), (least, least), ([0] * 128, a)):
        # Twice as long and with every second coefficient, the product is the same in X^2.
        wide = [[c for v in p for c in (v, 0)] for p in (x, y)]
        assert negacyclic_product(*wide)[::2] == negacyclic_product(x, y)


def test_results_are_exact_in_rings_of_several_blocks() -> None:
    parameters = switching_parameters(2048, (50, 33, 40), (50, 24))
    generator = np.random.default_rng(0)
    keys = SecretKey.generate(parameters).evaluation_keys([RELINEARISATION, 5])
    evaluator = Evaluator(keys, threads=1)
    a, b = (random_ciphertext(parameters, generator, 3) for _ in range(2))
    exact = Exact(parameters, 3)
    assert parts(evaluator.automorphism(a, 5)) == exact.residues(
        exact.turned(keys.key(5), integers(a))
    )
    product = exact.product_of(keys.key(RELINEARISATION), [(a, b)], 1)
    assert parts(evaluator.multiply(a, b, drop=1)) == product


@pytest.mark.parametrize(("ring_degree", "drop"), [(1024, 3), (2**13, 1), (2**13, 7), (2**14, 4)])
def test_rescaling_is_exact_however_much_memory_the_dropped_primes_take(
    ring_degree: int, drop: int
) -> None:
    parameters = switching_parameters(ring_degree, (50, *(50, 24, 33, 24, 46, 24, 40)[:drop]), ())
    ciphertext = random_ciphertext(parameters, np.random.default_rng(0), drop + 1)
    primes = parameters.primes
    expected = tuple(
        to_residues(divide(part, math.prod(primes[1:]), math.prod(primes)), primes[:1])
        for part in integers(ciphertext)
    )
    evaluator = Evaluator(EvaluationKeys(parameters, {}), threads=1)
    in_values = evaluator.linear_combination([ciphertext], [1], ciphertext.scale)
    assert parts(evaluator.rescale(ciphertext, drop)) == expected
    assert parts(evaluator.rescale(in_values, drop)) == expected
