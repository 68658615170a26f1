"""TextRows: a table of cells as they stand in a text file, before anybody knows what they mean.

Only a model says which columns hold numbers, which hold categories, and where a value may be
missing: `InputSpec.rows` takes a `TextRows` as any other table and has it read here. Messages name
the file, the line and the column of a cell, never what stands in it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError
from strongroom.models.categories import UNKNOWN, Categories, Label
from strongroom.models.feature_columns import RowRefused, RowsFarOut
from strongroom.models.rows import InputSpec, shown

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_BOOLEANS = {"true": True, "false": False}

_Read = Callable[[str], float]
"""From a cell to a number or a code, NaN where it is missing. Raises ValueError for a text that is
no number, KeyError for a category that the model has no answer to."""


@dataclass(frozen=True, slots=True, eq=False)
class TextRows:
    """Rows of cells.

    Attributes:
        source: where they come from, for messages; the path of a file.
        names: column names, or empty where there are none.
        cells: the rows, all of one length, which is that of the names if there are some.
        lines: for each row its line in the source, counted from 1.
    """

    source: str
    names: tuple[str, ...]
    cells: Sequence[Sequence[str]]
    lines: Sequence[int]

    def numbers_for(self, spec: InputSpec) -> NDArray[np.float64]:
        """The table that a model takes, shape (n, columns), float64: codes in columns of
        categories, 0 in columns that it does not look at, NaN where a value may be missing and is.

        Raises:
            InputError: SR-INPUT-COLUMNS, -MISSING, -INFINITE, -TYPE, -CATEGORY.
        """
        self._check_columns(spec)
        table = np.zeros((len(self.cells), spec.columns))
        categories = {column.column: column for column in spec.categories}
        for column in sorted(set(range(spec.columns)) - set(spec.ignored)):
            read = _category_reader(categories[column]) if column in categories else _number
            for row, cells in enumerate(self.cells):
                try:
                    table[row, column] = read(cells[column])
                except ValueError:
                    raise self._mismatch(row, column, column in categories) from None
                except KeyError:
                    raise InputError(
                        "SR-INPUT-CATEGORY",
                        f"{self._place(row, column)} holds a category that the model does not know",
                        "Give categories that were seen in training, written as they were there",
                    ) from None
        self._check_finite(table, spec)
        return table

    @contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Has refusals and warnings of rows, wherever they come from, name the rows' lines
        instead. Not for several threads at once.

        Raises:
            InputError: in place of `RowRefused`.
            InputRangeWarning: in place of `RowsFarOut`, where warnings are errors.
        """
        with warnings.catch_warnings():
            show = warnings.showwarning

            def show_line(message: Warning | str, *more: Any, **others: Any) -> None:
                if isinstance(message, RowsFarOut):
                    message = message.naming(self._line(message.row))
                show(message, *more, **others)

            warnings.showwarning = show_line
            try:
                yield
            except RowRefused as refusal:
                place = self._line(refusal.row)
                raise InputError(refusal.code, place + refusal.what, refusal.remedy) from None
            except RowsFarOut as warning:
                raise warning.naming(self._line(warning.row)) from None

    def without(self, name: str) -> tuple[TextRows, list[str]]:
        """The table without a column, and the cells of that column.

        Raises:
            InputError: SR-INPUT-COLUMNS if there is no such column.
        """
        if name not in self.names:
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"{self.source} has no column {shown(name)}",
                "Name a column of its first line",
            )
        place = self.names.index(name)
        rest = [[*cells[:place], *cells[place + 1 :]] for cells in self.cells]
        names = (*self.names[:place], *self.names[place + 1 :])
        taken = [cells[place] for cells in self.cells]
        return TextRows(self.source, names, rest, self.lines), taken

    def _check_columns(self, spec: InputSpec) -> None:
        """The names must be the model's, in its order, where both have names."""
        remedy = "Give the columns that the model was trained on, in the same order"
        given = len(self.cells[0])
        # pandas numbers the columns of a table without names
        numbered = self.names == tuple(str(place) for place in range(given))
        named = bool(self.names and spec.names) and not numbered
        if given != spec.columns:
            problem = f"{self.source} has {given} columns, the model takes {spec.columns}"
            if given == spec.columns + 1 and self.names and not self.names[0]:
                remedy = "Leave out the first column, the index that pandas writes by default"
            if named:
                problem += _difference(spec.names, self.names)
            raise InputError("SR-INPUT-COLUMNS", problem, remedy)
        if not named or self.names == spec.names:
            return
        place = next(i for i, name in enumerate(spec.names) if self.names[i] != name)
        raise InputError(
            "SR-INPUT-COLUMNS",
            f"column {place + 1} is named {shown(self.names[place])}, the model takes "
            f"{shown(spec.names[place])} there",
            remedy,
        )

    def _check_finite(self, table: NDArray[np.float64], spec: InputSpec) -> None:
        """Numbers as the model computes them."""
        with np.errstate(over="ignore"):
            narrow = table.astype(spec.dtype)
        refused = ~np.isfinite(narrow)
        absent = list(spec.missing)
        refused[:, absent] &= ~np.isnan(table[:, absent])
        if not refused.any():
            return
        row, column = (int(index) for index in np.argwhere(refused)[0])
        place = self._place(row, column)
        if np.isnan(table[row, column]):
            raise InputError(
                "SR-INPUT-MISSING",
                f"{place} is empty, and the model takes no missing value there",
                "Fill in or drop the row",
            )
        where = " in float32, which the model computes in" if spec.dtype == "float32" else ""
        raise InputError("SR-INPUT-INFINITE", f"{place} is infinite{where}", "Give a finite number")

    def _mismatch(self, row: int, column: int, is_category: bool) -> InputError:
        place = self._place(row, column)
        if is_category:
            return InputError(
                "SR-INPUT-TYPE",
                f"{place} holds text, the model's categories are numbers",
                "Give categories as they were in training",
            )
        return InputError(
            "SR-INPUT-TYPE", f"{place} holds text where a number belongs", "Encode it as a number"
        )

    def _line(self, row: int) -> str:
        return f"{self.source} line {self.lines[row]}"

    def _place(self, row: int, column: int) -> str:
        place = f"{self._line(row)}, column {column + 1}"
        return f"{place} ({shown(self.names[column])[1:-1]})" if self.names else place


def _difference(model: Sequence[str], given: Sequence[str]) -> str:
    """Which names are one side's only, the first of each; "" if none is."""
    missing = [name for name in model if name not in given]
    surplus = [name for name in given if name and name not in model]
    twice = [name for name in dict.fromkeys(given) if given.count(name) > 1]
    said = f"; {shown(missing[0])} is not there" if missing else ""
    if surplus:
        said += f"; {shown(surplus[0])} is none of the model's"
    elif twice:
        said += f"; {shown(twice[0])} is there twice"
    return said


def typed_labels(cells: Sequence[str]) -> list[Label]:
    """Labels of a column: numbers or booleans if all of them are, else texts."""
    try:
        return [int(cell) for cell in cells]
    except ValueError:
        pass
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        pass
    if all(cell.strip().lower() in _BOOLEANS for cell in cells):
        return [_BOOLEANS[cell.strip().lower()] for cell in cells]
    return list(cells)


def _number(cell: str) -> float:
    text = cell.strip()
    try:
        value = float(text)
    except ValueError:
        if text.lower() in _MISSING:
            return math.nan
        raise
    if "_" in text:  # float() takes 1_000, no spreadsheet does
        raise ValueError
    return value


def _category_reader(categories: Categories) -> _Read:
    """What reads the cells of a column of categories: text is a label as it stands, even where it
    spells a number or a missing value."""
    known: dict[Label, float] = {label: float(code) for code, label in enumerate(categories.labels)}
    texts = any(isinstance(label, str) for label in categories.labels)
    numbers = any(not isinstance(label, str) for label in categories.labels)
    booleans = any(isinstance(label, bool) for label in categories.labels)

    def read(cell: str) -> float:
        label: Label = cell
        if not (texts and cell in known):
            text = cell.strip().lower()
            if text in _MISSING:
                return math.nan
            if booleans and text in _BOOLEANS:
                label = _BOOLEANS[text]
            elif numbers:
                try:
                    label = _number(cell)
                except ValueError:
                    if not texts:
                        raise
        if label not in known and not categories.unknown:
            raise KeyError
        return known.get(label, UNKNOWN)

    return read
