"""ServerKeyStore: tenants' evaluation keys at a server, as its front process sees them.

Rules:

1. A tenant's folder is reached through the tenant's own token only; no name that a client sends
   leads into another's.
2. An object is addressed by its digest and comes in chunks, each durable before it is confirmed,
   each at or before the end of what is there: sending a chunk twice changes nothing.
3. Nothing in an object is looked at here. A worker checks a whole object, and the key that it
   makes appears under its name at once (`keys.server_objects`), or not at all.
4. A key that is there is never replaced. One that serves fewer primes than a newer one is removed.

Reads and writes files, so event loops call it in threads; what concerns one tenant, one at a time.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from strongroom.errors import ServerError
from strongroom.keys.permissions import PRIVATE, check_folder
from strongroom.keys.server_layout import (
    FILE_MODE,
    PUBLIC,
    KeySetFolder,
    Layout,
    Wanted,
    make_private_folder,
    missing_of,
    require_digest,
    sync_folder,
)
from strongroom.keys.server_room import ObjectSizes, Room, no_space

_PAUSE_SECONDS: Final = 10.0
"""So long after a chunk a key set counts as being sent: the next one may be on its way."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@dataclass(frozen=True, slots=True)
class ObjectState:
    """How far an object has come.

    Attributes:
        received_bytes: from its beginning; of a stored object all that it had, as far as is known.
        stored: whether the key that it was is there.
    """

    received_bytes: int
    stored: bool


@dataclass(frozen=True, slots=True)
class KeySetDescription:
    """A key set, as its tenant is told of it.

    Attributes:
        parameters: name of the catalogue entry.
        key_set: the identifier, 32 hex digits.
        bytes: that it takes on the disk, objects on their way included.
        keys: (element, primes) of each evaluation key, ascending.
        public_limbs: levels of the public keys, ascending.
        last_used: ISO 8601, UTC.
    """

    parameters: str
    key_set: str
    bytes: int
    keys: tuple[tuple[int, int], ...]
    public_limbs: tuple[int, ...]
    last_used: str

    def holds(self, wanted: Wanted) -> bool:
        """Whether nothing of a model's keys is missing."""
        there = [*self.keys, *((PUBLIC, limbs) for limbs in self.public_limbs)]
        return missing_of(there, wanted) == Wanted((), 0)


class ServerKeyStore:
    """The key folder of a running server, which no other server uses meanwhile.

    Args:
        folder: made if it is missing.
        sizes: bytes of each object that may travel, and of the key it becomes, by parameters.
        tenant_bytes, total_bytes: limits for one tenant and for all together.
        upload_seconds: after which an object on its way expires.

    Raises:
        KeyStoreError: SR-KEYS-PERMISSIONS if others have access to the folder.
        ServerError: SR-SERVER-CONFIG if it can't be used, or is in use.
    """

    def __init__(
        self,
        folder: Path,
        sizes: ObjectSizes,
        *,
        tenant_bytes: int,
        total_bytes: int,
        upload_seconds: float,
    ) -> None:
        self._layout = Layout(folder)
        self._sending: Counter[Path] = Counter()
        self._last_sent: dict[Path, float] = {}
        self.tenant_bytes = tenant_bytes
        try:
            make_private_folder(self._layout.tenants)
            check_folder(folder, PRIVATE)
            self._lock = _hold(self._layout.lock)
        except OSError as error:
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"the key folder {folder} can't be used ({error.strerror})",
                "Set key_folder to a folder that no other server uses",
            ) from error
        self._room = Room(
            self._layout,
            sizes,
            tenant_bytes=tenant_bytes,
            total_bytes=total_bytes,
            upload_seconds=upload_seconds,
            busy=self._is_being_sent,
        )
        self._room.start()

    def close(self) -> None:
        """Let another server use the folder."""
        os.close(self._lock)

    def folder(self, tenant: str, parameters: str, key_set: str) -> KeySetFolder:
        """Where a key set is, or would be.

        Raises:
            ServerError: SR-KEYS-UPLOAD for names that are none.
        """
        return self._layout.key_set(tenant, parameters, key_set)

    def sets(self, tenant: str) -> list[KeySetDescription]:
        """The key sets of a tenant."""
        return [self._described(folder) for folder in self._layout.key_sets(tenant)]

    def missing(self, folder: KeySetFolder, wanted: Wanted) -> Wanted:
        """What of a model's keys is not there. What is there counts as used now."""
        with suppress(FileNotFoundError):
            os.utime(folder.used)
        return folder.missing(wanted)

    def state(self, folder: KeySetFolder, digest: str) -> ObjectState:
        """How far an object has come.

        Raises:
            ServerError: SR-KEYS-UPLOAD if that is no digest.
        """
        require_digest(digest)
        pending = [_size(one.path) for one in folder.pending() if one.digest == digest]
        stored = any(key.digest == digest for key in folder.stored_keys())
        return ObjectState(max(pending, default=0), stored)

    def append(
        self, folder: KeySetFolder, digest: str, size: int, offset: int, chunk: bytes | bytearray
    ) -> ObjectState:
        """Add a chunk to an object; durable on return. What is there already is not written again.

        Args:
            digest, size: of the whole object.
            offset: of the chunk in it; at most where the object ends now.

        Raises:
            ServerError: SR-KEYS-UPLOAD (409) if bytes before the chunk are missing; -QUOTA, -SPACE.
        """
        upload = folder.upload(require_digest(digest), size)
        if any(key.digest == digest for key in folder.stored_keys()):
            upload.path.unlink(missing_ok=True)  # of a server that was killed after storing it
            return ObjectState(size, stored=True)
        self._room.key_bytes(folder.parameters, size)
        received = _size(upload.path)
        if offset > received or offset + len(chunk) > size:
            raise ServerError(
                "SR-KEYS-UPLOAD",
                f"a chunk of {len(chunk)} bytes at {offset} does not continue an object of "
                f"{size} bytes of which {received} are there",
                "Ask how far the object has come, and go on from there",
                http_status=409,
            )
        is_new = not upload.path.exists()
        try:
            with self._room.claimed(folder, upload) if is_new else nullcontext():
                _append(folder, upload.path, chunk[received - offset :])
        except OSError as error:
            if error.errno in _FULL:
                raise no_space() from error
            raise
        return ObjectState(_size(upload.path), stored=False)

    def finish(self, folder: KeySetFolder, digest: str, size: int) -> None:
        """A worker has stored the key that an object was: nothing else of it is needed."""
        self.discard(folder, digest, size)
        keys = folder.stored_keys()
        most: dict[int, int] = {}
        for key in keys:
            most[key.element] = max(most.get(key.element, 0), key.limbs)
        for key in keys:
            if key.element != PUBLIC and key.limbs < most[key.element]:
                (folder.path / key.name).unlink(missing_ok=True)
        self._room.recount(folder.tenant)

    def discard(self, folder: KeySetFolder, digest: str, size: int) -> None:
        """Forget what has come of an object."""
        folder.upload(digest, size).path.unlink(missing_ok=True)
        self._room.recount(folder.tenant)

    def delete(self, folder: KeySetFolder) -> None:
        """Remove a key set of its tenant's own, if there is one."""
        self._room.remove(folder)
        self._room.recount(folder.tenant)

    @contextmanager
    def sending(self, folder: KeySetFolder) -> Iterator[None]:
        """While a chunk of a key set is on its way, and for a pause after, it is not evicted."""
        self._sending[folder.path] += 1
        try:
            yield
        finally:
            self._sending[folder.path] -= 1
            if not self._sending[folder.path]:
                del self._sending[folder.path]
            now = time.monotonic()
            self._last_sent = {
                path: moment
                for path, moment in self._last_sent.items()
                if now - moment < _PAUSE_SECONDS
            }
            self._last_sent[folder.path] = now

    def _described(self, folder: KeySetFolder) -> KeySetDescription:
        keys = sorted((key.element, key.limbs) for key in folder.stored_keys())
        return KeySetDescription(
            folder.parameters,
            folder.key_set,
            self._room.set_bytes(folder),
            tuple(key for key in keys if key[0] != PUBLIC),
            tuple(limbs for element, limbs in keys if element == PUBLIC),
            _last_use(folder),
        )

    def _is_being_sent(self, folder: KeySetFolder) -> bool:
        last = self._last_sent.get(folder.path, -_PAUSE_SECONDS)
        return folder.path in self._sending or time.monotonic() - last < _PAUSE_SECONDS


def _hold(path: Path) -> int:
    """Hold a lock that ends with the process.

    Raises:
        OSError: another process holds it, or it can't be made.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _append(folder: KeySetFolder, path: Path, content: bytes | bytearray) -> None:
    make_private_folder(folder.uploads)
    folder.used.touch(mode=FILE_MODE)
    is_new = not path.exists()
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, FILE_MODE), "ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(path.parent)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_use(folder: KeySetFolder) -> str:
    try:
        seconds = folder.used.stat().st_mtime
    except FileNotFoundError:
        return ""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
