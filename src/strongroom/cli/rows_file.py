"""CSV files of rows, read into numbers.

A file is UTF-8, comma-separated, one row a line. Its first line holds the column names; pandas'
numbered header (0,1,2,…) counts as names too. A file whose first line holds numbers is refused
unless the caller says that it has no header: else one row would vanish silently.

Messages name the line and the column of a cell, never what stands in it.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError

if TYPE_CHECKING:
    from _csv import Reader as _CsvReader

_MISSING = frozenset({"", "na", "n/a", "nan", "null", "none"})
_INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})


@dataclass(frozen=True, slots=True)
class RowTable:
    """Rows as they stand in a file.

    Attributes:
        names: column names, or empty where the file has none.
        values: finite numbers, shape (rows, columns).
    """

    names: tuple[str, ...]
    values: NDArray[np.float64]

    def require_names(self, expected: Sequence[str]) -> None:
        """Compare the header with a model's column names, where both have names.

        Raises:
            InputError: SR-INPUT-COLUMNS, with the first name that differs.
        """
        if not expected or not self.names or self.names == tuple(expected):
            return
        if self.names == tuple(str(i) for i in range(len(self.names))):
            return  # numbered by pandas: a header without names
        if len(self.names) != len(expected):
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"the rows have {len(self.names)} columns, the model takes {len(expected)}",
                "Give the columns that the model was trained on, in the same order",
            )
        place = next(i for i, name in enumerate(expected) if self.names[i] != name)
        raise InputError(
            "SR-INPUT-COLUMNS",
            f"column {place + 1} is named {self.names[place]!r}, the model takes "
            f"{expected[place]!r} there",
            "Give the columns that the model was trained on, in the same order",
        )


def read_rows(path: Path, *, header: bool = True) -> RowTable:
    """Read a CSV file of numbers.

    Args:
        path: the file.
        header: whether its first line holds column names.

    Raises:
        InputError: SR-INPUT-FILE if the file can't be read; SR-INPUT-SHAPE if it holds no rows
            or a numeric first line where names are expected; SR-INPUT-COLUMNS if a line has
            another number of cells; SR-INPUT-MISSING, -INFINITE, -TYPE for a cell.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(csv.reader(file, strict=True), path, header)
    except OSError as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} can't be read: {failure.strerror or 'input/output error'}"
        ) from failure
    except UnicodeDecodeError as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} is not UTF-8 text", "Save it as CSV in UTF-8"
        ) from failure
    except csv.Error as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} is not a CSV file: {failure}", "Save it as CSV"
        ) from failure


def _parse(lines: _CsvReader, path: Path, header: bool) -> RowTable:
    names: tuple[str, ...] = ()
    rows: list[list[float]] = []
    columns: int | None = None
    for cells in lines:
        number = lines.line_num
        if not cells:  # an empty line, as editors leave at the end
            continue
        if columns is None:
            columns = len(cells)
            if header:
                names = _names(cells, path)
                continue
        if len(cells) != columns:
            raise InputError(
                "SR-INPUT-COLUMNS",
                f"{path} line {number} has {len(cells)} cells, the first line has {columns}",
                "Give every row the same number of cells, separated by commas",
            )
        rows.append(
            [
                _number(cell, path, number, column, names)
                for column, cell in enumerate(cells, start=1)
            ]
        )
    if not rows:
        raise InputError("SR-INPUT-SHAPE", f"{path} holds no rows", "Give at least one row")
    return RowTable(names, np.array(rows, dtype=np.float64))


def _names(cells: list[str], path: Path) -> tuple[str, ...]:
    names = tuple(cell.strip() for cell in cells)
    numbered = len(names) > 1 and names == tuple(str(i) for i in range(len(names)))
    if not numbered and all(_is_number(name) for name in names):
        raise InputError(
            "SR-INPUT-SHAPE",
            f"the first line of {path} holds numbers, not column names",
            "Add a line of column names, or pass --no-header",
        )
    return names


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, path: Path, line: int, column: int, names: tuple[str, ...]) -> float:
    text = cell.strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if math.isfinite(value) and "_" not in text:  # float() takes 1_000, no spreadsheet does
        return value
    place = f"{path} line {line}, column {column}"
    if names:
        place += f" ({names[column - 1]})"
    if text.lower() in _MISSING:
        raise InputError("SR-INPUT-MISSING", f"{place} is empty", "Fill in or drop the row")
    if text.lower() in _INFINITE or math.isinf(value):
        raise InputError("SR-INPUT-INFINITE", f"{place} is infinite", "Give a finite number")
    raise InputError(
        "SR-INPUT-TYPE", f"{place} holds text where a number belongs", "Encode it as a number"
    )
