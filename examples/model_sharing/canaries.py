"""Looking for secrets where they must not be: in files, in what went over the wire, in memory.

A value is looked for in the forms in which programs leave values behind: eight bytes of double
precision, eight bytes of two neighbours of single precision, decimals. Whole numbers and short
decimals are left out, since they occur anywhere. Finding nothing is no proof; that the same search
finds the secrets where they have to be, is shown beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LEAST_DECIMALS = 8
_READ_BYTES = 1 << 24
_LONGEST_NEEDLE = 64
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")


class Canaries:
    """Values of one secret, and the search for any of them.

    Args:
        matrices: of which values are taken, each of shape (rows, columns).
        most: how many values of each.
    """

    def __init__(self, matrices: Iterable[NDArray[np.float64]], most: int = 3) -> None:
        self._needles = [needle for matrix in matrices for needle in _needles(matrix, most)]

    def within(self, content: bytes) -> bool:
        """Whether any of the values is in there."""
        return any(content.find(needle) >= 0 for needle in self._needles)

    def below(self, folder: Path) -> list[str]:
        """Names of the files below a folder that hold any of them."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [str(path.relative_to(folder)) for path in files if self._in_file(path)]

    def in_memory(self, pid: int) -> bool:
        """Whether a running process has any of them in memory that it writes to.

        Raises:
            PermissionError: the system does not let this user look.
        """
        return any(self.within(part) for part in _memory(pid))

    def _in_file(self, path: Path) -> bool:
        with path.open("rb") as file:
            return any(self.within(part) for part in _overlapping(file.read, _READ_BYTES))


def _needles(matrix: NDArray[np.float64], most: int) -> Iterator[bytes]:
    """The forms of some values with many digits, from all over a matrix."""
    telling = np.argwhere(np.vectorize(lambda value: len(repr(value)) >= _LEAST_DECIMALS)(matrix))
    narrow = matrix.astype(np.float32)
    # Whoever stores a matrix may store it transposed.
    for row, column in telling[:: max(1, len(telling) // most)]:
        yield matrix[row, column].tobytes()
        yield repr(float(matrix[row, column])).encode()
        yield narrow[row, [column, (column + 1) % matrix.shape[1]]].tobytes()
        yield narrow[[row, (row + 1) % matrix.shape[0]], column].tobytes()


def _overlapping(read: Any, size: int) -> Iterator[bytes]:
    """What is read, in parts that share their ends: nothing is missed at a border."""
    tail = b""
    while part := read(size):
        yield tail + part
        tail = part[-_LONGEST_NEEDLE:]


def _memory(pid: int) -> Iterator[bytes]:
    """All memory that a process writes to, in parts."""
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            bounds = _MAPPING.match(line)
            if bounds is None or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(bound, 16) for bound in bounds.groups())
            for place in range(start, end, _READ_BYTES):
                size = min(_READ_BYTES + _LONGEST_NEEDLE, end - place)
                try:
                    memory.seek(place)
                    yield memory.read(size)
                except OSError:  # unmapped meanwhile, or a device's
                    break
