"""Values of rows in the forms in which they could be left somewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_LEAST_LENGTH = 6


def needles(rows: NDArray[np.float64]) -> set[bytes]:
    """Byte strings that give away a value of a row, shape (n, columns): numbers of 64 bits, two
    neighbouring ones of 32, and decimals. Whole numbers and short decimals, which occur anywhere,
    are left out."""
    found = set()
    for row in rows:
        narrow = row.astype(np.float32)
        for place, value in enumerate(row.tolist()):
            if not np.isfinite(value) or value.is_integer():
                continue
            found.add(row[place].tobytes())
            if place + 1 < len(row):
                found.add(narrow[place : place + 2].tobytes())
            if len(text := repr(value)) >= _LEAST_LENGTH:
                found.add(text.encode())
    return found


def holding(folder: Path, wanted: set[bytes]) -> set[str]:
    """The files below a folder that hold any of them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files, "there is nothing to look through"
    return {path.name for path in files if any_of(path.read_bytes(), wanted)}


def any_of(content: bytes, wanted: set[bytes]) -> bool:
    """Whether one of them is in there."""
    return any(needle in content for needle in wanted)
