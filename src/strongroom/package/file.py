"""The `.strongroom` file: one file, read and written in one pass.

Layout, all integers little-endian:

    magic            8 bytes   89 53 52 4d 0d 0a 1a 0a
    format version   u32
    section count    u32
    section          once for each, in the order of `SECTIONS`:
        tag          4 bytes
        reserved     4 bytes   zero
        length       u64       bytes of the body
        checksum     32 bytes  SHA-256 of the body; finds damage, does not stop an attacker
        body

A reader refuses an unknown tag, a tag twice or out of order, and any byte after the last
section. Grant log, signatures and an encrypted payload become further tags, and raise the
format version, when they come.

The payload of this version is not encrypted and the file is not signed: **whoever reads the
file reads the weights.** It is written for its owner alone (mode 0600); treat it like the model
itself.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from strongroom.canonical import digest
from strongroom.compiler.plan import Plan
from strongroom.durable import write_durably
from strongroom.errors import PackageError
from strongroom.package.manifest import (
    FORMAT_VERSION,
    MAXIMUM_MANIFEST_BYTES,
    Manifest,
    Parity,
    decode_manifest,
    encode_manifest,
    new_manifest,
    newer_version,
)

MAGIC: Final = b"\x89SRM\r\n\x1a\n"
MAXIMUM_PAYLOAD_BYTES: Final = 16 * 2**30
"""Largest payload that is read, however large the file."""

SECTIONS: Final[dict[bytes, int]] = {
    b"MANI": MAXIMUM_MANIFEST_BYTES,
    b"PAYL": MAXIMUM_PAYLOAD_BYTES,
}
"""The sections of a file in their order, each with its largest length."""

_HEADER: Final = struct.Struct("<8sII")
_SECTION: Final = struct.Struct("<4s4sQ32s")
_CHUNK_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Package:
    """A protected model.

    Attributes:
        manifest: what the package says of itself.
        payload: what the server side of the protection needs; holds the weights.

    Raises:
        PackageError: SR-PACKAGE-FILE if the payload is not the one that the manifest names.
    """

    manifest: Manifest
    payload: bytes = field(repr=False)

    def __post_init__(self) -> None:
        named = (self.manifest.payload_bytes, self.manifest.payload_digest)
        if (len(self.payload), digest(self.payload)) != named:
            raise PackageError(
                "SR-PACKAGE-FILE",
                "the payload is not the one that the manifest names",
                "Fetch the package again from its owner",
            )

    @classmethod
    def create(
        cls,
        *,
        name: str,
        plan: Plan,
        payload: bytes,
        parity: Parity,
        version: str = "1",
        release: int = 1,
    ) -> Package:
        """A new package around a plan and its payload.

        Raises:
            PackageError: SR-PACKAGE-NAME, SR-PLAN-INVALID.
        """
        manifest = new_manifest(
            name=name, version=version, release=release, plan=plan, parity=parity, payload=payload
        )
        return cls(manifest, payload)

    def __repr__(self) -> str:
        return f"Package({self.manifest.name!r}, {self.digest})"

    @property
    def digest(self) -> str:
        """Digest of the canonical manifest, "sha256:…": what a client trusts."""
        return self.manifest.digest

    def save(self, path: str | os.PathLike[str], overwrite: bool = False) -> None:
        """Write the file atomically, readable by its owner alone; the weights are in the clear.

        Raises:
            PackageError: SR-PACKAGE-EXISTS if the path exists and `overwrite` is false,
                SR-PACKAGE-FILE if it can't be written.
        """
        target = Path(path)
        try:
            if not overwrite and os.path.lexists(target):
                raise FileExistsError
            write_durably(target, self._chunks(), replace=overwrite, mode=0o600)
        except FileExistsError as error:
            raise PackageError(
                "SR-PACKAGE-EXISTS",
                f"{target} exists already",
                "Choose another path, or allow overwriting",
            ) from error
        except OSError as error:
            raise PackageError(
                "SR-PACKAGE-FILE", f"{target} can't be written: {error.strerror or error}"
            ) from error

    def _chunks(self) -> Iterator[bytes | memoryview]:
        bodies = {b"MANI": encode_manifest(self.manifest), b"PAYL": self.payload}
        yield _HEADER.pack(MAGIC, FORMAT_VERSION, len(bodies))
        for tag, body in bodies.items():
            yield _SECTION.pack(tag, bytes(4), len(body), hashlib.sha256(body).digest())
            view = memoryview(body)
            for start in range(0, len(body), _CHUNK_BYTES):
                yield view[start : start + _CHUNK_BYTES]


def load(path: str | os.PathLike[str]) -> Package:
    """Read a package. Nothing in the file is executed; every length is checked before it is used.

    Raises:
        PackageError: SR-PACKAGE-VERSION if a newer version wrote it, SR-PACKAGE-FILE otherwise;
            the message says what is wrong and at which byte.
        PolicyError: SR-PLAN-INVALID if the plan in it contradicts itself.
    """
    source = Path(path)
    try:
        # Non-blocking, so that a named pipe can't hang the caller before it is seen to be one.
        descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PackageError("SR-PACKAGE-FILE", f"{source} is not a regular file")
            sections = _Reader(file, source, status.st_size).sections()
    except OSError as error:
        raise PackageError(
            "SR-PACKAGE-FILE", f"{source} can't be read: {error.strerror or error}"
        ) from error
    return Package(decode_manifest(sections[b"MANI"]), sections[b"PAYL"])


@dataclass(slots=True)
class _Reader:
    """Reads one open file from start to end, never past what the file is known to hold."""

    file: BinaryIO
    source: Path
    size: int
    position: int = 0

    def sections(self) -> dict[bytes, bytes]:
        magic, version, count = _HEADER.unpack(self._take(_HEADER.size, "header"))
        if magic != MAGIC:
            raise self._wrong("the file does not begin like a Strongroom package", at=0)
        if version > FORMAT_VERSION:
            raise newer_version(version)
        if version < 1:
            raise self._wrong("format version 0", at=8)
        if count != len(SECTIONS):
            raise self._wrong(f"{count} sections, where there must be {len(SECTIONS)}", at=12)
        bodies: dict[bytes, bytes] = {}
        for expected in SECTIONS:
            bodies[expected] = self._section(expected, bodies)
        if self.position != self.size:
            raise self._wrong(f"{self.size - self.position} bytes after the last section")
        return bodies

    def _section(self, expected: bytes, earlier: dict[bytes, bytes]) -> bytes:
        start, name = self.position, expected.decode()
        header = self._take(_SECTION.size, f"header of section {name}")
        tag, reserved, length, checksum = _SECTION.unpack(header)
        if tag in earlier:
            raise self._wrong(f"section {tag.decode()} a second time", at=start)
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
        body = self._take(length, f"section {name}")
        if not hmac.compare_digest(hashlib.sha256(body).digest(), checksum):
            raise self._wrong(f"section {name} is damaged: its checksum differs", at=start)
        return body

    def _take(self, length: int, what: str) -> bytes:
        if length > self.size - self.position:
            raise self._wrong(
                f"{what} needs {length} bytes, the file holds {self.size - self.position} more"
            )
        data = self.file.read(length)
        if len(data) != length:
            raise self._wrong(f"{what} ended early: the file changed while it was read")
        self.position += length
        return data

    def _wrong(self, what: str, at: int | None = None) -> PackageError:
        place = self.position if at is None else at
        return PackageError(
            "SR-PACKAGE-FILE",
            f"{self.source} is not a Strongroom package or is damaged: {what} (at byte {place})",
            "Fetch the package again from its owner",
        )
