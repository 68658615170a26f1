"""CSV files of rows, read into cells.

A file is UTF-8, comma-separated, one row a line. Its first line holds the column names; pandas'
numbered header (0,1,2,…) counts as names too. A file whose first line holds numbers is refused
unless the caller says that it has no header: else one row would vanish silently.

What the cells mean is for a model to say (`models.text_rows`).
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from strongroom.errors import InputError
from strongroom.models.text_rows import TextRows

if TYPE_CHECKING:
    from _csv import Reader as _CsvReader


def read_rows(path: Path, *, header: bool = True) -> TextRows:
    """Read a CSV file.

    Args:
        path: the file.
        header: whether its first line holds column names.

    Raises:
        InputError: SR-INPUT-FILE if the file can't be read; SR-INPUT-SHAPE if it holds no rows
            or a numeric first line where names are expected; SR-INPUT-COLUMNS if a line has
            another number of cells.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return _parse(csv.reader(file, strict=True), path, header)
    except OSError as failure:
        raise InputError(
            "SR-INPUT-FILE",
            f"{path} can't be read: {failure.strerror or 'input/output error'}",
            "Check the path",
        ) from failure
    except UnicodeDecodeError as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} is not UTF-8 text", "Save it as CSV in UTF-8"
        ) from failure
    except csv.Error as failure:
        raise InputError(
            "SR-INPUT-FILE", f"{path} is not a CSV file: {failure}", "Save it as CSV"
        ) from failure


def _parse(lines: _CsvReader, path: Path, header: bool) -> TextRows:
    names: tuple[str, ...] = ()
    rows: list[list[str]] = []
    places: list[int] = []
    columns: int | None = None
    for cells in lines:
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
                f"{path} line {lines.line_num} has {len(cells)} cells, the first line has "
                f"{columns}",
                "Give every row the same number of cells, separated by commas",
            )
        rows.append(cells)
        places.append(lines.line_num)
    if columns == 1:
        _require_commas([*([list(names)] if names else []), *rows[:1]], path)
    if not rows:
        raise InputError("SR-INPUT-SHAPE", f"{path} holds no rows", "Give at least one row")
    return TextRows(str(path), names, rows, places)


def _require_commas(lines: list[list[str]], path: Path) -> None:
    """That lines of one cell are not several cells with something else between them."""
    for separator, its_name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        counts = {line[0].count(separator) for line in lines}
        if len(counts) == 1 and 0 not in counts:
            raise InputError(
                "SR-INPUT-FILE",
                f"{path} has {its_name} between its cells",
                "Save it with commas, and numbers with a decimal point",
            )


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
