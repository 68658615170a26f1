"""Categories: a column of text or labels, told to both sides by a list of its labels.

A row holds the place of its label in the list, -1 for a label that is not in it, NaN where none is
given. Labels are equal as Python has it: 1, 1.0 and True are one label.
"""

from __future__ import annotations

import math
import numbers
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError, PolicyError
from strongroom.models.cells import is_missing

Label = bool | int | float | str

UNKNOWN = -1.0
"""In a row: a label that is not in the list."""

MAXIMUM_LABELS = 2**20
MAXIMUM_LABEL_LENGTH = 4096


class Categories(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The labels that a column may hold.

    Attributes:
        column: place in the table.
        labels: in the order of their codes; each once.
        unknown: whether the model has an answer for other labels.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """

    column: int
    labels: tuple[Label, ...]
    unknown: bool

    def __post_init__(self) -> None:
        problem = ""
        if not 1 <= len(self.labels) <= MAXIMUM_LABELS:
            problem = f"{len(self.labels)} categories, allowed are 1 to {MAXIMUM_LABELS}"
        elif not all(_is_label(label) for label in self.labels):
            problem = "categories that are neither short texts nor finite numbers"
        elif len(set(self.labels)) != len(self.labels):
            problem = "equal categories"
        if problem:
            raise PolicyError("SR-PLAN-INVALID", f"the plan's input has {problem}")

    def codes(self, column: Any, name: str) -> NDArray[np.float64]:
        """Codes of one column (array, or pandas Series of any dtype), shape (n,), float64.

        Args:
            column: the cells.
            name: how messages name the column.

        Raises:
            InputError: SR-INPUT-TYPE if a cell can't be such a label; SR-INPUT-CATEGORY if it is
                none of them and the model has no answer for others.
        """
        if type(column.dtype).__name__ == "CategoricalDtype":
            kinds = self._codes(np.asarray(column.dtype.categories, dtype=object), name, ())
            # pandas' own codes are -1 where a value is missing: that takes the last place
            codes = np.append(kinds, np.nan)[np.asarray(column.cat.codes, dtype=np.intp)]
        else:
            codes = self._codes(np.asarray(column, dtype=object), name, range(len(column)))
        if not self.unknown and (codes == UNKNOWN).any():
            row = int(np.argmax(codes == UNKNOWN))
            raise InputError(
                "SR-INPUT-CATEGORY",
                f"row {row}, {name} holds a category that the model does not know",
                "Pass categories that were seen in training",
            )
        return codes

    def labelled(self, codes: NDArray[np.float64]) -> NDArray[Any]:
        """The labels of codes, as a column: numbers in an array of numbers, NaN where missing;
        else an array of objects, NaN where missing. What is unknown becomes another label."""
        numeric = not any(isinstance(label, str) for label in self.labels)
        other: Label = "unknown"
        if numeric:
            values = [float(label) for label in self.labels]
            other = max(values) + 1.0 if max(values) < 2.0**52 else min(values) - max(values)
        while isinstance(other, str) and other in self.labels:
            other += "_"
        table: NDArray[Any] = np.empty(len(self.labels) + 2, dtype=object)
        table[:-2] = self.labels
        table[-2:] = [np.nan, other]
        places = np.where(np.isnan(codes), len(self.labels), codes).astype(np.intp)
        column = table[places]  # -1, the code of what is unknown, is the last place
        return column.astype(np.float64) if numeric else column

    def _codes(
        self, cells: NDArray[Any], name: str, rows: range | tuple[()]
    ) -> NDArray[np.float64]:
        known = {label: float(code) for code, label in enumerate(self.labels)}
        texts = any(isinstance(label, str) for label in self.labels)
        others = any(not isinstance(label, str) for label in self.labels)
        codes = np.empty(len(cells))
        for place, cell in enumerate(cells):
            number = isinstance(cell, numbers.Real | np.bool_)
            if (texts and isinstance(cell, str)) or (others and number):
                codes[place] = known.get(cell, math.nan if cell != cell else UNKNOWN)
            elif is_missing(cell):
                codes[place] = np.nan
            else:
                raise _mismatch(f"row {rows[place]}, {name}" if rows else name, cell, texts)
        return codes


def _is_label(label: Label) -> bool:
    if isinstance(label, str):
        return len(label) <= MAXIMUM_LABEL_LENGTH
    return abs(label) < 2**63 if isinstance(label, int) else math.isfinite(label)


def _mismatch(place: str, cell: Any, texts: bool) -> InputError:
    if isinstance(cell, str):
        what = "text, the model's categories are numbers"
    elif isinstance(cell, numbers.Real | np.bool_):
        what = "a number, the model's categories are texts"
    else:
        what = f"a {type(cell).__name__[:40]}, the model takes {'texts' if texts else 'numbers'}"
    return InputError(
        "SR-INPUT-TYPE", f"{place} is {what}", "Pass categories as they were in training"
    )
