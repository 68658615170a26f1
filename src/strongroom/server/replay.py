"""The replay window: which sealed requests a server has taken, so that none is answered twice.

An identifier is kept until its request would be refused for its age anyway. The window has a
fixed size; when there is no room for an identifier, its request is not taken, since to forget
another one too early would be to answer that again.

The window is shared memory, sealed against another size: the keeper makes it, and all workers of a
server map it, so that a request that came to one is refused by the others. Its layout:

    header   bucket key (16 bytes), then as int64: latest time, longest time ahead, buckets, slots
    buckets  each: `slots` identifiers of 16 bytes, then their times as int64

An identifier belongs to the bucket that a keyed hash says (the key is the window's own, so that
nobody outside can aim at one bucket), and to any slot of it. A slot is free once its time is past.

What holds whenever a process may be killed:

1. All is read and written under one lock, which the kernel takes from a process that dies.
2. A slot whose time is not past is never written. A free one gets its identifier first and its
   time, in one store, last: a process that was killed between them leaves a free slot, and did
   not come to answering the request.
3. No process works with an earlier time than another did before it: whatever one took for past is
   past for all. The latest time is written, in one store, before a slot is used anew.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from hashlib import blake2b
from typing import Final

_NAME: Final = "strongroom-replay"
_IDENTIFIER_BYTES: Final = 16
_TIME_BYTES: Final = 8
_BUCKET_KEY_BYTES: Final = 16
_HEADER: Final = struct.Struct("=16s4q")
_HEADER_BYTES: Final = 64
_LATEST_AT: Final = _BUCKET_KEY_BYTES // _TIME_BYTES
_BUCKET_SLOTS: Final = 64
_EXPECTED_IN_BUCKET: Final = 32
"""Of a window that holds as many as it is made for. Then the chance that any of 65,536 buckets is
full is under one in a hundred (Poisson distribution)."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def create_window(capacity: int, longest_milliseconds: int) -> int:
    """Make an empty window.

    Args:
        capacity: identifiers that it has to hold at once: to 64 exactly so many, from there on up
            to twice as many. Takes 48 bytes for each, as far as they are used.
        longest_milliseconds: how far ahead an identifier may count.

    Returns:
        A descriptor, for `ReplayWindow`.

    Raises:
        OSError: the system can't.
    """
    if capacity <= _BUCKET_SLOTS:
        buckets, slots = 1, capacity
    else:
        buckets, slots = -(-capacity // _EXPECTED_IN_BUCKET), _BUCKET_SLOTS
    descriptor = os.memfd_create(_NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.truncate(descriptor, _HEADER_BYTES + buckets * slots * (_IDENTIFIER_BYTES + _TIME_BYTES))
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
        key = os.urandom(_BUCKET_KEY_BYTES)
        os.pwrite(descriptor, _HEADER.pack(key, 0, longest_milliseconds, buckets, slots), 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


class ReplayWindow:
    """One process's view of a window. For one thread, and one in a process.

    Args:
        descriptor: of `create_window`, or passed on by another process; owned from now on. It
            must not be a second one of this process for the same window: the process would lose
            its lock when it closes either.

    Raises:
        OSError: the system can't map it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        header = _HEADER.unpack_from(self._memory)
        self._key, _, self._longest, self._buckets, self._slots = header
        # Items of this view are written by one store each.
        self._times = memoryview(self._memory).cast("q")
        self._bucket_bytes = self._slots * (_IDENTIFIER_BYTES + _TIME_BYTES)

    def take(self, identifier: bytes, until: int, now: int) -> bool | None:
        """Take a request, unless it was taken before.

        Args:
            identifier: of the request, 16 bytes.
            until: when it is too old to be answered, milliseconds since 1970.
            now: milliseconds since 1970; the latest time of any process counts.

        Returns:
            Whether it is the first of that identifier and in time; None if there is no room.

        Raises:
            OSError: the system can't lock the window; nothing is taken.
        """
        number = blake2b(identifier, digest_size=_TIME_BYTES, key=self._key).digest()
        bucket = int.from_bytes(number) % self._buckets
        start = _HEADER_BYTES + bucket * self._bucket_bytes
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            return self._take(identifier, until, now, start)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _take(self, identifier: bytes, until: int, now: int, start: int) -> bool | None:
        latest = self._times[_LATEST_AT]
        if now > latest:
            self._times[_LATEST_AT] = now
        else:
            now = latest
        if not now <= until <= now + self._longest:
            return False
        end = start + self._slots * _IDENTIFIER_BYTES
        first = end // _TIME_BYTES
        times = self._times[first : first + self._slots].tolist()
        place = self._memory.find(identifier, start, end)
        while place >= 0:
            slot, inside = divmod(place - start, _IDENTIFIER_BYTES)
            if inside == 0 and times[slot] >= now:
                return False
            step = 1 if inside else _IDENTIFIER_BYTES
            place = self._memory.find(identifier, place + step, end)
        earliest = min(times)
        if earliest >= now:
            return None
        free = times.index(earliest)
        place = start + free * _IDENTIFIER_BYTES
        self._memory[place : place + _IDENTIFIER_BYTES] = identifier
        self._times[first + free] = until
        return True
