"""A folder of secrets, one sealed file each: what the key store and the identity store share.

A file is written once, whole, and belongs to the name that it was made under. Who else may reach
it is for `keys.permissions` to say, what locks it for `keys.custody`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.durable import write_durably
from strongroom.errors import KeyStoreError
from strongroom.keys.custody import Custody
from strongroom.keys.custody_choices import Choice
from strongroom.keys.permissions import (
    NOT_WRITABLE,
    PRIVATE,
    check_folder,
    make_folder,
    read_private_file,
    unusable,
)
from strongroom.keys.sealing import (
    MAXIMUM_FILE_BYTES,
    Header,
    Passphrase,
    read_header,
    seal,
    unseal,
)

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SUFFIX: Final = ".key"


class SealedFiles:
    """The sealed files in one folder of a home. Creates nothing before the first file.

    Args:
        home: the home folder.
        folder: name of the folder below it.
        one_passphrase: whether all files that a passphrase locks share one.
    """

    def __init__(self, home: Path, folder: str, *, one_passphrase: bool = False) -> None:
        self._home = home
        self._folder = home / folder
        self._one_passphrase = one_passphrase

    @property
    def home(self) -> Path:
        """The home folder."""
        return self._home

    @property
    def folder(self) -> Path:
        """The folder that holds the files."""
        return self._folder

    def path(self, name: str) -> Path:
        """Where the file of a name is, or would be."""
        check_name(name)
        return self._folder / f"{name}{_SUFFIX}"

    def check(self) -> None:
        """Refuse a folder that others have access to.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        if check_folder(self._home, NOT_WRITABLE):
            check_folder(self._folder, PRIVATE)

    def names(self) -> list[str]:
        """The names of all files, sorted. Opens none."""
        self.check()
        try:
            found = [path.name for path in self._folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self._folder, error) from error
        names = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def header(self, name: str) -> Header | None:
        """What the file of a name says in the clear; None if there is no file.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS; SR-KEYS-FILE, also for a file that was renamed.
        """
        data = self._read(name)
        return None if data is None else self._header(name, data)

    def open(self, name: str, custody: Custody) -> bytes | None:
        """The secret of a name; None if there is no file.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE, -CUSTODY.
        """
        if (data := self._read(name)) is None:
            return None
        header = self._header(name, data)
        return unseal(data, custody.key_of(header.unlock, name), self.path(name).name)

    def create(
        self, name: str, secret: bytes, custody: Custody, choice: Choice | None = None
    ) -> None:
        """Write a secret durably under a name that is free.

        Args:
            choice: what locks it; the custody decides if None.

        Raises:
            FileExistsError: there is one; of several writers that race, one wins.
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE, -CUSTODY.
        """
        self._write(name, secret, custody, choice, _now(), replace=False)

    def lock_again(self, name: str, custody: Custody, new: Custody, choice: Choice) -> None:
        """Write an existing secret anew under another lock; the old file or the new one stays.

        Args:
            custody: opens the present file.
            new, choice: lock the next one.

        Raises:
            KeyStoreError: as `open` and `create` do; SR-KEYS-FILE if there is no file.
        """
        header, secret = self.header(name), self.open(name, custody)
        if header is None or secret is None:
            raise absent(name)
        self._write(name, secret, new, choice, header.created, replace=True)
        custody.forget(header.unlock)

    def delete(self, name: str, custody: Custody) -> bool:
        """Remove a file for good; false if there was none. A damaged one goes like any other.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, -FILE, -LOCKED.
        """
        if (data := self._read(name)) is None:
            return False
        path = self.path(name)
        try:
            lock = read_header(data, path.name).unlock
        except KeyStoreError:
            lock = None
        try:
            path.unlink()
        except OSError as error:
            raise unusable(path, error) from error
        if lock is not None:
            custody.forget(lock)
        return True

    def _write(
        self,
        name: str,
        secret: bytes,
        custody: Custody,
        choice: Choice | None,
        created: str,
        *,
        replace: bool,
    ) -> None:
        path = self.path(name)
        self.check()
        lock, key = custody.new_lock(name, choice)
        if self._one_passphrase and isinstance(lock, Passphrase):
            self._check_passphrase(custody)
        for folder in (self._home, self._folder):
            make_folder(folder)
        self.check()
        try:
            data = seal(Header(name, created, lock), key, secret)
            read_header(data, path.name)  # a lock that does not fit must not cost the old file
            write_durably(path, [data], replace=replace)
        except OSError as error:
            custody.forget(lock)
            if isinstance(error, FileExistsError):
                raise
            raise unusable(path, error) from error

    def _check_passphrase(self, custody: Custody) -> None:
        """A mistyped passphrase must not lock a new secret away from the others' passphrase."""
        for other in self.names():
            header = self.header(other)
            if header is not None and isinstance(header.unlock, Passphrase):
                self.open(other, custody)
                return

    def _read(self, name: str) -> bytes | None:
        path = self.path(name)
        self.check()
        return read_private_file(path, MAXIMUM_FILE_BYTES)

    def _header(self, name: str, data: bytes) -> Header:
        path = self.path(name)
        header = read_header(data, path.name)
        if header.name != name:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"the key file {path.name} belongs to another name",
                "Give it back the name that it was made under",
            )
        return header


def check_name(name: str) -> None:
    """Refuse a name that could leave the folder, or that another system could not keep.

    Raises:
        KeyStoreError: SR-KEYS-FILE.
    """
    if not _NAME.fullmatch(name):
        raise KeyStoreError(
            "SR-KEYS-FILE",
            f"{ascii(name)[:80]} can't be the name of a key",
            "Use up to 64 letters, digits, '.', '_', '@' and '-'",
        )


def absent(name: str) -> KeyStoreError:
    """The error for a name that has no file."""
    return KeyStoreError(
        "SR-KEYS-FILE", f"there is no key {name}", "List the keys to see the names"
    )


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
