"""What an evaluator refuses, and what it says then."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from small_rings import switching_parameters
from small_worlds import SCALE, World

from strongroom import _native, engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    EvaluationKeys,
    Evaluator,
    SecretKey,
    SwitchingKey,
    rotation_element,
)
from strongroom.errors import KeyStoreError


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40, 40), (50, 32)))


def other_world() -> World:
    return World(switching_parameters(16, (50, 40, 40, 40), (50, 32)))


def refusals() -> dict[str, tuple[str, Callable[[World], object]]]:
    """By name: the message, and what is refused."""

    def sample(world: World, scale: Fraction = SCALE, limbs: int = 4) -> Ciphertext:
        return world.encrypt(world.numbers(), scale, limbs)

    def coefficients(world: World) -> Ciphertext:
        plain = engine.encode_coefficients(world.parameters, np.ones(3), SCALE, 4)
        return world.secret.encrypt(plain)

    return {
        "unequal scales": (
            "equal scales",
            lambda w: w.evaluator.add(sample(w), sample(w, SCALE + Fraction(1, 10**30))),
        ),
        "unequal levels": (
            "equal scales and levels",
            lambda w: w.evaluator.subtract(sample(w), sample(w, SCALE, 3)),
        ),
        "unequal product scales": (
            "equal scales",
            lambda w: w.evaluator.sum_of_products(
                [(sample(w), sample(w)), (sample(w), sample(w, SCALE * 2))]
            ),
        ),
        "no products": ("at least one", lambda w: w.evaluator.sum_of_products([])),
        "dropping all primes": (
            "keeps at least one",
            lambda w: w.evaluator.multiply(sample(w), sample(w), drop=4),
        ),
        "dropping all primes of the lower factor": (
            "keeps at least one",
            lambda w: w.evaluator.multiply(sample(w), sample(w, SCALE, 2), drop=2),
        ),
        "dropping less than none": (
            "keeps at least one",
            lambda w: w.evaluator.rescale(sample(w), -1),
        ),
        "rescaling the last prime": (
            "keeps at least one",
            lambda w: w.evaluator.rescale(sample(w, SCALE, 1), 1),
        ),
        "a plain product that drops all": (
            "keeps at least one",
            lambda w: w.evaluator.multiply_plain(sample(w), w.plain(w.numbers()), drop=4),
        ),
        "a combination that drops all": (
            "keeps at least one",
            lambda w: w.evaluator.linear_combination([sample(w)], [1], SCALE, drop=4),
        ),
        "a combination of nothing": (
            "has a factor",
            lambda w: w.evaluator.linear_combination([], [], SCALE),
        ),
        "more factors than ciphertexts": (
            "has a factor",
            lambda w: w.evaluator.linear_combination([sample(w)], [1, 2], SCALE),
        ),
        "a plaintext at a lower level": (
            "lower level",
            lambda w: w.evaluator.multiply_plain(sample(w), w.plain(w.numbers(), SCALE, 3)),
        ),
        "a sum of no slots": ("at least one", lambda w: w.evaluator.sum_slots(sample(w), 0)),
        "packings in a sum": (
            "different packings",
            lambda w: w.evaluator.add(sample(w), coefficients(w)),
        ),
        "packings in a product": (
            "different packings",
            lambda w: w.evaluator.multiply(coefficients(w), sample(w)),
        ),
        "packings in a plain product": (
            "packings",
            lambda w: w.evaluator.multiply_plain(coefficients(w), w.plain(w.numbers())),
        ),
    }


@pytest.mark.parametrize("name", list(refusals()))
def test_operands_that_do_not_fit_are_refused(world: World, name: str) -> None:
    message, operation = refusals()[name]
    with pytest.raises(ValueError, match=message):
        operation(world)


def test_ciphertexts_of_other_parameters_are_refused(world: World) -> None:
    _, own = world.some()
    other = other_world()
    foreign = other.encrypt(other.numbers())
    evaluator = world.evaluator
    for operation in (
        lambda: evaluator.add(own, foreign),
        lambda: evaluator.multiply(foreign, own),
        lambda: evaluator.rotate(foreign, 1),
        lambda: evaluator.rotate_many(foreign, [1]),
        lambda: evaluator.rescale(foreign, 1),
        lambda: evaluator.multiply_plain(foreign, world.plain(world.numbers())),
    ):
        with pytest.raises(ValueError, match=r"other parameters|different parameters"):
            operation()


def test_missing_keys_are_all_named_at_once(world: World) -> None:
    x, ciphertext = world.some()
    parameters = world.parameters
    few = EvaluationKeys(parameters, {rotation_element(parameters, 1): world.keys.key(5)})
    evaluator = Evaluator(few, threads=1)
    world.assert_holds(evaluator.rotate(ciphertext, 1), np.roll(x, -1))
    missing: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: evaluator.rotate(ciphertext, 7), ["rotation by 7"]),
        (lambda: evaluator.rotate(ciphertext, -1), ["rotation by 31"]),
        (lambda: evaluator.rotate_many(ciphertext, [1, 3, 4]), ["rotation by 3", "rotation by 4"]),
        (lambda: evaluator.conjugate(ciphertext), ["conjugation"]),
        (lambda: evaluator.multiply(ciphertext, ciphertext), ["products"]),
        (lambda: evaluator.automorphism(ciphertext, 3), ["X -> X^3"]),
        (lambda: evaluator.rotate_many(ciphertext, range(2, 14)), ["rotation by", "and 4 more"]),
    ]
    for operation, names in missing:
        with pytest.raises(KeyStoreError) as caught:
            operation()
        assert caught.value.code == "SR-KEYS-MISSING"
        assert all(name in str(caught.value) for name in names)


def test_keys_of_fewer_limbs_serve_lower_ciphertexts_only(world: World) -> None:
    x, ciphertext = world.some()
    element = rotation_element(world.parameters, 2)
    keys = world.secret.evaluation_keys([RELINEARISATION, element], limbs=3)
    evaluator = Evaluator(keys, threads=1)
    for operation in (
        lambda c: evaluator.rotate(c, 2),
        lambda c: evaluator.rotate_many(c, [2]),
        lambda c: evaluator.multiply(c, c),
    ):
        with pytest.raises(ValueError, match="lower level"):
            operation(ciphertext)
    low = engine.truncate(ciphertext, 3)
    world.assert_holds(evaluator.rotate(low, 2), np.roll(x, -2))
    world.assert_holds(evaluator.multiply(low, ciphertext), x * x)


def test_keys_for_another_purpose_or_ring_are_refused(world: World) -> None:
    _, ciphertext = world.some()
    parameters = world.parameters
    # Where they are put together, and in the core, where another source gives them.
    product, rotation = world.keys.key(RELINEARISATION), world.keys.key(5)
    for element, key in ((RELINEARISATION, rotation), (5, product), (25, rotation)):
        with pytest.raises(ValueError, match="or other parameters"):
            EvaluationKeys(parameters, {element: key})
    foreign: SwitchingKey = other_world().keys.key(5)
    with pytest.raises(ValueError, match="or other parameters"):
        EvaluationKeys(parameters, {5: foreign})
    native, c = parameters.native, ciphertext.native
    with pytest.raises(ValueError, match="not a relinearisation key"):
        _native.sum_of_products(native, [c], [c], rotation.native, 0, 1)
    with pytest.raises(ValueError, match="has no automorphism"):
        _native.apply_automorphism(native, c, product.native, 1)
    with pytest.raises(ValueError, match="has no automorphism"):
        _native.apply_automorphisms(native, c, [product.native], 1)
    with pytest.raises(ValueError, match="other parameters"):
        _native.apply_automorphism(native, c, foreign.native, 1)


def test_an_evaluator_needs_a_thread(world: World) -> None:
    for threads in (0, -1):
        with pytest.raises(ValueError, match="at least one thread"):
            Evaluator(world.keys, threads=threads)
    assert Evaluator(world.keys).threads == engine.available_threads()


@pytest.mark.parametrize("element", [1, 2, 128, 129, 130, 2**40 + 1])
def test_there_are_no_keys_for_what_is_no_automorphism(world: World, element: int) -> None:
    with pytest.raises(ValueError, match=r"identity|odd number"):
        world.secret.switching_key(element)


def test_parameters_without_special_primes_have_no_evaluation_keys() -> None:
    parameters = switching_parameters(16, (40, 40), ())
    with pytest.raises(ValueError, match="no special primes"):
        SecretKey.generate(parameters).switching_key(RELINEARISATION)
