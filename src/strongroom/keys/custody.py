"""Custody: what locks the key files, a passphrase or the operating system's keyring.

A passphrase comes from the caller, else from STRONGROOM_PASSPHRASE, else from a prompt if the
caller can ask. A new file is locked with the passphrase where one was given, else with the
keyring where there is a real one, else with a passphrase that is asked for; with none of these
the store stays locked.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Callable
from typing import Any, Final

from strongroom.errors import KeyStoreError
from strongroom.keys.sealing import KEY_BYTES, KeyringEntry, Passphrase

ENVIRONMENT: Final = "STRONGROOM_PASSPHRASE"
SERVICE: Final = "strongroom"

Prompt = Callable[[str], str]
"""Asks a person for one line without showing it; gets the question, returns the answer."""


class Custody:
    """Finds the key of a key file. Holds the passphrase, and never shows it.

    Args:
        passphrase: that locks and opens the files.
        prompt: asks for it when it is needed and was not given.

    Raises:
        KeyStoreError: SR-KEYS-PASSPHRASE if the passphrase is empty.
    """

    def __init__(self, passphrase: str | None = None, prompt: Prompt | None = None) -> None:
        self._passphrase = None if passphrase is None else _normalised(passphrase)
        self._prompt = prompt

    def __repr__(self) -> str:
        return "Custody(…)"

    def new_lock(self) -> tuple[Passphrase | KeyringEntry, bytes]:
        """How a new file is locked, and its key.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED if there is neither a passphrase nor a keyring.
        """
        if (given := self._given()) is None:
            if (keyring := _keyring()) is not None:
                return _new_entry(keyring)
            given = self._ask_twice()
        lock = fresh_lock()
        return lock, lock.derive(given)

    def can_lock(self) -> bool:
        """Whether `new_lock` can succeed, without making or asking anything."""
        return self._given() is not None or self._prompt is not None or _keyring() is not None

    def key_of(self, lock: Passphrase | KeyringEntry) -> bytes:
        """The key of an existing file.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED if what it needs is not at hand.
        """
        if isinstance(lock, Passphrase):
            given = self._given()
            if given is None:
                if self._prompt is None:
                    raise locked()
                given = self._passphrase = _normalised(self._prompt("Passphrase of the key store"))
            return lock.derive(given)
        keyring = _keyring()
        text = None if keyring is None else _call(keyring.get_password, SERVICE, lock.entry)
        if text is None or len(text) != 2 * KEY_BYTES:
            raise KeyStoreError(
                "SR-KEYS-LOCKED",
                "the operating system's keyring does not hold the key of this store",
                "Unlock the keyring of the user who made the store",
            )
        return bytes.fromhex(text)

    def forget(self, lock: Passphrase | KeyringEntry) -> None:
        """Remove what the keyring holds for a file that is gone."""
        if isinstance(lock, KeyringEntry) and (keyring := _keyring()) is not None:
            _call(keyring.delete_password, SERVICE, lock.entry)

    def _given(self) -> bytes | None:
        if self._passphrase is None and os.environ.get(ENVIRONMENT):
            self._passphrase = _normalised(os.environ[ENVIRONMENT])
        return self._passphrase

    def _ask_twice(self) -> bytes:
        if self._prompt is None:
            raise locked()
        first = _normalised(self._prompt("New passphrase for the key store"))
        if first != _normalised(self._prompt("The same passphrase again")):
            raise KeyStoreError(
                "SR-KEYS-PASSPHRASE", "the two passphrases differ", "Type the same one twice"
            )
        self._passphrase = first
        return first


def fresh_lock() -> Passphrase:
    """A fresh salt with the cost parameters of new files."""
    return Passphrase(salt=secrets.token_hex(16))


def locked() -> KeyStoreError:
    """The error for a store that nothing at hand can lock or open."""
    return KeyStoreError(
        "SR-KEYS-LOCKED",
        "the key store needs a passphrase, and there is no usable operating-system keyring",
        f"Set {ENVIRONMENT}, or pass passphrase=",
    )


def _normalised(passphrase: str) -> bytes:
    # One form for what keyboards compose differently (RFC 8265, section 4.2).
    data = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    if not data:
        raise KeyStoreError("SR-KEYS-PASSPHRASE", "the passphrase is empty", "Choose one")
    return data


def _keyring() -> Any | None:
    """A keyring that really keeps, or None.

    Backends that fail, forget, or write plain files have a priority below 1, which is what the
    keyring project calls "not recommended".
    """
    import keyring  # slow to import, and most stores never need it
    import keyring.errors

    try:
        chosen = keyring.get_keyring()
        for backend in getattr(chosen, "backends", (chosen,)):
            if backend.priority >= 1:
                return backend
    except (keyring.errors.KeyringError, RuntimeError):  # what backends raise out of a session
        return None
    return None


def _new_entry(keyring: Any) -> tuple[KeyringEntry, bytes]:
    key = secrets.token_bytes(KEY_BYTES)
    lock = KeyringEntry(entry=secrets.token_hex(16))
    _call(keyring.set_password, SERVICE, lock.entry, key.hex())
    if _call(keyring.get_password, SERVICE, lock.entry) != key.hex():
        raise KeyStoreError(
            "SR-KEYS-LOCKED",
            "the operating system's keyring did not keep a key",
            f"Set {ENVIRONMENT}, or pass passphrase=",
        )
    return lock, key


def _call(method: Callable[..., str | None], *arguments: str) -> str | None:
    import keyring.errors

    try:
        return method(*arguments)
    except (keyring.errors.KeyringError, RuntimeError) as error:
        # The cause is cut off: a backend's own error may hold what it was given.
        raise KeyStoreError(
            "SR-KEYS-LOCKED",
            f"the operating system's keyring refuses ({type(error).__name__})",
            f"Unlock it, or set {ENVIRONMENT}",
        ) from None
