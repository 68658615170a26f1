"""Noise of key switching at secure parameters, coefficient by coefficient, against its formula.

A digit x_d is uniform over an interval of D_d, the product of the digit's primes, and meets an
error of variance sigma^2 in N products; the sum over digits is divided by P. Rounding adds
r0 + r1 s with r0, r1 uniform over a unit interval and s ternary. A coefficient's variance is

    sum over d of N sigma^2 D_d^2 / (12 P^2)  +  (1 + 2 N / 3) / 12,

the first part divided by the square of the primes that the same division drops. The tolerance is
that of test_noise, a little wider because one key's error serves all coefficients of a run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from slow_reference import (
    automorphism,
    centred,
    from_residues,
    negacyclic_product,
    split_into_digits,
)
from small_rings import chain

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    Evaluator,
    Parameters,
    SecretKey,
    conjugation_element,
    rotation_element,
)

SIGMA = 3.2
TOLERANCE = 0.05
COEFFICIENTS = 120_000
LARGEST_DEVIATIONS = 8.0


def secure(ring_degree: int, bits: tuple[int, ...], special: tuple[int, ...]) -> Parameters:
    primes = chain(ring_degree, bits + special)
    return Parameters(ring_degree, primes[: len(bits)], primes[len(bits) :])


SETS = {
    "one prime a digit, each as large as P": secure(2**12, (34, 34), (34,)),
    "digits of two primes, or cut off": secure(2**13, (31, 31, 31, 31), (32, 31)),
    "digits far below P": secure(2**13, (40, 40), (49, 49)),
}
each_set = pytest.mark.parametrize("name", SETS)


def expected_deviation(parameters: Parameters, limbs: int, drop: int = 0) -> float:
    n = parameters.ring_degree
    special = math.prod(parameters.special_primes)
    dropped = math.prod(parameters.primes[limbs - drop : limbs])
    digits = split_into_digits(parameters.primes[:limbs], parameters.special_primes)
    ratios = [math.prod(digit) / special / dropped for digit in digits]
    switching = sum(n * SIGMA**2 * ratio**2 / 12 for ratio in ratios)
    return math.sqrt(switching + (1 + 2 * n / 3) / 12)


def opening(ciphertext: Ciphertext, secret: SecretKey) -> list[int]:
    """c0 + c1 s as centred integers."""
    raw = secret.decrypt_raw_do_not_publish(ciphertext).native.residues().tolist()
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    return centred(from_residues(raw, primes), math.prod(primes))


def encryptions_of_zero(
    parameters: Parameters, elements: list[int], limbs: int
) -> Iterator[tuple[SecretKey, Evaluator, Ciphertext, Ciphertext]]:
    """Under fresh keys each time, until there are enough coefficients."""
    zero = engine.encode_slots(parameters, np.zeros(1), Fraction(1), limbs)
    for _ in range(COEFFICIENTS // parameters.ring_degree + 1):
        secret = SecretKey.generate(parameters)
        evaluator = Evaluator(secret.evaluation_keys(elements), threads=1)
        yield secret, evaluator, secret.encrypt(zero), secret.encrypt(zero)


def assert_deviation(noise: list[float], expected: float) -> None:
    values: NDArray[np.float64] = np.array(noise)
    assert values.size >= COEFFICIENTS
    assert values.std() == pytest.approx(expected, rel=TOLERANCE)
    assert np.abs(values).max() <= LARGEST_DEVIATIONS * expected


@each_set
@pytest.mark.parametrize("fewer", [0, 1])
def test_automorphisms_add_the_noise_of_one_key_switch(name: str, fewer: int) -> None:
    parameters = SETS[name]
    limbs = parameters.limbs - fewer
    element = rotation_element(parameters, 3)
    conjugation = conjugation_element(parameters)
    noise = []
    runs = encryptions_of_zero(parameters, [element, conjugation], limbs)
    for run, (secret, evaluator, a, _) in enumerate(runs):
        operations: list[tuple[int, Callable[[], Ciphertext]]] = [
            (element, lambda e=evaluator, a=a: e.rotate(a, 3)),
            (element, lambda e=evaluator, a=a: e.rotate_many(a, [3])[0]),
            (conjugation, lambda e=evaluator, a=a: e.conjugate(a)),
        ]
        g, operation = operations[run % 3]
        before = automorphism(opening(a, secret), g)
        after = opening(operation(), secret)
        noise += [float(y - x) for x, y in zip(before, after, strict=True)]
    assert_deviation(noise, expected_deviation(parameters, limbs))


@each_set
@pytest.mark.parametrize("drop", [0, 1])
def test_products_add_the_noise_of_one_key_switch(name: str, drop: int) -> None:
    parameters = SETS[name]
    limbs = parameters.limbs
    dropped = math.prod(parameters.primes[limbs - drop :])
    noise = []
    for secret, evaluator, a, b in encryptions_of_zero(parameters, [RELINEARISATION], limbs):
        before = negacyclic_product(opening(a, secret), opening(b, secret))
        after = opening(evaluator.multiply(a, b, drop=drop), secret)
        noise += [y - x / dropped for x, y in zip(before, after, strict=True)]
    assert_deviation(noise, expected_deviation(parameters, limbs, drop))


def test_sums_of_products_are_relinearised_once() -> None:
    parameters = SETS["one prime a digit, each as large as P"]
    noise = []
    for secret, evaluator, a, b in encryptions_of_zero(parameters, [RELINEARISATION], 2):
        before = negacyclic_product(opening(a, secret), opening(b, secret))
        after = opening(evaluator.sum_of_products([(a, b)] * 10), secret)
        noise += [float(y - 10 * x) for x, y in zip(before, after, strict=True)]
    assert_deviation(noise, expected_deviation(parameters, 2))
