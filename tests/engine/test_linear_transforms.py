"""Linear maps on slots: exact, equal to numpy's, planned cheaply, and with no key too many."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import count, takewhile

import numpy as np
import pytest
from exact_evaluation import Exact, plaintext_integers, random_ciphertext
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import from_residues
from small_rings import parts, quickly, seeds, switching_parameters
from small_worlds import SCALE, Slots, World

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    EncryptedLinearTransform,
    EvaluationKeys,
    Evaluator,
    LinearTransform,
    StepPlan,
    SwitchingKey,
    apply_transform,
    rotation_element,
)
from strongroom.errors import KeyStoreError

Diagonals = dict[int, Slots]
Transform = LinearTransform | EncryptedLinearTransform


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40), (50, 32)))


def plain(world: World, diagonals: Diagonals, limbs: int | None = None) -> Transform:
    return LinearTransform.from_diagonals(world.parameters, diagonals, scale=SCALE, limbs=limbs)


def encrypted(world: World, diagonals: Diagonals, limbs: int | None = None) -> Transform:
    return EncryptedLinearTransform.from_diagonals(
        world.secret, diagonals, scale=SCALE, limbs=limbs
    )


either_kind = pytest.mark.parametrize("make", [plain, encrypted])
Make = Callable[..., Transform]


def image(diagonals: Diagonals, x: Slots) -> Slots:
    """y[s] = sum over k of d_k[s] x[s + k]."""
    return np.sum([d * np.roll(x, -k) for k, d in diagonals.items()], axis=0)


def random_diagonals(world: World, steps: list[int]) -> Diagonals:
    return {k: world.numbers() for k in steps}


# Plans


@given(steps=st.frozensets(st.integers(0, 300), min_size=1), key_cost=st.floats(0.0, 8.0))
def test_plans_reach_all_steps_and_are_the_cheapest_of_all_two_level_strides(
    steps: frozenset[int], key_cost: float
) -> None:
    plan = StepPlan.choose(steps, key_cost=key_cost)
    assert steps <= {sum(rotation) for rotation in plan.rotations}
    for part in (plan.babies, plan.middles, plan.giants):
        assert list(part) == sorted(set(part))
    assert plan.steps == set(plan.babies + plan.middles[1:2] + plan.turns) - {0}

    own = plan.cost + key_cost * len(plan.steps)
    for stride in takewhile(lambda s: s <= 2 * 300, (2**i for i in count())):
        babies, giants = {k % stride for k in steps}, {k - k % stride for k in steps}
        two = StepPlan(tuple(sorted(babies)), tuple(sorted(giants)))
        assert own <= two.cost + key_cost * len(two.steps)


def test_dense_maps_take_about_twice_the_root_of_their_diagonals_in_rotations() -> None:
    for dense in (16, 64, 256, 1024):
        plan = StepPlan.choose(frozenset(range(dense)))
        assert len(plan.rotations) == dense
        assert len(plan.babies) * len(plan.middles) <= 4 * dense**0.5
        assert len(plan.giants) <= 2 * dense**0.5


@pytest.mark.parametrize("dense", [64, 256, 1024])
def test_keys_that_cost_much_are_few(dense: int) -> None:
    many, few = (
        StepPlan.choose(frozenset(range(dense)), key_cost=cost).steps for cost in (0.0, 8.0)
    )
    # Three levels of r steps have r - 1 keys and one for each of the others.
    assert len(few) < len(many)
    assert len(few) <= 2 * dense ** (1 / 3) + 2


def test_plans_of_one_diagonal_rotate_once_at_most() -> None:
    assert StepPlan.choose(frozenset({0})).steps == frozenset()
    assert StepPlan.choose(frozenset({12})).steps == {12}


def test_a_plan_needs_a_diagonal() -> None:
    with pytest.raises(ValueError, match="at least one diagonal"):
        StepPlan.choose(frozenset())


@pytest.mark.parametrize("middles", [(), (4,), (0, 4, 12), (4, 8)])
def test_middle_steps_are_made_one_from_the_other(middles: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="middle steps"):
        StepPlan((0, 1), (0,), middles=middles)


# Against numpy


@either_kind
@pytest.mark.parametrize(
    "steps",
    [[0], [1], [31], [0, 1], [5, 17], [0, 16], [3, 4, 11, 12, 30], list(range(32)), [-1, -5, 2]],
    ids=str,
)
def test_maps_have_numpys_result_with_the_announced_keys(
    world: World, make: Make, steps: list[int]
) -> None:
    diagonals = random_diagonals(world, steps)
    transform = make(world, diagonals)
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in transform.elements})
    x, ciphertext = world.some()
    for drop in (0, 1):
        y = apply_transform(Evaluator(keys, threads=1), ciphertext, transform, drop=drop)
        scale = SCALE**2 / world.parameters.primes[2] if drop else SCALE**2
        assert (y.scale, y.limbs, y.packing) == (scale, 3 - drop, "slots")
        world.assert_holds(y, image(diagonals, x), len(steps) * 2.0**-25)


@quickly
@given(seed=seeds, dense=st.floats(0.05, 1))
def test_random_sparse_maps_have_numpys_result(seed: int, dense: float) -> None:
    world = SHARED
    generator = np.random.default_rng(seed)
    steps = [k for k in range(world.slots) if generator.random() < dense] or [7]
    diagonals: Diagonals = {
        k: generator.normal(size=world.slots) * (generator.random(world.slots) < dense)
        for k in steps
    }
    diagonals[steps[0]][0] = 1.0
    x, ciphertext = world.some()
    for make in (plain, encrypted):
        y = apply_transform(world.evaluator, ciphertext, make(world, diagonals))
        world.assert_holds(y, image(diagonals, x), 2.0**-18)


SHARED = World(switching_parameters(64, (50, 40, 40), (50,)))


def test_plaintext_diagonals_of_zeros_cost_neither_keys_nor_products() -> None:
    diagonals = random_diagonals(SHARED, [1, 9])
    padded = {**diagonals, **{k: np.zeros(SHARED.slots) for k in (0, 3, 5, 30)}}
    few, more = plain(SHARED, diagonals), plain(SHARED, padded)
    assert (few.plan, few.elements) == (more.plan, more.elements)
    assert isinstance(few, LinearTransform)
    assert isinstance(more, LinearTransform)
    assert few.present == more.present
    assert sum(more.present) == 2


def test_encrypted_diagonals_do_not_tell_which_are_zero() -> None:
    steps = (0, 1, 3, 5, 9, 30)
    full = encrypted(SHARED, random_diagonals(SHARED, list(steps)))
    empty = encrypted(SHARED, {k: np.zeros(SHARED.slots) for k in steps})
    assert (full.plan, full.elements) == (empty.plan, empty.elements)
    assert isinstance(full, EncryptedLinearTransform)
    assert isinstance(empty, EncryptedLinearTransform)
    assert [d is None for d in full.diagonals] == [d is None for d in empty.diagonals]
    assert sum(d is not None for d in empty.diagonals) == len(steps)


def test_a_map_to_zero_is_one(world: World) -> None:
    zeros = {k: np.zeros(world.slots) for k in (0, 3)}
    _, ciphertext = world.some()
    y = apply_transform(world.evaluator, ciphertext, plain(world, zeros))
    world.assert_holds(y, np.zeros(world.slots))


@either_kind
def test_the_identity_needs_no_rotation_key(world: World, make: Make) -> None:
    transform = make(world, random_diagonals(world, [0]))
    assert transform.elements == ({RELINEARISATION} if make is encrypted else set())


@either_kind
@pytest.mark.parametrize(
    ("babies", "giants"),
    [
        ((1, 2, 3), (8, 16)),  # without the identity on either side
        ((0, 1, 2, 3), (8, 16)),
        ((1, 2, 3), (0, 8, 16)),
        ((1, 2, 3, 9, 10, 11, 17, 18, 19), (0,)),
        ((0,), (1, 2, 3, 9, 10, 11, 17, 18, 19)),
        ((0, 1, 2, 3, 8, 9, 10, 11), (0, 8)),  # some rotations in two ways
        ((0, 1, 2, 3), (0, 8, 16, 24)),  # a giant step without diagonals
    ],
)
def test_any_plan_that_reaches_all_diagonals_does(
    world: World, make: Make, babies: tuple[int, ...], giants: tuple[int, ...]
) -> None:
    steps = [g + b for g in (0, 8, 16) for b in (1, 2, 3)]
    reached = {b + g for b in babies for g in giants}
    diagonals = random_diagonals(world, [k for k in steps if k in reached])
    plan = StepPlan(babies, giants)
    transform: Transform = (
        LinearTransform.from_diagonals(world.parameters, diagonals, scale=SCALE, plan=plan)
        if make is plain
        else EncryptedLinearTransform.from_diagonals(
            world.secret, diagonals, scale=SCALE, plan=plan
        )
    )
    x, ciphertext = world.some()
    y = apply_transform(world.evaluator, ciphertext, transform)
    world.assert_holds(y, image(diagonals, x))


@either_kind
@pytest.mark.parametrize(
    ("babies", "middles", "giants"),
    [
        ((0, 1), (0, 2), (0, 4, 8, 12, 16)),
        ((0, 1), (0, 2, 4, 6), (0, 8, 16)),
        ((1, 3), (0, 2, 4), (0, 8)),
        ((0,), (0, 1, 2, 3, 4, 5, 6, 7), (0, 8)),
    ],
)
def test_middle_steps_turn_the_vector_before_its_baby_steps(
    world: World,
    make: Make,
    babies: tuple[int, ...],
    middles: tuple[int, ...],
    giants: tuple[int, ...],
) -> None:
    reached = {b + m + g for b in babies for m in middles for g in giants}
    diagonals = random_diagonals(world, sorted(reached)[1:])
    plan = StepPlan(babies, giants, middles=middles)
    transform: Transform = (
        LinearTransform.from_diagonals(world.parameters, diagonals, scale=SCALE, plan=plan)
        if make is plain
        else EncryptedLinearTransform.from_diagonals(
            world.secret, diagonals, scale=SCALE, plan=plan
        )
    )
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in transform.elements})
    x, ciphertext = world.some()
    y = apply_transform(Evaluator(keys, threads=2), ciphertext, transform)
    world.assert_holds(y, image(diagonals, x), len(reached) * 2.0**-25)


# Diagonals that repeat


@pytest.mark.parametrize("log_scale", [20, 45])
@pytest.mark.parametrize("kernel", engine.available_kernels())
def test_of_diagonals_that_repeat_one_period_is_kept(kernel: str, log_scale: int) -> None:
    primes = switching_parameters(512, (50, 40, 40), (50,), kernel=kernel)
    world = World(primes)
    generator = np.random.default_rng(log_scale)
    scale = Fraction(2) ** log_scale
    sizes = {}
    for period in (1, 2, 8, 32, 64, world.slots):
        values = generator.normal(size=period) + 1j * generator.normal(size=period)
        repeated = np.tile(values, world.slots // period)
        kept = LinearTransform.from_diagonals(primes, {0: repeated}, scale=scale).native
        repeats = world.slots // period
        assert kept.log_run == repeats.bit_length() - 1
        sizes[period] = kept.bytes
    assert sizes[1] < sizes[2] < sizes[8] < sizes[32] < sizes[64] < sizes[world.slots]


@pytest.mark.parametrize("kernel", engine.available_kernels())
def test_diagonals_of_any_periods_multiply_as_they_are(kernel: str) -> None:
    world = World(switching_parameters(512, (50, 40, 40), (50,), kernel=kernel))
    generator = np.random.default_rng(1)
    diagonals: Diagonals = {
        k: np.tile(generator.normal(size=period), world.slots // period)
        for k, period in enumerate((1, 2, 4, 16, 64, world.slots, 1, 8))
    }
    x, ciphertext = world.some()
    transform = plain(world, diagonals)
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in transform.elements})
    y = apply_transform(Evaluator(keys, threads=1), ciphertext, transform)
    world.assert_holds(y, image(diagonals, x), 2.0**-20)


@either_kind
def test_maps_serve_lower_levels_than_they_were_made_for(world: World, make: Make) -> None:
    diagonals = random_diagonals(world, [0, 3, 17])
    transform = make(world, diagonals)
    x, ciphertext = world.some()
    low = engine.truncate(ciphertext, 2)
    y = apply_transform(world.evaluator, low, transform)
    world.assert_holds(y, image(diagonals, x))
    dropped = apply_transform(world.evaluator, low, transform, drop=1)
    assert (dropped.limbs, dropped.scale) == (1, SCALE**2 / world.parameters.primes[1])
    world.assert_holds(dropped, image(diagonals, x))


def test_maps_encrypted_under_the_public_key_work_too(world: World) -> None:
    diagonals = random_diagonals(world, [1, 4])
    public = world.secret.public_key(2)
    transform = EncryptedLinearTransform.from_diagonals(public, diagonals, scale=SCALE, limbs=2)
    x, ciphertext = world.some()
    y = apply_transform(world.evaluator, engine.truncate(ciphertext, 2), transform)
    world.assert_holds(y, image(diagonals, x))


# Bit for bit


@pytest.mark.parametrize(
    ("bits", "special", "limbs", "drop"),
    [
        ((50, 50, 50), (50,), 3, 0),
        ((45, 30, 30, 16), (50, 20), 4, 2),
        ((45, 30, 30, 16), (50, 20), 3, 1),
        ((45, 30, 30, 16), (50, 20), 1, 0),
        ((16, 16, 16, 16, 40), (33, 33), 4, 3),
    ],
)
@pytest.mark.parametrize("steps", [[0, 1, 2, 5, 6], [3], [4, 5, 7], [0]], ids=str)
def test_results_are_those_of_big_integers(
    bits: tuple[int, ...], special: tuple[int, ...], limbs: int, drop: int, steps: list[int]
) -> None:
    world = World(switching_parameters(16, bits, special))
    parameters = world.parameters
    generator = np.random.default_rng(len(bits))
    scale = Fraction(2) ** 13
    diagonals = random_diagonals(world, steps)
    plan = StepPlan(tuple({k % 4 for k in steps}), tuple({k - k % 4 for k in steps}))
    exact = Exact(parameters, limbs)
    x = random_ciphertext(parameters, generator, limbs)
    x = Ciphertext(x.native, parameters, x.scale, "slots")

    def keys(steps: tuple[int, ...]) -> list[SwitchingKey | None]:
        return [world.keys.key(rotation_element(parameters, k)) if k else None for k in steps]

    places = [
        (i, j)
        for i, giant in enumerate(plan.giants)
        for j, baby in enumerate(plan.babies)
        if giant + baby in diagonals
    ]
    transform = LinearTransform.from_diagonals(parameters, diagonals, scale=scale, plan=plan)
    encoded = {}
    for i, j in places:
        values = np.roll(diagonals[plan.giants[i] + plan.babies[j]], plan.giants[i])
        native = engine.encode_slots(parameters, values, scale, parameters.limbs).native
        encoded[i, j] = plaintext_integers(native, parameters.primes)
    assert parts(apply_transform(world.evaluator, x, transform, drop=drop)) == (
        exact.transformed_plain(x, keys(plan.babies), keys(plan.giants), encoded, drop)
    )

    hidden = EncryptedLinearTransform.from_diagonals(
        world.secret, diagonals, scale=scale, plan=plan
    )
    pairs = {}
    for i, j in places:
        native_diagonal = hidden.diagonals[i * len(plan.babies) + j]
        assert native_diagonal is not None
        c0, c1 = native_diagonal.residues()
        pairs[i, j] = tuple(from_residues(c[:limbs].tolist(), exact.primes) for c in (c0, c1))
    relinearisation = world.keys.key(RELINEARISATION)
    assert parts(apply_transform(world.evaluator, x, hidden, drop=drop)) == (
        exact.transformed_encrypted(
            x, keys(plan.babies), keys(plan.giants), pairs, relinearisation, drop
        )
    )


# What is refused


@either_kind
def test_missing_keys_are_named(world: World, make: Make) -> None:
    transform = make(world, random_diagonals(world, [1, 2, 16, 17]))
    _, ciphertext = world.some()
    evaluator = Evaluator(EvaluationKeys(world.parameters, {}))
    with pytest.raises(KeyStoreError, match="rotation by 1") as caught:
        apply_transform(evaluator, ciphertext, transform)
    assert ("products" in str(caught.value)) == (make is encrypted)
    assert caught.value.code == "SR-KEYS-MISSING"


@either_kind
def test_operands_that_do_not_fit_are_refused(world: World, make: Make) -> None:
    diagonals = random_diagonals(world, [1, 2])
    _, ciphertext = world.some()
    low = make(world, diagonals, 2)
    with pytest.raises(ValueError, match="for 2 primes and a ciphertext of 3"):
        apply_transform(world.evaluator, ciphertext, low)
    for drop in (-1, 3):
        with pytest.raises(ValueError, match=f"{drop} would be dropped"):
            apply_transform(world.evaluator, ciphertext, make(world, diagonals), drop=drop)
    with pytest.raises(ValueError, match="different parameters"):
        apply_transform(SHARED.evaluator, ciphertext, low)
    with pytest.raises(ValueError, match="different parameters"):
        apply_transform(world.evaluator, SHARED.some()[1], low)
    coefficients = engine.encode_coefficients(world.parameters, np.ones(4), SCALE, 2)
    with pytest.raises(ValueError, match="acts on slots"):
        apply_transform(world.evaluator, world.secret.encrypt(coefficients), low)


@either_kind
def test_diagonals_that_make_no_map_are_refused(world: World, make: Make) -> None:
    with pytest.raises(ValueError, match="each of 32 slots"):
        make(world, {0: np.ones(31)})
    with pytest.raises(ValueError, match="two diagonals for rotation by 1"):
        make(world, {1: np.ones(32), 33: np.ones(32)})
    with pytest.raises(ValueError, match="at least one diagonal"):
        make(world, {})
    with pytest.raises(ValueError, match="without all rotations"):
        LinearTransform.from_diagonals(
            world.parameters, {5: np.ones(32)}, scale=SCALE, plan=StepPlan((0, 1), (0, 8))
        )
