"""Padding that hides lengths: Padmé (Nikitin, Barman, Lueks, Underwood, Hubaux, Ford: Reducing
Metadata Leakage from Encrypted Files and Communication with PURBs, PETS 2019, section 4).

A length of E + 1 bits keeps its highest bits and has zeros in the last E - ⌊log2 E⌋ - 1: it grows
by less than an eighth, and of all lengths up to n only O(log log n) bits show. What is shorter than
256 bytes becomes 256.

A padded content is its length as u64, little-endian, the content, and zeros; nothing else is
accepted.
"""

from __future__ import annotations

import struct
from typing import Final

from strongroom.errors import CiphertextError

LEAST_BYTES: Final = 256
"""Nothing is padded to less."""

_LENGTH: Final = struct.Struct("<Q")


def padme(length: int) -> int:
    """The length that a length is padded to, at least `LEAST_BYTES`."""
    if length <= LEAST_BYTES:
        return LEAST_BYTES
    exponent = length.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    mask = (1 << low_bits) - 1
    return (length + mask) & ~mask


def padded_bytes(content_bytes: int) -> int:
    """The length of a content once it is padded."""
    return padme(_LENGTH.size + content_bytes)


def padding_of(content_bytes: int) -> tuple[bytes, bytes]:
    """What comes before a content of that length, and what comes behind it."""
    tail = padded_bytes(content_bytes) - _LENGTH.size - content_bytes
    return _LENGTH.pack(content_bytes), bytes(tail)


def unpadded(padded: memoryview) -> memoryview:
    """The content of what was padded, without a copy.

    Raises:
        CiphertextError: SR-SEALED-FORMAT if it was not padded so.
    """
    if len(padded) < LEAST_BYTES:
        raise _malformed()
    (content_bytes,) = _LENGTH.unpack_from(padded)
    if content_bytes > len(padded) or padded_bytes(content_bytes) != len(padded):
        raise _malformed()
    end = _LENGTH.size + content_bytes
    tail = bytes(padded[end:])
    if tail != bytes(len(tail)):
        raise _malformed()
    return padded[_LENGTH.size : end]


def _malformed() -> CiphertextError:
    return CiphertextError(
        "SR-SEALED-FORMAT",
        "a sealed message is not padded as it must be",
        "Send what the client library made, unaltered",
    )
