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
from strongroom.models.activations import IDENTITY, Activation

SQUARE = Activation("Square")

PARALLEL = 1e-13
"""Two factors are a multiple of each other if they differ by no more than this, relatively: what
rounding does to the weights of x * (c x)."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Affine functions of what a layer takes.

    Attributes:
        weights: shape (k, inputs).
        bias: shape (k,).
    """

    weights: Matrix
    bias: Matrix

    def spread(self, count: int) -> Rows:
        """One row as often as needed, or the rows as they are."""
        if len(self.bias) == count:
            return self
        return Rows(np.repeat(self.weights, count, axis=0), np.repeat(self.bias, count))


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A table as a sum over units: column `columns[t]` collects `coefficients[t]` times unit
    `units[t]`, for every t.

    Attributes:
        constant: what is added to each column, shape (width,).
    """

    columns: NDArray[np.intp]
    units: NDArray[np.intp]
    coefficients: Matrix
    constant: Matrix

    def through(self, matrix: Matrix, units: int) -> tuple[Matrix, Matrix]:
        """matrix @ table, as weights over the units, shape (m, units), and a constant, (m,)."""
        weights = np.zeros((units, len(matrix)))
        np.add.at(weights, self.units, matrix.T[self.columns] * self.coefficients[:, None])
        return weights.T, matrix @ self.constant


class Units:
    """The units of a layer while they are collected.

    Attributes:
        inputs: how many numbers the layer takes.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self._places: dict[tuple[Activation, bytes], int] = {}
        self._weights: list[Matrix] = []
        self._bias: list[float] = []
        self._functions: list[Activation] = []

    def __len__(self) -> int:
        return len(self._bias)

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
            a = Rows(left.weights[columns], left.bias[columns])
            b = Rows(right.weights[columns], right.bias[columns])
            total = Rows(a.weights + b.weights, a.bias + b.bias)
            if shared:
                self._add(SQUARE, total, table, columns, np.full(len(columns), 0.5))
                self._add(SQUARE, a, table, columns, np.full(len(columns), -0.5))
                self._add(SQUARE, b, table, columns, np.full(len(columns), -0.5))
            else:
                difference = Rows(a.weights - b.weights, a.bias - b.bias)
                self._add(SQUARE, total, table, columns, np.full(len(columns), 0.25))
                self._add(SQUARE, difference, table, columns, np.full(len(columns), -0.25))
        return [table.terms() for table in tables]

    def layer(self) -> Layer:
        """What was collected."""
        functions = tuple(dict.fromkeys(self._functions))
        places = {function: place for place, function in enumerate(functions)}
        return Layer(
            weights=np.array(self._weights).reshape(len(self), self.inputs),
            bias=np.array(self._bias),
            functions=functions,
            choice=np.array([places[function] for function in self._functions], dtype=np.intp),
        )

    def _simple_products(self, table: _Table, left: Rows, right: Rows) -> NDArray[np.intp]:
        """Adds the products that take one unit: by a constant, or of two multiples of one
        function. Returns the columns of the others."""
        left_varies, right_varies = left.weights.any(axis=1), right.weights.any(axis=1)
        for fixed, other, chosen in (
            (left, right, ~left_varies),
            (right, left, left_varies & ~right_varies),
        ):
            (columns,) = np.nonzero(chosen)
            rows = Rows(other.weights[columns], other.bias[columns])
            self._add(IDENTITY, rows, table, columns, fixed.bias[columns])
        a = np.column_stack([left.weights, left.bias])
        b = np.column_stack([right.weights, right.bias])
        norm = np.einsum("ki,ki->k", b, b)
        ratio = np.einsum("ki,ki->k", a, b) / np.where(norm > 0, norm, 1.0)
        distance = np.abs(a - ratio[:, None] * b).max(axis=1)
        parallel = distance <= PARALLEL * np.abs(a).max(axis=1)
        (columns,) = np.nonzero(left_varies & right_varies & parallel)
        rows = Rows(right.weights[columns], right.bias[columns])
        self._add(SQUARE, rows, table, columns, ratio[columns])
        return np.nonzero(left_varies & right_varies & ~parallel)[0]

    def _add(
        self,
        function: Activation,
        rows: Rows,
        table: _Table,
        columns: NDArray[np.intp],
        coefficients: Matrix,
    ) -> None:
        """Collect units, and what a table's columns take of them."""
        varies = rows.weights.any(axis=1)
        constant = function(rows.bias[~varies])
        np.add.at(table.constant, columns[~varies], coefficients[~varies] * constant)
        (changing,) = np.nonzero(varies)
        for row, digest in zip(changing, digests(rows, changing), strict=True):
            place = self._places.setdefault((function, digest), len(self))
            if place == len(self):
                self._weights.append(rows.weights[row])
                self._bias.append(float(rows.bias[row]))
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
    # adding zero turns -0.0 into 0.0
    return [
        hashlib.blake2b(
            (np.append(rows.weights[row], rows.bias[row]) + 0.0).tobytes(), digest_size=20
        ).digest()
        for row in which
    ]
