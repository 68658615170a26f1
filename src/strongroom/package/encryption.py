"""The payload's encryption: the stream under a file key by Cobblestone-256, in both directions.

Cobblestone (C2SP chunked-encryption) is AES-256-GCM over chunks of 16 KiB under a key that it
derives and commits to. Its context is the package's id: a ciphertext moved to another package
does not open.

Rules:

1. A file key encrypts one stream, once.
2. What is opened is used only after the last chunk was authenticated *and* the digest of all of
   it is the one in the manifest, which the owner signed.
3. The ciphertext's digest, over what is written, goes into the file's signed head.

Hashing and encryption take turns on two threads, since both let others run: the slower of the
two, SHA-256, sets the pace. Buffers are allocated once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Self

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from strongroom.errors import PackageError
from strongroom.package.grants import FILE_KEY_BYTES
from strongroom.package.locked_memory import LockedMemory
from strongroom.package.payload import CHUNK_BYTES
from strongroom.package.records import FETCH_AGAIN

_CONTEXT: Final = b"strongroom payload\0"
_HEADER_BYTES: Final = 56
_FRAME_BYTES: Final = 2**14
_TAG_BYTES: Final = 16
IN_FLIGHT: Final = 4
"""A part of a stream that is handed on stays as it is until so many more were asked for."""

_GROWTH: Final = 2**15
"""More than the header, tags and the frame that is kept back add to a chunk."""


def new_file_key() -> bytes:
    """A fresh file key from the operating system."""
    return secrets.token_bytes(FILE_KEY_BYTES)


def ciphertext_bytes(stream_bytes: int) -> int:
    """How long a stream becomes when it is encrypted."""
    return _HEADER_BYTES + stream_bytes + _TAG_BYTES * (stream_bytes // _FRAME_BYTES + 1)


class Encryption:
    """Encrypts a stream while it is hashed: iterate once, then read the two digests.

    Args:
        chunks: of the stream, each at most `CHUNK_BYTES`; see `IN_FLIGHT`.
        file_key: 32 fresh bytes.
        package_id: of the package.
        stream_digest: of the stream, where it is known and the stream can't have changed since;
            if None, the stream is hashed too, which takes twice the time.

    Attributes:
        stream_digest: of the stream, "sha256:…"; known at the end.
        ciphertext_digest: of what was yielded; known at the end.
    """

    def __init__(
        self,
        chunks: Iterable[memoryview],
        file_key: bytes,
        package_id: str,
        *,
        stream_digest: str | None = None,
    ) -> None:
        self._chunks = chunks
        self._hashing = stream_digest is None
        self._encryptor = Cobblestone256Encryptor(file_key, _context(package_id))
        self.stream_digest = stream_digest or ""
        self.ciphertext_digest = ""

    def __iter__(self) -> Iterator[memoryview]:
        """The ciphertext; a part is valid until the next one is asked for."""
        with RunningDigest() as stream, RunningDigest() as ciphertext:
            buffers = [memoryview(bytearray(CHUNK_BYTES + _GROWTH)) for _ in range(IN_FLIGHT)]
            for turn, chunk in enumerate(self._chunks):
                if self._hashing:
                    stream.add(chunk)
                buffer = buffers[turn % IN_FLIGHT]
                part = buffer[: self._encryptor.update_into(chunk, buffer)]
                ciphertext.add(part)
                yield part
            last = memoryview(self._encryptor.finalize())
            ciphertext.add(last)
            yield last
            if self._hashing:
                self.stream_digest = stream.text()
            self.ciphertext_digest = ciphertext.text()


class Hashed:
    """Parts that are hashed as they pass: iterate once, then read the digest.

    Args:
        parts: see `IN_FLIGHT` for how long each stays.

    Attributes:
        digest: of all of them, "sha256:…"; known at the end.
    """

    def __init__(self, parts: Iterable[memoryview]) -> None:
        self._parts = parts
        self.digest = ""

    def __iter__(self) -> Iterator[memoryview]:
        """The parts."""
        with RunningDigest() as running:
            for part in self._parts:
                running.add(part)
                yield part
            self.digest = running.text()


def open_stream(
    parts: Iterable[memoryview],
    file_key: bytes,
    package_id: str,
    *,
    stream_bytes: int,
    stream_digest: str,
) -> memoryview:
    """Decrypt a payload into locked memory, which is wiped when the last view of it is gone.

    Args:
        parts: the ciphertext in order, each at most `CHUNK_BYTES`.
        file_key: that a grant opened.
        package_id, stream_bytes, stream_digest: of the manifest.

    Raises:
        PackageError: SR-PACKAGE-PAYLOAD if it doesn't open, or is not the one in the manifest;
            what was decrypted by then is wiped.
        MemoryError: there is not so much.
    """
    memory = LockedMemory(stream_bytes)
    view = memoryview(memory)
    try:
        with RunningDigest() as digest:
            position = 0
            for chunk in unverified_stream(parts, file_key, package_id, view):
                digest.add(chunk)
                position += len(chunk)
            check_stream(stream_bytes, stream_digest, position, digest.text())
    except BaseException:
        memory.wipe()
        raise
    return view.toreadonly()


def unverified_stream(
    parts: Iterable[memoryview],
    file_key: bytes,
    package_id: str,
    into: memoryview | None = None,
) -> Iterator[memoryview]:
    """The stream, decrypted as it comes. **Nothing of it may be used before the last chunk is
    here and `check_stream` was content**: the end may be missing.

    Args:
        parts: as for `open_stream`.
        into: memory for all of it; if None, see `IN_FLIGHT` for how long a chunk stays.

    Raises:
        PackageError: SR-PACKAGE-PAYLOAD.
    """
    decryptor = Cobblestone256Decryptor(file_key, _context(package_id))
    buffers = [memoryview(bytearray(CHUNK_BYTES + _GROWTH)) for _ in range(IN_FLIGHT + 1)]
    position = 0
    try:
        for turn, part in enumerate(parts):
            room = buffers[turn % len(buffers)] if into is None else into[position:]
            chunk = room[: decryptor.update_into(part, room)]
            position += len(chunk)
            yield chunk
        last = decryptor.finalize()
        if into is not None:
            into[position : position + len(last)] = last
        yield memoryview(last) if into is None else into[position : position + len(last)]
    except (InvalidTag, ValueError) as error:
        raise PackageError(
            "SR-PACKAGE-PAYLOAD",
            "the payload does not open: it is damaged, cut off, or encrypted under another key",
            FETCH_AGAIN,
        ) from error


def check_stream(named_bytes: int, named_digest: str, found_bytes: int, found_digest: str) -> None:
    """Compare a whole stream with what the manifest names.

    Raises:
        PackageError: SR-PACKAGE-PAYLOAD.
    """
    if (found_bytes, found_digest) != (named_bytes, named_digest):
        raise PackageError(
            "SR-PACKAGE-PAYLOAD",
            f"the payload has {found_bytes} bytes and digest {found_digest}, the manifest names "
            f"{named_bytes} bytes and {named_digest}",
            FETCH_AGAIN,
        )


class RunningDigest:
    """SHA-256 on a thread of its own; a context manager. A part that was added may be overwritten
    once `IN_FLIGHT` more were."""

    def __init__(self) -> None:
        self._state = hashlib.sha256()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="digest")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def add(self, part: memoryview) -> None:
        """Hash a part after those before it."""
        self._waiting.append(self._thread.submit(self._state.update, part))
        while len(self._waiting) >= IN_FLIGHT:
            self._waiting.popleft().result()

    def text(self) -> str:
        """The digest of everything that was added, "sha256:…"."""
        while self._waiting:
            self._waiting.popleft().result()
        return "sha256:" + self._state.hexdigest()


def _context(package_id: str) -> bytes:
    return _CONTEXT + package_id.encode("ascii")
