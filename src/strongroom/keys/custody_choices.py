"""What may lock a new key file, as people write it on a command line.

    passphrase                         Argon2id of a passphrase
    keyring                            the operating system's keyring
    pkcs11:token=LABEL;object=LABEL    an AES-256 key in a hardware token; a PKCS#11 URI (RFC 7512)
    kms:KEY                            a key of AWS KMS: its id, alias or ARN

A PIN has no place in it: command lines are shown to every user of a machine.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from strongroom.errors import KeyStoreError

DEFAULT_OBJECT: Final = "strongroom"

_LABEL: Final = re.compile(r"[ -~]{1,64}")
_KMS_KEY: Final = re.compile(r"[A-Za-z0-9:/_-]{1,512}")


@dataclass(frozen=True, slots=True)
class ByPassphrase:
    """Locked by a passphrase."""


@dataclass(frozen=True, slots=True)
class ByKeyring:
    """Locked by the operating system's keyring."""


@dataclass(frozen=True, slots=True)
class ByToken:
    """Locked by a key in a PKCS#11 token.

    Attributes:
        token: label of the token.
        object: label of the AES key in it.
    """

    token: str
    object: str = DEFAULT_OBJECT


@dataclass(frozen=True, slots=True)
class ByKeyService:
    """Locked by AWS KMS.

    Attributes:
        key: id, alias ("alias/…") or ARN of a symmetric key.
    """

    key: str


Choice = ByPassphrase | ByKeyring | ByToken | ByKeyService


def parse_choice(text: str) -> Choice:
    """Read a choice.

    Raises:
        KeyStoreError: SR-KEYS-CUSTODY if it is none.
    """
    scheme, _, rest = text.partition(":")
    if text == "passphrase":
        return ByPassphrase()
    if text == "keyring":
        return ByKeyring()
    if scheme == "pkcs11":
        return _token(rest)
    if scheme == "kms" and _KMS_KEY.fullmatch(rest):
        return ByKeyService(rest)
    raise _unknown("this is no way of custody")


def _token(rest: str) -> ByToken:
    path, query, _ = rest.partition("?")
    attributes: dict[str, str] = {}
    for part in path.split(";"):
        key, _, value = part.partition("=")
        if key in attributes:
            raise _unknown(f"the PKCS#11 URI gives {key[:32]!a} twice")
        attributes[key] = unquote(value)
    if query or not attributes.keys() <= {"token", "object"}:
        raise _unknown("a PKCS#11 URI may name token and object here, and no PIN or module")
    token, label = attributes.get("token", ""), attributes.get("object", DEFAULT_OBJECT)
    if not _LABEL.fullmatch(token) or not _LABEL.fullmatch(label):
        raise _unknown("the PKCS#11 URI needs token=LABEL, printable ASCII of up to 64 characters")
    return ByToken(token, label)


def _unknown(what: str) -> KeyStoreError:
    # What was given is not shown: it may hold a PIN that does not belong there.
    return KeyStoreError(
        "SR-KEYS-CUSTODY",
        what,
        "Say passphrase, keyring, pkcs11:token=LABEL;object=LABEL, or kms:KEY",
    )
