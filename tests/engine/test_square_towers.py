"""Square towers: their algebra, and ciphertexts that take as many levels as squarings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import polynomial
from numpy.typing import NDArray
from small_rings import chain, quickly, seeds, unchecked

from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    EvaluationKeys,
    Evaluator,
    Parameters,
    SecretKey,
    decode,
    encode_coefficients,
    encode_slots,
)
from strongroom.engine.square_tower_evaluation import PreparedSquareTower, evaluate_square_tower
from strongroom.engine.square_tower_plans import plan_square_tower
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import KeyStoreError

Values = NDArray[np.float64]

SLOTS = 128
SCALE = Fraction(2) ** 40


def parameters_of(bits: tuple[int, ...], special: tuple[int, ...]) -> Parameters:
    primes = chain(2 * SLOTS, bits + special)
    return unchecked(2 * SLOTS, primes[: len(bits)], primes[len(bits) :])


SINGLE = parameters_of((50,) + (40,) * 5, (45, 45))
COMPOSITE = parameters_of((50, 30) + (20,) * 8, (45, 45))


class CountingEvaluator(Evaluator):
    """Counts relinearisations."""

    products = 0

    def sum_of_products(
        self, pairs: Sequence[tuple[Ciphertext, Ciphertext]], *, drop: int = 0
    ) -> Ciphertext:
        self.products += 1
        return super().sum_of_products(pairs, drop=drop)


def random_tower(
    generator: np.random.Generator, depth: int, slots: int | None = None
) -> SquareTower:
    shape = () if slots is None else (slots,)
    factors = generator.uniform(-0.5, 0.5, (depth, depth, *shape))
    factors[np.triu_indices(depth, 1)] = 0.0
    constants = generator.uniform(-0.5, 0.5, (depth, *shape))
    return SquareTower(factors, constants, np.array([-1.0, 1.0]))


def dense(tower: SquareTower) -> Values:
    """Coefficients of x^0, x^1, ..., multiplied out."""
    found = [np.array([0.0, 1.0])]
    for i in range(tower.depth):
        value = polynomial.polyadd(
            polynomial.polymul(found[-1], found[-1]), [float(tower.constants[i])]
        )
        for j in range(i + 1):
            value = polynomial.polyadd(value, tower.factors[i, j] * found[j])
        found.append(value)
    return np.asarray(found[-1])


def run(
    parameters: Parameters, tower: SquareTower, x: Values, levels: Sequence[int] | None = None
) -> tuple[Ciphertext, Values, int]:
    """The result, its slots, and how many products there were."""
    secret = SecretKey.generate(parameters)
    evaluator = CountingEvaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    argument = secret.encrypt(encode_slots(parameters, x, SCALE, parameters.limbs))
    result = evaluate_square_tower(evaluator, argument, tower, levels=levels)
    slots = decode(secret.decrypt_raw_do_not_publish(result))
    assert np.abs(slots.imag).max() < 2.0**-20
    return result, np.asarray(slots.real), evaluator.products


@quickly
@given(seed=seeds, depth=st.integers(1, 4))
def test_a_tower_is_a_monic_polynomial_of_degree_two_to_its_depth(seed: int, depth: int) -> None:
    generator = np.random.default_rng(seed)
    tower = random_tower(generator, depth)
    coefficients = dense(tower)
    assert tower.degree == len(coefficients) - 1 == 2**depth
    assert coefficients[-1] == pytest.approx(1.0)
    x = generator.uniform(-1, 1, 50)
    assert tower(x) == pytest.approx(polynomial.polyval(x, coefficients), abs=1e-10)


@quickly
@given(seed=seeds, depth=st.integers(1, 4), factor=st.floats(0.25, 4.0))
def test_a_scaled_tower_has_every_value_scaled(seed: int, depth: int, factor: float) -> None:
    generator = np.random.default_rng(seed)
    tower = random_tower(generator, depth, 3)
    x = generator.uniform(-1, 1, (20, 3))
    scaled = tower.scaled(factor)
    for i, (value, grown) in enumerate(
        zip(tower.values(x), scaled.values(factor * x), strict=True)
    ):
        assert grown == pytest.approx(value * factor ** (2**i), rel=1e-9, abs=1e-12)
    assert scaled.interval == pytest.approx(factor * tower.interval)


@quickly
@given(seed=seeds, depth=st.integers(1, 4))
def test_derivatives_say_how_much_an_error_of_each_value_counts(seed: int, depth: int) -> None:
    generator = np.random.default_rng(seed)
    tower = random_tower(generator, depth)
    x, step = float(generator.uniform(-1, 1)), 1e-6

    def value_with(error: float, at: int) -> float:
        found = [x + error * (at == 0)]
        for i in range(depth):
            value = found[i] ** 2 + tower.constants[i]
            value += sum(tower.factors[i, j] * found[j] for j in range(i + 1))
            found.append(value + error * (at == i + 1))
        return float(found[-1])

    for at, derivative in enumerate(tower.derivatives(np.asarray(x))):
        slope = (value_with(step, at) - value_with(-step, at)) / (2 * step)
        assert float(derivative) == pytest.approx(slope, rel=1e-4, abs=1e-6)


def test_largest_values_are_those_on_the_interval() -> None:
    tower = SquareTower(np.zeros((2, 2)), np.array([-2.0, 0.0]), np.array([-1.0, 3.0]))
    # x, x^2 - 2 and its square.
    assert [float(v) for v in tower.largest_values()] == pytest.approx([3.0, 7.0, 49.0])


def test_slots_can_be_placed_anywhere() -> None:
    tower = random_tower(np.random.default_rng(0), 2, 3)
    units = np.array([2, 0, 0, 1])
    x = np.linspace(-1, 1, 5)[:, None]
    assert np.array_equal(tower.placed(units)(x), tower(x)[:, units])
    shared = SquareTower.plain(3)
    assert shared.placed(units) is shared


@pytest.mark.parametrize("slots", [None, SLOTS], ids=["one for all", "one a slot"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_a_ciphertext_takes_a_level_and_a_product_for_every_squaring(
    depth: int, slots: int | None
) -> None:
    generator = np.random.default_rng(depth)
    tower = random_tower(generator, depth, slots)
    x = generator.uniform(-1, 1, SLOTS)
    result, found, products = run(SINGLE, tower, x)
    assert products == depth
    assert result.limbs == SINGLE.limbs - depth
    scale = SCALE
    for level in range(depth):
        scale = scale**2 / SINGLE.primes[SINGLE.limbs - 1 - level]
    assert result.scale == scale
    slope = np.abs(tower.derivatives(x)).max()
    assert np.abs(found - tower(x)).max() < 2.0**-27 * (1 + slope)


@pytest.mark.parametrize("slots", [None, SLOTS], ids=["one for all", "one a slot"])
def test_a_level_may_be_two_primes(slots: int | None) -> None:
    generator = np.random.default_rng(1)
    tower = random_tower(generator, 3, slots)
    x = generator.uniform(-1, 1, SLOTS)
    result, found, _ = run(COMPOSITE, tower, x)
    assert result.limbs == COMPOSITE.limbs - 6
    assert abs(math.log2(result.scale) - 40) < 2
    assert np.abs(found - tower(x)).max() < 2.0**-22
    lower, found, _ = run(COMPOSITE, tower, x, levels=(2, 1, 3))
    assert lower.limbs == result.limbs
    assert abs(math.log2(lower.scale) - 60) < 2
    assert np.abs(found - tower(x)).max() < 2.0**-22


def test_a_constant_of_each_slot_needs_no_product() -> None:
    constants = np.linspace(-1, 1, SLOTS)[None, :]
    tower = SquareTower(np.zeros((1, 1, SLOTS)), constants, np.array([-1.0, 1.0]))
    x = np.random.default_rng(2).uniform(-1, 1, SLOTS)
    _, found, products = run(SINGLE, tower, x)
    assert products == 1
    assert np.abs(found - (x**2 + constants[0])).max() < 2.0**-25


def test_nothing_but_squarings_is_a_power() -> None:
    x = np.random.default_rng(3).uniform(-1, 1, SLOTS)
    _, found, products = run(SINGLE, SquareTower.plain(3), x)
    assert products == 3
    assert np.abs(found - x**8).max() < 2.0**-24


def test_a_prepared_tower_serves_many_ciphertexts() -> None:
    generator = np.random.default_rng(4)
    tower = random_tower(generator, 2, SLOTS)
    prepared = PreparedSquareTower(SINGLE, tower, SINGLE.limbs, SCALE)
    secret = SecretKey.generate(SINGLE)
    evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    for _ in range(3):
        x = generator.uniform(-1, 1, SLOTS)
        result = prepared.evaluate(
            evaluator, secret.encrypt(encode_slots(SINGLE, x, SCALE, SINGLE.limbs))
        )
        found = decode(secret.decrypt_raw_do_not_publish(result)).real
        assert np.abs(found - tower(x)).max() < 2.0**-24
        assert (result.limbs, result.scale) == (prepared.plan.limbs, prepared.plan.scale)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"constants": np.zeros(0), "factors": np.zeros((0, 0))}, "constants have shape"),
        ({"factors": np.zeros((2, 3))}, r"go with factors of shape \(2, 2\)"),
        ({"factors": np.array([[0.0, 1.0], [0.0, 0.0]])}, "levels below it only"),
        ({"constants": np.array([0.0, np.nan])}, "not all finite"),
        ({"interval": np.array([1.0, 1.0])}, "interval of a tower is empty"),
        ({"interval": np.zeros((2, 5))}, "an interval has shape"),
    ],
)
def test_a_tower_that_makes_no_sense_is_refused(changes: dict[str, Values], reason: str) -> None:
    whole = {
        "factors": np.zeros((2, 2)),
        "constants": np.zeros(2),
        "interval": np.array([-1.0, 1.0]),
    }
    with pytest.raises(ValueError, match=reason):
        SquareTower(**{**whole, **changes})


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limbs": 3}, "3 levels of a tower do not fit a ciphertext of 3 primes"),
        ({"limbs": 9}, "1 to 6 primes, not 9"),
        ({"levels": (1, 1)}, "3 levels is not evaluated in 2"),
        ({"levels": (1, 0, 1)}, "do not fit"),
        ({"scale": Fraction(0)}, "a scale is positive"),
        ({"scale": Fraction(2) ** 250}, "do not fit 6 primes"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(options: dict[str, object], reason: str) -> None:
    arguments: dict[str, object] = {"limbs": SINGLE.limbs, "scale": SCALE, **options}
    with pytest.raises(ValueError, match=reason):
        plan_square_tower(SINGLE, SquareTower.plain(3), **arguments)  # type: ignore[arg-type]


def test_a_value_that_would_wrap_is_refused() -> None:
    """Of 50 bits that are left, values take the 40 of the scale and a sign."""
    limbs = 3
    for size, fits in ((22.0, True), (23.0, False)):
        tower = SquareTower.plain(1, (-size, size))
        if fits:
            plan = plan_square_tower(SINGLE, tower, limbs - 1, SCALE)
            assert plan.limbs == 1
        else:
            with pytest.raises(ValueError, match="start with more primes or a smaller scale"):
                plan_square_tower(SINGLE, tower, limbs - 1, SCALE)


def test_more_towers_than_slots_are_refused() -> None:
    tower = random_tower(np.random.default_rng(0), 1, SLOTS + 1)
    with pytest.raises(ValueError, match="129 towers for 128 slots"):
        plan_square_tower(SINGLE, tower, SINGLE.limbs, SCALE)


def test_ciphertexts_that_a_tower_was_not_prepared_for_are_refused() -> None:
    prepared = PreparedSquareTower(SINGLE, SquareTower.plain(2), SINGLE.limbs, SCALE)
    secret, other = SecretKey.generate(SINGLE), SecretKey.generate(COMPOSITE)
    evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    x = np.zeros(SLOTS)
    right = secret.encrypt(encode_slots(SINGLE, x, SCALE, SINGLE.limbs))
    coefficients = secret.encrypt(encode_coefficients(SINGLE, x, SCALE, SINGLE.limbs))
    for ciphertext, reason in (
        (evaluator.rescale(right, 1), "another level or scale"),
        (coefficients, "on slots"),
        (other.encrypt(encode_slots(COMPOSITE, x, SCALE, 3)), "other parameters"),
    ):
        with pytest.raises(ValueError, match=reason):
            prepared.evaluate(evaluator, ciphertext)
    with pytest.raises(KeyStoreError, match="SR-KEYS-MISSING"):
        prepared.evaluate(Evaluator(EvaluationKeys(SINGLE, {})), right)
