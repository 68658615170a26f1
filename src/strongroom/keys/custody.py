"""Custody: what locks the key files.

A passphrase comes from the caller, else from STRONGROOM_PASSPHRASE, else from a prompt if the
caller can ask. A new file is locked as was chosen; without a choice with the passphrase where one
was given, else with the keyring where there is a real one, else with a passphrase that is asked
for; with none of these the store stays locked.

A token or a key service locks a file only where it was chosen. Both wrap the file's random key
and nothing else: what the file holds is decrypted, and used, in this process.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final

from strongroom.errors import KeyStoreError
from strongroom.keys.custody_choices import ByKeyring, ByKeyService, ByToken, Choice
from strongroom.keys.hardware_token import Pin, unwrap_by_token, wrap_by_token
from strongroom.keys.keyring_entry import forget_entry, has_keyring, key_of_entry, new_entry
from strongroom.keys.kms import unwrap_by_service, wrap_by_service
from strongroom.keys.sealing import KEY_BYTES, KeyringEntry, Lock, Passphrase, ServiceKey, TokenKey

PASSPHRASE_ENVIRONMENT: Final = "STRONGROOM_PASSPHRASE"
NEW_PASSPHRASE_ENVIRONMENT: Final = "STRONGROOM_NEW_PASSPHRASE"
PIN_ENVIRONMENT: Final = "STRONGROOM_PKCS11_PIN"

Prompt = Callable[[str], str]
"""Asks a person for one line without showing it; gets the question, returns the answer."""


class Custody:
    """Finds the key of a key file. Holds the passphrase, and never shows it.

    Args:
        passphrase: that locks and opens the files.
        prompt: asks for it when it is needed and was not given.
        subject: what it locks, as questions and errors name it.
        environment: name of the variable that holds the passphrase if none is given.

    Raises:
        KeyStoreError: SR-KEYS-PASSPHRASE if the passphrase is empty.
    """

    def __init__(
        self,
        passphrase: str | None = None,
        prompt: Prompt | None = None,
        *,
        subject: str = "the key store",
        environment: str = PASSPHRASE_ENVIRONMENT,
    ) -> None:
        self._passphrase = None if passphrase is None else _normalised(passphrase)
        self._prompt = prompt
        self._subject = subject
        self._environment = environment

    def __repr__(self) -> str:
        return "Custody(…)"

    def new_lock(self, name: str, choice: Choice | None = None) -> tuple[Lock, bytes]:
        """How a new file is locked, and its key.

        Args:
            name: of the file; a token and a key service bind the key to it.
            choice: what locks it; see the head of this module if None.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED if what it needs is not at hand; SR-KEYS-CUSTODY if a
                token or key service does not do its part.
        """
        if isinstance(choice, ByToken | ByKeyService):
            key = secrets.token_bytes(KEY_BYTES)
            if isinstance(choice, ByToken):
                return wrap_by_token(choice.token, choice.object, name, key, self._pin), key
            return wrap_by_service(choice.key, name, key), key
        given = None if isinstance(choice, ByKeyring) else self._given()
        if isinstance(choice, ByKeyring) or (given is None and choice is None and has_keyring()):
            return new_entry()
        lock = fresh_lock()
        return lock, lock.derive(given or self._ask_twice())

    def can_lock(self) -> bool:
        """Whether `new_lock` can succeed without a choice; makes and asks nothing."""
        return self._given() is not None or self._prompt is not None or has_keyring()

    def key_of(self, lock: Lock, name: str) -> bytes:
        """The key of the existing file of a name.

        Raises:
            KeyStoreError: SR-KEYS-LOCKED if what it needs is not at hand; SR-KEYS-CUSTODY if a
                token or key service does not do its part.
        """
        match lock:
            case Passphrase():
                return lock.derive(self._given() or self._ask())
            case KeyringEntry():
                return key_of_entry(lock)
            case TokenKey():
                return unwrap_by_token(lock, name, self._pin)
            case ServiceKey():
                return unwrap_by_service(lock, name)

    def forget(self, lock: Lock) -> None:
        """Remove what the keyring holds for a file that is gone.

        The keys in a token or a key service stay: they may have wrapped others.
        """
        if isinstance(lock, KeyringEntry):
            forget_entry(lock)

    def _given(self) -> bytes | None:
        if self._passphrase is None and (given := os.environ.get(self._environment)):
            self._passphrase = _normalised(given)
        return self._passphrase

    def _ask(self) -> bytes:
        if self._prompt is None:
            raise locked(self._subject, self._environment)
        self._passphrase = _normalised(self._prompt(f"Passphrase of {self._subject}"))
        return self._passphrase

    def _ask_twice(self) -> bytes:
        if self._prompt is None:
            raise locked(self._subject, self._environment)
        first = _normalised(self._prompt(f"New passphrase for {self._subject}"))
        if first != _normalised(self._prompt("The same passphrase again")):
            raise KeyStoreError(
                "SR-KEYS-PASSPHRASE", "the two passphrases differ", "Type the same one twice"
            )
        self._passphrase = first
        return first

    def _pin(self, token: str) -> Pin:
        given = os.environ.get(PIN_ENVIRONMENT) or (
            self._prompt(f"PIN of the token {token}") if self._prompt is not None else ""
        )
        if not given:
            raise KeyStoreError(
                "SR-KEYS-LOCKED",
                f"the token {token} needs its PIN",
                f"Set {PIN_ENVIRONMENT}, or run the command at a terminal",
            )
        return Pin(given)


def describe_lock(lock: Lock) -> tuple[str, str]:
    """What locks a file, in one word, and what else may be said of it, "" if nothing."""
    match lock:
        case Passphrase():
            cost = f"{lock.iterations} passes, {lock.lanes} lanes, {lock.memory_kib} KiB"
            return "passphrase", f"Argon2id, {cost}"
        case KeyringEntry():
            return "keyring", ""
        case TokenKey():
            return "pkcs11", f"key {lock.object} in the token {lock.token}"
        case ServiceKey():
            return "kms", lock.key


def fresh_lock() -> Passphrase:
    """A fresh salt with the cost parameters of new files."""
    return Passphrase(salt=secrets.token_hex(16))


def locked(
    subject: str = "the key store", environment: str = PASSPHRASE_ENVIRONMENT
) -> KeyStoreError:
    """The error for a file or store that nothing at hand can lock or open."""
    return KeyStoreError(
        "SR-KEYS-LOCKED",
        f"{subject} needs a passphrase, and there is no usable operating-system keyring",
        f"Set {environment}, or pass passphrase=",
    )


def _normalised(passphrase: str) -> bytes:
    # One form for what keyboards compose differently (RFC 8265, section 4.2).
    data = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    if not data:
        raise KeyStoreError("SR-KEYS-PASSPHRASE", "the passphrase is empty", "Choose one")
    return data
