"""Both ends of a sealed exchange in one process: keys that are made for it and thrown away.

For measuring a protected model before there is a server. A package that does not exist yet has no
digest; `NO_PACKAGE` stands for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from strongroom.keys.serving import ServingKey, ServingSecrets

NO_PACKAGE: Final = "sha256:" + 64 * "0"

_LIFETIME: Final = timedelta(days=30)


class OwnKeys:
    """Serving keys of nobody's server: `SealingKeys` and `OpeningKeys` in one."""

    def __init__(self) -> None:
        now = self.now().replace(microsecond=0)
        self._secrets = ServingSecrets.generate(now, now + _LIFETIME)
        self._seen: set[str] = set()

    def now(self) -> datetime:
        """The machine's time, UTC."""
        return datetime.now(UTC)

    def current(self) -> ServingKey:
        """The key to seal to."""
        return self._secrets.key

    def opening_key(self, key_id: str) -> ServingSecrets | None:
        """The same key with its private halves."""
        return self._secrets if key_id == self._secrets.key_id else None

    def seen(self, request_id: str, expires: datetime) -> bool:
        """Whether a request was opened before."""
        before = request_id in self._seen
        self._seen.add(request_id)
        return before
