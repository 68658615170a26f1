"""Reading: how a tree framework looks at the values of a column before it compares them.

The reference prediction and the bits that an asker's side makes share these rules, so that one
value can't fall on two sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Dtype = Literal["float32", "float64"]
"""What a value is narrowed to before it is compared."""

Comparison = Literal["<", "<="]
"""What sends a number to the left: "<" in XGBoost; "<=" in scikit-learn, LightGBM and CatBoost."""

CategoryKind = Literal["floored", "truncated", "codes"]
"""From a number to a category. floored: the integer below (XGBoost). truncated: the integer towards
zero (LightGBM). codes: the number itself; what is none of the known codes is missing
(scikit-learn)."""

OTHER: Final = -1.0
"""A category that no list holds: all negative numbers are the same to every framework."""

MAXIMUM_CATEGORY: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class CategoryRule:
    """How numbers become categories.

    Attributes:
        kind: see `CategoryKind`.
        known: number of codes, 0 to known - 1; 0 where the kind has no such list.
    """

    kind: CategoryKind
    known: int = 0

    @property
    def codes(self) -> frozenset[int]:
        """The known codes."""
        return frozenset(range(self.known))


@dataclass(frozen=True, slots=True)
class Reading:
    """How an ensemble looks at rows.

    Attributes:
        dtype: of comparisons.
        comparison: what sends a number to the left.
        missing: whether values may be missing (NaN).
        missing_numbers: bounds, both included, between which a number counts as missing, by column:
            LightGBM's zeros, XGBoost's `missing` parameter.
        categories: columns of categories; all others hold numbers.
    """

    dtype: Dtype
    comparison: Comparison
    missing: bool
    missing_numbers: Mapping[int, tuple[float, float]]
    categories: Mapping[int, CategoryRule]

    def read(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rows as trees see them, shape (n, columns): numbers as compared, categories as integers
        with `OTHER` for what is in no list, and NaN for what is missing."""
        table = np.array(rows, dtype=self.dtype).astype(np.float64)
        for column, bounds in self.missing_numbers.items():
            table[:, column] = read_numbers(rows[:, column], self.dtype, bounds)
        for column, rule in self.categories.items():
            table[:, column] = read_categories(rows[:, column], self.dtype, rule)
        return table


def read_numbers(
    values: NDArray[np.float64], dtype: Dtype, missing_numbers: tuple[float, float] | None
) -> NDArray[np.float64]:
    """Numbers as they are compared, NaN where they are missing, shape (n,)."""
    numbers = _narrow(values, dtype)
    if missing_numbers is not None:
        low, high = missing_numbers
        numbers = np.where((numbers >= low) & (numbers <= high), np.nan, numbers)
    return numbers


def read_categories(
    values: NDArray[np.float64], dtype: Dtype, rule: CategoryRule
) -> NDArray[np.float64]:
    """Categories as integers, `OTHER` where no list can hold them, NaN where they are missing."""
    numbers = _narrow(values, dtype)
    if rule.kind == "codes":
        known = (numbers >= 0) & (numbers < rule.known) & (numbers == np.floor(numbers))
        return np.where(known, numbers, np.nan)
    integers = np.trunc(numbers) if rule.kind == "truncated" else np.floor(numbers)
    listed = (integers >= 0) & (integers <= MAXIMUM_CATEGORY)
    return np.where(np.isnan(numbers), np.nan, np.where(listed, integers, OTHER))


def _narrow(values: NDArray[np.float64], dtype: Dtype) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return values.astype(dtype).astype(np.float64)
