"""Matrices times encrypted vectors: the layout in plain numpy, then encrypted."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_rings import quickly, seeds, switching_parameters
from small_worlds import SCALE, World

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    EvaluationKeys,
    Evaluator,
    MatrixLayout,
    MatrixProduct,
)
from strongroom.errors import KeyStoreError

Numbers = NDArray[np.float64]


def padded(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 2 ** (x - 1).bit_length()


@st.composite
def layouts(draw: st.DrawFn, most: int = 8) -> MatrixLayout:
    """Any that fits 2 to 2^most slots."""
    log_slots = draw(st.integers(1, most))
    log_blocks = draw(st.integers(0, log_slots))
    room = 2 ** (log_slots - log_blocks)
    rows, columns = draw(st.integers(1, room)), draw(st.integers(1, room))
    blocks = draw(st.integers(2**log_blocks // 2 + 1, 2**log_blocks))
    return MatrixLayout(2**log_slots, rows, columns, blocks)


def random_matrices(
    layout: MatrixLayout, generator: np.random.Generator
) -> tuple[Numbers, Numbers]:
    """Matrices and vectors; of one block without the dimension of blocks."""
    matrices = generator.normal(size=(layout.blocks, layout.rows, layout.columns))
    vectors = generator.normal(size=(layout.blocks, layout.columns))
    return (matrices, vectors) if layout.blocks > 1 else (matrices[0], vectors[0])


def product(matrices: Numbers, vectors: Numbers) -> Numbers:
    return np.asarray(np.einsum("...ij,...j->...i", matrices, vectors))


def evaluated(layout: MatrixLayout, matrices: Numbers, vectors: Numbers) -> Numbers:
    """The slots that a server computes, in numpy."""
    x = layout.spread(vectors)
    y = np.sum([d * np.roll(x, -k) for k, d in layout.diagonal_values(matrices).items()], axis=0)
    stride = min(layout.fold_steps, default=1)
    return np.asarray(np.sum([np.roll(y, -stride * t) for t in range(layout.terms)], axis=0))


@given(layout=layouts(), seed=seeds)
def test_every_layout_multiplies(layout: MatrixLayout, seed: int) -> None:
    matrices, vectors = random_matrices(layout, np.random.default_rng(seed))
    slots = evaluated(layout, matrices, vectors)
    expected = product(matrices, vectors)
    got = layout.gather(slots)
    assert got.shape == expected.shape
    assert np.allclose(got, expected)
    # A row's entry repeats in all slots at the same place modulo the padded rows.
    period = padded(layout.rows) * padded(layout.blocks)
    assert np.allclose(slots.reshape(-1, period), slots[:period])


@given(layout=layouts(14))
def test_layouts_take_the_least_number_of_diagonals(layout: MatrixLayout) -> None:
    m, n, b = (padded(x) for x in (layout.rows, layout.columns, layout.blocks))
    assert layout.diagonals == max(1, m * n * b // layout.slots)
    assert layout.diagonal_steps == tuple(range(0, layout.diagonals * b, b))
    # Rotations that sum a row: each doubles what is summed.
    assert layout.terms * layout.diagonals == n
    assert len(layout.fold_steps) == layout.terms.bit_length() - 1


@given(layout=layouts(6), seed=seeds)
def test_diagonals_hold_every_entry_as_often_as_every_other(
    layout: MatrixLayout, seed: int
) -> None:
    size = layout.blocks * layout.rows * layout.columns
    names = 1.0 + np.random.default_rng(seed).permutation(size)
    matrices = names.reshape(layout.blocks, layout.rows, layout.columns)
    diagonals = layout.diagonal_values(matrices)
    assert tuple(diagonals) == layout.diagonal_steps
    values, counts = np.unique(np.concatenate(list(diagonals.values())), return_counts=True)
    assert values[values > 0].tolist() == list(range(1, size + 1))
    assert len(set(counts[values > 0].tolist())) == 1


def test_blocks_do_not_meet() -> None:
    layout = MatrixLayout(64, 4, 8, 3)
    generator = np.random.default_rng(0)
    matrices, vectors = random_matrices(layout, generator)
    before = layout.gather(evaluated(layout, matrices, vectors))
    vectors[1] = generator.normal(size=8)
    after = layout.gather(evaluated(layout, matrices, vectors))
    assert np.array_equal(before[[0, 2]], after[[0, 2]])
    assert not np.allclose(before[1], after[1])


@pytest.fixture(scope="module")
def world() -> World:
    return World(switching_parameters(64, (50, 40, 40), (50, 32)))


SHAPES = [
    (1, 1, 1),
    (1, 1, 32),
    (1, 32, 1),
    (1, 32, 32),
    (1, 4, 8),
    (1, 5, 7),
    (1, 16, 32),
    (1, 3, 20),
    (3, 3, 4),
    (4, 8, 8),
    (32, 1, 1),
]


@pytest.mark.parametrize("hidden", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("blocks", "rows", "columns"), SHAPES)
def test_encrypted_vectors_are_multiplied_with_the_announced_keys(
    world: World, hidden: bool, blocks: int, rows: int, columns: int
) -> None:
    matrices, vectors = random_matrices(
        MatrixLayout(32, rows, columns, blocks), np.random.default_rng(blocks)
    )
    matrix = (
        MatrixProduct.encrypted(world.secret, matrices, scale=SCALE)
        if hidden
        else MatrixProduct.plain(world.parameters, matrices, scale=SCALE)
    )
    assert (RELINEARISATION in matrix.elements) == hidden
    keys = EvaluationKeys(world.parameters, {e: world.keys.key(e) for e in matrix.elements})
    vector = world.encrypt(matrix.layout.spread(vectors).astype(np.complex128))
    result = matrix.apply(Evaluator(keys, threads=1), vector, drop=1)
    assert (result.limbs, result.scale) == (2, SCALE**2 / world.parameters.primes[2])
    slots = engine.decode(world.secret.decrypt_raw_do_not_publish(result)).real
    expected = product(matrices, vectors)
    assert np.abs(matrix.layout.gather(slots) - expected).max() < 2.0**-20
    for element in matrix.elements:
        fewer = {e: world.keys.key(e) for e in matrix.elements if e != element}
        evaluator = Evaluator(EvaluationKeys(world.parameters, fewer), threads=1)
        with pytest.raises(KeyStoreError):
            matrix.apply(evaluator, vector)


def test_matrices_serve_the_levels_up_to_their_own(world: World) -> None:
    matrices, vectors = random_matrices(MatrixLayout(32, 8, 16), np.random.default_rng(1))
    vector = world.encrypt(MatrixLayout(32, 8, 16).spread(vectors).astype(np.complex128))
    for matrix in (
        MatrixProduct.plain(world.parameters, matrices, scale=SCALE, limbs=2),
        MatrixProduct.encrypted(world.secret.public_key(2), matrices, scale=SCALE, limbs=2),
    ):
        result = matrix.apply(world.evaluator, engine.truncate(vector, 2), drop=1)
        slots = engine.decode(world.secret.decrypt_raw_do_not_publish(result)).real
        assert np.abs(matrix.layout.gather(slots) - product(matrices, vectors)).max() < 2.0**-20
        with pytest.raises(ValueError, match="for 2 primes and a ciphertext of 3"):
            matrix.apply(world.evaluator, vector)


@quickly
@given(layout=layouts(5), seed=seeds)
def test_any_matrix_that_fits_is_multiplied(layout: MatrixLayout, seed: int) -> None:
    matrices, vectors = random_matrices(layout, np.random.default_rng(seed))
    # A wider ring than the matrix needs repeats the vector.
    whole = MatrixLayout(32, layout.rows, layout.columns, layout.blocks)
    matrix = MatrixProduct.plain(SHARED.parameters, matrices, scale=SCALE)
    assert matrix.layout == whole
    vector = SHARED.encrypt(whole.spread(vectors).astype(np.complex128))
    result = matrix.apply(SHARED.evaluator, vector)
    slots = engine.decode(SHARED.secret.decrypt_raw_do_not_publish(result)).real
    assert np.abs(whole.gather(slots) - product(matrices, vectors)).max() < 2.0**-18


SHARED = World(switching_parameters(64, (50, 40), (50,)))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((0, 4, 1), "rows and columns"), ((4, 0, 1), "rows and"), ((4, 4, 0), "rows and"),
     ((33, 1, 1), "do not fit 32"), ((1, 33, 1), "do not fit 32"), ((8, 9, 3), "do not fit 32")],
)  # fmt: skip
def test_layouts_that_do_not_fit_are_refused(shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MatrixLayout(32, *shape)


def test_vectors_and_matrices_of_other_shapes_are_refused(world: World) -> None:
    layout = MatrixLayout(32, 4, 8)
    with pytest.raises(ValueError, match="vectors of shape"):
        layout.spread(np.ones(7))
    with pytest.raises(ValueError, match="matrices of shape"):
        layout.diagonal_values(np.ones((8, 4)))
    blocks = MatrixLayout(32, 4, 4, 2)
    with pytest.raises(ValueError, match="vectors of shape"):
        blocks.spread(np.ones((1, 4)))
    with pytest.raises(ValueError, match="two dimensions"):
        MatrixProduct.plain(world.parameters, np.ones(4), scale=Fraction(1))
