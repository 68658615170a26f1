"""A durable append-only file of lines; what was appended is on the disk before anybody is told.

One process at a time has it. A line that a crash cut off was never acknowledged and is dropped as
the file is opened again: it has no newline at its end, or holds zeros where the system had given it
room and not yet its bytes. Anything else that is not as it was written is damage, and the reader's
to find. After a write that failed nothing more is written: what the disk holds is not known.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from strongroom.errors import KeyStoreError
from strongroom.keys.permissions import NOT_WRITABLE, PRIVATE, check_folder, make_folder, unusable

MAXIMUM_LINE_BYTES: Final = 64 * 2**20

_BLOCK: Final = 1 << 20


class Journal:
    """The file. Not for several threads at once, but for `line_at`.

    Args:
        path: of the file; its folder is made, for its owner alone.

    Raises:
        KeyStoreError: SR-KEYS-PERMISSIONS; SR-KEYS-FILE if it can't be used, or is in use.
    """

    def __init__(self, path: Path) -> None:
        folder = path.parent
        make_folder(folder)
        check_folder(folder.parent, NOT_WRITABLE)
        check_folder(folder, PRIVATE)
        self.path: Final = path
        self._broken = False
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as error:
            raise unusable(path, error) from error
        try:
            self._lock()
            self._size = self._drop_unfinished()
            _sync_folder(folder)
        except OSError as error:
            self.close()
            raise unusable(path, error) from error
        except KeyStoreError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """All lines from the beginning: where each starts, and its bytes without the newline.

        Raises:
            KeyStoreError: SR-KEYS-FILE if the disk does not give them.
        """
        at, rest = 0, b""
        try:
            while at + len(rest) < self._size:
                block = os.pread(self._descriptor, _BLOCK, at + len(rest))
                if not block:
                    break
                *whole, rest = (rest + block).split(b"\n")
                for line in whole:
                    yield at, line
                    at += len(line) + 1
                if len(rest) > MAXIMUM_LINE_BYTES:
                    raise damaged(self.path, "a line has no end")
        except OSError as error:
            raise unusable(self.path, error) from error

    def line_at(self, start: int, length: int) -> bytes:
        """One line again, for any thread.

        Raises:
            KeyStoreError: SR-KEYS-FILE if the disk does not give it.
        """
        try:
            found = os.pread(self._descriptor, length, start)
        except OSError as error:
            raise unusable(self.path, error) from error
        if len(found) != length:
            raise damaged(self.path, "it was cut off while it was in use")
        return found

    def append(self, line: bytes) -> int:
        """Add a line; it is on the disk when this returns.

        Args:
            line: without a newline.

        Returns:
            Where it starts.

        Raises:
            KeyStoreError: SR-KEYS-FILE; from then on always.
        """
        if self._broken:
            raise damaged(self.path, "an earlier write to it failed")
        start, rest = self._size, memoryview(line + b"\n")
        self._broken = True
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise unusable(self.path, error) from error
        self._broken = False
        self._size = start + len(line) + 1
        return start

    def _lock(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"{self.path} is in use by another process",
                "Let one member run with this home",
            ) from error

    def _drop_unfinished(self) -> int:
        """Cut an unfinished last line off; returns the size that is left."""
        size = os.fstat(self._descriptor).st_size
        end, tail = size, b""
        # The last line that has a newline is looked at too: it may hold what was never written.
        while end > 0 and tail.count(b"\n") < 2:
            start = max(end - _BLOCK, 0)
            tail = os.pread(self._descriptor, end - start, start) + tail
            end = start
        *whole, rest = tail.split(b"\n")
        kept = size - len(rest)
        if whole and b"\0" in whole[-1]:
            kept -= len(whole[-1]) + 1
        if kept != size:
            os.ftruncate(self._descriptor, kept)
            os.fsync(self._descriptor)
        return kept


def damaged(path: Path, what: str) -> KeyStoreError:
    """The error for a file that is not what was written."""
    return KeyStoreError(
        "SR-KEYS-FILE",
        f"{path} is damaged: {what}",
        "Nothing is answered from it any more: stop, and have the committee make a new key",
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
