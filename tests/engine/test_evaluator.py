"""What an evaluator's operations mean, by decryption; and their exact scales.

That results are bit for bit those of big integers is shown by test_key_switching.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import modulo, plus, to_residues
from small_rings import (
    chain,
    ciphertext_of,
    extreme_coefficients,
    integers,
    parts,
    quickly,
    seeds,
    switching_parameters,
    unchecked,
)
from small_worlds import CLOSE, SCALE, World

from strongroom import engine
from strongroom.engine import (
    EvaluationKeys,
    Evaluator,
    conjugation_element,
    rotation_element,
    rotation_elements,
    sum_steps,
)
from strongroom.errors import KeyStoreError


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40, 40), (50, 32)))


# Automorphisms


def test_rotation_by_every_step_moves_slots_to_the_left(world: World) -> None:
    x, ciphertext = world.some()
    for steps in range(-world.slots, 2 * world.slots):
        result = world.evaluator.rotate(ciphertext, steps)
        assert (result.scale, result.limbs) == (ciphertext.scale, ciphertext.limbs)
        world.assert_holds(result, np.roll(x, -steps))


def test_rotations_by_multiples_of_the_slots_are_the_identity(world: World) -> None:
    _, ciphertext = world.some()
    for steps in (0, world.slots, -world.slots):
        assert world.evaluator.rotate(ciphertext, steps) is ciphertext


def test_hoisted_rotations_come_in_the_order_asked_for(world: World) -> None:
    x, ciphertext = world.some()
    steps = [5, -3, 0, 5, 31, 32, 1]
    for k, result in zip(steps, world.evaluator.rotate_many(ciphertext, steps), strict=True):
        world.assert_holds(result, np.roll(x, -k))
    assert world.evaluator.rotate_many(ciphertext, []) == []


def test_rotations_compose(world: World) -> None:
    x, ciphertext = world.some()
    rotate = world.evaluator.rotate
    for a, b in ((3, 4), (20, 25), (-7, 7), (1, -31)):
        world.assert_holds(rotate(rotate(ciphertext, a), b), np.roll(x, -a - b))


def test_conjugation_conjugates_and_undoes_itself(world: World) -> None:
    x, ciphertext = world.some()
    conjugate = world.evaluator.conjugate(ciphertext)
    world.assert_holds(conjugate, x.conj())
    world.assert_holds(world.evaluator.conjugate(conjugate), x)
    turned = world.evaluator.conjugate(world.evaluator.rotate(ciphertext, 9))
    world.assert_holds(turned, np.roll(x, -9).conj())


def test_every_element_is_a_rotation_or_a_conjugated_one(world: World) -> None:
    x, ciphertext = world.some()
    parameters = world.parameters
    for steps in range(world.slots):
        element = rotation_element(parameters, steps)
        conjugated = element * conjugation_element(parameters) % (2 * parameters.ring_degree)
        for g, expected in ((element, np.roll(x, -steps)), (conjugated, np.roll(x, -steps).conj())):
            world.assert_holds(world.evaluator.automorphism(ciphertext, g), expected)


def test_automorphisms_work_at_every_level(world: World) -> None:
    x, ciphertext = world.some()
    for limbs in range(2, world.parameters.limbs + 1):
        low = engine.truncate(ciphertext, limbs)
        world.assert_holds(world.evaluator.rotate(low, 3), np.roll(x, -3))
        world.assert_holds(world.evaluator.conjugate(low), x.conj())


@pytest.mark.parametrize("count", range(1, 21))
@pytest.mark.parametrize("stride", [1, 3, 16, 32, -2])
def test_sums_of_slots_need_the_announced_rotations_alone(
    world: World, count: int, stride: int
) -> None:
    x, ciphertext = world.some()
    elements = rotation_elements(world.parameters, sum_steps(count, stride))
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in elements})
    result = Evaluator(keys, threads=1).sum_slots(ciphertext, count, stride)
    expected = np.sum([np.roll(x, -k * stride) for k in range(count)], axis=0)
    world.assert_holds(result, expected)
    if elements:
        fewer = {e: world.keys.key(e) for e in sorted(elements)[1:]}
        with pytest.raises(KeyStoreError):
            Evaluator(EvaluationKeys(world.parameters, fewer)).sum_slots(ciphertext, count, stride)


# Products


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_products_multiply_slots_and_scales(world: World, drop: int) -> None:
    (x, a), (y, b) = world.some(), world.some()
    scale = SCALE * SCALE
    for prime in world.parameters.primes[4 - drop :]:
        scale /= prime
    # A scale near 1 leaves no precision; at two dropped primes the factors are encoded larger.
    if drop == 2:
        a, b = (world.encrypt(v, SCALE * 2**20) for v in (x, y))
        scale *= 2**40
    product = world.evaluator.multiply(a, b, drop=drop)
    assert (product.scale, product.limbs) == (scale, 4 - drop)
    world.assert_holds(product, x * y)
    square = world.evaluator.square(a, drop=drop)
    assert (square.scale, square.limbs) == (scale, 4 - drop)
    world.assert_holds(square, x * x)


def test_products_may_follow_each_other_down_to_the_first_prime(world: World) -> None:
    x, ciphertext = world.some()
    y = x
    for limbs in (3, 2, 1):
        ciphertext = world.evaluator.square(ciphertext, drop=1)
        y = y * y
        assert ciphertext.limbs == limbs
        world.assert_holds(ciphertext, y)
    exact = SCALE
    for prime in reversed(world.parameters.primes[1:]):
        exact = exact * exact / prime
    assert ciphertext.scale == exact


def test_sums_of_products_add_up(world: World) -> None:
    values = [(world.numbers(), world.numbers()) for _ in range(20)]
    pairs = [(world.encrypt(x), world.encrypt(y)) for x, y in values]
    total = world.evaluator.sum_of_products(pairs, drop=1)
    assert total.scale == SCALE**2 / world.parameters.primes[3]
    world.assert_holds(total, np.sum([x * y for x, y in values], axis=0))


def test_scales_of_summed_products_only_need_equal_products(world: World) -> None:
    x, y = world.numbers(), world.numbers()
    pairs = [
        (world.encrypt(x, SCALE * 3), world.encrypt(y, SCALE / 3)),
        (world.encrypt(x), world.encrypt(y)),
    ]
    total = world.evaluator.sum_of_products(pairs)
    assert total.scale == SCALE**2
    world.assert_holds(total, 2 * x * y)


def test_factors_of_different_levels_meet_at_the_lowest(world: World) -> None:
    (x, a), (y, b) = world.some(), world.some()
    low = engine.truncate(a, 3)
    for pair in ((low, b), (b, low)):
        product = world.evaluator.multiply(*pair, drop=1)
        assert (product.limbs, product.scale) == (2, SCALE**2 / world.parameters.primes[2])
        world.assert_holds(product, x * y)


@pytest.mark.parametrize("drop", [0, 1])
@pytest.mark.parametrize("prepared", [False, True])
def test_plaintexts_multiply_at_their_level_or_below(
    world: World, drop: int, prepared: bool
) -> None:
    x, a = world.some()
    y = world.numbers()
    plain = world.plain(y, SCALE / 7)
    plain = engine.prepare(plain) if prepared else plain
    for limbs in (2, 3, 4):
        low = engine.truncate(a, limbs)
        product = world.evaluator.multiply_plain(low, plain, drop=drop)
        scale = SCALE**2 / 7
        assert product.limbs == limbs - drop
        assert product.scale == (scale / world.parameters.primes[limbs - 1] if drop else scale)
        world.assert_holds(product, x * y)


def test_rescaling_divides_message_and_scale(world: World) -> None:
    x = world.numbers()
    scale = SCALE * 2**60
    ciphertext = world.encrypt(x, scale)
    for drop in (0, 1, 2):
        result = world.evaluator.rescale(ciphertext, drop)
        expected = scale
        for prime in world.parameters.primes[4 - drop :]:
            expected /= prime
        assert (result.limbs, result.scale) == (4 - drop, expected)
        world.assert_holds(result, x, 2.0**-10)


# Sums


def test_sums_and_differences(world: World) -> None:
    (x, a), (y, b) = world.some(), world.some()
    world.assert_holds(world.evaluator.add(a, b), x + y)
    world.assert_holds(world.evaluator.subtract(a, b), x - y)
    world.assert_holds(world.evaluator.negate(a), -x)


@quickly
@given(seed=seeds, count=st.integers(1, 30))
def test_linear_combinations_are_sums_of_integer_multiples(seed: int, count: int) -> None:
    parameters = switching_parameters(16, (50, 33, 16), (50,))
    generator = np.random.default_rng(seed)
    evaluator = Evaluator(EvaluationKeys(parameters, {}), threads=1)
    scale = Fraction(int(generator.integers(1, 2**40)), int(generator.integers(1, 2**20)))
    terms, factors = [], []
    for _ in range(count):
        limbs = int(generator.integers(1, 4))
        c0, c1 = (extreme_coefficients(generator, parameters, limbs) for _ in range(2))
        own = scale / int(generator.integers(1, 2**30))
        terms.append(replace(ciphertext_of(parameters, c0, c1, limbs), scale=own, packing="slots"))
        factors.append(float(generator.normal()) * 2.0 ** int(generator.integers(-20, 40)))
    constant = float(generator.normal())
    total = evaluator.linear_combination(terms, factors, scale, constant=constant)
    lowest = min(term.limbs for term in terms)
    assert (total.limbs, total.scale) == (lowest, scale)
    modulus = parameters.modulus(lowest)
    sums = [round(Fraction(constant) * scale)] + [0] * 15, [0] * 16
    for term, factor in zip(terms, factors, strict=True):
        integer = round(Fraction(factor) * scale / term.scale)
        for i, part in enumerate(integers(term)):
            sums[i][:] = plus(sums[i], [integer * x for x in part])
    primes = parameters.primes[:lowest]
    assert parts(total) == tuple(to_residues(modulo(s, modulus), primes) for s in sums)


def test_linear_combinations_bring_levels_and_scales_together(world: World) -> None:
    x, y, z = world.numbers(), world.numbers(), world.numbers()
    terms = [
        world.encrypt(x),
        world.encrypt(y, SCALE / 3, 3),
        world.encrypt(z, Fraction(10**11, 7), 4),
    ]
    factors = [-1.5, 0.25, Fraction(-1, 3)]
    scale = SCALE * world.parameters.primes[2]
    result = world.evaluator.linear_combination(terms, factors, scale, constant=-0.75, drop=1)
    assert (result.limbs, result.scale) == (2, SCALE)
    world.assert_holds(result, -1.5 * x + 0.25 * y - z / 3 - 0.75)


# Operations are values


def test_operations_leave_their_operands_as_they_were(world: World) -> None:
    (_, a), (_, b) = world.some(), world.some()
    in_values = world.evaluator.add(a, b)
    plain = world.plain(world.numbers())
    before = [(parts(c), c.scale, c.limbs) for c in (a, b, in_values)]
    for c in (a, in_values):
        world.evaluator.rotate_many(c, [1, 2])
        world.evaluator.rotate(c, 1)
        world.evaluator.multiply(c, b, drop=1)
        world.evaluator.sum_of_products([(c, c), (b, c)])
        world.evaluator.multiply_plain(c, plain, drop=1)
        world.evaluator.rescale(c, 2)
        world.evaluator.sum_slots(c, 3)
        world.evaluator.linear_combination([c, b], [2.5, -1], c.scale, constant=1)
        world.evaluator.negate(c)
    assert [(parts(c), c.scale, c.limbs) for c in (a, b, in_values)] == before


def test_sums_and_plaintext_products_keep_the_packing(world: World) -> None:
    evaluator = world.evaluator
    values = np.arange(64.0)
    plain = engine.encode_coefficients(world.parameters, values, SCALE, 4)
    a = world.secret.encrypt(plain)
    one = engine.encode_coefficients(world.parameters, np.ones(1), SCALE, 4)
    for result, factor in (
        (evaluator.add(a, a), 2),
        (evaluator.negate(a), -1),
        (evaluator.linear_combination([a], [3], SCALE), 3),
        (evaluator.multiply_plain(a, one, drop=1), 1),
        (evaluator.rescale(evaluator.multiply_plain(a, one), 1), 1),
    ):
        assert result.packing == "coefficients"
        decoded = engine.decode(world.secret.decrypt_raw_do_not_publish(result))
        assert np.abs(decoded - factor * values).max() < CLOSE
    with pytest.raises(ValueError, match="in every slot"):
        evaluator.linear_combination([a], [1], SCALE, constant=1)


def test_more_primes_than_are_converted_at_once_go_in_steps() -> None:
    # Six special primes and three data primes of about 50 bits: more than 2^53 in all.
    world = World(unchecked(32, chain(32, (50,) * 5), chain(32, (49,) * 6)))
    x = world.numbers()
    ciphertext = world.encrypt(x, Fraction(2) ** 95)
    product = world.evaluator.multiply(ciphertext, ciphertext, drop=3)
    assert product.limbs == 2
    world.assert_holds(product, x * x)


def test_digits_have_no_more_primes_than_are_converted_at_once() -> None:
    # The product of all eighteen primes is below that of the special primes.
    world = World(unchecked(32, chain(32, (20,) * 18), chain(32, (50,) * 8)))
    assert world.keys.key(engine.RELINEARISATION).native.digits == 2
    x, ciphertext = world.some()
    world.assert_holds(world.evaluator.rotate(ciphertext, 3), np.roll(x, -3))


def test_an_automorphism_and_a_sum_are_one_operation() -> None:
    world = World(switching_parameters(64, (50, 40, 40), (50,)))
    _, a = world.some()
    _, b = world.some()
    element = engine.rotation_element(world.parameters, 5)
    for x, added in ((a, b), (a, a), (engine.truncate(a, 2), engine.truncate(b, 2))):
        together = world.evaluator.add_automorphism(x, element, added)
        apart = world.evaluator.add(world.evaluator.automorphism(x, element), added)
        assert parts(together) == parts(apart)
        assert (together.scale, together.limbs) == (apart.scale, apart.limbs)
    assert parts(world.evaluator.add_automorphism(a, 1, b)) == parts(world.evaluator.add(a, b))
    with pytest.raises(ValueError, match="equal scales and levels"):
        world.evaluator.add_automorphism(a, element, engine.truncate(b, 2))
