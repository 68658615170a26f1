"""Bodies that begin with their head: its length in 4 bytes, little-endian, JSON, and then bytes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import StrongroomError

_LENGTH: Final = struct.Struct("<I")

LENGTH_BYTES: Final = _LENGTH.size

Head = TypeVar("Head", bound=msgspec.Struct)


def write_headed(head: msgspec.Struct, *rest: bytes) -> bytes:
    """The whole body."""
    text = canonical_json(head)
    return b"".join((_LENGTH.pack(len(text)), text, *rest))


def read_headed(
    body: bytes | memoryview,
    kind: type[Head],
    largest: int,
    error: Callable[[str], StrongroomError],
) -> tuple[Head, memoryview]:
    """An untrusted body's head, and what follows it.

    Args:
        kind: of the head.
        largest: bytes that a head may have.
        error: makes what is raised of what is wrong.
    """
    view = memoryview(body).cast("B")
    if len(view) < _LENGTH.size:
        raise error("it is cut off")
    (length,) = _LENGTH.unpack_from(view)
    end = _LENGTH.size + length
    if length > largest or end > len(view):
        raise error("its head is too long")
    try:
        return msgspec.json.decode(view[_LENGTH.size : end], type=kind), view[end:]
    except (msgspec.MsgspecError, ValueError, RecursionError) as cause:
        # Where the fault is, and nothing of what stands there.
        where = ascii(str(cause))[1:-1][:200]
        raise error(f"its head can't be read: {where}") from cause
