"""Grid: the public preprocessing of a tree model, from rows to bits.

A tree asks on which side of a cut point a value lies. The asker's side answers that in the clear,
for every cut point of the grid, exactly as the framework compares; the bits are what is encrypted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import PolicyError
from strongroom.models.trees.reading import (
    MAXIMUM_CATEGORY,
    CategoryKind,
    CategoryRule,
    Comparison,
    Dtype,
    read_categories,
    read_numbers,
)

MAXIMUM_BITS: Final = 2**20
"""Most bits of a row, and largest number of a column."""

MissingPlace = Literal["above", "below", "zero"]
"""What the bits of a missing number say: as if it were above or below all cut points, or zero."""

Place = Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_BITS)]
Code = Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_CATEGORY)]

_MISSING_AS: Final = {"above": math.inf, "below": -math.inf, "zero": 0.0}


class CutPoints(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="cut_points"):
    """One column of numbers: a bit a cut point, 1 where the number lies below it (or at it).

    Attributes:
        column: place in the table.
        points: finite, ascending, each once.
        comparison: "<" or "<=".
        dtype: to which a number is narrowed before it is compared.
        missing: what the bits of a missing number say.
        missing_numbers: bounds, both included, of numbers that count as missing, or None.
        missing_bit: whether one more bit, the last, says that the number is missing.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    column: Place
    points: tuple[float, ...]
    comparison: Comparison
    dtype: Dtype
    missing: MissingPlace
    missing_numbers: tuple[float, float] | None
    missing_bit: bool

    def __post_init__(self) -> None:
        if not all(low < high for low, high in pairwise((-math.inf, *self.points, math.inf))):
            raise _impossible("cut points that are not finite and in order")

    @property
    def width(self) -> int:
        """How many bits it makes of a row."""
        return len(self.points) + self.missing_bit

    def bits(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """From rows, shape (n, columns), to bits, shape (n, width)."""
        numbers = read_numbers(rows[:, self.column], self.dtype, self.missing_numbers)
        missing = np.isnan(numbers)
        numbers = np.where(missing, _MISSING_AS[self.missing], numbers)
        # how many cut points have the bit 0: they are the first ones
        side: Literal["left", "right"] = "right" if self.comparison == "<" else "left"
        zeros = np.searchsorted(np.array(self.points), numbers, side=side)
        found = np.arange(len(self.points)) >= zeros[:, None]
        return np.hstack([found, missing[:, None]]) if self.missing_bit else found


class CategoryBits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="category_bits"):
    """One column of categories: a bit a category, 1 where the row holds it.

    Attributes:
        column: place in the table.
        kind: from numbers to categories (see `CategoryKind`).
        known: number of codes, for the kind "codes".
        dtype: to which a number is narrowed first.
        categories: ascending, each once.
        missing_bit: whether one more bit, the last, says that the category is missing.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    column: Place
    kind: CategoryKind
    known: Code
    dtype: Dtype
    categories: tuple[Code, ...]
    missing_bit: bool

    def __post_init__(self) -> None:
        if not all(low < high for low, high in pairwise(self.categories)):
            raise _impossible("categories that are not in order")

    @property
    def width(self) -> int:
        """How many bits it makes of a row."""
        return len(self.categories) + self.missing_bit

    def bits(self, rows: NDArray[np.float64]) -> NDArray[np.bool_]:
        """From rows, shape (n, columns), to bits, shape (n, width)."""
        rule = CategoryRule(self.kind, self.known)
        categories = read_categories(rows[:, self.column], self.dtype, rule)
        found = categories[:, None] == np.array(self.categories, dtype=np.float64)
        if not self.missing_bit:
            return np.asarray(found)
        return np.hstack([found, np.isnan(categories)[:, None]])


class Grid(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="grid"):
    """Rows as bits over cut points and categories.

    Attributes:
        entries: one a column.
        decoys: how many cut points are not the model's.
        groups: how many groups of trees there are; each takes an equal part of the features.
        places: which bit a feature is, counted through all entries; -1 where it is always 0.
            Empty: every bit once, in order.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    entries: tuple[CutPoints | CategoryBits, ...]
    decoys: int
    groups: int
    places: tuple[int, ...]

    def __post_init__(self) -> None:
        bits = sum(entry.width for entry in self.entries)
        if not (1 <= bits <= MAXIMUM_BITS and self.width <= MAXIMUM_BITS):
            raise _impossible(f"more than {MAXIMUM_BITS} bits, or none")
        if not all(-1 <= place < bits for place in self.places):
            raise _impossible("a feature that is no bit")
        if not 1 <= self.groups <= self.width or self.width % self.groups:
            raise _impossible("groups that don't share the features equally")
        if not 0 <= self.decoys <= self.cut_points:
            raise _impossible("more decoys than cut points")

    @property
    def width(self) -> int:
        """How many features it makes of a row."""
        return len(self.places) or sum(entry.width for entry in self.entries)

    @property
    def reads(self) -> tuple[int, ...]:
        """The columns that it takes."""
        return tuple(entry.column for entry in self.entries)

    @property
    def cut_points(self) -> int:
        """How many cut points it has, decoys among them."""
        return sum(len(entry.points) for entry in self.entries if isinstance(entry, CutPoints))

    def moved(self, columns: Sequence[int]) -> Grid:
        """The same grid on other columns.

        Args:
            columns: where in the new table the columns of the old one are.
        """
        entries = tuple(
            msgspec.structs.replace(entry, column=columns[entry.column]) for entry in self.entries
        )
        return msgspec.structs.replace(self, entries=entries)

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """From rows, shape (n, columns), to features that are 0 or 1, shape (n, width)."""
        bits = np.hstack([entry.bits(rows) for entry in self.entries])
        if self.places:
            zero = np.zeros((len(rows), 1), dtype=bool)
            bits = np.hstack([bits, zero])[:, list(self.places)]  # -1 is the last: zero
        return bits.astype(np.float64)

    def sentence(self, names: Sequence[str]) -> str:
        """What it is and what it reveals, for the statement.

        Args:
            names: how messages name the columns.
        """
        counts = [len(entry.points) for entry in self.entries if isinstance(entry, CutPoints)]
        counts = [count for count in counts if count]
        categories = [
            len(entry.categories) for entry in self.entries if isinstance(entry, CategoryBits)
        ]
        parts = []
        if counts:
            parts.append(
                f"{_counted(sum(counts), 'cut point')} in {_counted(len(counts), 'column')} "
                f"({_span(counts)} a column)"
            )
        if categories:
            parts.append(
                f"{_counted(sum(categories), 'category', 'categories')} in "
                f"{_counted(len(categories), 'column')}"
            )
        missing = sum(entry.missing_bit for entry in self.entries)
        if missing:
            parts.append(f"which values are missing in {_counted(missing, 'column')}")
        text = f"Rows become bits, whose meaning is public: {', '.join(parts)}."
        if self.decoys:
            text += (
                f" Of the cut points, {self.decoys} at most "
                f"({100 * self.decoys / self.cut_points:.0f} %) are decoys; the others are the "
                "model's own."
            )
        elif counts:
            text += " All cut points are the model's own."
        if self.groups > 1:
            text += f" Which bits each of {self.groups} groups of trees takes is public."
        return text


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _span(counts: list[int]) -> str:
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _impossible(problem: str) -> PolicyError:
    return PolicyError("SR-PLAN-INVALID", f"the plan's grid has {problem}")
