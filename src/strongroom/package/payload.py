"""The payload stream: named segments behind each other, as one sequence of bytes.

    salt        32 random bytes
    length      u32, little-endian, of the table
    table       canonical JSON: [{"bytes": length, "name": name}, …], in order
    bodies      each from the next multiple of 64 of the stream on, zeros in between

The stream ends with the last body. Its SHA-256 is what the manifest names: the salt in front
makes that digest say nothing of weights that could be guessed, and it stays the same however
often the payload is encrypted anew. Names and sizes of segments are inside, so they are
encrypted too.

Segments may be views of mapped files; nothing is copied before it is encrypted.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterator, Mapping
from typing import Annotated, Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import PackageError
from strongroom.package.locked_memory import LockedMemory
from strongroom.package.records import one_line

Payload = Mapping[str, bytes | memoryview]
"""What the server side of a protection needs, by the name of the segment; holds the weights."""

SALT_BYTES: Final = 32
ALIGNMENT: Final = 64
MAXIMUM_SEGMENTS: Final = 2**16
MAXIMUM_TABLE_BYTES: Final = 2**24
MAXIMUM_STREAM_BYTES: Final = 2**40
"""Longest payload that is written or read, however large the file."""

CHUNK_BYTES: Final = 2**20
"""Streams are hashed and encrypted so much at a time: it stays in the processor's cache."""

_LENGTH: Final = struct.Struct("<I")

SegmentName = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]{0,254}\Z", max_length=255)
]


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table.

    Attributes:
        name: letters, digits, ".", "_", "/", ":", "-".
        length: of the body in bytes; "bytes" in the file.
    """

    name: SegmentName
    length: Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_STREAM_BYTES)] = msgspec.field(
        name="bytes"
    )


_Table = Annotated[tuple[Segment, ...], msgspec.Meta(max_length=MAXIMUM_SEGMENTS)]


class PayloadStream:
    """The stream of a payload, made as it is read.

    Args:
        payload: segments by name; contiguous.
        salt: 32 bytes, drawn if None. A payload that is written again keeps the salt that it
            had, or it would have another digest.

    Raises:
        PackageError: SR-PACKAGE-PAYLOAD if a segment's name can't be used, or there is too much.
    """

    def __init__(self, payload: Payload, salt: bytes | None = None) -> None:
        self.salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
        self._bodies = [memoryview(body).cast("B") for body in payload.values()]
        rows = [{"name": n, "bytes": len(b)} for n, b in zip(payload, self._bodies, strict=True)]
        try:
            msgspec.convert(rows, _Table)
        except msgspec.ValidationError as error:
            raise PackageError(
                "SR-PACKAGE-PAYLOAD",
                f"a payload can't have these segments: {one_line(error)}",
                "Name segments with letters, digits, '.', '_', '/', ':' and '-'",
            ) from error
        table = canonical_json(rows)
        self._before = self.salt + _LENGTH.pack(len(table)) + table
        self.length = len(self._before)
        for body in self._bodies:
            self.length = _aligned(self.length) + len(body)
        if len(table) > MAXIMUM_TABLE_BYTES or self.length > MAXIMUM_STREAM_BYTES:
            raise PackageError(
                "SR-PACKAGE-PAYLOAD",
                f"a payload of {self.length} bytes in {len(rows)} segments is too large",
                f"The most are {MAXIMUM_STREAM_BYTES} bytes",
            )

    @property
    def immutable(self) -> bool:
        """Whether nothing can have changed since it was hashed: no segment is a view of a mapped
        file, or of anything else that can be written to."""
        return all(isinstance(body.obj, bytes | LockedMemory) for body in self._bodies)

    def chunks(self) -> Iterator[memoryview]:
        """The stream in order, at most `CHUNK_BYTES` at a time."""
        position = 0
        for part in (memoryview(self._before), *self._bodies):
            if gap := _aligned(position) - position:
                yield memoryview(bytes(gap))
            for start in range(0, len(part), CHUNK_BYTES):
                yield part[start : start + CHUNK_BYTES]
            position += gap + len(part)

    def digest(self) -> str:
        """SHA-256 of the stream, "sha256:…"."""
        state = hashlib.sha256()
        for chunk in self.chunks():
            state.update(chunk)
        return "sha256:" + state.hexdigest()


def split_stream(stream: memoryview) -> tuple[bytes, dict[str, memoryview]]:
    """Salt and segments of a whole, authenticated stream; the segments are views of it.

    Raises:
        PackageError: SR-PACKAGE-PAYLOAD if it is malformed; says at which byte.
    """
    start = SALT_BYTES + _LENGTH.size
    if len(stream) < start:
        raise _malformed("it is cut off", len(stream))
    (length,) = _LENGTH.unpack_from(stream, SALT_BYTES)
    if length > min(MAXIMUM_TABLE_BYTES, len(stream) - start):
        raise _malformed(f"its table claims {length} bytes", SALT_BYTES)
    position = start + length
    table = bytes(stream[start:position])
    try:
        rows = msgspec.json.decode(table, type=_Table)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        # The parser's words would quote names, and those are as secret as the weights.
        raise _malformed("its table is not valid", start) from None
    if canonical_json(rows) != table:
        raise _malformed("its table is not in canonical form", start)
    segments: dict[str, memoryview] = {}
    for row in rows:
        begin = _aligned(position)
        if row.length > len(stream) - begin:
            raise _malformed(f"segment {len(segments)} is longer than it", begin)
        if any(stream[position:begin]):
            raise _malformed("there is something between its segments", position)
        if row.name in segments:
            raise _malformed(f"segment {len(segments)} has the name of another", begin)
        position = begin + row.length
        segments[row.name] = stream[begin:position]
    if position != len(stream):
        raise _malformed(f"{len(stream) - position} bytes after the last segment", position)
    return bytes(stream[:SALT_BYTES]), segments


def _aligned(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT


def _malformed(what: str, at: int) -> PackageError:
    return PackageError(
        "SR-PACKAGE-PAYLOAD",
        f"the payload is not what it must be: {what} (at its byte {at})",
        "Fetch the package again from its owner",
    )
