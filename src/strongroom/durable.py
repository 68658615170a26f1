"""Durable files: written whole or not at all, and private from the first byte.

A reader, and a process that comes up after a crash, finds the old file, the new one, or none,
never a part. What a killed process leaves is a file named `.strongroom-<random>.partial`, which
nothing reads and anybody may delete.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

PARTIAL_PREFIX: Final = ".strongroom-"
PARTIAL_SUFFIX: Final = ".partial"

_AHEAD_BYTES: Final = 32 << 20
_SYNC_FILE_RANGE_WRITE: Final = 2
_NO_HARD_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS})


def write_durably(
    path: Path, chunks: Iterable[bytes | memoryview], *, replace: bool, mode: int = 0o600
) -> None:
    """Write a file atomically: temporary file in the same folder, fsync, move, fsync of folder.

    Args:
        path: where the file shall be; its folder must exist.
        chunks: the contents, in order.
        replace: whether a file that is there already is replaced.
        mode: permission bits, whatever the umask.

    Raises:
        FileExistsError: `replace` is false and the path exists. Of several writers that race,
            one wins and every other gets this.
        OSError: the folder or the disk can't take it; nothing is left behind.
    """
    partial = path.parent / f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{PARTIAL_SUFFIX}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            os.fchmod(file.fileno(), mode)
            begun = written = 0
            for chunk in chunks:
                file.write(chunk)
                written += len(chunk)
                if written - begun >= _AHEAD_BYTES:
                    file.flush()
                    _begin_writing(file.fileno(), begun, written - begun)
                    begun = written
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(partial, path)
        else:
            _move_unless_exists(partial, path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _begin_writing(descriptor: int, start: int, count: int) -> None:
    """Have the system begin with the disk's part while more is computed; fsync waits for it.

    Only a hint: where there is no such call all of it is left to fsync.
    """
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).sync_file_range(
            descriptor, ctypes.c_int64(start), ctypes.c_int64(count), _SYNC_FILE_RANGE_WRITE
        )


def _move_unless_exists(partial: Path, path: Path) -> None:
    try:
        # rename() replaces silently; link() is the portable call that refuses atomically.
        os.link(partial, path)
    except OSError as error:
        if isinstance(error, FileExistsError) or error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
        os.rename(partial, path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
