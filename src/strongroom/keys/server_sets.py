"""A tenant's key sets as a worker uses them: mapped from disk, while a request is answered.

Opening a set for a model opens the files of all keys that it needs, before anything is computed: a
set that is removed meanwhile serves the request to its end. Open files are kept for the next
requests and let go when the folder has changed. The lock on the file `used` keeps a set that is
being computed with from being evicted.
"""

from __future__ import annotations

import fcntl
import os
import resource
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from strongroom.engine import (
    RELINEARISATION,
    KeyCache,
    MappedKeys,
    Parameters,
    PublicKey,
    SwitchingKey,
    catalogued,
    conjugation_element,
    public_key_from_bytes,
)
from strongroom.engine.galois import describe_element
from strongroom.engine.switching_keys import require_elements
from strongroom.errors import CiphertextError, KeyStoreError
from strongroom.keys.server_layout import (
    IDENTIFIER_BYTES,
    PUBLIC,
    KeySetFolder,
    Layout,
    StoredKey,
    Wanted,
)
from strongroom.protections.interface import KeyNeeds, asked_for

_NAMED_AT_MOST: Final = 8
_MOST_FILES: Final = 4096
_CLOCK_STEP_NANOSECONDS: Final = 50_000_000
"""A folder that changed so shortly before it was read may have changed again unnoticed."""


class UnionOfKeys:
    """Evaluation keys of several key files as one `KeySource`."""

    def __init__(self, parameters: Parameters, files: Mapping[int, MappedKeys]) -> None:
        self._parameters = parameters
        self._files = files

    @property
    def parameters(self) -> Parameters:
        """What the keys are for."""
        return self._parameters

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements (and `RELINEARISATION`) that there are keys for."""
        return frozenset(self._files)

    def key(self, element: int) -> SwitchingKey:
        """The key for an element.

        Raises:
            KeyStoreError: SR-KEYS-MISSING, or SR-KEYS-FILE if the system can't map it.
        """
        require_elements(self, (element,))
        return self._files[element].key(element)


@dataclass(frozen=True, slots=True)
class OpenSet:
    """An `OpenKeySet`: the keys of one set that one model needs; a public one only if it does."""

    evaluation_keys: UnionOfKeys
    public: PublicKey | None

    @property
    def public_key(self) -> PublicKey:
        """See `protections.interface.OpenKeySet`."""
        return asked_for(self.public)


@dataclass(slots=True, eq=False)
class _Files:
    """What is open of one set.

    Attributes:
        version: of the folder when it was read; None if it may have changed since.
        stamp: descriptor of the file `used`.
        files: key files by element.
        public: public keys by level.
    """

    folder: KeySetFolder
    parameters: Parameters
    version: tuple[int, int] | None
    stamp: int
    keys: dict[int, StoredKey]
    publics: dict[int, StoredKey]
    files: dict[int, MappedKeys] = field(default_factory=dict)
    public: dict[int, PublicKey] = field(default_factory=dict)

    def close(self) -> None:
        for file in self.files.values():
            file.close()
        os.close(self.stamp)


class WorkerKeySets:
    """All tenants' key sets in one worker. Not for several threads.

    Args:
        folder: of the server's keys.
        cache_bytes: how much of key files is kept mapped.
    """

    def __init__(self, folder: Path, cache_bytes: int) -> None:
        self._layout = Layout(folder)
        # An open file takes one descriptor, and while its key is mapped another.
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        unlimited = descriptors == resource.RLIM_INFINITY
        self._most_files = _MOST_FILES if unlimited else min(_MOST_FILES, descriptors // 4)
        self._cache = KeyCache(cache_bytes, self._most_files)
        self._open: OrderedDict[Path, _Files] = OrderedDict()

    def of(self, tenant: str) -> TenantKeySets:
        """The key sets of one tenant, for the time of one request."""
        return TenantKeySets(self, self._layout, tenant)

    def let_go(self) -> None:
        """Close what has been removed or has changed: its room on the disk is free then."""
        for path, files in list(self._open.items()):
            if files.version is None or files.version != _version(path):
                del self._open[path]
                files.close()
        while len(self._open) > 1 and self._open_files() > self._most_files:
            self._open.popitem(last=False)[1].close()

    def take(self, folder: KeySetFolder) -> _Files | None:
        """A set with a lock on it, or None if there is none."""
        if (files := self._open.get(folder.path)) is None:
            if (files := _open(folder)) is None:
                return None
            self._open[folder.path] = files
        self._open.move_to_end(folder.path)
        fcntl.flock(files.stamp, fcntl.LOCK_SH)
        if not _is_there(folder.used, files.stamp):  # removed before the lock
            del self._open[folder.path]
            files.close()
            return None
        os.utime(files.stamp)
        return files

    def open_file(self, files: _Files, element: int) -> bool:
        """Open the key file of an element; false if it is damaged, and then it is removed."""
        if element in files.files:
            return True
        key = files.keys[element]
        path = files.folder.path / key.name
        try:
            mapped = MappedKeys(path, files.parameters, self._cache)
        except KeyStoreError as error:
            return _remove_damaged(files, path, error)
        if mapped.elements != {element}:
            mapped.close()
            path.unlink(missing_ok=True)
            files.version = None
            return False
        files.files[element] = mapped
        return True

    def _open_files(self) -> int:
        return sum(len(files.files) for files in self._open.values())


class TenantKeySets:
    """The `KeySets` of the tenant whose request is being answered; a context.

    Args:
        sets: of the worker.
        layout: of the key folder.
        tenant: who asks.
    """

    def __init__(self, sets: WorkerKeySets, layout: Layout, tenant: str) -> None:
        self._sets = sets
        self._layout = layout
        self._tenant = tenant
        self._locked: list[_Files] = []

    def __enter__(self) -> Self:
        self._sets.let_go()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for files in self._locked:
            fcntl.flock(files.stamp, fcntl.LOCK_UN)
        self._locked.clear()

    def open(self, key_set: bytes, needs: KeyNeeds) -> OpenSet:
        """The keys of one set. See `protections.interface.KeySets`.

        Raises:
            KeyStoreError: SR-KEYS-MISSING (424), naming what is missing.
        """
        parameters = catalogued(needs.parameters)
        wanted = Wanted(
            tuple((need.element, need.limbs) for need in needs.keys), needs.public_limbs
        )
        if len(key_set) != IDENTIFIER_BYTES:
            raise missing_keys(parameters, wanted)
        folder = self._layout.key_set(self._tenant, needs.parameters, key_set.hex())
        files = self._sets.take(folder)
        if files is None:
            raise missing_keys(parameters, wanted)
        if files not in self._locked:
            self._locked.append(files)
        missing = tuple(
            (element, limbs)
            for element, limbs in wanted.keys
            if element not in files.keys
            or files.keys[element].limbs < limbs
            or not self._sets.open_file(files, element)
        )
        public = _public_key(files, needs.public_limbs) if needs.public_limbs else None
        missing_limbs = 0 if public is not None else needs.public_limbs
        if missing or missing_limbs:
            raise missing_keys(parameters, Wanted(missing, missing_limbs))
        chosen = {element: files.files[element] for element, _ in wanted.keys}
        return OpenSet(UnionOfKeys(parameters, chosen), public)


def missing_keys(parameters: Parameters, missing: Wanted) -> KeyStoreError:
    """The error that names keys which a set lacks."""
    named = [_describe(parameters, element) for element, _ in missing.keys[:_NAMED_AT_MOST]]
    if missing.public_limbs:
        named.insert(0, "the public key")
    more = len(missing.keys) - _NAMED_AT_MOST
    last = f" and {more} more" if more > 0 else ""
    return KeyStoreError(
        "SR-KEYS-MISSING",
        f"the key set lacks {', '.join(named)}{last}",
        "Send the missing keys; the client library does so by itself",
        http_status=424,
    )


def _describe(parameters: Parameters, element: int) -> str:
    words = describe_element(parameters, element)
    if element == RELINEARISATION:
        return "the key for products"
    if element == conjugation_element(parameters):
        return words
    return f"{words} step" if words.endswith(" by 1") else f"{words} steps"


def _open(folder: KeySetFolder) -> _Files | None:
    version = _version(folder.path)
    try:
        # Opened for writing: its times are set through the descriptor.
        stamp = os.open(folder.used, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    if version is not None and time.time_ns() - version[1] < _CLOCK_STEP_NANOSECONDS:
        version = None
    keys: dict[int, StoredKey] = {}
    publics: dict[int, StoredKey] = {}
    for key in sorted(folder.stored_keys(), key=lambda one: (one.limbs, one.digest)):
        if key.element == PUBLIC:
            publics[key.limbs] = key
        else:
            keys[key.element] = key
    return _Files(folder, catalogued(folder.parameters), version, stamp, keys, publics)


def _public_key(files: _Files, limbs: int) -> PublicKey | None:
    if limbs in files.public:
        return files.public[limbs]
    if limbs not in files.publics:
        return None
    path = files.folder.path / files.publics[limbs].name
    try:
        key = public_key_from_bytes(files.parameters, path.read_bytes(), limbs=limbs)
    except FileNotFoundError:
        return None
    except CiphertextError:
        path.unlink(missing_ok=True)
        files.version = None
        return None
    files.public[limbs] = key
    return key


def _remove_damaged(files: _Files, path: Path, error: KeyStoreError) -> bool:
    """A key that the disk lost is a missing key, and the client sends missing keys."""
    cause = error.__cause__
    passing = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    if passing or error.code != "SR-KEYS-FILE":  # too many open files, say
        raise error
    path.unlink(missing_ok=True)
    files.version = None
    return False


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
