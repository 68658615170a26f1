"""The container: how the sections of a `.strongroom` file lie in it.

All integers little-endian:

    magic            8 bytes   89 53 52 4d 0d 0a 1a 0a
    format version   u32       2
    section count    u32       5
    section          once for each, in the order of `SECTIONS`:
        tag          4 bytes
        reserved     4 bytes   zero
        length       u64       bytes of the body
        body

    MANI   canonical JSON: the manifest, `package.manifest`
    SIGN   canonical JSON: its owner and signatures, `package.head`
    GRNT   canonical JSON: the grant log, `package.grants`
    PAYL   the encrypted payload, `package.encryption` over `package.payload`
    HEAD   canonical JSON: what the file holds at present, signed, `package.head`

A reader refuses an unknown tag, a tag twice or out of order, a length beyond the section's own
limit or the file's end (before anything is allocated), and any byte after the last section. There
are no checksums: every section is signed, or named by a digest in one that is.

Format version 1 held the payload in the clear and was not signed. It is refused.
"""

from __future__ import annotations

import itertools
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Final

from strongroom.errors import PackageError
from strongroom.package.encryption import IN_FLIGHT, ciphertext_bytes
from strongroom.package.grants import MAXIMUM_LOG_BYTES
from strongroom.package.head import MAXIMUM_HEAD_BYTES, MAXIMUM_STATEMENT_BYTES
from strongroom.package.manifest import FORMAT_VERSION, MAXIMUM_MANIFEST_BYTES, newer_version
from strongroom.package.payload import CHUNK_BYTES, MAXIMUM_STREAM_BYTES
from strongroom.package.records import FETCH_AGAIN

MAGIC: Final = b"\x89SRM\r\n\x1a\n"

PAYLOAD: Final = b"PAYL"
"""The one section that is not read into memory whole."""

SECTIONS: Final[dict[bytes, int]] = {
    b"MANI": MAXIMUM_MANIFEST_BYTES,
    b"SIGN": MAXIMUM_STATEMENT_BYTES,
    b"GRNT": MAXIMUM_LOG_BYTES,
    PAYLOAD: ciphertext_bytes(MAXIMUM_STREAM_BYTES),
    b"HEAD": MAXIMUM_HEAD_BYTES,
}
"""The sections of a file in their order, each with its largest length."""

_HEADER: Final = struct.Struct("<8sII")
_SECTION: Final = struct.Struct("<4s4sQ")
_UNSEALED_VERSION: Final = 1


def header() -> bytes:
    """What a file begins with."""
    return _HEADER.pack(MAGIC, FORMAT_VERSION, len(SECTIONS))


def section_header(tag: bytes, length: int) -> bytes:
    """What goes before the body of a section."""
    return _SECTION.pack(tag, bytes(4), length)


@dataclass(frozen=True, slots=True)
class Sections:
    """What the sections of a file hold, none of it checked yet but the lengths.

    Attributes:
        bodies: by tag, without the payload's.
        payload_start, payload_bytes: where the encrypted payload lies in the file.
    """

    bodies: dict[bytes, bytes]
    payload_start: int
    payload_bytes: int


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[FileIO]:
    """A package's file, open for reading.

    Raises:
        PackageError: SR-PACKAGE-FILE if it is not a regular file or can't be read, also while it
            is open.
    """
    source = Path(path)
    try:
        # Non-blocking, so that a named pipe can't hang the caller before it is seen to be one.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with FileIO(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise PackageError("SR-PACKAGE-FILE", f"{source} is not a regular file")
            yield file
    except OSError as error:
        raise PackageError(
            "SR-PACKAGE-FILE", f"{source} can't be read: {error.strerror or error}"
        ) from error


def read_sections(file: FileIO, source: Path) -> Sections:
    """Read a file from its start to its end, past the payload.

    Args:
        source: its path, for errors.

    Raises:
        PackageError: SR-PACKAGE-VERSION if a newer version wrote it, SR-PACKAGE-FILE otherwise;
            the message says what is wrong and at which byte.
    """
    return _Reader(file, source, os.fstat(file.fileno()).st_size).sections()


def payload_parts(file: FileIO, source: Path, sections: Sections) -> Iterator[memoryview]:
    """The encrypted payload in parts, see `encryption.IN_FLIGHT` for how long each stays.

    Raises:
        PackageError: SR-PACKAGE-FILE if the file became shorter meanwhile.
    """
    size = min(CHUNK_BYTES, sections.payload_bytes)
    buffers = [memoryview(bytearray(size)) for _ in range(IN_FLIGHT + 1)]
    file.seek(sections.payload_start)
    left = sections.payload_bytes
    for turn in itertools.count():
        if not left:
            return
        count = file.readinto(buffers[turn % len(buffers)][:left])
        if not count:
            raise PackageError(
                "SR-PACKAGE-FILE", f"{source} became shorter while it was read", FETCH_AGAIN
            )
        yield buffers[turn % len(buffers)][:count]
        left -= count


@dataclass(slots=True)
class _Reader:
    """Reads one open file from start to end, never past what the file is known to hold."""

    file: FileIO
    source: Path
    size: int
    position: int = 0

    def sections(self) -> Sections:
        magic, version, count = _HEADER.unpack(self._take(_HEADER.size, "header"))
        if magic != MAGIC:
            raise PackageError(
                "SR-PACKAGE-FILE",
                f"{self.source} is not a Strongroom package, or was changed on its way here: it "
                "does not begin like one (at byte 0)",
                "Name a .strongroom file, or fetch it again from its owner",
            )
        if version > FORMAT_VERSION:
            newer = newer_version(version)
            raise PackageError(newer.code, f"{self.source}: {newer.message}", newer.remedy)
        if version == _UNSEALED_VERSION:
            raise PackageError(
                "SR-PACKAGE-SIGNATURE",
                f"{self.source} has format version 1: not encrypted, and signed by nobody",
                "Ask the owner to protect the model again",
            )
        if version != FORMAT_VERSION:
            raise self._wrong(f"format version {version}", at=8)
        if count != len(SECTIONS):
            raise self._wrong(f"{count} sections, where there must be {len(SECTIONS)}", at=12)
        bodies: dict[bytes, bytes] = {}
        start = length = 0
        for expected in SECTIONS:
            size = self._section(expected)
            if expected == PAYLOAD:
                start, length = self.position, size
                self._skip(size, "section PAYL")
            else:
                bodies[expected] = self._take(size, f"section {expected.decode()}")
        if self.position != self.size:
            raise self._wrong(
                f"it goes on after its last section, by {_bytes(self.size - self.position)}"
            )
        return Sections(bodies, start, length)

    def _section(self, expected: bytes) -> int:
        start, name = self.position, expected.decode()
        head = self._take(_SECTION.size, f"header of section {name}")
        tag, reserved, length = _SECTION.unpack(head)
        if tag not in SECTIONS:
            raise self._wrong(f"unknown section {tag!r}", at=start)
        if tag != expected:
            raise self._wrong(f"section {tag.decode()}, where {name} belongs", at=start)
        if reserved != bytes(4):
            raise self._wrong(f"reserved bytes of section {name} are not zero", at=start + 4)
        if length > SECTIONS[tag]:
            raise self._wrong(
                f"section {name} claims {length} bytes, more than {SECTIONS[tag]}", at=start + 8
            )
        return int(length)

    def _take(self, length: int, what: str) -> bytes:
        self._check(length, what)
        data = self.file.read(length)
        if data is None or len(data) != length:
            raise self._wrong(f"its {what} ended early, the file changed while it was read")
        self.position += length
        return data

    def _skip(self, length: int, what: str) -> None:
        self._check(length, what)
        self.position = self.file.seek(length, os.SEEK_CUR)

    def _check(self, length: int, what: str) -> None:
        held = self.size - self.position
        if length > held:
            raise self._wrong(
                f"it ends {_bytes(length - held)} before its {what} does",
                fault="cut off or damaged",
            )

    def _wrong(self, what: str, at: int | None = None, fault: str = "damaged") -> PackageError:
        place = self.position if at is None else at
        return PackageError(
            "SR-PACKAGE-FILE",
            f"{self.source} is {fault}: {what} (at byte {place})",
            FETCH_AGAIN,
        )


def _bytes(count: int) -> str:
    return "1 byte" if count == 1 else f"{count:,} bytes"
