"""Products whose result is the next product's vector: the layout in plain numpy, then encrypted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_rings import quickly, seeds, switching_parameters
from small_worlds import SCALE, World

from strongroom.engine import (
    EvaluationKeys,
    Evaluator,
    MatrixLayout,
    StepPlan,
    conjugation_element,
)
from strongroom.engine.periodic_products import PeriodicLayout, PeriodicProduct
from strongroom.errors import KeyStoreError

Numbers = NDArray[np.float64]


def padded(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 2 ** (x - 1).bit_length()


def powers_up_to(most: int) -> list[int]:
    return [2**i for i in range(most.bit_length()) if 2**i <= most]


@st.composite
def chosen_layouts(draw: st.DrawFn, most: int = 8) -> PeriodicLayout:
    """The one that the engine chooses for any shape that fits 2 to 2^most slots."""
    slots = 2 ** draw(st.integers(1, most))
    blocks = draw(st.sampled_from(powers_up_to(slots)))
    room, paired = slots // blocks, draw(st.booleans())
    rows, columns = draw(st.integers(1, room)), draw(st.integers(1, room * (1 + paired)))
    layout = PeriodicLayout.choose(slots, blocks, rows, columns, paired=paired)
    assert layout is not None
    return layout


@st.composite
def any_layouts(draw: st.DrawFn, most: int = 7) -> PeriodicLayout:
    """Any span and any period that are allowed, however bad."""
    slots = 2 ** draw(st.integers(1, most))
    blocks = draw(st.sampled_from(powers_up_to(slots)))
    span = draw(st.sampled_from(powers_up_to(slots // blocks)))
    rows, paired = draw(st.integers(1, span)), draw(st.booleans())
    if span > 1 and not paired and draw(st.booleans()):
        period = draw(st.sampled_from(powers_up_to(span)[1:]))
        return PeriodicLayout(slots, blocks, rows, period, span, period, halved=True)
    period = draw(st.integers(1, span))
    columns = draw(st.integers(1, period * (1 + paired)))
    return PeriodicLayout(slots, blocks, rows, columns, span, period, paired)


def random_matrices(
    layout: PeriodicLayout, generator: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Matrices and vectors of all blocks."""
    matrices = generator.normal(size=(layout.blocks, layout.rows, layout.columns))
    return matrices, generator.normal(size=(layout.blocks, layout.columns))


def expected_slots(layout: PeriodicLayout, matrices: Numbers, vectors: Numbers) -> Numbers:
    """Slot u B + b holds entry u mod m of block b's product, written down without the layout."""
    product = np.einsum("bij,bj->bi", matrices, vectors)
    slots = np.zeros(layout.slots)
    for slot in range(layout.slots):
        u, block = divmod(slot, layout.blocks)
        row = u % padded(layout.rows)
        slots[slot] = product[block, row] if row < layout.rows else 0.0
    return slots


def evaluated(layout: PeriodicLayout, matrices: Numbers, vectors: Numbers) -> Numbers:
    """The slots that a server computes, in numpy."""
    x = layout.spread(vectors)
    if layout.halved:
        x = x + 1j * np.roll(x, -layout.half_step)
    y = np.sum([d * np.roll(x, -k) for k, d in layout.diagonal_values(matrices)], axis=0)
    stride = layout.units * layout.blocks
    y = np.sum([np.roll(y, -stride * t) for t in range(layout.terms)], axis=0)
    return np.asarray((y + y.conj()).real if layout.complex else y)


# Layouts


@quickly
@given(layout=chosen_layouts(), seed=seeds)
def test_chosen_layouts_multiply(layout: PeriodicLayout, seed: int) -> None:
    matrices, vectors = random_matrices(layout, np.random.default_rng(seed))
    slots = evaluated(layout, matrices, vectors)
    assert np.allclose(slots, expected_slots(layout, matrices, vectors))


@quickly
@given(layout=any_layouts(), seed=seeds)
def test_layouts_of_any_span_and_period_multiply(layout: PeriodicLayout, seed: int) -> None:
    matrices, vectors = random_matrices(layout, np.random.default_rng(seed))
    slots = evaluated(layout, matrices, vectors)
    assert np.allclose(slots, expected_slots(layout, matrices, vectors))


@quickly
@given(data=st.data(), seed=seeds)
def test_a_product_is_the_next_products_vector_as_it_is(data: st.DataObject, seed: int) -> None:
    first = data.draw(chosen_layouts(7))
    rows = data.draw(st.integers(1, first.slots // first.blocks))
    second = PeriodicLayout.following(first.slots, first.blocks, rows, first.rows, first.units)
    assert second is not None
    generator = np.random.default_rng(seed)
    matrices, vectors = random_matrices(first, generator)
    more = generator.normal(size=(first.blocks, rows, first.rows))
    between = np.einsum("bij,bj->bi", matrices, vectors)
    # What the first product leaves is what the second would have had laid out.
    slots = evaluated(first, matrices, vectors)
    assert np.allclose(slots, second.spread(between))
    expected = expected_slots(second, more, between)
    assert np.allclose(evaluated(second, more, between), expected)


@quickly
@given(layout=any_layouts(6))
def test_diagonals_hold_every_entry_of_a_matrix_once_a_span(layout: PeriodicLayout) -> None:
    size = layout.blocks * layout.rows * layout.columns
    names = 1.0 + np.arange(size).reshape(layout.blocks, layout.rows, layout.columns)
    diagonals = dict(layout.diagonal_values(names))
    assert list(diagonals) == [k * layout.blocks for k in range(layout.diagonals)]
    held = np.concatenate(list(diagonals.values()))
    if layout.complex:
        # Halved and conjugated; an odd last column has no imaginary part.
        held = np.concatenate([2.0 * held.real, -2.0 * held.imag])
    values, counts = np.unique(held[held != 0.0], return_counts=True)
    assert values.tolist() == list(range(1, size + 1))
    assert set(counts.tolist()) == {layout.slots // layout.blocks // layout.span}


@quickly
@given(layout=any_layouts())
def test_layouts_announce_the_rotations_that_they_use(layout: PeriodicLayout) -> None:
    assert layout.terms * layout.units == layout.span
    plan = layout.step_plan
    reached = {giant + baby for giant in plan.giants for baby in plan.babies}
    assert reached >= {k * layout.blocks for k in range(layout.diagonals)}
    stride = layout.units * layout.blocks
    assert all(step % stride == 0 for step in layout.fold_steps)
    assert bool(layout.fold_steps) == (layout.terms > 1)


@quickly
@given(layout=chosen_layouts(6))
def test_hardly_any_layout_is_cheaper_than_the_one_that_is_chosen(layout: PeriodicLayout) -> None:
    costs = []
    for span in powers_up_to(layout.slots // layout.blocks):
        if span < layout.units:
            continue
        for period in range(layout.slot_columns, span + 1):
            costs.append(replace(layout, span=span, period=period).cost)
    # By a rotation at the end, and a little.
    assert layout.cost <= 1.25 * min(costs) + 3.0


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 256),
    columns=st.integers(1, 256),
    blocks=st.sampled_from([1, 4]),
    paired=st.booleans(),
)
def test_the_layout_that_is_chosen_never_takes_twice_the_time_of_padding_to_powers_of_two(
    rows: int, columns: int, blocks: int, paired: bool
) -> None:
    chosen = PeriodicLayout.choose(1024, blocks, rows, columns, paired=paired)
    usual = MatrixLayout(1024, rows, columns, blocks)
    assert chosen is not None
    # No layout has fewer diagonals than a matrix has entries for each slot of a span.
    assert chosen.diagonals >= -(-rows * chosen.slot_columns // chosen.span)
    assert price(chosen) <= 2.0 * price(usual) + 3.0


def price(layout: PeriodicLayout | MatrixLayout) -> float:
    """Rotations, those before the diagonals and those after, roughly in baby steps."""
    plan = StepPlan.choose(frozenset(range(layout.diagonals)))
    sums = len(layout.fold_steps) + (isinstance(layout, PeriodicLayout) and layout.paired)
    return plan.cost + 3.0 * sums + 0.15 * layout.diagonals


def test_pairs_halve_what_a_wide_vector_takes() -> None:
    single = PeriodicLayout.choose(4096, 1, 256, 700, paired=False)
    paired = PeriodicLayout.choose(4096, 1, 256, 700, paired=True)
    assert single is not None
    assert paired is not None
    assert paired.slot_columns == 350
    assert paired.diagonals < 0.6 * single.diagonals
    assert paired.cost < single.cost
    parameters = switching_parameters(64, (50, 40), (50,))
    small = PeriodicLayout.choose(32, 1, 4, 9, paired=True)
    assert small is not None
    assert conjugation_element(parameters) in small.elements(parameters)


def test_blocks_do_not_meet() -> None:
    layout = PeriodicLayout.choose(128, 4, 5, 7, paired=True)
    assert layout is not None
    generator = np.random.default_rng(0)
    matrices, vectors = random_matrices(layout, generator)
    before = evaluated(layout, matrices, vectors).reshape(-1, 4)
    vectors[1] = generator.normal(size=7)
    after = evaluated(layout, matrices, vectors).reshape(-1, 4)
    assert np.array_equal(before[:, [0, 2, 3]], after[:, [0, 2, 3]])
    assert not np.allclose(before[:, 1], after[:, 1])


@quickly
@given(layout=any_layouts(), seed=seeds)
def test_a_bias_lies_where_the_product_does(layout: PeriodicLayout, seed: int) -> None:
    entries = np.random.default_rng(seed).normal(size=(layout.blocks, layout.rows))
    ones = np.zeros((layout.blocks, layout.rows, layout.columns))
    ones[:, :, 0] = entries
    vectors = np.ones((layout.blocks, layout.columns))
    assert np.array_equal(layout.repeated(entries), expected_slots(layout, ones, vectors))


# Ciphertexts


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40), (50, 32)))


SHAPES = [
    # blocks, rows, columns, paired
    (1, 1, 1, False),
    (1, 1, 1, True),
    (1, 1, 32, False),
    (1, 1, 64, True),
    (1, 32, 1, False),
    (1, 5, 7, False),
    (1, 5, 7, True),
    (1, 32, 64, True),
    (2, 3, 11, True),
    (4, 8, 5, False),
    (32, 1, 2, True),
]


@pytest.mark.parametrize(("blocks", "rows", "columns", "paired"), SHAPES)
def test_encrypted_vectors_are_multiplied_with_the_announced_keys(
    world: World, blocks: int, rows: int, columns: int, paired: bool
) -> None:
    layout = PeriodicLayout.choose(32, blocks, rows, columns, paired=paired)
    assert layout is not None
    matrices, vectors = random_matrices(layout, np.random.default_rng(rows))
    product = PeriodicProduct.encode(
        world.parameters, layout, matrices, scale=SCALE, limbs=world.parameters.limbs
    )
    elements = layout.elements(world.parameters)
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in elements})
    vector = world.encrypt(layout.spread(vectors).astype(np.complex128))
    result = product.apply(Evaluator(keys, threads=1), vector)
    assert (result.limbs, result.scale) == (3, SCALE**2)
    world.assert_holds(result, expected_slots(layout, matrices, vectors).astype(np.complex128))
    for element in elements:
        fewer = {e: world.keys.key(e) for e in elements if e != element}
        evaluator = Evaluator(EvaluationKeys(world.parameters, fewer), threads=1)
        with pytest.raises(KeyStoreError):
            product.apply(evaluator, vector)


@quickly
@given(layout=any_layouts(5), seed=seeds)
def test_any_layout_is_multiplied_encrypted(layout: PeriodicLayout, seed: int) -> None:
    # A wider ring than the layout needs repeats everything.
    wide = replace(layout, slots=32)
    matrices, vectors = random_matrices(wide, np.random.default_rng(seed))
    product = PeriodicProduct.encode(SHARED.parameters, wide, matrices, scale=SCALE, limbs=2)
    vector = SHARED.encrypt(wide.spread(vectors).astype(np.complex128))
    result = product.apply(SHARED.evaluator, vector)
    expected = expected_slots(wide, matrices, vectors).astype(np.complex128)
    SHARED.assert_holds(result, expected, 2.0**-18)


SHARED = World(switching_parameters(64, (50, 40), (50,)))


# What is refused


@pytest.mark.parametrize(
    "values",
    [
        {"slots": 24}, {"blocks": 3}, {"span": 12}, {"blocks": 0}, {"rows": 0}, {"columns": 0},
        {"rows": -1}, {"rows": 17}, {"columns": 17}, {"period": 17}, {"period": 9},
        {"span": 64}, {"blocks": 4, "slots": 32}, {"span": 8}, {"period": 0},
        {"halved": True, "paired": True, "columns": 16, "period": 16},
        {"halved": True, "columns": 9, "period": 9}, {"halved": True, "columns": 6, "period": 8},
        {"halved": True, "columns": 10, "period": 10},
    ],
    ids=str,
)  # fmt: skip
def test_layouts_that_contradict_themselves_are_refused(values: dict[str, int]) -> None:
    whole = {"slots": 32, "blocks": 2, "rows": 5, "columns": 10, "span": 16, "period": 10}
    PeriodicLayout(**whole)
    with pytest.raises(ValueError, match=r"powers of two|room|halved"):
        PeriodicLayout(**{**whole, **values})


def test_matrices_that_do_not_fit_have_no_layout() -> None:
    assert PeriodicLayout.choose(32, 1, 33, 1, paired=False) is None
    assert PeriodicLayout.choose(32, 1, 1, 33, paired=False) is None
    assert PeriodicLayout.choose(32, 1, 1, 65, paired=True) is None
    assert PeriodicLayout.choose(32, 4, 1, 9, paired=False) is None
    assert PeriodicLayout.following(32, 1, 33, 4, 4) is None
    assert PeriodicLayout.following(32, 4, 2, 16, 16) is None


def test_vectors_and_matrices_of_other_shapes_are_refused() -> None:
    layout = PeriodicLayout(32, 2, 4, 8, 8, 8)
    with pytest.raises(ValueError, match="vectors of shape"):
        layout.spread(np.ones((2, 7)))
    with pytest.raises(ValueError, match="vectors of shape"):
        layout.spread(np.ones(8))
    with pytest.raises(ValueError, match="matrices of shape"):
        dict(layout.diagonal_values(np.ones((2, 8, 4))))
