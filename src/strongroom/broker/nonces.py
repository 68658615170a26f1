"""Challenges: each fresh, good for one attempt, and for a short time.

A nonce says itself when it was made, and a MAC under a key of this process says that this process
made it. So what is remembered is only what was used, and a stranger who asks for a million nonces
takes no memory. 32 bytes: seconds since the start of the process (4), random bytes (12), the MAC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import struct
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from strongroom.errors import AttestationError, ServerError

_RANDOM_BYTES: Final = 12
_MAC_BYTES: Final = 16
_FORM: Final = re.compile(r"[0-9a-f]{64}")
_HEAD: Final = struct.Struct("<I")


class Nonces:
    """The nonces of one process. Safe for threads.

    Args:
        lifetime_seconds: of each.
        capacity: how many may be used within that time; more are refused.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        *,
        lifetime_seconds: int = 120,
        capacity: int = 65_536,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.lifetime_seconds: Final = lifetime_seconds
        self._capacity = capacity
        self._clock = clock
        self._start = clock()
        self._key = secrets.token_bytes(32)
        self._used: OrderedDict[bytes, int] = OrderedDict()
        self._lock = threading.Lock()

    def issue(self) -> str:
        """A fresh nonce, 64 hex digits."""
        head = _HEAD.pack(self._now()) + secrets.token_bytes(_RANDOM_BYTES)
        return (head + self._mac(head)).hex()

    def use(self, nonce: str) -> None:
        """Use a nonce up, whatever becomes of the attempt.

        Args:
            nonce: untrusted.

        Raises:
            AttestationError: SR-BROKER-REFUSED if it is not one of this process, is too old, or
                was used.
            ServerError: SR-REQUEST-BUSY (503) if too many were used of late.
        """
        raw = bytes.fromhex(nonce) if _FORM.fullmatch(nonce) else b""
        head, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(head)):
            raise _refused("this broker did not make the nonce, or was started since")
        now = self._now()
        (made,) = _HEAD.unpack_from(head)
        if now - made >= self.lifetime_seconds:
            raise _refused(f"the nonce is older than {self.lifetime_seconds} seconds")
        with self._lock:
            self._forget(now)
            if head in self._used:
                raise _refused("the nonce was used before")
            if len(self._used) >= self._capacity:
                raise ServerError(
                    "SR-REQUEST-BUSY",
                    f"{self._capacity} keys were asked for within {self.lifetime_seconds} seconds",
                    "Try again a little later",
                    http_status=503,
                )
            self._used[head] = now + self.lifetime_seconds

    def _forget(self, now: int) -> None:
        while self._used and next(iter(self._used.values())) <= now:
            self._used.popitem(last=False)

    def _now(self) -> int:
        return int(self._clock() - self._start)

    def _mac(self, head: bytes) -> bytes:
        return hmac.digest(self._key, head, hashlib.sha256)[:_MAC_BYTES]


def _refused(what: str) -> AttestationError:
    return AttestationError("SR-BROKER-REFUSED", what, "Ask for a new challenge, and attest again")
