"""Cells: from whatever Python and pandas put into a table to float64, or a refusal by place.

Stricter than NumPy on purpose: text is never read as a number, even where it spells one.
"""

from __future__ import annotations

import numbers
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError

MISSING_TYPES = ("NAType", "NaTType", "MaskedConstant")
"""Names of the types of `pandas.NA`, `pandas.NaT` and `numpy.ma.masked`."""


def array_of_cells(X: Any) -> NDArray[Any]:
    """An array from a list of rows (or anything that NumPy takes), without guessing.

    Lists of numbers become numeric arrays, lists with anything else object arrays of cells, so
    that a text among numbers doesn't turn all of them into text.

    Raises:
        InputError: SR-INPUT-SHAPE if rows differ in length, or there is no table at all.
    """
    if X is None or isinstance(X, str | bytes | dict | set):
        raise InputError(
            "SR-INPUT-SHAPE",
            f"the rows are a {type(X).__name__}, not a table",
            "Pass a NumPy array, a list of rows or a pandas frame",
        )
    try:
        array = np.asarray(X)
    except (ValueError, TypeError, OverflowError):
        array = None  # rows of different lengths, or cells that NumPy can't bring together
    if array is not None and array.dtype.kind not in "OUSV":
        return array
    if not isinstance(X, list | tuple):
        if array is None:
            raise InputError("SR-INPUT-SHAPE", "the rows are not a table", "Pass a NumPy array")
        return array
    rows = [row if isinstance(row, list | tuple | np.ndarray) else None for row in X]
    if any(row is None for row in rows):
        return np.empty(len(X), dtype=object)  # one-dimensional: refused by its shape
    table = np.empty((len(rows), len(X[0])), dtype=object)
    for number, row in enumerate(X):
        if len(row) != len(X[0]):
            raise InputError(
                "SR-INPUT-SHAPE",
                f"row {number} has {len(row)} values, row 0 has {len(X[0])}",
                "Pass rows of one length",
            )
        for column, cell in enumerate(row):
            table[number, column] = cell
    return table


def column_numbers(column: Any, label: str) -> NDArray[np.float64]:
    """One column (array, or pandas Series of any dtype) as float64, missing values as NaN.

    Raises:
        InputError: SR-INPUT-TYPE for text, categories, dates, complex numbers and objects;
            SR-INPUT-INFINITE for an integer beyond float64.
    """
    dtype = column.dtype
    kind = getattr(dtype, "kind", "O")
    if type(dtype).__name__ == "CategoricalDtype":
        raise InputError(
            "SR-INPUT-TYPE",
            f"{label} holds categories, the model takes numbers",
            "Encode categories as they were in training",
        )
    if kind in "Mmc":
        what = {"M": "dates", "m": "durations", "c": "complex numbers"}[kind]
        raise InputError(
            "SR-INPUT-TYPE",
            f"{label} holds {what}, the model takes real numbers",
            "Convert the column as it was in training",
        )
    if kind in "biuf":
        if isinstance(dtype, np.dtype):
            return np.asarray(column, dtype=np.float64)
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    cells = np.asarray(column, dtype=object)
    return np.array([_number(cell, row, label) for row, cell in enumerate(cells)], dtype=np.float64)


def is_missing(cell: Any) -> bool:
    """Whether a cell is one of the ways in which Python says that there is no value."""
    if cell is None or type(cell).__name__ in MISSING_TYPES:
        return True
    return isinstance(cell, float | np.floating) and bool(np.isnan(cell))


def _number(cell: Any, row: int, label: str) -> float:
    if is_missing(cell):
        return float("nan")
    if isinstance(cell, str | bytes):
        if not cell.strip():
            return float("nan")
        raise InputError(
            "SR-INPUT-TYPE",
            f"row {row}, {label} is text, the model takes numbers",
            "Convert text to numbers as it was in training",
        )
    if isinstance(cell, numbers.Real | np.bool_ | Decimal):
        try:
            return float(cell)
        except OverflowError:
            return float("inf")
        except ValueError:
            return float("nan")  # a signalling NaN of decimal
    raise InputError(
        "SR-INPUT-TYPE",
        f"row {row}, {label} is a {type(cell).__name__[:40]}, the model takes numbers",
        "Pass one number in every cell",
    )
