"""What all blocks of public preprocessing have in common: columns, and checks of their fields.

A plan may come from a stranger, so a block refuses impossible fields when it is made.
"""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError, InputRangeWarning, PolicyError

Table = NDArray[np.float64]

MAXIMUM_NUMBERS = 2**24
"""Most numbers in one block's fields."""


class _AbstractStructMeta(msgspec.StructMeta, ABCMeta):
    """Of structs that lack methods and so can't be made."""


class OnColumns(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, metaclass=_AbstractStructMeta
):
    """A block that makes one number of each of its columns, unless it says otherwise.

    Attributes:
        columns: places in the table.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    columns: tuple[int, ...]

    def __post_init__(self) -> None:
        check_columns(self.columns)

    @property
    def width(self) -> int:
        """How many numbers it makes of a row."""
        return len(self.columns)

    @property
    def reads(self) -> tuple[int, ...]:
        """Places in the table that it looks at."""
        return self.columns

    @abstractmethod
    def encode(self, table: Table) -> Table:
        """From a table, shape (n, columns), NaN where a value is missing, to numbers, shape
        (n, width). The table stays as it is."""

    @abstractmethod
    def sentence(self, names: Sequence[str]) -> str:
        """What becomes public, for the statement; empty where there is nothing to tell.

        Args:
            names: how messages name the columns of the table.
        """


class RowRefused(InputError):
    """The error for a row that the preprocessing has no answer to.

    Args:
        code, remedy: see `StrongroomError`.
        row: its number, counted from 0 in the table at hand.
        what: is wrong with it; follows "row 3" in the message.

    Attributes:
        row, what: see above.
    """

    def __init__(self, code: str, row: int, what: str, remedy: str) -> None:
        super().__init__(code, f"row {row}{what}", remedy)
        self.row = row
        self.what = what

    def counted_from(self, first_row: int) -> RowRefused:
        """The same in a larger table, in which the one at hand starts at that row."""
        return self.of_row(first_row + self.row)

    def of_row(self, row: int) -> RowRefused:
        """The same about another row: the one that it is in the table that a caller knows."""
        return RowRefused(self.code, row, self.what, self.remedy)


class RowsFarOut(InputRangeWarning):
    """The warning of rows far from everything that a model was planned on.

    Args:
        before, after: what is said around "row 3".
        row: the first such row, counted from 0.

    Attributes:
        row: see above.
    """

    def __init__(self, before: str, row: int, after: str) -> None:
        super().__init__(f"{before}row {row}{after}")
        self.row = row
        self._before = before
        self._after = after

    def naming(self, place: str) -> InputRangeWarning:
        """The same with another name for the row: "rows.csv line 5"."""
        return InputRangeWarning(f"{self._before}{place}{self._after}")


def invalid(problem: str) -> PolicyError:
    """The error for preprocessing that contradicts itself: "a block without columns"."""
    return PolicyError("SR-PLAN-INVALID", f"the plan's preprocessing has {problem}")


def check_columns(columns: Sequence[int]) -> None:
    """At least one column, none negative; whether they exist is for `Features` to check."""
    if not columns or min(columns) < 0:
        raise invalid("a block without columns, or with impossible ones")


def check_numbers(numbers: Iterable[float], what: str) -> None:
    """All of them finite."""
    if not all(math.isfinite(number) for number in numbers):
        raise invalid(f"{what} that are not finite")


def one_each(numbers: Sequence[float], columns: Sequence[float], what: str) -> None:
    """One finite number a column."""
    if len(numbers) != len(columns):
        raise invalid(f"{len(numbers)} {what} for {len(columns)} columns")
    check_numbers(numbers, what)


def listed(columns: Sequence[int], names: Sequence[str]) -> str:
    """How a sentence names columns: "column 'age', column 'dose' and 3 more"."""
    named = list(dict.fromkeys(names[column] for column in columns))
    text = ", ".join(named[:6])
    return text if len(named) <= 6 else f"{text} and {len(named) - 6} more"
