"""Identities: who signs packages, and to whom they are granted.

An identity is three key pairs with one name: Ed25519 and ML-DSA-65 (FIPS 204) sign, both always;
X-Wing (draft-connolly-cfrg-xwing-kem: ML-KEM-768 and X25519) is what others wrap secrets to, by
HPKE (RFC 9180, base mode) with HKDF-SHA-256 and AES-256-GCM. Whoever breaks one of the two of
either kind has gained nothing.

What may be published is a `PublicIdentity`, one line of text. It is named by its fingerprint, a
digest of its keys; the name that people gave it is a comment and binds nothing.

Rules:

1. A signature is of a purpose and a message; one made for a purpose holds for no other.
2. There is no verifying one signature of the two.
3. What is wrapped opens under the same `info` only; context belongs there, in canonical form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Final, Self

import msgspec
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey, MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from strongroom.errors import KeyStoreError, PackageError

SUITE: Final = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
"""The one HPKE suite: X-Wing, HKDF-SHA-256, AES-256-GCM."""

_ED25519_BYTES: Final = 32
_ML_DSA_BYTES: Final = 1952
_ML_KEM_BYTES: Final = 1184
_X25519_BYTES: Final = 32
_PUBLIC_BYTES: Final = _ED25519_BYTES + _ML_DSA_BYTES + _ML_KEM_BYTES + _X25519_BYTES
_SEED_LENGTHS: Final = (32, 32, 64, 32)
"""Of Ed25519, ML-DSA-65, ML-KEM-768 and X25519, in this order."""

_TEXT_PREFIX: Final = "strongroom-identity-1"
_MAXIMUM_TEXT: Final = 8192
_SIGNATURE_CONTEXT: Final = b"strongroom signature\0"
_FINGERPRINT_CONTEXT: Final = b"strongroom identity\0"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

Fingerprint = Annotated[str, msgspec.Meta(pattern=r"^identity:[0-9a-f]{64}\Z")]


class Signatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Two signatures of one message by one identity.

    Attributes:
        ed25519: 64 bytes.
        ml_dsa_65: 3309 bytes.
    """

    ed25519: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
    ml_dsa_65: Annotated[bytes, msgspec.Meta(min_length=3309, max_length=3309)]


@dataclass(frozen=True, slots=False)
class PublicIdentity:
    """The public half of an identity. Equal if the keys are; the name is a comment.

    Attributes:
        keys: Ed25519, ML-DSA-65, ML-KEM-768 and X25519 public keys, one after the other.
        name: what its holder calls it.

    Raises:
        KeyStoreError: SR-IDENTITY-FILE if these are no public keys.
    """

    keys: bytes = field(repr=False)
    name: str = field(compare=False)

    def __post_init__(self) -> None:
        if len(self.keys) != _PUBLIC_BYTES or not _NAME.fullmatch(self.name):
            raise _malformed("its keys or its name have another form")
        try:
            self._parsed  # noqa: B018  # parsed once, here: later nobody checks again
        except ValueError as error:
            raise _malformed("its keys are none") from error

    @cached_property
    def fingerprint(self) -> str:
        """ "identity:" and the SHA-256 of the keys, 64 hex digits."""
        return "identity:" + hashlib.sha256(_FINGERPRINT_CONTEXT + self.keys).hexdigest()

    def to_text(self) -> str:
        """One line: format, keys in base64, name. Without a line feed."""
        return f"{_TEXT_PREFIX} {base64.b64encode(self.keys).decode()} {self.name}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The identity in a line that `to_text` made; white space around it is ignored.

        Raises:
            KeyStoreError: SR-IDENTITY-FILE.
        """
        parts = text.strip().split(" ") if len(text) <= _MAXIMUM_TEXT else []
        if len(parts) != 3 or parts[0] != _TEXT_PREFIX:
            raise _malformed("it is not one line of format, keys and name")
        try:
            keys = base64.b64decode(parts[1], validate=True)
        except (binascii.Error, ValueError) as error:
            raise _malformed("its keys are not in base64") from error
        identity = cls(keys, parts[2])
        if identity.to_text() != text.strip():
            raise _malformed("its keys are not in canonical base64")
        return identity

    def verify(self, signatures: Signatures, purpose: str, message: bytes) -> None:
        """Check both signatures.

        Args:
            purpose: that they were made for.

        Raises:
            PackageError: SR-PACKAGE-SIGNATURE if either is not of this message by this identity.
        """
        ed25519, ml_dsa, _ = self._parsed
        text = _signed(purpose, message)
        try:
            ed25519.verify(signatures.ed25519, text)
            ml_dsa.verify(signatures.ml_dsa_65, text)
        except InvalidSignature as error:
            raise PackageError(
                "SR-PACKAGE-SIGNATURE",
                f"a signature ({purpose}) is not that of {self.fingerprint}",
                "Fetch it again from its owner",
            ) from error

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """Encrypt a short secret so that only the holder of this identity opens it (HPKE).

        Args:
            info: the context, in canonical form; the same must be given to open it.
        """
        return SUITE.encrypt(secret, self._parsed[2], info)

    @cached_property
    def _parsed(
        self,
    ) -> tuple[Ed25519PublicKey, MLDSA65PublicKey, hpke.MLKEM768X25519PublicKey]:
        ed25519, ml_dsa, ml_kem, x25519 = _cut(
            self.keys, (_ED25519_BYTES, _ML_DSA_BYTES, _ML_KEM_BYTES, _X25519_BYTES)
        )
        return (
            Ed25519PublicKey.from_public_bytes(ed25519),
            MLDSA65PublicKey.from_public_bytes(ml_dsa),
            hpke.MLKEM768X25519PublicKey(
                MLKEM768PublicKey.from_public_bytes(ml_kem),
                X25519PublicKey.from_public_bytes(x25519),
            ),
        )


class Identity:
    """An identity with its private keys; shows none of them.

    Args:
        seeds: 160 bytes: Ed25519, ML-DSA-65, ML-KEM-768 and X25519, as their standards define
            seeds (RFC 8032, FIPS 204, FIPS 203, RFC 7748).
        name: what its holder calls it; letters, digits, ".", "_", "@", "-".

    Raises:
        KeyStoreError: SR-IDENTITY-FILE if these are no seeds, or the name has other characters.
    """

    def __init__(self, seeds: bytes, name: str) -> None:
        if len(seeds) != sum(_SEED_LENGTHS):
            raise _malformed(f"its private keys have {len(seeds)} bytes")
        ed25519, ml_dsa, ml_kem, x25519 = _cut(seeds, _SEED_LENGTHS)
        self._seeds = seeds
        self._ed25519 = Ed25519PrivateKey.from_private_bytes(ed25519)
        self._ml_dsa = MLDSA65PrivateKey.from_seed_bytes(ml_dsa)
        kem = MLKEM768PrivateKey.from_seed_bytes(ml_kem)
        exchange = X25519PrivateKey.from_private_bytes(x25519)
        self._wrapping = hpke.MLKEM768X25519PrivateKey(kem, exchange)
        self._public = PublicIdentity(
            self._ed25519.public_key().public_bytes_raw()
            + self._ml_dsa.public_key().public_bytes_raw()
            + kem.public_key().public_bytes_raw()
            + exchange.public_key().public_bytes_raw(),
            name,
        )

    @classmethod
    def generate(cls, name: str) -> Self:
        """A fresh identity; every seed comes from the operating system.

        Raises:
            KeyStoreError: SR-IDENTITY-FILE if the name has other characters.
        """
        seeds = (
            Ed25519PrivateKey.generate().private_bytes_raw()
            + MLDSA65PrivateKey.generate().private_bytes_raw()
            + MLKEM768PrivateKey.generate().private_bytes_raw()
            + X25519PrivateKey.generate().private_bytes_raw()
        )
        return cls(seeds, name)

    def __repr__(self) -> str:
        return f"Identity({self._public.name!r}, {self._public.fingerprint})"

    def __reduce__(self) -> str:
        raise TypeError("an identity is not pickled: its private keys would go along")

    @property
    def public(self) -> PublicIdentity:
        """What may be published."""
        return self._public

    @property
    def fingerprint(self) -> str:
        """Of the public half."""
        return self._public.fingerprint

    def to_bytes(self) -> bytes:
        """The seeds, 160 bytes: for a key store that encrypts them."""
        return self._seeds

    def sign(self, purpose: str, message: bytes) -> Signatures:
        """Sign a message for a purpose, by both algorithms."""
        text = _signed(purpose, message)
        return Signatures(ed25519=self._ed25519.sign(text), ml_dsa_65=self._ml_dsa.sign(text))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open what was wrapped to this identity.

        Raises:
            PackageError: SR-PACKAGE-GRANT if it is for another identity or context, or damaged.
        """
        try:
            return SUITE.decrypt(wrapped, self._wrapping, info)
        except (InvalidTag, ValueError) as error:
            raise PackageError(
                "SR-PACKAGE-GRANT",
                f"what was wrapped does not open for {self.fingerprint} in this place",
                "Ask the owner for a grant to this identity",
            ) from error


def _signed(purpose: str, message: bytes) -> bytes:
    return _SIGNATURE_CONTEXT + purpose.encode("ascii") + b"\0" + message


def _cut(data: bytes, lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    parts, start = [], 0
    for length in lengths:
        parts.append(data[start : start + length])
        start += length
    return tuple(parts)


def _malformed(what: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-IDENTITY-FILE",
        f"this is not an identity: {what}",
        "Ask its holder for the .pub file that `strongroom keygen` made",
    )
