"""What requests about keys say: headers of chunks, and lists of needs (docs/reference/protocol.md).

A chunk is a partial PUT (RFC 9110, section 14.5) with a digest of its own (RFC 9530):

    Content-Range: bytes 0-4194303/6000000
    Content-Digest: sha-256=:<base64>:
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from strongroom.errors import ServerError
from strongroom.keys.server_layout import Wanted

NEEDS_BYTES: Final = 1 << 20
"""Longest list of needs."""

_RANGE: Final = re.compile(r"bytes (?:([0-9]{1,12})-([0-9]{1,12})|\*)/([0-9]{1,12})")
_DIGEST: Final = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")

_Element = Annotated[int, msgspec.Meta(ge=0, lt=2**32)]
_Limbs = Annotated[int, msgspec.Meta(ge=1, le=255)]


class _Needs(msgspec.Struct, forbid_unknown_fields=True):
    keys: Annotated[list[tuple[_Element, _Limbs]], msgspec.Meta(max_length=2**16)]
    public_limbs: Annotated[int, msgspec.Meta(ge=0, le=255)]


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a chunk belongs.

    Attributes:
        offset: in the object; its size if the chunk is empty.
        size: of the object.
        digest: SHA-256 of the chunk.
    """

    offset: int
    size: int
    digest: bytes


def chunk_place(content_range: str | None, content_digest: str | None, length: int) -> ChunkPlace:
    """Read the headers of a chunk.

    Args:
        content_range, content_digest: values of the headers.
        length: of the chunk.

    Raises:
        ServerError: SR-KEYS-UPLOAD (400).
    """
    found = _RANGE.fullmatch(content_range or "")
    digest = _DIGEST.fullmatch(content_digest or "")
    if found is None or digest is None:
        raise malformed("the headers Content-Range and Content-Digest are missing or malformed")
    size = int(found[3])
    first, end = (int(found[1]), int(found[2]) + 1) if found[1] else (size, size)
    if end - first != length or end > size:
        raise malformed(f"a chunk of {length} bytes comes with another Content-Range")
    return ChunkPlace(first, size, base64.b64decode(digest[1]))


def read_needs(body: bytes | bytearray) -> Wanted:
    """The keys that a client asks for.

    Raises:
        ServerError: SR-KEYS-UPLOAD (400).
    """
    try:
        needs = msgspec.json.decode(body, type=_Needs)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise malformed("the list of keys is not what the protocol says") from error
    return Wanted(tuple(needs.keys), needs.public_limbs)


def malformed(what: str) -> ServerError:
    """The error for a request about keys that is not what the protocol says."""
    return ServerError(
        "SR-KEYS-UPLOAD",
        what,
        "Send what the protocol's documentation says",
        http_status=400,
    )
