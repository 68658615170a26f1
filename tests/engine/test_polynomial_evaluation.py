"""Polynomials on ciphertexts have the plain ones' values, at exact scales and the least depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from small_rings import chain, unchecked

from strongroom.engine import (
    Ciphertext,
    Parameters,
    SecretKey,
    decode,
    encode_coefficients,
    encode_slots,
)
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.galois import RELINEARISATION
from strongroom.engine.polynomial_evaluation import PreparedPolynomial, evaluate_polynomial
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.polynomials import Basis, Polynomial, polynomial_depth
from strongroom.engine.switching_keys import EvaluationKeys
from strongroom.errors import KeyStoreError

BASES: tuple[Basis, ...] = ("chebyshev", "power")
Values = NDArray[np.float64]


class CountingEvaluator(Evaluator):
    """Counts relinearisations."""

    products = 0

    def sum_of_products(
        self, pairs: Sequence[tuple[Ciphertext, Ciphertext]], *, drop: int = 0
    ) -> Ciphertext:
        self.products += 1
        return super().sum_of_products(pairs, drop=drop)


@dataclass
class Ring:
    """A parameter set, its keys, and the scale at which arguments are encrypted."""

    parameters: Parameters
    scale: Fraction

    def __post_init__(self) -> None:
        self.secret = SecretKey.generate(self.parameters)
        keys = self.secret.evaluation_keys([RELINEARISATION])
        self.evaluator = CountingEvaluator(keys, threads=1)
        self.slots = self.parameters.ring_degree // 2

    def encrypt(self, x: Values, scale: Fraction | None = None) -> Ciphertext:
        scale = scale or self.scale
        return self.secret.encrypt(encode_slots(self.parameters, x, scale, self.parameters.limbs))

    def decrypt(self, ciphertext: Ciphertext) -> Values:
        slots = decode(self.secret.decrypt_raw_do_not_publish(ciphertext))
        assert np.abs(slots.imag).max() < 2.0**-10
        return np.asarray(slots.real, dtype=np.float64)


def small_ring(bits: tuple[int, ...], special: tuple[int, ...], log_scale: int) -> Ring:
    primes = chain(256, bits + special)
    parameters = unchecked(256, primes[: len(bits)], primes[len(bits) :])
    return Ring(parameters, Fraction(2**log_scale))


SINGLE = small_ring((50,) + (40,) * 8, (45,) * 3, 40)
"""A prime a level."""
COMPOSITE = small_ring((30, 30) + (27,) * 14, (45,) * 3, 53)
"""Two primes a level."""


def random_polynomial(
    generator: np.random.Generator, degree: int, basis: Basis, slots: int | None = None
) -> Polynomial:
    shape = (degree + 1,) if slots is None else (degree + 1, slots)
    return Polynomial(generator.uniform(-1, 1, shape) / math.sqrt(degree + 1), basis)


def tolerance(ring: Ring, p: Polynomial, x: Values) -> float:
    """What the noise allows: four standard deviations of an encryption's error and of a rounding
    in a slot, times the derivative, and once for every coefficient on the way."""
    n = ring.parameters.ring_degree
    fresh = 4 * (3.2 * math.sqrt(n) + n / math.sqrt(18)) / float(ring.scale)
    step = 2.0**-20 * (p.interval[1] - p.interval[0]) / 2
    slope = float(np.abs((p(x + step) - p(x - step)) / (2 * step)).max())
    return fresh * (slope + (p.degree + 1) * (2 if p.basis == "chebyshev" else 1))


def evaluated(ring: Ring, p: Polynomial, x: Values, **options: object) -> Ciphertext:
    """The polynomial of an encryption of x, after its values were checked."""
    result = evaluate_polynomial(ring.evaluator, ring.encrypt(x), p, **options)  # type: ignore[arg-type]
    error = np.abs(ring.decrypt(result) - p(x)).max()
    assert error < tolerance(ring, p, x)
    return result


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("degree", range(1, 64))
def test_every_degree_comes_out_at_the_arguments_scale_and_the_least_depth(
    degree: int, basis: Basis
) -> None:
    generator = np.random.default_rng(degree)
    x = generator.uniform(-1, 1, SINGLE.slots)
    result = evaluated(SINGLE, random_polynomial(generator, degree, basis), x)
    assert result.scale == SINGLE.scale
    assert result.limbs == SINGLE.parameters.limbs - math.ceil(math.log2(degree + 1))


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("degree", [1, 2, 3, 7, 12, 31, 63])
def test_a_level_may_be_two_primes(degree: int, basis: Basis) -> None:
    generator = np.random.default_rng(degree)
    x = generator.uniform(-1, 1, COMPOSITE.slots)
    result = evaluated(COMPOSITE, random_polynomial(generator, degree, basis), x)
    assert result.scale == COMPOSITE.scale
    assert result.limbs == COMPOSITE.parameters.limbs - 2 * polynomial_depth(degree)


@pytest.mark.parametrize("ring", [SINGLE, COMPOSITE], ids=["single", "composite"])
@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("degree", [0, 1, 4, 15, 21])
def test_slots_may_have_their_own_polynomials(ring: Ring, basis: Basis, degree: int) -> None:
    generator = np.random.default_rng(degree)
    x = generator.uniform(-1, 1, ring.slots)
    p = random_polynomial(generator, degree, basis, ring.slots)
    result = evaluated(ring, p, x)
    assert result.scale == ring.scale


def test_slots_beyond_those_with_polynomials_are_zero() -> None:
    generator = np.random.default_rng(5)
    x = generator.uniform(-1, 1, SINGLE.slots)
    p = random_polynomial(generator, 5, "chebyshev", 10)
    values = SINGLE.decrypt(evaluate_polynomial(SINGLE.evaluator, SINGLE.encrypt(x), p))
    assert np.abs(values[:10] - p(x[:10])).max() < tolerance(SINGLE, p, x[:10])
    assert np.abs(values[10:]).max() < 2.0**-20


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("degree", [0, 3, 14])
def test_the_result_has_exactly_the_scale_that_was_asked_for(degree: int, basis: Basis) -> None:
    generator = np.random.default_rng(degree)
    x = generator.uniform(-1, 1, SINGLE.slots)
    p = random_polynomial(generator, degree, basis)
    for scale in (Fraction(2**45), Fraction(10**13, 7), SINGLE.scale * Fraction(3, 5)):
        assert evaluated(SINGLE, p, x, scale=scale).scale == scale


def test_a_constant_consumes_no_level() -> None:
    x = np.zeros(SINGLE.slots)
    result = evaluated(SINGLE, Polynomial(np.array([0.75, 0, 0])), x)
    assert result.limbs == SINGLE.parameters.limbs


def test_a_fresh_product_is_an_argument_too() -> None:
    """Its scale is no power of two, and its level not the highest."""
    generator = np.random.default_rng(3)
    x = generator.uniform(-1, 1, SINGLE.slots)
    square = SINGLE.evaluator.square(SINGLE.encrypt(x), drop=1)
    p = random_polynomial(generator, 15, "chebyshev")
    result = evaluate_polynomial(SINGLE.evaluator, square, p)
    assert np.abs(SINGLE.decrypt(result) - p(x**2)).max() < 4 * tolerance(SINGLE, p, x**2)
    assert result.scale == square.scale
    assert result.limbs == square.limbs - 4


def test_a_secure_ring_evaluates_degree_31_by_ten_products_in_five_levels() -> None:
    primes = chain(2**14, (50,) + (40,) * 5 + (50, 50, 50))
    ring = Ring(Parameters(2**14, primes[:6], primes[6:]), Fraction(2**40))
    p = Polynomial.chebyshev_fit(lambda t: 1 / (1 + np.exp(-6 * t)), 30)
    dense = Polynomial(np.append(p.coefficients, 0.001))
    x = np.random.default_rng(0).uniform(-1, 1, ring.slots)
    result = evaluated(ring, dense, x)
    assert ring.evaluator.products == 10
    assert result.limbs == 1
    assert result.scale == ring.scale


def products(p: Polynomial, levels: int | None = None) -> int:
    """How many relinearisations there were, and were planned."""
    x = np.random.default_rng(0).uniform(-1, 1, SINGLE.slots)
    options = {} if levels is None else {"levels": (1,) * levels}
    before = SINGLE.evaluator.products
    evaluated(SINGLE, p, x, **options)
    counted = SINGLE.evaluator.products - before
    plan = plan_polynomial(
        SINGLE.parameters,
        p,
        SINGLE.parameters.limbs,
        SINGLE.scale,
        levels=options.get("levels"),
    )
    assert plan.products == counted
    assert plan.primes == len(plan.levels) == (levels or polynomial_depth(p.degree))
    return counted


@pytest.mark.parametrize("basis", BASES)
def test_products_grow_like_the_square_root_of_the_degree(basis: Basis) -> None:
    generator = np.random.default_rng(1)
    counts = {d: products(random_polynomial(generator, d, basis)) for d in (1, 2, 3, 7, 15, 31, 63)}
    assert counts == {1: 0, 2: 1, 3: 2, 7: 4, 15: 7, 31: 10, 63: 13}


def every_other(degree: int, basis: Basis) -> Polynomial:
    p = random_polynomial(np.random.default_rng(degree), degree, basis)
    coefficients = p.coefficients.copy()
    coefficients[1 - degree % 2 :: 2] = 0
    return Polynomial(coefficients, basis)


@pytest.mark.parametrize("basis", BASES)
def test_even_and_odd_polynomials_skip_the_powers_that_they_lack(basis: Basis) -> None:
    generator = np.random.default_rng(2)
    for degree in (4, 16, 20, 40, 62):
        dense = products(random_polynomial(generator, degree, basis))
        assert products(every_other(degree, basis)) < dense
    for degree in (5, 13, 31, 63):
        dense = products(random_polynomial(generator, degree, basis))
        assert products(every_other(degree, basis)) <= dense + (degree == 63)


@pytest.mark.parametrize("basis", BASES)
def test_a_single_power_of_two_is_nothing_but_squarings(basis: Basis) -> None:
    for log_degree in (1, 3, 5):
        coefficients = np.zeros(2**log_degree + 1)
        coefficients[-1] = 0.5
        assert products(Polynomial(coefficients, basis)) == log_degree


@pytest.mark.parametrize("basis", BASES)
def test_a_level_more_than_needed_saves_products(basis: Basis) -> None:
    p = random_polynomial(np.random.default_rng(4), 31, basis)
    assert products(p, levels=6) == 8


def test_levels_are_consumed_as_given() -> None:
    generator = np.random.default_rng(6)
    x = generator.uniform(-1, 1, COMPOSITE.slots)
    p = random_polynomial(generator, 7, "chebyshev")
    result = evaluated(COMPOSITE, p, x, levels=(2, 2, 3))
    assert result.limbs == COMPOSITE.parameters.limbs - 7
    assert result.scale == COMPOSITE.scale


def logistic(x: Values) -> Values:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize("interval", [(-1.0, 1.0), (0.0, 1.0), (2.0, 3.0), (-0.25, 0.5)])
@pytest.mark.parametrize("ring", [SINGLE, COMPOSITE], ids=["single", "composite"])
def test_an_interval_costs_no_level(interval: tuple[float, float], ring: Ring) -> None:
    p = Polynomial.chebyshev_fit(np.exp, 15, interval)
    x = np.random.default_rng(7).uniform(*interval, ring.slots)
    result = evaluated(ring, p, x)
    each = 1 if ring is SINGLE else 2
    assert result.limbs == ring.parameters.limbs - 4 * each
    assert result.scale == ring.scale


@pytest.mark.parametrize("basis", BASES)
def test_a_wide_interval_costs_no_level_at_a_smaller_scale(basis: Basis) -> None:
    interval = (-6.0, 10.0)
    coefficients = Polynomial.chebyshev_fit(logistic, 15, interval).coefficients
    if basis == "power":
        coefficients = np.asarray(chebyshev.cheb2poly(coefficients), np.float64)
    p = Polynomial(coefficients, basis, interval)
    x = np.random.default_rng(8).uniform(*interval, SINGLE.slots)
    ciphertext = SINGLE.encrypt(x, SINGLE.scale / 8)
    result = evaluate_polynomial(SINGLE.evaluator, ciphertext, p, scale=SINGLE.scale)
    assert np.abs(SINGLE.decrypt(result) - p(x)).max() < 2.0**-23
    assert result.limbs == SINGLE.parameters.limbs - 4


@pytest.mark.parametrize("ring", [SINGLE, COMPOSITE], ids=["single", "composite"])
def test_a_wide_interval_costs_one_prime_at_the_usual_scale(ring: Ring) -> None:
    interval = (-8.0, 8.5)
    p = Polynomial.chebyshev_fit(logistic, 31, interval)
    x = np.random.default_rng(9).uniform(*interval, ring.slots)
    result = evaluated(ring, p, x)
    each = 1 if ring is SINGLE else 2
    assert result.limbs == ring.parameters.limbs - 5 * each - 1
    assert result.scale == ring.scale


def test_a_prepared_polynomial_serves_many_ciphertexts() -> None:
    generator = np.random.default_rng(10)
    p = random_polynomial(generator, 9, "chebyshev", SINGLE.slots)
    prepared = PreparedPolynomial(SINGLE.parameters, p, SINGLE.parameters.limbs, SINGLE.scale)
    for _ in range(3):
        x = generator.uniform(-1, 1, SINGLE.slots)
        result = prepared.evaluate(SINGLE.evaluator, SINGLE.encrypt(x))
        assert np.abs(SINGLE.decrypt(result) - p(x)).max() < tolerance(SINGLE, p, x)
        assert result.limbs == prepared.plan.limbs
        assert result.scale == prepared.plan.scale


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"levels": (1, 1)}, "degree 7 needs 3 levels, not 2"),
        ({"levels": (3, 3, 3)}, "do not fit a ciphertext of 9"),
        ({"levels": (1, 0, 1)}, "levels of .* do not fit"),
        ({"first_drop": 9}, "keeps at least one prime"),
        ({"scale": Fraction(0)}, "a scale is positive"),
        ({"scale": Fraction(2**330)}, "do not fit 6 primes"),
        ({"scale": Fraction(1, 2**10)}, "rounded to multiples"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(options: dict[str, object], reason: str) -> None:
    x = np.zeros(SINGLE.slots)
    p = Polynomial(np.ones(8))
    with pytest.raises(ValueError, match=reason):
        evaluated(SINGLE, p, x, **options)


def test_a_result_that_would_wrap_is_refused() -> None:
    """Of 50 bits that are left, values take the 40 of the scale and a sign."""
    ciphertext = SINGLE.encrypt(np.zeros(SINGLE.slots))
    for value, fits in ((500.0, True), (520.0, False)):
        p = Polynomial(np.array([0.0, 0.0, value]))
        if fits:
            result = evaluate_polynomial(SINGLE.evaluator, ciphertext, p, levels=(1,) * 8)
            assert np.abs(SINGLE.decrypt(result) + value).max() < 2.0**-12
        else:
            with pytest.raises(ValueError, match="start with more primes or a smaller scale"):
                evaluate_polynomial(SINGLE.evaluator, ciphertext, p, levels=(1,) * 8)


def test_too_few_primes_are_refused() -> None:
    p = Polynomial(np.ones(1000))
    with pytest.raises(ValueError, match="10 levels need more than 9 primes"):
        evaluated(SINGLE, p, np.zeros(SINGLE.slots))


def test_more_polynomials_than_slots_are_refused() -> None:
    p = Polynomial(np.ones((2, SINGLE.slots + 1)))
    with pytest.raises(ValueError, match="129 polynomials for 128 slots"):
        evaluate_polynomial(SINGLE.evaluator, SINGLE.encrypt(np.zeros(SINGLE.slots)), p)


def test_ciphertexts_that_a_polynomial_was_not_prepared_for_are_refused() -> None:
    p = Polynomial(np.ones(4))
    parameters, limbs = SINGLE.parameters, SINGLE.parameters.limbs
    prepared = PreparedPolynomial(parameters, p, limbs, SINGLE.scale)
    x = np.zeros(SINGLE.slots)
    coefficients = SINGLE.secret.encrypt(encode_coefficients(parameters, x, SINGLE.scale, limbs))
    lower = SINGLE.evaluator.rescale(SINGLE.encrypt(x), 1)
    for ciphertext, reason in (
        (SINGLE.encrypt(x, SINGLE.scale * 2), "another level or scale"),
        (lower, "another level or scale"),
        (coefficients, "on slots"),
        (COMPOSITE.encrypt(x), "other parameters"),
    ):
        with pytest.raises(ValueError, match=reason):
            prepared.evaluate(SINGLE.evaluator, ciphertext)


def test_without_a_relinearisation_key_the_missing_key_is_named() -> None:
    evaluator = Evaluator(EvaluationKeys(SINGLE.parameters, {}))
    with pytest.raises(KeyStoreError, match="SR-KEYS-MISSING"):
        evaluate_polynomial(
            evaluator, SINGLE.encrypt(np.zeros(SINGLE.slots)), Polynomial(np.ones(4))
        )
