"""Universal Binary JSON, as XGBoost writes it (https://ubjson.org, draft 12), read with bounds.

Typed arrays become NumPy arrays. An announced length is believed only as far as the bytes reach;
types without bytes, of which a few announced bytes could stand for any number, have no typed
arrays here.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import numpy as np

from strongroom.models.trees.model_files import check_size, malformed

MAXIMUM_NESTING: Final = 32
MAXIMUM_VALUES: Final = 2**21
"""Most values outside typed arrays: XGBoost writes some thirty for each tree."""

_NUMBERS: Final = {
    "i": ">i1",
    "U": ">u1",
    "I": ">i2",
    "l": ">i4",
    "L": ">i8",
    "d": ">f4",
    "D": ">f8",
}
_CONSTANTS: Final = {"Z": None, "T": True, "F": False}


def read_ubjson(data: bytes) -> Any:
    """What the bytes say: dict, list, NumPy array, str, int, float, bool or None.

    Raises:
        ModelError: SR-MODEL-FILE.
    """
    check_size(len(data))
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), 0)
    except (struct.error, UnicodeDecodeError) as error:
        raise malformed("is not valid UBJSON") from error
    if reader.place != len(data):
        raise malformed("goes on after its end")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0
        self.values = 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.place:
            raise malformed("ends too early, or announces more than it holds")
        taken = self.data[self.place : self.place + count]
        self.place += count
        return taken

    def marker(self) -> str:
        return self.take(1).decode("ascii")

    def peek(self) -> str:
        return self.data[self.place : self.place + 1].decode("ascii")

    def value(self, marker: str, depth: int) -> Any:
        self.values += 1
        if self.values > MAXIMUM_VALUES or depth > MAXIMUM_NESTING:
            raise malformed("has too many values, or too deep ones")
        if marker in _CONSTANTS:
            return _CONSTANTS[marker]
        if marker in _NUMBERS:
            dtype = np.dtype(_NUMBERS[marker])
            return np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        if marker == "S":
            return self.text()
        if marker == "[":
            return self.array(depth)
        if marker == "{":
            return self.object(depth)
        raise malformed("holds a value of an unknown type")

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def length(self) -> int:
        marker = self.marker()
        if marker not in "iUIlL":
            raise malformed("has a length that is not an integer")
        return int(self.value(marker, 0))

    def array(self, depth: int) -> Any:
        if self.peek() == "$":
            self.take(1)
            dtype = _NUMBERS.get(self.marker())
            if dtype is None or self.marker() != "#":
                raise malformed("has a typed array that is not one of numbers")
            count = self.length()
            # count times item size is a Python integer: it can't overflow
            raw = self.take(count * np.dtype(dtype).itemsize)
            array = np.frombuffer(raw, dtype)
            return array.astype(array.dtype.newbyteorder("="))
        if self.peek() == "#":
            self.take(1)
            return [self.value(self.marker(), depth + 1) for _ in range(self.length())]
        found = []
        while (marker := self.marker()) != "]":
            found.append(self.value(marker, depth + 1))
        return found

    def object(self, depth: int) -> dict[str, Any]:
        found = {}
        if self.peek() == "#":
            self.take(1)
            for _ in range(self.length()):
                name = self.text()
                found[name] = self.value(self.marker(), depth + 1)
            return found
        while self.peek() != "}":
            name = self.text()
            found[name] = self.value(self.marker(), depth + 1)
        self.take(1)
        return found
