"""Which files appear in folders, those that are gone again at once included."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_IN_MODIFY: Final = 0x2
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_IN_Q_OVERFLOW: Final = 0x4000
_EVENT: Final = struct.Struct("iIII")


class FolderWatch:
    """Notes what is created in folders, written to, or moved there, by anybody (inotify(7)).

    Args:
        folders: that exist. Of a folder that appears inside one, only the name is noted.
    """

    def __init__(self, *folders: Path) -> None:
        library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        assert self._descriptor >= 0, os.strerror(ctypes.get_errno())
        self._folders: dict[int, Path] = {}
        self._seen: set[Path] = set()
        for folder in folders:
            watch = library.inotify_add_watch(
                self._descriptor, os.fsencode(folder), _IN_MODIFY | _IN_MOVED_TO | _IN_CREATE
            )
            assert watch >= 0, os.strerror(ctypes.get_errno())
            self._folders[watch] = folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    def seen(self) -> set[Path]:
        """All that appeared so far."""
        while True:
            try:
                events = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return set(self._seen)
            while events:
                watch, mask, _, length = _EVENT.unpack_from(events)
                name = events[_EVENT.size : _EVENT.size + length].rstrip(b"\0")
                events = events[_EVENT.size + length :]
                assert not mask & _IN_Q_OVERFLOW, "events were lost"
                self._seen.add(self._folders[watch] / os.fsdecode(name))
