"""Evaluation keys on disk, laid out as the core uses them, so that a file is mapped and not read.

    header page   magic, version, digest of the parameters
    keys          each at the next page: its words as `native/ckks/switching_keys.hpp` has them
    index         a row for each key, the number of rows, SHA-256 of header and index

A page has 64 KiB, which every processor's pages divide. The index is at the end, so that keys can
be written one after the other as they come in. The layout leaves no choice (docs/reference/
format.md), so that reading it is comparing it with the only one that it can be.

Opening a file checks everything but the words: reading them would take what mapping saves. Wrong
words make wrong results and nothing worse; `verify_key_file` reads them all. The checksums find
damage, not forgery: who may write a tenant's file is up to the permissions. A file is only ever
replaced, never changed: a process that has a file mapped which somebody shortens is ended by the
system when it reads beyond the end.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import mmap
import os
import stat
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.durable import write_durably
from strongroom.engine.galois import RELINEARISATION, describe_element
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import SwitchingKey
from strongroom.errors import KeyStoreError

MAGIC: Final = b"\x89SRE\r\n\x1a\n"
FORMAT_VERSION: Final = 1
PAGE_BYTES: Final = 65536

_HEADER: Final = struct.Struct("<8sI32s")
_ROW: Final = struct.Struct("<IIQQ32s")
_END: Final = struct.Struct("<Q32s")
_WORD: Final = np.dtype("<u8")
_WRITABLE_BY_OTHERS: Final = 0o022


def write_key_file(
    path: Path, parameters: Parameters, keys: Iterable[SwitchingKey], *, replace: bool = False
) -> None:
    """Write a key file, for its owner alone to read, whole or not at all.

    Args:
        path: where it shall be; its folder must exist.
        parameters: what all keys are for.
        keys: may be made while this runs: never more than one is held here.
        replace: whether a file that is there already is replaced. Who has it mapped keeps the old.

    Raises:
        ValueError: a key is for other parameters, or two are for the same element.
        FileExistsError: the file exists, and `replace` is false.
        OSError: the folder or the disk can't take it.
    """
    write_durably(path, _contents(parameters, keys), replace=replace)


def _contents(parameters: Parameters, keys: Iterable[SwitchingKey]) -> Iterator[bytes | memoryview]:
    header = _header(parameters)
    yield header
    at = len(header)
    yield _padding(at)
    at += len(_padding(at))
    rows: dict[int, bytes] = {}
    for key in keys:
        if key.parameters is not parameters and key.parameters.digest != parameters.digest:
            raise ValueError("a key file holds keys for one set of parameters")
        if key.element in rows:
            raise ValueError(f"two keys are for element {key.element}")
        words = key.native.words.astype(_WORD, copy=False).data.cast("B")
        digest = hashlib.sha256(words).digest()
        rows[key.element] = _ROW.pack(key.element, key.limbs, at, len(words), digest)
        at += len(words)
        yield words
        # Nothing here or in the writer keeps this key while the next one is made.
        del key, words
        padding = _padding(at)
        at += len(padding)
        yield padding
    yield _index(header, list(rows.values()))


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """Where a key is in its file.

    Attributes:
        limbs: primes of the key.
        offset, length: bytes.
        digest: SHA-256 of its words.
    """

    limbs: int
    offset: int
    length: int
    digest: bytes


class KeyFile:
    """An open key file whose header and index have been checked.

    Args:
        path: a regular file that nobody but its owner can write; its owner is this user or root.
        parameters: what the keys must be for.

    Attributes:
        path: as given.
        parameters: as given.
        entries: what is in it, by element, in the order of the file.

    Raises:
        KeyStoreError: SR-KEYS-FILE if it is no key file, damaged, or for other parameters,
            SR-KEYS-PERMISSIONS.
    """

    def __init__(self, path: Path, parameters: Parameters) -> None:
        self.path = path
        self.parameters = parameters
        self._file = _open(path)
        try:
            self._size = _check_status(path, self._file)
            self.entries = self._read_index()
        except BaseException:
            self._file.close()
            raise

    def map_words(self, element: int) -> NDArray[np.uint64]:
        """The words of a key, read-only, in memory that is the file; unmapped with the array.

        Raises:
            KeyStoreError: SR-KEYS-FILE if the system can't map them.
            ValueError: the file is closed.
        """
        entry = self.entries[element]
        descriptor = self._file.fileno()
        try:
            mapping = _map(descriptor, entry.length, entry.offset)
        except OSError as error:
            raise _unusable(self.path, error) from error
        except ValueError as error:
            raise self._damaged("it ends too early") from error
        return np.frombuffer(mapping, dtype=_WORD)

    def verify(self) -> None:
        """Read everything: checksums, every word below its prime, padding zero.

        Raises:
            KeyStoreError: SR-KEYS-FILE, naming what is wrong.
        """
        self._require_zeros(_HEADER.size, PAGE_BYTES)
        for element, entry in self.entries.items():
            end = entry.offset + entry.length
            self._require_zeros(end, end + len(_padding(end)))
            words = self.map_words(element)
            if hashlib.sha256(words.data).digest() != entry.digest:
                name = describe_element(self.parameters, element)
                raise self._damaged(f"the key for {name} is not as it was written")
            self._require_words_in_range(element, words)

    def close(self) -> None:
        """Close the file. What is mapped stays."""
        self._file.close()

    def _read_index(self) -> dict[int, KeyEntry]:
        if self._size < PAGE_BYTES + _END.size:
            raise self._damaged("it is too short")
        header = self._read(0, _HEADER.size)
        magic, version, digest = _HEADER.unpack(header)
        if magic != MAGIC:
            raise self._damaged("it does not begin as a key file does")
        if version != FORMAT_VERSION:
            raise self._damaged(f"version {version} of the format is not known here")
        if digest != self.parameters.digest:
            raise KeyStoreError(
                "SR-KEYS-FILE",
                f"the evaluation keys in {self.path} were made for other parameters",
                "Make evaluation keys for the parameters that the model's plan names",
            )
        count, _ = _END.unpack(self._read(self._size - _END.size, _END.size))
        # There are no more automorphisms than that, and one key for products.
        if count > self.parameters.ring_degree:
            raise self._damaged(f"it can't have {count} keys")
        start = self._size - _END.size - count * _ROW.size
        if start < PAGE_BYTES:
            raise self._damaged("it is too short for its index")
        index = self._read(start, self._size - start)
        rows = [index[i * _ROW.size : (i + 1) * _ROW.size] for i in range(count)]
        if index != _index(header, rows):
            raise self._damaged("its index is not as it was written")
        return self._entries(rows, start)

    def _entries(self, rows: list[bytes], start: int) -> dict[int, KeyEntry]:
        entries: dict[int, KeyEntry] = {}
        at = PAGE_BYTES
        for row in rows:
            element, limbs, offset, length, digest = _ROW.unpack(row)
            possible = element == RELINEARISATION or (
                element % 2 == 1 and 1 < element < 2 * self.parameters.ring_degree
            )
            if not possible or element in entries or not 1 <= limbs <= self.parameters.limbs:
                raise self._damaged(f"it can't have a key of {limbs} primes for element {element}")
            words = _native.switching_key_words(self.parameters.native, limbs)
            if offset != at or length != words * _WORD.itemsize:
                raise self._damaged(f"the key for element {element} is not where it belongs")
            entries[element] = KeyEntry(limbs, offset, length, digest)
            at += length + len(_padding(at + length))
        if at != start:
            raise self._damaged("keys and index do not fill it")
        return entries

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._file.fileno(), length, offset)
        except OSError as error:
            raise _unusable(self.path, error) from error
        if len(data) != length:
            raise self._damaged("it ends too early")
        return data

    def _require_words_in_range(self, element: int, words: NDArray[np.uint64]) -> None:
        limbs = self.entries[element].limbs
        native = _native.SwitchingKey(self.parameters.native, element, limbs, words)
        primes = self.parameters.primes[:limbs] + self.parameters.special_primes
        name = describe_element(self.parameters, element)
        for rows in words.reshape(2 * native.digits, len(primes), -1):
            for row, prime in zip(rows, primes, strict=True):
                if int(row[: self.parameters.ring_degree].max()) >= prime:
                    raise self._damaged(f"the key for {name} has a word that is too large")
                if row[self.parameters.ring_degree :].any():
                    raise self._damaged(f"the key for {name} has something between its rows")

    def _require_zeros(self, start: int, end: int) -> None:
        if any(self._read(start, end - start)):
            raise self._damaged("there is something between the keys")

    def _damaged(self, what: str) -> KeyStoreError:
        return KeyStoreError(
            "SR-KEYS-FILE",
            f"{self.path} is no key file, or a damaged one: {what}",
            "Delete it and let the evaluation keys be sent again",
        )


def verify_key_file(path: Path, parameters: Parameters) -> None:
    """Check all of a key file, its words too, which opening it leaves alone.

    Raises:
        KeyStoreError: SR-KEYS-FILE, SR-KEYS-PERMISSIONS.
    """
    with contextlib.closing(KeyFile(path, parameters)) as file:
        file.verify()


def _header(parameters: Parameters) -> bytes:
    return _HEADER.pack(MAGIC, FORMAT_VERSION, parameters.digest)


def _index(header: bytes, rows: list[bytes]) -> bytes:
    table = b"".join(rows)
    count = len(rows).to_bytes(8, "little")
    return table + count + hashlib.sha256(header + table + count).digest()


def _padding(at: int) -> bytes:
    return bytes(-at % PAGE_BYTES)


def _open(path: Path) -> io.FileIO:
    # O_NONBLOCK: a pipe of that name must not make this wait.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return io.FileIO(os.open(path, flags), "rb")
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise KeyStoreError(
                "SR-KEYS-PERMISSIONS", f"{path} is a symbolic link", "Give the file itself"
            ) from error
        raise _unusable(path, error) from error


def _check_status(path: Path, file: io.FileIO) -> int:
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        raise KeyStoreError("SR-KEYS-FILE", f"{path} is not a regular file")
    if status.st_uid not in (0, os.geteuid()):
        raise KeyStoreError(
            "SR-KEYS-PERMISSIONS",
            f"{path} belongs to user {status.st_uid}, not to user {os.geteuid()}",
            "Keep evaluation keys in a folder of the server's own user",
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & _WRITABLE_BY_OTHERS:
        raise KeyStoreError(
            "SR-KEYS-PERMISSIONS",
            f"other users can write {path} (mode {mode:04o})",
            f"Run: chmod {mode & ~_WRITABLE_BY_OTHERS:o} {path}",
        )
    return status.st_size


def _map(descriptor: int, length: int, offset: int) -> mmap.mmap:
    if sys.version_info >= (3, 13):
        mapping = mmap.mmap(
            descriptor, length, access=mmap.ACCESS_READ, offset=offset, trackfd=False
        )
    else:
        mapping = mmap.mmap(descriptor, length, access=mmap.ACCESS_READ, offset=offset)
    # Reads ahead in large pieces: the first use of a key that is not in memory yet takes half as
    # long. A kernel that can't refuses.
    with contextlib.suppress(OSError):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return mapping


def _unusable(path: Path, error: OSError) -> KeyStoreError:
    return KeyStoreError("SR-KEYS-FILE", f"{path} can't be used: {error.strerror or error}")
