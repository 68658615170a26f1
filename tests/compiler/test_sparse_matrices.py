"""Sparse matrices do what arrays do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.compiler import sparse_matrices
from strongroom.compiler.sparse_matrices import (
    Matrix,
    Sparse,
    TooLarge,
    as_dense,
    chosen_columns,
    columns_between,
    divided_columns,
    moved_columns,
    negative,
    scaled_columns,
    summed_columns,
    times,
    total,
)
from strongroom.models.convolutions import Convolution


def stored(array: np.ndarray) -> Sparse:
    """An array's entries, in a shuffled order, each in two parts."""
    rows, columns = np.nonzero(array)
    order = np.random.default_rng(0).permutation(2 * len(rows))
    values = np.concatenate([array[rows, columns] - 1.0, np.ones(len(rows))])[order]
    rows, columns = np.tile(rows, 2)[order], np.tile(columns, 2)[order]
    return Sparse.of_entries((array.shape[0], array.shape[1]), rows, columns, values)


def drawn(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Small integers, about half of them zero."""
    return random.integers(-3, 4, (rows, columns)) * random.integers(0, 2, (rows, columns)) * 1.0


def same(matrix: Matrix, array: np.ndarray) -> None:
    """Checks values, and that what is stored is in order and holds no zero."""
    assert np.array_equal(as_dense(matrix), array)
    if isinstance(matrix, Sparse):
        assert matrix.shape == array.shape
        assert matrix.size == np.count_nonzero(array)
        keys = matrix.rows * array.shape[1] + matrix.columns
        assert (np.diff(keys) > 0).all()


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**32), st.integers(0, 7), st.integers(1, 7), st.integers(1, 7))
def test_every_operation_is_that_of_arrays(seed: int, rows: int, inner: int, columns: int) -> None:
    random = np.random.default_rng(seed)
    a, b, c = drawn(random, rows, inner), drawn(random, inner, columns), drawn(random, rows, inner)
    one, two, three = stored(a), stored(b), stored(c)
    factors = random.integers(-2, 3, inner) * 1.0
    divisors = random.choice([0.5, 2.0, -4.0], inner)
    places = random.integers(0, columns, inner)
    low, high = sorted(random.integers(0, inner + 1, 2).tolist())
    taken = random.integers(0, rows, 5) if rows else np.zeros(0, dtype=np.intp)
    moved = np.zeros((rows, columns))
    np.add.at(moved.T, places, a.T)
    kept = np.flatnonzero(a.any(axis=0))
    for form in (one, a):
        same(scaled_columns(form, factors), a * factors)
        same(divided_columns(form, divisors), a / divisors)
        same(negative(form), -a)
        same(summed_columns(form), a.sum(axis=1, keepdims=True))
        same(moved_columns(form, places, columns), moved)
        same(columns_between(form, low, high), a[:, low:high])
        same(chosen_columns(form, kept), a[:, kept])
        same(times(form, b), a @ b)
        same(times(form, b[:, 0])[:, None], (a @ b)[:, :1])
        for other in (three, c):
            same(total(form, other), a + c)
    same(one.of_sparse(two), a @ b)
    same(one.chosen(taken), a[taken])
    same(Sparse.identity(inner), np.eye(inner))
    same(Sparse.nothing((rows, inner)), np.zeros((rows, inner)))
    assert isinstance(total(one, three), Sparse)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.integers(1, 3))
def test_a_convolution_written_out_is_what_it_sums(seed: int, axes: int) -> None:
    random = np.random.default_rng(seed)
    groups, kernel = int(random.integers(1, 3)), random.integers(1, 4, axes)
    dilations, pads = random.integers(1, 3, axes), random.integers(0, 3, (2, axes))
    size = 1 + (kernel - 1) * dilations + random.integers(0, 3, axes)
    geometry = Convolution(
        channels=groups * int(random.integers(1, 3)), outputs=groups * int(random.integers(1, 3)),
        groups=groups, size=tuple(size.tolist()), kernel=tuple(kernel.tolist()),
        strides=tuple(random.integers(1, 4, axes).tolist()), dilations=tuple(dilations.tolist()),
        before=tuple(pads[0].tolist()), after=tuple(pads[1].tolist()),
    )  # fmt: skip
    weights = random.integers(1, 5, geometry.weights_shape) * 1.0
    x = random.integers(1, 5, (geometry.channels, *geometry.size)) * 1.0
    padded = np.pad(x, [(0, 0), *zip(*pads.tolist(), strict=True)])
    summed = np.zeros((geometry.outputs, *geometry.made))
    for output, *place in np.ndindex(*summed.shape):
        first = output // (geometry.outputs // groups) * (geometry.channels // groups)
        window = padded[
            first : first + geometry.channels // groups,
            *(
                slice(at * stride, at * stride + covered, dilation)
                for at, stride, covered, dilation in zip(
                    place, geometry.strides, geometry.window, geometry.dilations, strict=True
                )
            ),
        ]
        summed[output, *place] = (window * weights[output]).sum()
    matrix = Sparse.of_convolution(geometry, weights)
    assert matrix.shape == (geometry.outputs_width, geometry.inputs_width)
    assert np.array_equal(times(matrix, x.reshape(-1)), summed.reshape(-1))
    same(matrix, geometry.pull_back(np.eye(geometry.outputs_width), weights))


def test_products_beyond_the_limit_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = stored(np.ones((10, 10)))
    monkeypatch.setattr(sparse_matrices, "MAXIMUM_ENTRIES", 199)
    for made in (
        lambda: full.of_sparse(full),
        lambda: full.added(full),
        lambda: full.chosen(np.zeros(20, dtype=np.intp)),
    ):
        with pytest.raises(TooLarge):
            made()
    same(full.chosen(np.zeros(19, dtype=np.intp)), np.ones((19, 10)))
