"""Two ends of a sealed exchange, with a clock that a test sets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

from strongroom.keys.serving import ServingKey, ServingSecrets
from strongroom.protections.interface import Serving
from strongroom.protections.sealed.message import (
    OpenedRequest,
    PendingSealed,
    open_request,
    seal_request,
)

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PACKAGE = "sha256:" + 64 * "a"
OTHER_PACKAGE = "sha256:" + 64 * "b"


@cache
def secrets(number: int) -> ServingSecrets:
    """A serving key; the same for the same number."""
    return ServingSecrets.generate(NOW + timedelta(seconds=number), NOW + timedelta(hours=13))


class Ends:
    """Keys of both sides, what was seen, and the time."""

    def __init__(self, *numbers: int) -> None:
        self.keys = [secrets(number) for number in numbers or (0,)]
        self.taken: dict[str, datetime] = {}
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def current(self) -> ServingKey:
        return self.keys[0].key

    def opening_key(self, key_id: str) -> ServingSecrets | None:
        return next((key for key in self.keys if key.key_id == key_id), None)

    def seen(self, request_id: str, expires: datetime) -> bool:
        before = request_id in self.taken
        self.taken[request_id] = expires
        return before

    @property
    def serving(self) -> Serving:
        return Serving(self, self.now, threads=1)

    def seal(self, content: bytes, package: str = PACKAGE) -> PendingSealed:
        key = self.current()
        return seal_request(key.key_id, key.public, content, package=package, now=self.time)

    def open(self, request: bytes, package: str = PACKAGE) -> OpenedRequest:
        return open_request(request, self, package=package, now=self.time)
