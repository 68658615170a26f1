"""The replay window: which sealed requests a server has taken, so that none is answered twice.

An identifier is kept until its request would be refused for its age anyway. The window has a
largest number of identifiers; when it is full, nothing is taken until some have run out, since to
forget one too early would be to answer it again.
"""

from __future__ import annotations

from typing import Final

_BUCKET_MILLISECONDS: Final = 30_000


class ReplayWindow:
    """Identifiers of requests by the time until which they count. Not thread-safe.

    Args:
        capacity: most identifiers at once; each takes about 120 bytes.
        longest_milliseconds: how far ahead an identifier may count.
    """

    def __init__(self, capacity: int, longest_milliseconds: int) -> None:
        self._capacity = capacity
        self._longest = longest_milliseconds
        self._size = 0
        self._buckets: dict[int, set[bytes]] = {}

    def __len__(self) -> int:
        return self._size

    def take(self, identifier: bytes, until: int, now: int) -> bool | None:
        """Take a request, unless it was taken before.

        Args:
            identifier: of the request, 16 bytes.
            until: when it is too old to be answered, milliseconds since 1970.
            now: milliseconds since 1970.

        Returns:
            Whether it is the first of that identifier and in time; None if the window is full.
        """
        self._forget(now)
        if not now <= until <= now + self._longest:
            return False
        if any(identifier in bucket for bucket in self._buckets.values()):
            return False
        if self._size >= self._capacity:
            return None
        self._buckets.setdefault(until // _BUCKET_MILLISECONDS, set()).add(identifier)
        self._size += 1
        return True

    def _forget(self, now: int) -> None:
        over = [number for number in self._buckets if (number + 1) * _BUCKET_MILLISECONDS <= now]
        for number in over:
            self._size -= len(self._buckets.pop(number))
