"""Model files of tree frameworks: bounded reading, and fields that are what they should be.

Nothing is ever unpickled. A file is a regular file of a bounded size; what it holds is looked at
field by field, and the first one that is missing or of another type ends the import.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.rows import MAXIMUM_COLUMNS, shown

MAXIMUM_FILE_BYTES: Final = 2**26
"""Largest file of trees: half a million nodes or more, whatever the framework."""

MAXIMUM_SCORES: Final = 2**12
"""Most scores of a row."""

MAXIMUM_DIGITS: Final = 32
"""Longest number written as a text."""


def read_file(path: Path) -> bytes:
    """The bytes of a model file.

    Raises:
        ModelError: SR-MODEL-FILE: not there, not a regular file, or too large.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ModelError("SR-MODEL-FILE", f"{shown(path.name)} is not a file", "Check the path")
        check_size(status.st_size)
        with path.open("rb") as file:
            data = file.read(status.st_size + 1)  # no buffer larger than that
    except OSError as error:
        raise ModelError(
            "SR-MODEL-FILE",
            f"the file {shown(path.name)} can't be read: {error.strerror}",
            "Check the path",
        ) from error
    check_size(len(data))
    return data


def check_size(size: int) -> None:
    """Refuse a model of too many bytes with ModelError SR-MODEL-FILE."""
    if size > MAXIMUM_FILE_BYTES:
        raise ModelError(
            "SR-MODEL-FILE",
            f"the tree model has {size} bytes, allowed are {MAXIMUM_FILE_BYTES}",
            "Train fewer or smaller trees",
        )


def read_json(data: bytes) -> Any:
    """What a JSON text says, or ModelError SR-MODEL-FILE."""
    check_size(len(data))
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise malformed("is not valid JSON") from error


def check_shape(columns: int, scores: int) -> None:
    """Refuse impossible numbers of columns and scores, before anything has their size, with
    ModelError SR-MODEL-FILE."""
    if not 1 <= columns <= MAXIMUM_COLUMNS:
        raise malformed(f"has {columns} columns, allowed are 1 to {MAXIMUM_COLUMNS}")
    if not 1 <= scores <= MAXIMUM_SCORES:
        raise malformed(f"has {scores} scores, allowed are 1 to {MAXIMUM_SCORES}")


def malformed(problem: str) -> ModelError:
    """The error for a file that contradicts itself or its format."""
    return ModelError("SR-MODEL-FILE", f"the tree model {problem}", "Export the model again")


@dataclass(frozen=True, slots=True)
class Section:
    """An object in a model file; its fields are taken by type.

    Attributes:
        fields: by name.
        place: where it is, for messages.
    """

    fields: Mapping[str, Any]
    place: str = "the model"

    @classmethod
    def of(cls, value: Any, place: str = "the model") -> Section:
        """A section from whatever was read.

        Raises:
            ModelError: SR-MODEL-FILE, as all methods do.
        """
        if not isinstance(value, dict):
            raise malformed(f"has no object at {place}")
        return cls(value, place)

    def section(self, name: str) -> Section:
        """An object inside it."""
        return Section.of(self._field(name), self._below(name))

    def sections(self, name: str) -> list[Section]:
        """A list of objects."""
        return [
            Section.of(value, f"{self._below(name)} {number}")
            for number, value in enumerate(self.items(name))
        ]

    def items(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self._field(name)
        if isinstance(value, np.ndarray):
            return list(value.tolist())
        if not isinstance(value, list):
            raise malformed(f"has no list at {self._below(name)}")
        return value

    def text(self, name: str) -> str:
        """A text."""
        value = self._field(name)
        if not isinstance(value, str):
            raise malformed(f"has no text at {self._below(name)}")
        return value

    def integer(self, name: str) -> int:
        """An integer, or the text of one."""
        value = self._field(name)
        if isinstance(value, str) and len(value) <= MAXIMUM_DIGITS:
            try:
                return int(value)
            except ValueError as error:
                raise malformed(f"has no integer at {self._below(name)}") from error
        if not isinstance(value, int) or isinstance(value, bool):
            raise malformed(f"has no integer at {self._below(name)}")
        return value

    def number(self, name: str) -> float:
        """A number."""
        value = self._field(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise malformed(f"has no number at {self._below(name)}")
        return float(value)

    def numbers(self, name: str, length: int | None = None) -> NDArray[np.float64]:
        """A list of numbers, shape (length,)."""
        try:
            array = np.asarray(self._field(name), dtype=np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise malformed(f"has no list of numbers at {self._below(name)}") from error
        return self._of_length(array, name, length)

    def integers(self, name: str, length: int | None = None) -> NDArray[np.int64]:
        """A list of integers (or of truth values), shape (length,)."""
        value = self._field(name)
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise malformed(f"has no list of integers at {self._below(name)}") from error
        if array.size == 0:
            array = array.astype(np.int64)
        if array.dtype.kind not in "iub" or array.dtype == np.uint64:
            raise malformed(f"has no list of integers at {self._below(name)}")
        return self._of_length(array.astype(np.int64), name, length)

    def _field(self, name: str) -> Any:
        if name not in self.fields:
            raise malformed(f"has no {self._below(name)}")
        return self.fields[name]

    def _below(self, name: str) -> str:
        return f"{name!r} of {self.place}"

    def _of_length(self, array: NDArray[Any], name: str, length: int | None) -> NDArray[Any]:
        if array.ndim != 1 or (length is not None and len(array) != length):
            expected = "" if length is None else f" of {length} numbers"
            raise malformed(f"has no list{expected} at {self._below(name)}")
        return array
