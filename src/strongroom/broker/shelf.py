"""The packages that a broker holds keys of: a folder of `.strongroom` files.

Of each the broker reads all but the payload, and checks every signature. It is read again when
the file changes, so a grant that is revoked, or a package that is replaced by its owner, counts
from the next request on. What is remembered (`keys.seen`) is never older than before.
"""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path
from typing import Final

from strongroom.errors import AttestationError, ServerError, StrongroomError
from strongroom.keys.seen import Seen
from strongroom.package.file import SealedPackage, read

_SUFFIX: Final = ".strongroom"
_MAXIMUM_FILES: Final = 4096

_log = logging.getLogger("strongroom.server.broker")

_Stamp = tuple[int, int, int, int]


class Shelf:
    """The packages in one folder. Safe for threads.

    Args:
        folder: that holds them; copies without a payload do not count as packages.
        seen: what was seen of them before.

    Raises:
        ServerError: SR-BROKER-CONFIG if there is no such folder.
    """

    def __init__(self, folder: Path, seen: Seen) -> None:
        if not folder.is_dir():
            raise ServerError(
                "SR-BROKER-CONFIG", f"{folder} is no folder", "Name the folder of the packages"
            )
        self._folder = folder
        self._seen = seen
        self._known: dict[Path, tuple[_Stamp, SealedPackage | None]] = {}
        self._lock = threading.Lock()

    def find(self, digest: str) -> SealedPackage:
        """The package of a digest.

        Raises:
            AttestationError: SR-BROKER-REFUSED if the folder has none.
            PackageError: SR-PACKAGE-ROLLBACK if a newer one of it was seen.
            ServerError: SR-BROKER-CONFIG if the folder can't be read.
        """
        with self._lock:
            found = [one for one in self._read() if one.digest == digest]
        if not found:
            raise AttestationError(
                "SR-BROKER-REFUSED",
                f"the broker holds no key of package {digest}",
                "Ask the owner to grant the package to this broker, and put its file there",
            )
        # Of two copies the one with the newer grant log counts.
        package = max(found, key=lambda one: (one.log.generation, len(one.grants)))
        self._seen.saw_grant_log(digest, package.log.generation, len(package.grants))
        return package

    def packages(self) -> tuple[SealedPackage, ...]:
        """All packages that can be read."""
        with self._lock:
            return self._read()

    def _read(self) -> tuple[SealedPackage, ...]:
        try:
            paths = sorted(self._folder.glob(f"*{_SUFFIX}"))[:_MAXIMUM_FILES]
        except OSError as error:
            raise ServerError(
                "SR-BROKER-CONFIG", f"{self._folder} can't be read ({error.strerror})"
            ) from error
        now = {path: self._one(path) for path in paths}
        self._known = {path: one for path, one in now.items() if one is not None}
        return tuple(one for _, one in self._known.values() if one is not None)

    def _one(self, path: Path) -> tuple[_Stamp, SealedPackage | None] | None:
        try:
            state = os.stat(path)
        except OSError:
            return None
        stamp = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
        known = self._known.get(path)
        if known is not None and known[0] == stamp:
            return known
        try:
            return stamp, read(path)
        except StrongroomError as error:
            _log.warning("package refused", extra={"file": path.name, "code": error.code})
            return stamp, None
