"""Cobblestone-256 (C2SP chunked-encryption) over a message that is in memory as a whole.

An AEAD by chunks of 16 KiB that commits to its key. Nothing of a message is used before its last
chunk has been checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from strongroom.errors import CiphertextError

KEY_BYTES: Final = 32

_CHUNK_BYTES: Final = 16 * 2**10
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = 56

Bytes = bytes | bytearray | memoryview


def encrypted_bytes(plain_bytes: int) -> int:
    """The length of a message once it is encrypted."""
    return _HEADER_BYTES + plain_bytes + _TAG_BYTES * (plain_bytes // _CHUNK_BYTES + 1)


def encrypt(key: bytes, context: bytes, parts: Sequence[Bytes], *, before: Bytes = b"") -> bytes:
    """Encrypt parts as one message, and put something in the clear before it.

    Args:
        key: 32 bytes.
        context: authenticated with the message, not sent.
        before: what the result begins with.
    """
    place = len(before)
    message = bytearray(place + encrypted_bytes(sum(len(part) for part in parts)))
    message[:place] = before
    # Into memory that is there already: large results one by one cost more than the cipher.
    view = memoryview(message)
    encryptor = Cobblestone256Encryptor(key, context)
    for part in parts:
        place += encryptor.update_into(part, view[place:])
    view[place:] = encryptor.finalize()
    return bytes(message)


def decrypt(key: bytes, context: bytes, message: Bytes) -> memoryview:
    """Decrypt what `encrypt` made, without what came before it.

    Raises:
        CiphertextError: SR-SEALED-OPEN if key or context are others, or the message is damaged,
            cut or longer.
    """
    plain = bytearray(len(message) + _CHUNK_BYTES)
    view = memoryview(plain)
    decryptor = Cobblestone256Decryptor(key, context)
    try:
        end = decryptor.update_into(message, view)
        last = decryptor.finalize()
    except (InvalidTag, ValueError) as error:
        raise CiphertextError(
            "SR-SEALED-OPEN",
            "a sealed message does not open: it is damaged, or belongs to another exchange",
            "Ask again; if it happens again, tell the server's operator",
        ) from error
    view[end : end + len(last)] = last
    return view[: end + len(last)]
