"""Pins: which package each served model was when it was first trusted.

`known_packages.json` beside the keys, in canonical JSON, replaced whole at every change. A file
that can't be read is an error, never an empty list: who could damage it could make a client
trust anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.durable import write_durably
from strongroom.errors import KeyStoreError
from strongroom.keys.permissions import (
    NOT_WRITABLE,
    check_folder,
    make_folder,
    read_private_file,
    unusable,
)
from strongroom.package.manifest import Digest

_MAXIMUM_BYTES: Final = 4 * 2**20

Text = Annotated[str, msgspec.Meta(max_length=2048)]


class Pin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One trusted package.

    Attributes:
        url: of the server, without the model's path.
        model: name under which it is served.
        digest: of the package.
        pinned: when, UTC.
    """

    url: Text
    model: Text
    digest: Digest
    pinned: Annotated[str, msgspec.Meta(max_length=20)]


class _KnownPackages(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format_version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    packages: tuple[Pin, ...]


class Pins:
    """The pins below one home folder, or in memory only.

    Args:
        home: the key store's home; None keeps the pins in memory.
    """

    def __init__(self, home: Path | None) -> None:
        self._home = home
        self._memory: tuple[Pin, ...] = ()
        self._lock = threading.Lock()

    def entries(self) -> tuple[Pin, ...]:
        """All pins, by URL and model.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if self._home is None:
            return self._memory
        if not check_folder(self._home, NOT_WRITABLE):
            return ()
        path = self._path()
        if (data := read_private_file(path, _MAXIMUM_BYTES)) is None:
            return ()
        try:
            return msgspec.json.decode(data, type=_KnownPackages).packages
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"{path} is damaged, so it is not known which packages were trusted",
                "Restore it from a backup, or delete it and check every digest anew",
            ) from error

    def get(self, url: str, model: str) -> str | None:
        """The digest that was trusted for a model at a server, or None."""
        found = (pin.digest for pin in self.entries() if (pin.url, pin.model) == (url, model))
        return next(found, None)

    def pin(self, url: str, model: str, digest: str) -> str:
        """Trust a digest unless another is pinned already; return the one that counts.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        with self._exclusively():
            if (known := self.get(url, model)) is not None:
                return known
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self._replace((*self.entries(), Pin(url, model, digest, now)))
            return digest

    def forget(self, url: str, model: str) -> bool:
        """Remove a pin, so that the next first use is trusted again; false if there was none."""
        with self._exclusively():
            kept = tuple(p for p in self.entries() if (p.url, p.model) != (url, model))
            if len(kept) == len(self.entries()):
                return False
            self._replace(kept)
            return True

    def _replace(self, pins: tuple[Pin, ...]) -> None:
        pins = tuple(sorted(pins, key=lambda pin: (pin.url, pin.model)))
        if self._home is None:
            self._memory = pins
            return
        data = canonical_json(_KnownPackages(format_version=1, packages=pins))
        try:
            write_durably(self._path(), [data], replace=True)
        except OSError as error:
            raise unusable(self._path(), error) from error

    @contextlib.contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One change at a time, in this process and in others."""
        with self._lock:
            if self._home is None:
                yield
                return
            make_folder(self._home)
            check_folder(self._home, NOT_WRITABLE)
            try:
                descriptor = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise unusable(self._home, error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)

    def _path(self) -> Path:
        assert self._home is not None
        return self._home / "known_packages.json"
