"""InputSpec: what rows a model takes, and the one place where rows are checked.

An error names row and column (both counted from 0, by position) and never the value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError, PolicyError
from strongroom.models.categories import MAXIMUM_LABELS, Categories
from strongroom.models.cells import array_of_cells, column_numbers

MAXIMUM_AXES = 4
"""Of one row: a volume of several channels."""

MAXIMUM_COLUMNS = 2**20
"""Most columns of a model, a bound on what an untrusted plan can ask a client to allocate."""

NUMERIC_KINDS = "biuf"


class InputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table that a model was trained on, as far as a caller must know it.

    Attributes:
        columns: number of columns.
        names: column names in order, or empty where the model has none.
        dtype: "float64" or "float32": what the plain model computes in.
        categories: columns of text or labels; all others hold numbers.
        missing: columns, ascending, in which a value may be missing.
        ignored: columns, ascending, that the model does not look at: whatever they hold, rows have
            0 there.
        shape: of one row where the model takes images or windows, (channels, height, width) say;
            a row's columns are its numbers in C order, the last axis fastest. Empty for tables.

    Raises:
        PolicyError: SR-PLAN-INVALID if the fields contradict each other.
    """

    columns: int
    names: tuple[str, ...]
    dtype: str
    categories: tuple[Categories, ...] = ()
    missing: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        problem = ""
        if not 1 <= self.columns <= MAXIMUM_COLUMNS:
            problem = f"{self.columns} columns, allowed are 1 to {MAXIMUM_COLUMNS}"
        elif self.names and len(self.names) != self.columns:
            problem = f"{len(self.names)} names for {self.columns} columns"
        elif self.dtype not in ("float32", "float64"):
            problem = f"the dtype {shown(self.dtype)}, allowed are float32 and float64"
        elif not all(
            self._is_ascending(places)
            for places in (
                tuple(column.column for column in self.categories),
                self.missing,
                self.ignored,
                sorted((*self.ignored, *self.missing)),
                sorted((*self.ignored, *(column.column for column in self.categories))),
            )
        ):
            problem = "columns that are not in the table, not in order, or two things at once"
        elif sum(len(column.labels) for column in self.categories) > MAXIMUM_LABELS:
            problem = f"more than {MAXIMUM_LABELS} categories"
        elif self.shape and (
            len(self.shape) not in range(2, MAXIMUM_AXES + 1)
            or min(self.shape) < 1
            or math.prod(self.shape) != self.columns
        ):
            problem = f"a shape that {self.columns} columns don't have"
        if problem:
            raise PolicyError("SR-PLAN-INVALID", f"the plan's input has {problem}")

    def _is_ascending(self, places: Sequence[int]) -> bool:
        bounds = (-1, *places, self.columns)
        return all(low < high for low, high in pairwise(bounds))

    def rows(self, X: Any) -> NDArray[np.float64]:
        """Check rows and bring them to a C-contiguous float64 array of shape (n, columns).

        The result may be `X` itself: don't write to it. Booleans count as 0 and 1. A model that
        computes in float32 gets its rows narrowed to float32, so that the protected model sees
        what the plain one would. Columns of categories hold codes (see `Categories`), missing
        values are NaN.

        Args:
            X: NumPy array, list of lists, pandas frame (matched by column name where both have
                names: same names in another order is an error, as in scikit-learn), or the cells
                of a text file (`models.text_rows`). Where the model takes images or windows, an
                array of shape (n, *shape), or a table of them made flat.

        Raises:
            InputError: SR-INPUT-SHAPE, -COLUMNS, -TYPE, -CATEGORY, -MISSING, -INFINITE; the
                message names row and column, never the value.
        """
        if hasattr(X, "numbers_for"):
            table = X.numbers_for(self)
        elif hasattr(X, "columns") and hasattr(X, "to_numpy"):
            table = self._frame(X)
        else:
            table = self._array(X)
        if self.dtype == "float32":
            with np.errstate(over="ignore"):
                narrow = table.astype(np.float32)
            self._check_finite(narrow, " in float32, which the model computes in")
            table = narrow.astype(np.float64)
        else:
            self._check_finite(table)
        return np.ascontiguousarray(table, dtype=np.float64)

    def column_label(self, column: int) -> str:
        """How a message names a column: "column 'age'" or "column 3"."""
        return f"column {shown(self.names[column])}" if self.names else f"column {column}"

    def column_labels(self) -> tuple[str, ...]:
        """`column_label` of every column."""
        return tuple(self.column_label(column) for column in range(self.columns))

    def labelled(self, rows: NDArray[np.float64]) -> list[NDArray[Any]]:
        """The columns of checked rows with labels in place of codes, shape (n,) each: rows as the
        plain model takes them."""
        columns: list[NDArray[Any]] = list(rows.T)
        for categories in self.categories:
            columns[categories.column] = categories.labelled(rows[:, categories.column])
        return columns

    def _frame(self, frame: Any) -> NDArray[np.float64]:
        columns = list(frame.columns)
        named = bool(columns) and all(isinstance(name, str) for name in columns)
        if named and self.names:
            self._check_names(tuple(columns))
        self._check_shape((len(frame), len(columns)))
        dtypes = list(frame.dtypes)
        if not (self.categories or self.ignored) and all(
            isinstance(dtype, np.dtype) and dtype.kind in NUMERIC_KINDS for dtype in dtypes
        ):
            return np.asarray(frame.to_numpy(), dtype=np.float64)
        label = self.column_label
        if named and not self.names:
            label = InputSpec(len(columns), tuple(columns), self.dtype).column_label
        return self._numbers(
            [
                frame.iloc[:, number] if hasattr(frame, "iloc") else frame[columns[number]]
                for number in range(len(columns))
            ],
            label,
        )

    def _array(self, X: Any) -> NDArray[np.float64]:
        if isinstance(X, np.ma.MaskedArray):
            cells = np.array(X.data, dtype=object)
            cells[np.ma.getmaskarray(X)] = None
            X = cells if np.ma.is_masked(X) else X.data
        elif hasattr(X, "toarray") and not isinstance(X, np.ndarray):
            raise InputError(
                "SR-INPUT-TYPE", "the rows are a sparse matrix", "Pass a dense table: X.toarray()"
            )
        array = X if isinstance(X, np.ndarray) else array_of_cells(X)
        if self.shape and array.shape[1:] == self.shape:
            array = array.reshape(len(array), self.columns)
        self._check_shape(array.shape)
        if array.dtype.kind in NUMERIC_KINDS and not (self.categories or self.ignored):
            return array.astype(np.float64, copy=False)
        return self._numbers(list(array.T), self.column_label)

    def _numbers(self, columns: list[Any], label: Callable[[int], str]) -> NDArray[np.float64]:
        """Columns of cells as one table of numbers and codes."""
        table = np.zeros((len(columns[0]), len(columns)))
        categories = {column.column: column for column in self.categories}
        ignored = frozenset(self.ignored)
        for number, column in enumerate(columns):
            if number in categories:
                table[:, number] = categories[number].codes(column, label(number))
            elif number not in ignored:
                table[:, number] = column_numbers(column, label(number))
        return table

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        if self.shape and len(shape) != 2:
            taken = ", ".join(map(str, self.shape))
            remedy = f"Pass rows of shape (n, {taken}), or flat ones of shape (n, {self.columns})"
            if shape == self.shape:
                remedy = "Pass a single row as X[None]"
            raise InputError(
                "SR-INPUT-SHAPE",
                f"the rows have the shape {_shape_shown(shape)}, the model takes (n, {taken})",
                remedy,
            )
        if len(shape) != 2:
            remedy = "Pass a table of shape (rows, columns)"
            if len(shape) == 1 and shape[0] > 0:
                remedy = "Reshape a single row with X.reshape(1, -1)"
            raise InputError(
                "SR-INPUT-SHAPE",
                f"the rows have {len(shape)} dimensions, a table has 2",
                remedy,
            )
        if shape[1] != self.columns:
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"the rows have {shape[1]} columns, the model takes {self.columns}",
                "Pass the columns that the model was trained on",
            )
        if shape[0] == 0:
            raise InputError("SR-INPUT-SHAPE", "there are no rows", "Pass at least one row")

    def _check_names(self, names: tuple[str, ...]) -> None:
        if names == self.names:
            return
        missing = [name for name in self.names if name not in set(names)]
        unknown = [name for name in names if name not in set(self.names)]
        parts = []
        if missing:
            parts.append(f"lack {shown_list(missing)}")
        if unknown:
            parts.append(f"have {shown_list(unknown)}, which the model does not know")
        if parts:
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"the rows {' and '.join(parts)}",
                "Pass the columns that the model was trained on",
            )
        if len(names) != len(self.names):
            doubled = next(name for name in names if names.count(name) > 1)
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"the rows have column {shown(doubled)} more than once",
                "Pass every column once",
            )
        place = next(i for i in range(len(names)) if names[i] != self.names[i])
        raise InputError(
            "SR-INPUT-COLUMNS",
            f"the columns are in another order than the model's: column {place} is "
            f"{shown(names[place])}, the model has {shown(self.names[place])} there",
            "Order the columns as they were in training",
        )

    def _check_finite(self, table: NDArray[Any], where: str = "") -> None:
        finite = np.isfinite(table)
        if self.missing:
            absent = list(self.missing)
            finite[:, absent] |= np.isnan(table[:, absent])
        if finite.all():
            return
        row, column = (int(index) for index in np.argwhere(~finite)[0])
        place = f"row {row}, {self.column_label(column)}"
        if np.isnan(table[row, column]):
            raise InputError(
                "SR-INPUT-MISSING",
                f"{place} is missing",
                "Fill in missing values, or leave such rows out, before asking",
            )
        raise InputError(
            "SR-INPUT-INFINITE",
            f"{place} is infinite{where}",
            "Replace infinite values before asking",
        )


def _shape_shown(shape: tuple[int, ...]) -> str:
    numbers = [str(size) for size in shape[: MAXIMUM_AXES + 2]]
    return f"({', '.join([*numbers, *(['...'] if len(numbers) < len(shape) else [])])})"


def shown(name: str) -> str:
    """A name from outside, quoted, on one line and of bounded length."""
    return repr(name if len(name) <= 60 else name[:57] + "...")


def shown_list(names: list[str]) -> str:
    """At most three names and how many more there are."""
    text = ", ".join(shown(name) for name in names[:3])
    return text if len(names) <= 3 else f"{text} and {len(names) - 3} more"
