"""KeyStore: a client's secrets by name, one encrypted file each.

    $STRONGROOM_HOME, or ~/.strongroom     not writable by others
        keys/                               0700
            <name>.key                      0600, see `keys.sealing`
        known_owners.json                   0600, see `keys.pins`
        seen.json                           0600, see `keys.seen`

A secret is written once and never changed: of processes that race to create one, one wins and
all use the winner's. All passphrase-locked files of a store share one passphrase.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from strongroom.keys.custody import Custody, Prompt, describe_lock, locked
from strongroom.keys.home import home_folder
from strongroom.keys.pins import Pins
from strongroom.keys.sealed_files import SealedFiles, absent, check_name
from strongroom.keys.seen import Seen


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
        self._files = None if home is None else SealedFiles(home, "keys", one_passphrase=True)
        self._custody = custody
        self._secrets: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._pins = Pins(home)
        self._seen = Seen(home)

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
        store = cls(home_folder(path), Custody(passphrase, prompt))
        if store._files is not None:
            store._files.check()
        return store

    @classmethod
    def in_memory(cls) -> KeyStore:
        """A store that forgets everything with the process; nothing touches the disk."""
        return cls(None, Custody())

    def __repr__(self) -> str:
        return f"KeyStore({'in memory' if self.home is None else str(self.home)!r})"

    @property
    def home(self) -> Path | None:
        """The folder, None for a store in memory."""
        return None if self._files is None else self._files.home

    @property
    def pins(self) -> Pins:
        """The owners that were trusted on first use."""
        return self._pins

    @property
    def seen(self) -> Seen:
        """What was seen already, which nobody is shown less of."""
        return self._seen

    def secret(self, name: str, create: bool = True) -> bytes | None:
        """The stored secret of that name, or None if there is none.

        Args:
            name: letters, digits, ".", "_", "-".
            create: the caller will `store` one if there is none: a store that could not take
                it says so now, before the work of making one.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED, -PASSPHRASE, -PERMISSIONS, -FILE.
        """
        check_name(name)
        with self._lock:
            if name not in self._secrets and self._files is not None:
                stored = self._files.open(name, self._custody)
                if stored is not None:
                    self._secrets[name] = stored
            found = self._secrets.get(name)
            on_disk = self._files is not None
            if found is None and create and on_disk and not self._custody.can_lock():
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
            counts = secret if self._files is None else self._create(self._files, name, secret)
            self._secrets[name] = counts
            return counts

    def entries(self) -> tuple[KeyDescription, ...]:
        """Descriptions of all stored secrets, by name. Opens none.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        names = sorted(self._secrets) if self._files is None else self._files.names()
        return tuple(self.describe(name) for name in names)

    def describe(self, name: str) -> KeyDescription:
        """What may be said of one secret.

        Raises:
            KeyStoreError: SR-KEYS-FILE if there is none of that name.
        """
        check_name(name)
        if self._files is None:
            if name in self._secrets:
                return KeyDescription(name, "", "memory", "")
            raise absent(name)
        if (header := self._files.header(name)) is None:
            raise absent(name)
        return KeyDescription(name, header.created, *describe_lock(header.unlock))

    def delete(self, name: str) -> None:
        """Remove a secret for good; whatever only it could open is lost.

        Raises:
            KeyStoreError: SR-KEYS-FILE if there is none of that name.
        """
        with self._lock:
            check_name(name)
            held = self._secrets.pop(name, None) is not None
            if self._files is not None:
                held = self._files.delete(name, self._custody) or held
            if not held:
                raise absent(name)

    def _create(self, files: SealedFiles, name: str, secret: bytes) -> bytes:
        try:
            files.create(name, secret, self._custody)
        except FileExistsError:
            if (stored := files.open(name, self._custody)) is None:
                raise absent(name) from None
            return stored
        return secret
