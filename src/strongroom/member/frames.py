"""Several pieces of bytes as one: their number, their lengths, then they themselves.

count    4   little-endian
lengths  8 each
pieces
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from strongroom.errors import ServerError

MOST_FRAMES: Final = 64

_COUNT: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<Q")


def pack_frames(pieces: Sequence[bytes]) -> bytes:
    """The pieces as one."""
    lengths = [_LENGTH.pack(len(piece)) for piece in pieces]
    return b"".join((_COUNT.pack(len(pieces)), *lengths, *pieces))


def unpack_frames(data: bytes | memoryview) -> list[bytes]:
    """The pieces again, untrusted.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
    """
    view = memoryview(data).cast("B")
    (count,) = _COUNT.unpack_from(view) if len(view) >= _COUNT.size else (MOST_FRAMES + 1,)
    start = _COUNT.size + _LENGTH.size * count
    if count > MOST_FRAMES or start > len(view):
        raise _malformed()
    lengths = [length for (length,) in _LENGTH.iter_unpack(view[_COUNT.size : start])]
    if start + sum(lengths) != len(view):
        raise _malformed()
    pieces = []
    for length in lengths:
        pieces.append(bytes(view[start : start + length]))
        start += length
    return pieces


def _malformed() -> ServerError:
    return ServerError(
        "SR-REQUEST-FORMAT",
        "a message does not have the pieces that it says",
        "Check that both sides run the same version of Strongroom",
        http_status=400,
    )
