"""Blocks of public preprocessing that look a value up: categories, bins and thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_columns import (
    OnColumns,
    RowRefused,
    Table,
    check_columns,
    check_numbers,
    invalid,
    listed,
    one_each,
)

Answer = float | Literal["missing", "refuse"]
"""What a value becomes: a number, a missing value (NaN), or a refusal of its row."""


class Codes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the values of a column to numbers.

    Attributes:
        values: those that are known, ascending.
        numbers: what they become.
        missing: what a missing value becomes.
        other: what any other value becomes.
    """

    values: tuple[float, ...]
    numbers: tuple[float, ...]
    missing: Answer
    other: Answer

    def __post_init__(self) -> None:
        one_each(self.numbers, self.values, "codes")
        check_numbers(self.values, "values")
        check_numbers(self._answers(), "codes")
        if any(low >= high for low, high in pairwise(self.values)):
            raise invalid("values that are not in order")

    def possible(self) -> set[float]:
        """Every number that it may give."""
        return {*self.numbers, *self._answers()}

    def read(self, column: NDArray[np.float64], place: int) -> NDArray[np.float64]:
        """The numbers of a column's values, shape (n,).

        Args:
            column: shape (n,).
            place: of the column in the table, for messages.

        Raises:
            InputError: SR-INPUT-MISSING, SR-INPUT-CATEGORY where there is no answer to a value.
        """
        found = np.full(len(column), np.nan if self.other == "missing" else 0.0)
        known = np.zeros(len(column), dtype=np.bool_)
        if self.values:
            places = np.searchsorted(self.values, column)
            places[places == len(self.values)] = 0
            known = np.array(self.values)[places] == column
            found[known] = np.array(self.numbers)[places[known]]
        absent = np.isnan(column)
        other = ~known & ~absent
        for where, answer, code in (
            (absent, self.missing, "SR-INPUT-MISSING"),
            (other, self.other, "SR-INPUT-CATEGORY"),
        ):
            if not isinstance(answer, str):
                found[where] = answer
            elif answer == "missing":
                found[where] = np.nan
            elif where.any():
                what = "missing" if code == "SR-INPUT-MISSING" else "a category of its own"
                raise RowRefused(
                    code,
                    int(np.argmax(where)),
                    f", column {place} is {what}, which the model does not know",
                    "Pass values that were seen in training",
                )
        return found

    def _answers(self) -> tuple[float, ...]:
        return tuple(answer for answer in (self.missing, self.other) if not isinstance(answer, str))


class OneHot(OnColumns, frozen=True, tag="one_hot"):
    """One bit a category, for each of several columns.

    Attributes:
        codes: of each column: which of its bits a value sets, counted from 0; -1 for none.
        widths: number of bits of each column.
    """

    codes: tuple[Codes, ...]
    widths: tuple[int, ...]

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if not len(self.codes) == len(self.widths) == len(self.columns) or min(self.widths) < 0:
            raise invalid("bits that do not fit their columns")
        for codes, width in zip(self.codes, self.widths, strict=True):
            if not all(number in range(-1, width) for number in codes.possible()):
                raise invalid("a bit that does not exist")
            if "missing" in (codes.missing, codes.other):
                raise invalid("a bit that may be missing")

    @property
    def width(self) -> int:
        return sum(self.widths)

    def encode(self, table: Table) -> Table:
        bits = np.zeros((len(table), self.width))
        start = 0
        for place, codes, width in zip(self.columns, self.codes, self.widths, strict=True):
            chosen = codes.read(table[:, place], place).astype(np.intp)
            rows = np.flatnonzero(chosen >= 0)
            bits[rows, start + chosen[rows]] = 1.0
            start += width
        return bits

    def sentence(self, names: Sequence[str]) -> str:
        return (
            f"The categories of {listed(self.columns, names)} are public: the asker sends an "
            "encrypted bit for each."
        )


class Coded(OnColumns, frozen=True, tag="coded"):
    """One number a category.

    Attributes:
        codes: of each column.
    """

    codes: tuple[Codes, ...]

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if len(self.codes) != len(self.columns):
            raise invalid("codes that do not fit their columns")

    def encode(self, table: Table) -> Table:
        return np.column_stack(
            [
                codes.read(table[:, place], place)
                for place, codes in zip(self.columns, self.codes, strict=True)
            ]
        )

    def sentence(self, names: Sequence[str]) -> str:
        return f"The categories of {listed(self.columns, names)} and their codes are public."


class Bins(OnColumns, frozen=True, tag="bins"):
    """In which of several intervals a number lies, counted from 0: how many edges are <= it.

    Attributes:
        edges: of each column, ascending.
    """

    edges: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_columns(self.columns)
        if len(self.edges) != len(self.columns):
            raise invalid("edges that do not fit their columns")
        for edges in self.edges:
            check_numbers(edges, "edges")
            if any(low > high for low, high in pairwise(edges)):
                raise invalid("edges that are not in order")

    def encode(self, table: Table) -> Table:
        return np.column_stack(
            [
                np.searchsorted(edges, table[:, place], side="right").astype(np.float64)
                for place, edges in zip(self.columns, self.edges, strict=True)
            ]
        )

    def sentence(self, names: Sequence[str]) -> str:
        return f"The edges of the bins of {listed(self.columns, names)} are public."


class Above(OnColumns, frozen=True, tag="above"):
    """1 where a number is greater than a threshold, 0 elsewhere.

    Attributes:
        threshold: for all of them.
    """

    threshold: float

    def __post_init__(self) -> None:
        check_columns(self.columns)
        check_numbers((self.threshold,), "thresholds")

    def encode(self, table: Table) -> Table:
        return (table[:, list(self.columns)] > self.threshold).astype(np.float64)

    def sentence(self, names: Sequence[str]) -> str:
        return f"The threshold of {listed(self.columns, names)} is public."
