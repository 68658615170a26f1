"""The units of one layer: equal ones are one unit, constant ones none, products become squares.

    a b = ((a + b)^2 - (a - b)^2) / 4 = ((a + b)^2 - a^2 - b^2) / 2

The first form takes two units a product. The second takes one and the squares of the factors,
which products may share: all products of two of n columns take n (n + 1) / 2 units that way.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.layers import Layer
from strongroom.compiler.sparse_matrices import Dense, Matrix, Sparse, as_dense, negative, total
from strongroom.models.activations import IDENTITY, Activation

SQUARE = Activation("Square")

PARALLEL = 1e-13
"""Two factors are a multiple of each other if they differ by no more than this, relatively: what
rounding does to the weights of x * (c x)."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Affine functions of what a layer takes.

    Attributes:
        weights: shape (k, inputs).
        bias: shape (k,).
    """

    weights: Matrix
    bias: Dense

    def spread(self, count: int) -> Rows:
        """One row as often as needed, or the rows as they are."""
        return self if len(self.bias) == count else self.chosen(np.zeros(count, dtype=np.intp))

    def chosen(self, rows: NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        weights = self.weights
        found = weights.chosen(rows) if isinstance(weights, Sparse) else weights[rows]
        return Rows(found, self.bias[rows])

    def varies(self) -> NDArray[np.bool_]:
        """Which of them depend on anything, shape (k,)."""
        if isinstance(self.weights, Sparse):
            return np.diff(self.weights.starts) > 0
        return np.asarray(self.weights.any(axis=1))

    def used(self) -> NDArray[np.bool_]:
        """What they depend on, shape (inputs,)."""
        if isinstance(self.weights, Sparse):
            return np.bincount(self.weights.columns, minlength=self.weights.shape[1]) > 0
        return np.asarray(self.weights.any(axis=0))

    def entries(self, row: int) -> tuple[NDArray[np.intp], Dense]:
        """What a row depends on, and with which weights."""
        if isinstance(self.weights, Sparse):
            part = slice(*self.weights.starts[row : row + 2])
            return self.weights.columns[part], self.weights.values[part]
        columns = np.flatnonzero(self.weights[row])
        return columns, self.weights[row, columns]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A table as a sum over units: column `columns[t]` collects `coefficients[t]` times unit
    `units[t]`, for every t.

    Attributes:
        constant: what is added to each column, shape (width,).
    """

    columns: NDArray[np.intp]
    units: NDArray[np.intp]
    coefficients: Dense
    constant: Dense

    def through(self, matrix: Matrix, units: int) -> tuple[Matrix, Dense]:
        """matrix @ table, as weights over the units, shape (m, units), and a constant, (m,)."""
        if isinstance(matrix, Sparse):
            shape = (len(self.constant), units)
            table = Sparse.of_entries(shape, self.columns, self.units, self.coefficients)
            return matrix.of_sparse(table), matrix.of_dense(self.constant)
        weights = np.zeros((units, len(matrix)))
        np.add.at(weights, self.units, matrix.T[self.columns] * self.coefficients[:, None])
        return weights.T, matrix @ self.constant


class Units:
    """The units of a layer while they are collected.

    Attributes:
        inputs: how many numbers the layer takes.
        name: of a node that it comes from, for messages.
    """

    def __init__(self, inputs: int, name: str) -> None:
        self.inputs = inputs
        self.name = name
        self._places: dict[tuple[Activation, bytes], int] = {}
        self._rows: list[tuple[Rows, int]] = []
        self._functions: list[Activation] = []

    def __len__(self) -> int:
        return len(self._rows)

    def activated(self, function: Activation, rows: Rows) -> Terms:
        """The table of an activation's values."""
        table = _Table(len(rows.bias))
        self._add(function, rows, table, np.arange(len(rows.bias)), np.ones(len(rows.bias)))
        return table.terms()

    def products(self, factors: list[tuple[Rows, Rows]]) -> list[Terms]:
        """The tables of products, row by row, of two tables of the same width each."""
        tables, plain = [], []
        for left, right in factors:
            table = _Table(len(left.bias))
            plain.append((table, left, right, self._simple_products(table, left, right)))
            tables.append(table)
        count = sum(len(columns) for _, _, _, columns in plain)
        squared = {
            digest
            for _, left, right, columns in plain
            for rows in (left, right)
            for digest in digests(rows, columns)
        }
        shared = len(squared) < count
        for table, left, right, columns in plain:
            a, b = left.chosen(columns), right.chosen(columns)
            sum_of_both = Rows(total(a.weights, b.weights), a.bias + b.bias)
            if shared:
                self._add(SQUARE, sum_of_both, table, columns, np.full(len(columns), 0.5))
                self._add(SQUARE, a, table, columns, np.full(len(columns), -0.5))
                self._add(SQUARE, b, table, columns, np.full(len(columns), -0.5))
            else:
                difference = Rows(total(a.weights, negative(b.weights)), a.bias - b.bias)
                self._add(SQUARE, sum_of_both, table, columns, np.full(len(columns), 0.25))
                self._add(SQUARE, difference, table, columns, np.full(len(columns), -0.25))
        return [table.terms() for table in tables]

    def used(self, kept: NDArray[np.intp]) -> NDArray[np.intp]:
        """Which of the numbers that the layer takes some units depend on, ascending."""
        found = np.zeros(self.inputs, dtype=bool)
        for unit in kept:
            rows, row = self._rows[unit]
            found[rows.entries(row)[0]] = True
        return np.flatnonzero(found)

    def layer(self, kept: NDArray[np.intp], inputs: NDArray[np.intp]) -> Layer:
        """Some of the units, over some of the inputs: those that they depend on, at least."""
        places = np.zeros(self.inputs, dtype=np.intp)
        places[inputs] = np.arange(len(inputs))
        weights, bias = np.zeros((len(kept), len(inputs))), np.zeros(len(kept))
        for place, unit in enumerate(kept):
            rows, row = self._rows[unit]
            columns, values = rows.entries(row)
            weights[place, places[columns]] = values
            bias[place] = rows.bias[row]
        functions = tuple(dict.fromkeys(self._functions[unit] for unit in kept))
        choice = [functions.index(self._functions[unit]) for unit in kept]
        return Layer(weights, bias, functions, np.array(choice, dtype=np.intp))

    def _simple_products(self, table: _Table, left: Rows, right: Rows) -> NDArray[np.intp]:
        """Adds the products that take one unit: by a constant, or of two multiples of one
        function. Returns the columns of the others."""
        left_varies, right_varies = left.varies(), right.varies()
        for fixed, other, chosen in (
            (left, right, ~left_varies),
            (right, left, left_varies & ~right_varies),
        ):
            (columns,) = np.nonzero(chosen)
            self._add(IDENTITY, other.chosen(columns), table, columns, fixed.bias[columns])
        a = np.column_stack([as_dense(left.weights), left.bias])
        b = np.column_stack([as_dense(right.weights), right.bias])
        norm = np.einsum("ki,ki->k", b, b)
        ratio = np.einsum("ki,ki->k", a, b) / np.where(norm > 0, norm, 1.0)
        distance = np.abs(a - ratio[:, None] * b).max(axis=1)
        parallel = distance <= PARALLEL * np.abs(a).max(axis=1)
        (columns,) = np.nonzero(left_varies & right_varies & parallel)
        self._add(SQUARE, right.chosen(columns), table, columns, ratio[columns])
        return np.nonzero(left_varies & right_varies & ~parallel)[0]

    def _add(
        self,
        function: Activation,
        rows: Rows,
        table: _Table,
        columns: NDArray[np.intp],
        coefficients: Dense,
    ) -> None:
        """Collect units, and what a table's columns take of them."""
        varies = rows.varies()
        constant = function(rows.bias[~varies])
        np.add.at(table.constant, columns[~varies], coefficients[~varies] * constant)
        (changing,) = np.nonzero(varies)
        for row, digest in zip(changing, digests(rows, changing), strict=True):
            place = self._places.setdefault((function, digest), len(self))
            if place == len(self):
                self._rows.append((rows, int(row)))
                self._functions.append(function)
            table.units.append(place)
        table.columns.extend(columns[changing].tolist())
        table.coefficients.extend(coefficients[changing].tolist())


class _Table:
    """The terms of a table while they are collected."""

    def __init__(self, width: int) -> None:
        self.columns: list[int] = []
        self.units: list[int] = []
        self.coefficients: list[float] = []
        self.constant = np.zeros(width)

    def terms(self) -> Terms:
        return Terms(
            np.array(self.columns, dtype=np.intp),
            np.array(self.units, dtype=np.intp),
            np.array(self.coefficients, dtype=np.float64),
            self.constant,
        )


def digests(rows: Rows, which: NDArray[np.intp]) -> list[bytes]:
    """A short name of each row: equal for equal rows."""
    found = []
    for row in which:
        columns, values = rows.entries(row)
        bias = rows.bias[row] + 0.0  # -0.0 becomes 0.0
        content = columns.tobytes() + values.tobytes() + bias.tobytes()
        found.append(hashlib.blake2b(content, digest_size=20).digest())
    return found
