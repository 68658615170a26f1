"""The format of one secret at rest: a header in the clear, then the encrypted secret.

Layout, integers little-endian:

    magic            8 bytes   89 53 52 4b 0d 0a 1a 0a
    format version   u32
    header length    u32
    header           canonical JSON: name, time of creation, how the file's key is found
    ciphertext       Cobblestone-256 (C2SP chunked-encryption), to the end of the file

The file's key is derived from a passphrase by Argon2id (RFC 9106), or random: kept in the
operating system's keyring, or wrapped by a hardware token or a key service. Cobblestone rather
than bare AES-GCM, since it commits to its key: a ciphertext that opens under two passphrases,
with which guesses could be tried many at a time, can't be made. Everything before the ciphertext
is its context, so neither name nor parameters can be exchanged.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final

import msgspec
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from strongroom.canonical import canonical_json
from strongroom.errors import KeyStoreError

MAGIC: Final = b"\x89SRK\r\n\x1a\n"
FORMAT_VERSION: Final = 1
KEY_BYTES: Final = 32
MAXIMUM_SECRET_BYTES: Final = 64 * 2**20
MAXIMUM_FILE_BYTES: Final = MAXIMUM_SECRET_BYTES + 2**20

_MAXIMUM_HEADER_BYTES: Final = 4096
_PREFIX: Final = struct.Struct("<8sII")
_CONTEXT: Final = b"strongroom key file\0"

Hex16 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]


class Passphrase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="argon2id"):
    """The file's key comes from a passphrase by Argon2id.

    The bounds hold on reading too: a damaged or planted file can't ask for all memory, or hours.

    Attributes:
        salt: 16 random bytes in hex.
        iterations, lanes, memory_kib: cost parameters of RFC 9106; the defaults are its second
            recommended set.
    """

    salt: Hex16
    iterations: Annotated[int, msgspec.Meta(ge=1, le=32)] = 3
    lanes: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    memory_kib: Annotated[int, msgspec.Meta(ge=128, le=2**20)] = 2**16

    def derive(self, passphrase: bytes) -> bytes:
        """The file's key."""
        return Argon2id(
            salt=bytes.fromhex(self.salt),
            length=KEY_BYTES,
            iterations=self.iterations,
            lanes=self.lanes,
            memory_cost=self.memory_kib,
        ).derive(passphrase)


class KeyringEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="keyring"):
    """The file's key is random and lies in the operating system's keyring.

    Attributes:
        entry: random name of the entry.
    """

    entry: Hex16


class TokenKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pkcs11"):
    """The file's key is random and wrapped by an AES-256 key in a PKCS#11 token, by AES-GCM.

    Attributes:
        token: label of the token.
        object: label of the key in it.
        nonce: 12 random bytes in hex.
        wrapped: the encrypted key and its tag, 48 bytes in hex.
    """

    token: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    object: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    nonce: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{24}\Z")]
    wrapped: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{96}\Z")]


class ServiceKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="aws-kms"):
    """The file's key is random and wrapped by a key of AWS KMS.

    Attributes:
        key: ARN of the wrapping key.
        wrapped: the ciphertext that the service gave.
    """

    key: Annotated[str, msgspec.Meta(pattern=r"^arn:[A-Za-z0-9:/_-]{1,512}\Z")]
    wrapped: Annotated[bytes, msgspec.Meta(min_length=32, max_length=1024)]


Lock = Passphrase | KeyringEntry | TokenKey | ServiceKey


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a key file says in the clear.

    Attributes:
        name: of the secret.
        created: UTC.
        unlock: how the file's key is found.
    """

    name: Annotated[str, msgspec.Meta(max_length=64)]
    created: Annotated[str, msgspec.Meta(pattern=r"^[0-9TZ:-]{20}\Z")]
    unlock: Lock


def seal(header: Header, key: bytes, secret: bytes) -> bytes:
    """The file that holds a secret under a 32-byte key. Every call draws fresh randomness."""
    if len(secret) > MAXIMUM_SECRET_BYTES:
        raise KeyStoreError("SR-KEYS-FILE", f"a secret of {len(secret)} bytes is too large to keep")
    text = canonical_json(header)
    prefix = _PREFIX.pack(MAGIC, FORMAT_VERSION, len(text)) + text
    encryptor = Cobblestone256Encryptor(key, _CONTEXT + prefix)
    return prefix + encryptor.update(secret) + encryptor.finalize()


def read_header(data: bytes, file_name: str) -> Header:
    """The header of a key file; not authenticated until `unseal` succeeds.

    Raises:
        KeyStoreError: SR-KEYS-FILE.
    """
    return _split(data, file_name)[0]


def unseal(data: bytes, key: bytes, file_name: str) -> bytes:
    """The secret in a key file.

    Raises:
        KeyStoreError: SR-KEYS-FILE if the file is malformed, SR-KEYS-PASSPHRASE if the key
            doesn't open it.
    """
    _, prefix = _split(data, file_name)
    decryptor = Cobblestone256Decryptor(key, _CONTEXT + prefix)
    try:
        # Nothing is used before finalize: earlier chunks come out before a truncation shows.
        return decryptor.update(data[len(prefix) :]) + decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise KeyStoreError(
            "SR-KEYS-PASSPHRASE",
            f"the key file {file_name} can't be opened: wrong passphrase, or damaged",
            "Check the passphrase, or restore the file from a backup",
        ) from error


def _split(data: bytes, file_name: str) -> tuple[Header, bytes]:
    if len(data) < _PREFIX.size:
        raise _malformed(file_name, "it is cut off")
    magic, version, length = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise _malformed(file_name, "it does not begin like one")
    if version != FORMAT_VERSION:
        raise _malformed(file_name, f"its format version is {version}, not {FORMAT_VERSION}")
    end = _PREFIX.size + length
    if length > _MAXIMUM_HEADER_BYTES or end > len(data):
        raise _malformed(file_name, f"its header claims {length} bytes")
    text = data[_PREFIX.size : end]
    try:
        header = msgspec.json.decode(text, type=Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed(file_name, "its header is out of bounds") from error
    if canonical_json(header) != text:
        raise _malformed(file_name, "its header is not in canonical form")
    return header, data[:end]


def _malformed(file_name: str, what: str) -> KeyStoreError:
    return KeyStoreError(
        "SR-KEYS-FILE",
        f"{file_name} is not a key file that this version reads: {what}",
        "Restore it from a backup, or delete it to start with a new key",
    )
