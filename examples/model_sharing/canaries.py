"""Looking for secrets where they must not be: in files, in what went over the wire, in memory.

A value is looked for in the forms in which programs leave values behind: eight bytes of double
precision, eight bytes of two neighbours of single precision, decimals. Whole numbers and short
decimals are left out, since they occur anywhere. Finding nothing is no proof; that the same search
finds the secrets where they have to be, is shown beside it.
"""

from __future__ import annotations

import re
import resource
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

_LEAST_DECIMALS = 8
_READ_BYTES = 1 << 24
_LONGEST_NEEDLE = 64
_PAGE_BYTES = resource.getpagesize()
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw")


class Canaries:
    """Values of one secret, and the search for any of them.

    Args:
        matrices: of which values are taken, each of shape (rows, columns).
        most: how many values of each.
        written: what is looked for as it is.
    """

    def __init__(
        self,
        matrices: Iterable[NDArray[np.float64]],
        most: int = 3,
        *,
        written: Iterable[bytes] = (),
    ) -> None:
        self._needles = [needle for matrix in matrices for needle in _needles(matrix, most)]
        self._needles += written

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
        return any(self.within(part) for part in memory(pid))

    def _in_file(self, path: Path) -> bool:
        return any(self.within(part) for part in content(path))


def content(path: Path) -> Iterator[bytes]:
    """What is in a file, in parts that share their ends."""
    with path.open("rb") as file:
        yield from _overlapping(file.read, _READ_BYTES)


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


def memory(pid: int) -> Iterator[bytes]:
    """All memory that a process has written to, in parts.

    Raises:
        PermissionError: the system does not let this user look.
    """
    folder = Path(f"/proc/{pid}")
    with (folder / "mem").open("rb", buffering=0) as image, (folder / "pagemap").open("rb") as map_:
        for line in (folder / "maps").read_text().splitlines():
            bounds = _MAPPING.match(line)
            if bounds is None or line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
                continue
            start, end = (int(bound, 16) for bound in bounds.groups())
            try:
                for first, last in _touched(map_, start, end):
                    for place in range(first, last, _READ_BYTES):
                        image.seek(place)
                        yield image.read(min(_READ_BYTES + _LONGEST_NEEDLE, last - place))
            except OSError:  # unmapped meanwhile, or a device's
                continue


def _touched(pagemap: BinaryIO, start: int, end: int) -> list[tuple[int, int]]:
    """The parts of a mapping that are in memory or swapped out: the rest was never written."""
    pagemap.seek(start // _PAGE_BYTES * 8)
    pages = np.frombuffer(pagemap.read((end - start) // _PAGE_BYTES * 8), np.uint64)
    there = np.concatenate([[False], pages >> np.uint64(62) != 0, [False]])
    borders = start + np.flatnonzero(there[1:] != there[:-1]) * _PAGE_BYTES
    return [(int(first), int(last)) for first, last in borders.reshape(-1, 2)]
