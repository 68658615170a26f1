"""KeyStore: a client's secrets by name, one encrypted file each.

    $STRONGROOM_HOME, or ~/.strongroom     not writable by others
        keys/                               0700
            <name>.key                      0600, see `keys.sealing`
        known_packages.json                 0600, see `keys.pins`

A secret is written once and never changed: of processes that race to create one, one wins and
all use the winner's. All passphrase-locked files of a store share one passphrase.
"""

from __future__ import annotations

import os
import re
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.durable import write_durably
from strongroom.errors import KeyStoreError
from strongroom.keys.custody import Custody, Prompt, locked
from strongroom.keys.permissions import (
    NOT_WRITABLE,
    PRIVATE,
    check_folder,
    make_folder,
    read_private_file,
    unusable,
)
from strongroom.keys.pins import Pins
from strongroom.keys.sealing import (
    MAXIMUM_FILE_BYTES,
    Header,
    KeyringEntry,
    Passphrase,
    read_header,
    seal,
    unseal,
)

HOME_ENVIRONMENT: Final = "STRONGROOM_HOME"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SUFFIX: Final = ".key"


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """What may be said of a stored secret.

    Attributes:
        name: of the secret.
        created: UTC, "" for one that is only in memory.
        locked_by: "passphrase", "keyring" or "memory".
        parameters: of the key derivation, for people; "" where there are none.
    """

    name: str
    created: str
    locked_by: str
    parameters: str


class KeyStore:
    """A `KeyProvider` on disk or in memory. Made by `open` or `in_memory`; safe for threads."""

    def __init__(self, home: Path | None, custody: Custody) -> None:
        self._home = home
        self._custody = custody
        self._secrets: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._pins = Pins(home)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        passphrase: str | None = None,
        *,
        prompt: Prompt | None = None,
    ) -> KeyStore:
        """A store on disk. Creates nothing, and asks for nothing, before it is needed.

        Args:
            path: the home folder; $STRONGROOM_HOME, else ~/.strongroom, if None.
            passphrase: that locks it; else $STRONGROOM_PASSPHRASE, the operating system's
                keyring, or the prompt.
            prompt: asks a person for a passphrase.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS if other users of the machine have access.
        """
        home = Path(path or os.environ.get(HOME_ENVIRONMENT) or Path.home() / ".strongroom")
        store = cls(home.absolute(), Custody(passphrase, prompt))
        store._check()
        return store

    @classmethod
    def in_memory(cls) -> KeyStore:
        """A store that forgets everything with the process; nothing touches the disk."""
        return cls(None, Custody())

    def __repr__(self) -> str:
        return f"KeyStore({'in memory' if self._home is None else str(self._home)!r})"

    @property
    def home(self) -> Path | None:
        """The folder, None for a store in memory."""
        return self._home

    @property
    def pins(self) -> Pins:
        """The packages that were trusted on first use."""
        return self._pins

    def secret(self, name: str, create: bool = True) -> bytes | None:
        """The stored secret of that name, or None if there is none.

        Args:
            name: letters, digits, ".", "_", "-".
            create: the caller will `store` one if there is none: a store that could not take
                it says so now, before the work of making one.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE.
        """
        _check_name(name)
        with self._lock:
            if name not in self._secrets and (data := self._read(name)) is not None:
                self._secrets[name] = self._opened(name, data)
            found = self._secrets.get(name)
            if found is None and create and self._home is not None and not self._custody.can_lock():
                raise locked()
            return found

    def store(self, name: str, secret: bytes) -> bytes:
        """Store a secret durably unless one of that name exists; return the one that counts.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE.
        """
        with self._lock:
            if (found := self.secret(name)) is not None:
                return found
            counts = secret if self._home is None else self._create(name, secret)
            self._secrets[name] = counts
            return counts

    def entries(self) -> tuple[KeyDescription, ...]:
        """Descriptions of all stored secrets, by name. Opens none.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        return tuple(self.describe(name) for name in self._names())

    def describe(self, name: str) -> KeyDescription:
        """What may be said of one secret.

        Raises:
            KeyStoreError: SR-KEYS-FILE if there is none of that name.
        """
        _check_name(name)
        if self._home is None:
            if name in self._secrets:
                return KeyDescription(name, "", "memory", "")
            raise _absent(name)
        if (data := self._read(name)) is None:
            raise _absent(name)
        header = self._header(name, data)
        lock = header.unlock
        if isinstance(lock, KeyringEntry):
            return KeyDescription(name, header.created, "keyring", "")
        cost = f"Argon2id, {lock.iterations} passes, {lock.lanes} lanes, {lock.memory_kib} KiB"
        return KeyDescription(name, header.created, "passphrase", cost)

    def delete(self, name: str) -> None:
        """Remove a secret for good; whatever only it could open is lost.

        Raises:
            KeyStoreError: SR-KEYS-FILE if there is none of that name.
        """
        with self._lock:
            _check_name(name)
            held = self._secrets.pop(name, None) is not None
            data = self._read(name)
            if data is not None:
                try:
                    lock = read_header(data, self._path(name).name).unlock
                except KeyStoreError:
                    lock = None  # a damaged file can be deleted like any other
                try:
                    self._path(name).unlink()
                except OSError as error:
                    raise unusable(self._path(name), error) from error
                if lock is not None:
                    self._custody.forget(lock)
            elif not held:
                raise _absent(name)

    def _create(self, name: str, secret: bytes) -> bytes:
        for folder in (self._folder().parent, self._folder()):
            make_folder(folder)
        self._check()
        lock, key = self._custody.new_lock()
        if isinstance(lock, Passphrase):
            self._check_shared_passphrase()
        header = Header(name, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), lock)
        try:
            write_durably(self._path(name), [seal(header, key, secret)], replace=False)
        except FileExistsError:
            self._custody.forget(lock)
            data = self._read(name)
            if data is None:
                raise _absent(name) from None
            return self._opened(name, data)
        except OSError as error:
            self._custody.forget(lock)
            raise unusable(self._path(name), error) from error
        return secret

    def _check_shared_passphrase(self) -> None:
        """A mistyped passphrase must not lock a new secret away from the others' passphrase."""
        for other in self._names():
            data = self._read(other)
            if data is not None and isinstance(self._header(other, data).unlock, Passphrase):
                self._opened(other, data)
                return

    def _opened(self, name: str, data: bytes) -> bytes:
        header = self._header(name, data)
        return unseal(data, self._custody.key_of(header.unlock), self._path(name).name)

    def _header(self, name: str, data: bytes) -> Header:
        header = read_header(data, self._path(name).name)
        if header.name != name:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"the key file {self._path(name).name} belongs to another name",
                "Give it back the name that it was made under",
            )
        return header

    def _names(self) -> list[str]:
        if self._home is None:
            return sorted(self._secrets)
        self._check()
        try:
            found = [path.name for path in self._folder().iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise unusable(self._folder(), error) from error
        names = (name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))
        return sorted(name for name in names if _NAME.fullmatch(name))

    def _read(self, name: str) -> bytes | None:
        if self._home is None:
            return None
        self._check()
        return read_private_file(self._path(name), MAXIMUM_FILE_BYTES)

    def _check(self) -> None:
        if self._home is not None and check_folder(self._home, NOT_WRITABLE):
            check_folder(self._folder(), PRIVATE)

    def _folder(self) -> Path:
        assert self._home is not None
        return self._home / "keys"

    def _path(self, name: str) -> Path:
        return self._folder() / f"{name}{_SUFFIX}"


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise KeyStoreError(
            "SR-KEYS-FILE",
            f"{ascii(name)[:80]} can't be the name of a key",
            "Use up to 64 letters, digits, '.', '_' and '-'",
        )


def _absent(name: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-KEYS-FILE", f"there is no key {name}", "List the keys to see the names"
    )
