"""Matrices of which most entries are zero: what a convolution is, written out.

Stored row by row (CSR). A `Matrix` is one of these or an array; which one it is follows from what
made it: choosing, moving, scaling, adding and convolving keep a matrix sparse, a product with an
array makes an array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.models.convolutions import Convolution

Dense = NDArray[np.float64]
Places = NDArray[np.intp]

MAXIMUM_ENTRIES = 2**24
"""Of a sparse matrix: a bound on memory, at about 50 bytes each while one is made."""


class TooLarge(Exception):
    """A matrix that would have more entries than any may."""


@dataclass(frozen=True, slots=True, eq=False)
class Sparse:
    """A sparse matrix.

    Attributes:
        shape: rows and columns.
        starts: where each row's entries begin, and the end of the last, shape (rows + 1,).
        columns: of the entries, ascending within a row.
        values: of the entries, none of them zero.
    """

    shape: tuple[int, int]
    starts: Places
    columns: Places
    values: Dense

    @classmethod
    def identity(cls, size: int) -> Sparse:
        """Ones on the diagonal."""
        places = np.arange(size + 1)
        return cls((size, size), places, places[:-1], np.ones(size))

    @classmethod
    def nothing(cls, shape: tuple[int, int]) -> Sparse:
        """Zeros."""
        return cls(shape, np.zeros(shape[0] + 1, np.intp), np.zeros(0, np.intp), np.zeros(0))

    @classmethod
    def of_entries(
        cls, shape: tuple[int, int], rows: Places, columns: Places, values: Dense
    ) -> Sparse:
        """From entries in any order; those of one place are added up."""
        keys = rows * shape[1] + columns
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        if len(keys):
            firsts = np.flatnonzero(np.diff(keys, prepend=-1))
            keys, values = keys[firsts], np.add.reduceat(values, firsts)
            kept = values != 0.0
            keys, values = keys[kept], values[kept]
        rows, columns = np.divmod(keys, shape[1])
        starts = np.searchsorted(rows, np.arange(shape[0] + 1))
        return cls(shape, starts, columns, values)

    @classmethod
    def of_convolution(cls, geometry: Convolution, weights: Dense) -> Sparse:
        """A convolution as a matrix, shape (numbers that it makes, numbers that it takes).

        Args:
            geometry: the convolution's.
            weights: shape `geometry.weights_shape`.
        """
        entries, made, places = geometry.touched
        outputs, channels = geometry.weights_shape[:2]
        numbers = np.arange(geometry.outputs)
        group = numbers // (geometry.outputs // geometry.groups)
        area, taken = geometry.outputs_width // outputs, geometry.inputs_width // geometry.channels
        rows = (numbers * area)[:, None, None] + made
        sources = group[:, None] * channels + np.arange(channels)
        columns = (sources * taken)[:, :, None] + places
        values = weights.reshape(outputs, channels, -1)[:, :, entries]
        rows = np.broadcast_to(rows, values.shape)
        shape = (geometry.outputs_width, geometry.inputs_width)
        return cls.of_entries(shape, rows.reshape(-1), columns.reshape(-1), values.reshape(-1))

    @property
    def size(self) -> int:
        """How many entries are stored."""
        return len(self.values)

    @property
    def rows(self) -> Places:
        """Of the entries."""
        return np.repeat(np.arange(self.shape[0]), np.diff(self.starts))

    def dense(self) -> Dense:
        """The same as an array."""
        result = np.zeros(self.shape)
        result[self.rows, self.columns] = self.values
        return result

    def scaled(self, factors: Dense) -> Sparse:
        """Each column times a factor, shape (columns,)."""
        values = self.values * factors[self.columns]
        if values.all():
            return Sparse(self.shape, self.starts, self.columns, values)
        return Sparse.of_entries(self.shape, self.rows, self.columns, values)

    def moved(self, places: Places, width: int) -> Sparse:
        """A matrix of `width` columns, in which column c stands at, or adds to, `places[c]`."""
        shape = (self.shape[0], width)
        return Sparse.of_entries(shape, self.rows, places[self.columns], self.values)

    def between(self, first: int, last: int) -> Sparse:
        """The columns from the first to before the last."""
        kept = (self.columns >= first) & (self.columns < last)
        shape = (self.shape[0], last - first)
        rows, columns = self.rows[kept], self.columns[kept] - first
        return Sparse.of_entries(shape, rows, columns, self.values[kept])

    def chosen(self, rows: Places) -> Sparse:
        """Some rows, in a given order; one may be taken more than once."""
        counts = np.diff(self.starts)[rows]
        starts = np.concatenate([[0], np.cumsum(counts)])
        _check(int(starts[-1]))
        places = np.repeat(self.starts[:-1][rows] - starts[:-1], counts) + np.arange(starts[-1])
        shape = (len(rows), self.shape[1])
        return Sparse(shape, starts, self.columns[places], self.values[places])

    def added(self, other: Sparse) -> Sparse:
        """The sum of two matrices of one shape."""
        _check(self.size + other.size)
        return Sparse.of_entries(
            self.shape,
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.columns, other.columns]),
            np.concatenate([self.values, other.values]),
        )

    def of_sparse(self, other: Sparse) -> Sparse:
        """self @ other.

        Raises:
            TooLarge: there are too many products of two entries.
        """
        lengths = np.diff(other.starts)[self.columns]
        _check(int(lengths.sum()))
        taken = other.chosen(self.columns)
        rows = np.repeat(self.rows, lengths)
        values = np.repeat(self.values, lengths) * taken.values
        return Sparse.of_entries((self.shape[0], other.shape[1]), rows, taken.columns, values)

    def of_dense(self, other: Dense) -> Dense:
        """self @ other, for an array of shape (columns,) or (columns, k)."""
        result = np.zeros((self.shape[0], *other.shape[1:]))
        counts = np.diff(self.starts)
        along = (-1, *(1 for _ in other.shape[1:]))
        for place in range(int(counts.max(initial=0))):  # one entry of each row at a time
            rows = np.flatnonzero(counts > place)
            entries = self.starts[rows] + place
            result[rows] += self.values[entries].reshape(along) * other[self.columns[entries]]
        return result


Matrix = Dense | Sparse


def as_dense(matrix: Matrix) -> Dense:
    """A matrix as an array."""
    return matrix.dense() if isinstance(matrix, Sparse) else matrix


def scaled_columns(matrix: Matrix, factors: Dense) -> Matrix:
    """Each column times a factor."""
    return matrix.scaled(factors) if isinstance(matrix, Sparse) else matrix * factors


def divided_columns(matrix: Matrix, divisors: Dense) -> Matrix:
    """Each column divided by a number."""
    return matrix.scaled(1.0 / divisors) if isinstance(matrix, Sparse) else matrix / divisors


def summed_columns(matrix: Matrix) -> Matrix:
    """The sum of all columns, shape (rows, 1)."""
    if isinstance(matrix, Sparse):
        return matrix.moved(np.zeros(matrix.shape[1], dtype=np.intp), 1)
    return np.asarray(matrix.sum(axis=1, keepdims=True))


def negative(matrix: Matrix) -> Matrix:
    """Minus the matrix."""
    if isinstance(matrix, Sparse):
        return Sparse(matrix.shape, matrix.starts, matrix.columns, -matrix.values)
    return -matrix


def times(matrix: Matrix, other: Dense) -> Dense:
    """matrix @ other, for an array."""
    return matrix.of_dense(other) if isinstance(matrix, Sparse) else matrix @ other


def moved_columns(matrix: Matrix, places: Places, width: int) -> Matrix:
    """A matrix of `width` columns, in which column c stands at, or adds to, `places[c]`."""
    if isinstance(matrix, Sparse):
        return matrix.moved(places, width)
    result = np.zeros((len(matrix), width))
    np.add.at(result.T, places, matrix.T)
    return result


def chosen_columns(matrix: Matrix, columns: Places) -> Matrix:
    """Some columns, in their order; a sparse matrix has no entries in the others."""
    if isinstance(matrix, Sparse):
        places = np.zeros(matrix.shape[1], dtype=np.intp)
        places[columns] = np.arange(len(columns))
        return matrix.moved(places, len(columns))
    return matrix[:, columns]


def columns_between(matrix: Matrix, first: int, last: int) -> Matrix:
    """The columns from the first to before the last."""
    if isinstance(matrix, Sparse):
        return matrix.between(first, last)
    return matrix[:, first:last]


def total(one: Matrix, other: Matrix) -> Matrix:
    """The sum of two matrices of one shape."""
    if isinstance(one, Sparse) and isinstance(other, Sparse):
        return one.added(other)
    return as_dense(one) + as_dense(other)


def _check(entries: int) -> None:
    if entries > MAXIMUM_ENTRIES:
        raise TooLarge
