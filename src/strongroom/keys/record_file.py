"""A small record of trust: one file below the home, in canonical JSON, replaced whole.

A file that can't be read is an error, never an empty record: who could damage it could make a
client trust anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Generic, TypeVar

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

_MAXIMUM_BYTES: Final = 4 * 2**20

Record = TypeVar("Record", bound=msgspec.Struct)


class RecordFile(Generic[Record]):
    """One record, on disk or in memory only.

    Args:
        home: the folder it lies in; None keeps it in memory.
        file_name: below the home.
        empty: the record before anything is recorded.
        loss: what is not known if the file is damaged, the second half of a sentence.
    """

    def __init__(self, home: Path | None, file_name: str, empty: Record, loss: str) -> None:
        self._home = home
        self._file_name = file_name
        self._empty = empty
        self._loss = loss
        self._memory = empty
        self._lock = threading.Lock()

    @property
    def path(self) -> Path | None:
        """The file, None for a record in memory."""
        return None if self._home is None else self._home / self._file_name

    def read(self) -> Record:
        """The record as it is now.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if self._home is None:
            return self._memory
        if not check_folder(self._home, NOT_WRITABLE):
            return self._empty
        path = self._home / self._file_name
        if (data := read_private_file(path, _MAXIMUM_BYTES)) is None:
            return self._empty
        try:
            return self._decode(data)
        except ValueError as error:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"{path} is damaged, so {self._loss}",
                "Restore it from a backup, or delete it and check every fingerprint anew",
            ) from error

    def replace(self, record: Record) -> None:
        """Write the record; call it inside `exclusively`.

        Raises:
            KeyStoreError: SR-KEYS-FILE.
        """
        data = canonical_json(record)
        try:
            self._decode(data)
        except ValueError as error:  # what can't be read again must not cost what is there
            raise KeyStoreError(
                "SR-KEYS-FILE", f"this can't be recorded in {self._file_name}"
            ) from error
        if self._home is None:
            self._memory = record
            return
        path = self._home / self._file_name
        try:
            write_durably(path, [data], replace=True)
        except OSError as error:
            raise unusable(path, error) from error

    def _decode(self, data: bytes) -> Record:
        if len(data) > _MAXIMUM_BYTES:
            raise ValueError(f"{len(data)} bytes are too many")
        try:
            return msgspec.json.decode(data, type=type(self._empty))
        except (msgspec.MsgspecError, RecursionError) as error:
            raise ValueError("not of the record's form") from error

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """One change at a time, in this process and in others.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
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
