"""A file's key wrapped by an AES-256 key in a PKCS#11 token (OASIS PKCS#11 v2.40, section 2.12).

The wrapping key is made in the token, can't be read from it, and does nothing but this. The
token's library is code: it is named by the environment alone, never by a key file or a command
line that somebody else may have written.
"""

from __future__ import annotations

import importlib
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from strongroom.errors import KeyStoreError
from strongroom.keys.sealing import KEY_BYTES, TokenKey

MODULE_ENVIRONMENT: Final = "STRONGROOM_PKCS11_MODULE"

_CONTEXT: Final = b"strongroom key file\0"
_NONCE_BYTES: Final = 12
_TAG_BITS: Final = 128
_KEY_BITS: Final = 8 * KEY_BYTES

# Sessions of one process share their login (PKCS#11 section 5.6): one at a time, or the end of
# one logs the other out.
_one_session = threading.Lock()


class Pin(str):
    """The PIN of a token; shows nothing of itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Pin(…)"


AskPin = Callable[[str], Pin]
"""Gives the PIN of the token of that label."""


def wrap_by_token(token: str, label: str, name: str, key: bytes, ask_pin: AskPin) -> TokenKey:
    """Wrap a key for the file of a name; makes the wrapping key if the token has none yet.

    Args:
        token: label of the token.
        label: of the wrapping key in it.

    Raises:
        KeyStoreError: SR-KEYS-CUSTODY if the token does not do its part, SR-KEYS-LOCKED if its
            PIN is not at hand.
    """
    nonce = secrets.token_bytes(_NONCE_BYTES)
    with _session(token, ask_pin, writable=True) as (pkcs11, session):
        try:
            wrapping = _wrapping_key(pkcs11, session, label)
        except pkcs11.exceptions.NoSuchKey:
            wrapping = session.generate_key(
                pkcs11.KeyType.AES,
                _KEY_BITS,
                label=label,
                store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                template={
                    pkcs11.Attribute.SENSITIVE: True,
                    pkcs11.Attribute.EXTRACTABLE: False,
                },
            )
        gcm = {
            "mechanism": pkcs11.Mechanism.AES_GCM,
            "mechanism_param": pkcs11.GCMParams(nonce, _context(name), _TAG_BITS),
        }
        wrapped = wrapping.encrypt(key, **gcm)
        if wrapping.decrypt(wrapped, **gcm) != key:
            raise _refused(token, "it gave another key back")
    return TokenKey(token=token, object=label, nonce=nonce.hex(), wrapped=bytes(wrapped).hex())


def unwrap_by_token(lock: TokenKey, name: str, ask_pin: AskPin) -> bytes:
    """The key of the file of a name.

    Raises:
        KeyStoreError: SR-KEYS-CUSTODY if the token does not do its part, SR-KEYS-LOCKED if its
            PIN is not at hand.
    """
    with _session(lock.token, ask_pin, writable=False) as (pkcs11, session):
        key = _wrapping_key(pkcs11, session, lock.object).decrypt(
            bytes.fromhex(lock.wrapped),
            mechanism=pkcs11.Mechanism.AES_GCM,
            mechanism_param=pkcs11.GCMParams(bytes.fromhex(lock.nonce), _context(name), _TAG_BITS),
        )
    if len(key) != KEY_BYTES:
        raise _refused(lock.token, f"it gave a key of {len(key)} bytes")
    return bytes(key)


@contextmanager
def _session(token: str, ask_pin: AskPin, *, writable: bool) -> Iterator[tuple[Any, Any]]:
    path = os.environ.get(MODULE_ENVIRONMENT)
    if not path:
        raise KeyStoreError(
            "SR-KEYS-CUSTODY",
            f"the library of the token {token} is not known",
            f"Set {MODULE_ENVIRONMENT} to the path of its PKCS#11 module",
        )
    try:
        pkcs11 = importlib.import_module("pkcs11")
    except ModuleNotFoundError as error:
        raise KeyStoreError(
            "SR-KEYS-CUSTODY",
            "a token needs python-pkcs11, which is not installed",
            "Run pip install strongroom[pkcs11]",
        ) from error
    with _one_session:
        try:
            library = pkcs11.lib(path)
        except RuntimeError as error:
            raise _refused(token, f"the PKCS#11 module {path} can't be loaded") from error
        try:
            with library.get_token(token_label=token).open(
                rw=writable, user_pin=str(ask_pin(token))
            ) as session:
                yield pkcs11, session
        except pkcs11.exceptions.PKCS11Error as error:
            # The cause is cut off: what a module says of its own may hold what it was given.
            raise _refused(token, _reason(error)) from None


def _wrapping_key(pkcs11: Any, session: Any, label: str) -> Any:
    return session.get_key(
        object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=label
    )


def _context(name: str) -> bytes:
    return _CONTEXT + name.encode()


def _reason(error: Exception) -> str:
    known = {
        "NoSuchToken": "there is no token of that label",
        "MultipleTokensReturned": "there are several tokens of that label",
        "NoSuchKey": "it does not hold the wrapping key",
        "MultipleObjectsReturned": "it holds several keys of that label",
        "PinIncorrect": "the PIN is wrong; it locks itself after a few wrong ones",
        "PinLocked": "its PIN is locked",
        "EncryptedDataInvalid": "its key does not open this file",
        "MechanismInvalid": "it can't do AES-GCM",
    }
    kind = type(error).__name__
    return known.get(kind, f"its module refuses ({kind})")


def _refused(token: str, what: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-KEYS-CUSTODY",
        f"the token {token} does not do its part: {what}",
        "Check the token, its label and its PIN",
    )
