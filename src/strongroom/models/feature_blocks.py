"""Blocks of public preprocessing that are arithmetic, number by number or as one matrix.

They repeat the plain model's own operations in its own order, so that a float64 result is the same
to the last bit and a tree behind them takes the same side.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_columns import (
    MAXIMUM_NUMBERS,
    OnColumns,
    Table,
    check_columns,
    check_numbers,
    invalid,
    listed,
    one_each,
)


class Numbers(OnColumns, frozen=True, tag="numbers"):
    """Columns as they are."""

    def encode(self, table: Table) -> Table:
        return table[:, list(self.columns)]

    def sentence(self, names: Sequence[str]) -> str:
        return ""


class Filled(OnColumns, frozen=True, tag="filled"):
    """Columns with missing values filled in.

    Attributes:
        fills: what a missing value becomes, one a column.
        marker: the number that stands for a missing value; None where NaN does.
    """

    fills: tuple[float, ...]
    marker: float | None = None

    def __post_init__(self) -> None:
        check_columns(self.columns)
        one_each(self.fills, self.columns, "values to fill in")
        check_numbers(() if self.marker is None else (self.marker,), "markers of missing values")

    def encode(self, table: Table) -> Table:
        values = table[:, list(self.columns)]
        return np.where(absent(values, self.marker), self.fills, values)

    def sentence(self, names: Sequence[str]) -> str:
        return (
            f"What fills in missing values of {listed(self.columns, names)} is public: the asker "
            "fills them in."
        )


class Missing(OnColumns, frozen=True, tag="missing"):
    """1 where a value is missing, 0 elsewhere.

    Attributes:
        marker: the number that stands for a missing value; None where NaN does.
    """

    marker: float | None = None

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_numbers(() if self.marker is None else (self.marker,), "markers of missing values")

    def encode(self, table: Table) -> Table:
        return absent(table[:, list(self.columns)], self.marker).astype(np.float64)

    def sentence(self, names: Sequence[str]) -> str:
        return f"That the model looks whether {listed(self.columns, names)} is missing is public."


class Flagged(OnColumns, frozen=True, tag="flagged"):
    """Columns with 0 for missing values, and after them for each column whether it is missing."""

    @property
    def width(self) -> int:
        return 2 * len(self.columns)

    def encode(self, table: Table) -> Table:
        values = table[:, list(self.columns)]
        missing = np.isnan(values)
        return np.hstack([np.where(missing, 0.0, values), missing.astype(np.float64)])

    def sentence(self, names: Sequence[str]) -> str:
        return ""


class Scaled(OnColumns, frozen=True, tag="scaled"):
    """((x - subtract) / divide) * multiply + add, in this order; an empty field is left out.

    Attributes:
        subtract, divide, multiply, add: one number a column each, or none.
        clip: bounds of the result, or none.
    """

    subtract: tuple[float, ...] = ()
    divide: tuple[float, ...] = ()
    multiply: tuple[float, ...] = ()
    add: tuple[float, ...] = ()
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        check_columns(self.columns)
        for numbers in (self.subtract, self.divide, self.multiply, self.add):
            if numbers:
                one_each(numbers, self.columns, "numbers to scale with")
        if 0 in self.divide:
            raise invalid("a division by zero")
        if self.clip is not None:
            check_numbers(self.clip, "bounds")

    def encode(self, table: Table) -> Table:
        values = table[:, list(self.columns)]
        if self.subtract:
            values -= self.subtract
        if self.divide:
            values /= self.divide
        if self.multiply:
            values *= self.multiply
        if self.add:
            values += self.add
        return values if self.clip is None else np.clip(values, *self.clip)

    def sentence(self, names: Sequence[str]) -> str:
        return (
            f"How {listed(self.columns, names)} is centred and scaled is public, since a step that "
            "follows is not linear."
        )


class Projected(OnColumns, frozen=True, tag="projected"):
    """A linear map: x @ matrix + offset.

    Attributes:
        matrix: one row a column, each as long as the result.
        offset: one number an entry of the result, or none.
    """

    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_columns(self.columns)
        widths = {len(row) for row in self.matrix}
        if len(self.matrix) != len(self.columns) or len(widths) != 1 or widths == {0}:
            raise invalid("a matrix that does not fit its columns")
        if self.width * len(self.columns) > MAXIMUM_NUMBERS:
            raise invalid(f"a matrix of more than {MAXIMUM_NUMBERS} numbers")
        for row in self.matrix:
            check_numbers(row, "weights")
        check_numbers(self.offset, "offsets")
        if len(self.offset) not in (0, self.width):
            raise invalid("offsets that do not fit their matrix")

    @property
    def width(self) -> int:
        return len(self.matrix[0])

    def encode(self, table: Table) -> Table:
        result: Table = table[:, list(self.columns)] @ np.array(self.matrix)
        return result + np.array(self.offset) if self.offset else result

    def sentence(self, names: Sequence[str]) -> str:
        return (
            f"The linear map of {listed(self.columns, names)} to {self.width} numbers is public, "
            "since a step that follows is not linear."
        )


def absent(values: Table, marker: float | None) -> NDArray[np.bool_]:
    """Where values are missing."""
    return np.isnan(values) if marker is None else values == marker
