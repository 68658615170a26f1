"""A file's key in the operating system's keyring."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Final

from strongroom.errors import KeyStoreError
from strongroom.keys.sealing import KEY_BYTES, KeyringEntry

SERVICE: Final = "strongroom"


def has_keyring() -> bool:
    """Whether there is a keyring that really keeps."""
    return _keyring() is not None


def new_entry() -> tuple[KeyringEntry, bytes]:
    """A random key, kept under a random name.

    Raises:
        KeyStoreError: SR-KEYS-LOCKED if there is no keyring, or it does not keep the key.
    """
    if (keyring := _keyring()) is None:
        raise _unusable("there is no usable operating-system keyring")
    key = secrets.token_bytes(KEY_BYTES)
    lock = KeyringEntry(entry=secrets.token_hex(16))
    _call(keyring.set_password, SERVICE, lock.entry, key.hex())
    if _call(keyring.get_password, SERVICE, lock.entry) != key.hex():
        raise _unusable("the operating system's keyring did not keep a key")
    return lock, key


def key_of_entry(lock: KeyringEntry) -> bytes:
    """The key that is kept.

    Raises:
        KeyStoreError: SR-KEYS-LOCKED if the keyring does not give it.
    """
    keyring = _keyring()
    text = None if keyring is None else _call(keyring.get_password, SERVICE, lock.entry)
    if text is None or len(text) != 2 * KEY_BYTES:
        raise KeyStoreError(
            "SR-KEYS-LOCKED",
            "the operating system's keyring does not hold the key of this store",
            "Unlock the keyring of the user who made the store",
        )
    return bytes.fromhex(text)


def forget_entry(lock: KeyringEntry) -> None:
    """Remove a key.

    Raises:
        KeyStoreError: SR-KEYS-LOCKED if the keyring refuses.
    """
    if (keyring := _keyring()) is not None:
        _call(keyring.delete_password, SERVICE, lock.entry)


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


def _call(method: Callable[..., str | None], *arguments: str) -> str | None:
    import keyring.errors

    try:
        return method(*arguments)
    except (keyring.errors.KeyringError, RuntimeError) as error:
        # The cause is cut off: a backend's own error may hold what it was given.
        raise KeyStoreError(
            "SR-KEYS-LOCKED",
            f"the operating system's keyring refuses ({type(error).__name__})",
            "Unlock it, or set STRONGROOM_PASSPHRASE",
        ) from None


def _unusable(what: str) -> KeyStoreError:
    return KeyStoreError("SR-KEYS-LOCKED", what, "Set STRONGROOM_PASSPHRASE, or pass passphrase=")
