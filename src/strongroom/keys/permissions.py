"""Who else on this machine could read or replace a key: nobody, or the store refuses.

The rules. A folder or file of the store belongs to the user who runs the process. The key folder
and every file give nothing to group and others; the home above it may be listed by others but
not written. A folder may be reached through a symbolic link only if the link is the user's own;
files are never reached through one. What is missing is created private from the first moment.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from strongroom.errors import KeyStoreError

PRIVATE: Final = 0o077
"""Permission bits that must be clear on the key folder and on every file."""

NOT_WRITABLE: Final = 0o022
"""Permission bits that must be clear on the home."""


def make_folder(folder: Path) -> None:
    """Create a folder for its owner alone, with missing parents, unless it exists.

    Raises:
        KeyStoreError: SR-KEYS-FILE.
    """
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error


def check_folder(folder: Path, forbidden: int) -> bool:
    """Check a folder; false if there is none.

    Args:
        folder: to check.
        forbidden: `PRIVATE` or `NOT_WRITABLE`.

    Raises:
        KeyStoreError: SR-KEYS-PERMISSIONS if others have access, SR-KEYS-FILE if it is no folder.
    """
    try:
        link, target = os.lstat(folder), os.stat(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unusable(folder, error) from error
    for status in (link, target):
        _check_owner(folder, status)
    if not stat.S_ISDIR(target.st_mode):
        raise KeyStoreError("SR-KEYS-FILE", f"{folder} is not a folder")
    _check_mode(folder, target, forbidden)
    return True


def read_private_file(path: Path, maximum_bytes: int, forbidden: int = PRIVATE) -> bytes | None:
    """The contents of a file that is its owner's alone; None if there is none.

    Args:
        forbidden: `PRIVATE`, or `NOT_WRITABLE` for what others may read.

    Raises:
        KeyStoreError: SR-KEYS-PERMISSIONS, or SR-KEYS-FILE if it is no regular file, too large
            or unreadable.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KeyStoreError("SR-KEYS-FILE", f"{path} is not a regular file")
            _check_owner(path, status)
            _check_mode(path, status, forbidden)
            data = file.read(maximum_bytes + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyStoreError(
                "SR-KEYS-PERMISSIONS", f"{path} is a symbolic link", "Remove the link"
            ) from error
        raise unusable(path, error) from error
    if len(data) > maximum_bytes:
        raise KeyStoreError("SR-KEYS-FILE", f"{path} is larger than {maximum_bytes} bytes")
    return data


def unusable(path: Path, error: OSError) -> KeyStoreError:
    """The error for a path of the store that the system refuses."""
    return KeyStoreError("SR-KEYS-FILE", f"{path} can't be used: {error.strerror or error}")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise KeyStoreError(
            "SR-KEYS-PERMISSIONS",
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}",
            "Point STRONGROOM_HOME to a folder of your own",
        )


def _check_mode(path: Path, status: os.stat_result, forbidden: int) -> None:
    mode = stat.S_IMODE(status.st_mode)
    if mode & forbidden:
        raise KeyStoreError(
            "SR-KEYS-PERMISSIONS",
            f"other users have access to {path} (mode {mode:04o})",
            f"Run: chmod {mode & ~forbidden:o} {path}",
        )
