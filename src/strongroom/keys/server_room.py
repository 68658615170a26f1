"""How much room tenants' key sets take on a server's disk, and how room is made.

Rules:

1. What a tenant has counts as its files do; an object on its way counts as its whole size and that
   of the key that it will be, from before its first byte on.
2. A tenant who needs more than the quota loses key sets of its own, those not used for longest
   first; never the set that is growing, nor one that is being sent or computed with. If that
   would not do, nothing is lost and the object is refused.
3. Nothing that one tenant does takes anything from another. When the disk limit of the whole
   server is reached, whoever wants more is refused.
4. An object on its way that has not grown for a while expires.
5. What is removed gets another name first, so that a key set is there or not. Files are unlinked,
   never shortened: a worker may have them mapped.
"""

from __future__ import annotations

import fcntl
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from strongroom.durable import PARTIAL_PREFIX
from strongroom.errors import ServerError
from strongroom.keys.server_layout import (
    UPLOADS,
    KeySetFolder,
    Layout,
    Upload,
    make_private_folder,
    sync_folder,
)

ObjectSizes = Mapping[str, Mapping[int, int]]
"""By name of parameters: bytes of each object that may travel, and of the key it becomes."""

_MIB: Final = 1 << 20

_log = logging.getLogger("strongroom.server")


class Room:
    """The accounts of one server's key folder. Safe for threads.

    Args:
        layout: of the folder.
        sizes: of what may come.
        tenant_bytes: what one tenant may have.
        total_bytes: what all tenants together may have.
        upload_seconds: after which an object on its way expires.
        busy: whether a key set is being sent just now.
    """

    def __init__(
        self,
        layout: Layout,
        sizes: ObjectSizes,
        *,
        tenant_bytes: int,
        total_bytes: int,
        upload_seconds: float,
        busy: Callable[[KeySetFolder], bool],
    ) -> None:
        self._layout = layout
        self._sizes = sizes
        self._tenant_bytes = tenant_bytes
        self._total_bytes = total_bytes
        self._upload_seconds = upload_seconds
        self._busy = busy
        self._lock = threading.Lock()
        self._bytes: dict[str, int] = {}
        self._claimed: dict[Path, tuple[KeySetFolder, Upload]] = {}

    def start(self) -> None:
        """Finish what a server that was killed left half-done, and count what is there."""
        with self._lock:
            shutil.rmtree(self._layout.removed, ignore_errors=True)
            make_private_folder(self._layout.removed)
            for tenant in self._layout.all_tenants():
                for folder in self._layout.key_sets(tenant):
                    _unlink_partial(folder.path, before=time.time())
                self._expire(tenant)
                self._bytes[tenant] = self.tenant_bytes(tenant)

    @contextmanager
    def claimed(self, folder: KeySetFolder, upload: Upload) -> Iterator[None]:
        """Have room for an object and its key, or make it, while the object's file is begun.

        Raises:
            ServerError: SR-KEYS-QUOTA, SR-KEYS-SPACE; SR-KEYS-UPLOAD if no key has that size.
        """
        needed = upload.size + self.key_bytes(folder.parameters, upload.size)
        with self._lock:
            self._expire(folder.tenant)
            used = self.tenant_bytes(folder.tenant)
            if used + needed > self._tenant_bytes:
                used -= self._evict(folder, used, used + needed - self._tenant_bytes)
            self._bytes[folder.tenant] = used
            if sum(self._bytes.values()) + needed > self._total_bytes:
                for tenant in self._layout.all_tenants():
                    self._expire(tenant)
                    self._bytes[tenant] = self.tenant_bytes(tenant)
            if sum(self._bytes.values()) + needed > self._total_bytes:
                raise no_space()
            self._bytes[folder.tenant] += needed
            self._claimed[upload.path] = (folder, upload)
        try:
            yield
        finally:
            with self._lock:
                del self._claimed[upload.path]

    def key_bytes(self, parameters: str, size: int) -> int:
        """What a key takes that travels as `size` bytes.

        Raises:
            ServerError: SR-KEYS-UPLOAD if none does.
        """
        sizes = self._sizes.get(parameters)
        if sizes is None:
            raise ServerError(
                "SR-KEYS-UPLOAD",
                f"no model of this server takes keys for parameters {parameters!r}",
                "Send keys for the parameters that the model's plan names",
                http_status=404,
            )
        if size not in sizes:
            raise ServerError(
                "SR-KEYS-UPLOAD",
                f"no key for parameters {parameters} has {size} bytes",
                "Send what the client library made, unaltered",
                http_status=413 if size > max(sizes) else 400,
            )
        return sizes[size]

    def recount(self, tenant: str) -> None:
        """Count what a tenant has, after something was added or removed."""
        with self._lock:
            self._bytes[tenant] = self.tenant_bytes(tenant)

    def tenant_bytes(self, tenant: str) -> int:
        """What a tenant has."""
        folders = {folder.path: folder for folder in self._layout.key_sets(tenant)}
        # What is claimed may have no file yet, nor a folder.
        folders |= {one.path: one for one, _ in self._claims() if one.tenant == tenant}
        return sum(self.set_bytes(folder) for folder in folders.values())

    def set_bytes(self, folder: KeySetFolder) -> int:
        """What a key set has."""
        on_way = {upload.path: upload.size for upload in folder.pending()}
        on_way |= {one.path: one.size for its, one in self._claims() if its.path == folder.path}
        sizes = self._sizes.get(folder.parameters, {})
        return sum(_file_sizes(folder.path)) + sum(
            size + sizes.get(size, 0) for size in on_way.values()
        )

    def _claims(self) -> tuple[tuple[KeySetFolder, Upload], ...]:
        return tuple(self._claimed.values())

    def remove(self, folder: KeySetFolder) -> None:
        """Remove a key set, if there is one; who computes with it at the moment finishes."""
        moved = self._layout.removed / secrets.token_hex(8)
        try:
            folder.path.rename(moved)
        except FileNotFoundError:
            return
        sync_folder(folder.path.parent)
        shutil.rmtree(moved, ignore_errors=True)

    def _evict(self, growing: KeySetFolder, used: int, excess: int) -> int:
        """Remove old sets of the same tenant: how many bytes that freed."""
        freed = 0
        with ExitStack() as locks:
            candidates = [
                (_last_use(folder), self.set_bytes(folder), folder)
                for folder in self._layout.key_sets(growing.tenant)
                if folder.path != growing.path
                and not self._busy(folder)
                and locks.enter_context(_unused(folder))
            ]
            if sum(size for _, size, _ in candidates) >= excess:
                for _, size, folder in sorted(candidates, key=lambda one: one[0]):
                    if freed >= excess:
                        break
                    self.remove(folder)
                    freed += size
                    _log.info(
                        "key set evicted",
                        extra={"tenant": folder.tenant, "key_set": folder.key_set, "bytes": size},
                    )
        if freed < excess:
            raise ServerError(
                "SR-KEYS-QUOTA",
                f"the tenant's keys take {used / _MIB:.1f} MiB of {self._tenant_bytes / _MIB:.1f} "
                "MiB, and no old key set can make room for more",
                "Delete key sets that are not needed any more, or ask the operator for a higher "
                "quota",
                http_status=413,
            )
        return freed

    def _expire(self, tenant: str) -> None:
        """Forget what has not grown for long, and what a server that was killed had stored."""
        before = time.time() - self._upload_seconds
        for folder in self._layout.key_sets(tenant):
            if self._busy(folder) or any(its.path == folder.path for its, _ in self._claims()):
                continue
            stored = {key.digest for key in folder.stored_keys()}
            for upload in folder.pending():
                with suppress(FileNotFoundError):
                    if upload.digest in stored or upload.path.stat().st_mtime < before:
                        upload.path.unlink()
            _unlink_partial(folder.path, before=before)
            if not folder.stored_keys() and not folder.pending():
                self.remove(folder)


def no_space() -> ServerError:
    """The error when the disk, or the part of it for keys, is full."""
    return ServerError(
        "SR-KEYS-SPACE",
        "the server has no room for more keys",
        "Ask the server's operator for more room for keys",
        http_status=507,
    )


def _last_use(folder: KeySetFolder) -> int:
    try:
        return folder.used.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@contextmanager
def _unused(folder: KeySetFolder) -> Iterator[bool]:
    """Whether no worker computes with a set; none can begin to while this lasts."""
    try:
        descriptor = os.open(folder.used, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _file_sizes(folder: Path) -> Iterator[int]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name != UPLOADS:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_size


def _unlink_partial(folder: Path, before: float) -> None:
    """Remove what a killed worker did not finish writing."""
    with suppress(FileNotFoundError):
        for path in folder.glob(f"{PARTIAL_PREFIX}*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
