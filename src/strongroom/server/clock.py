"""The time by which a server's processes judge grants, keys and requests."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """UTC that never goes back while the process runs, whatever is done to the machine's clock.

    It is the machine's clock, or the latest time that it said and what has passed since (while the
    machine was suspended too), whichever is later. A machine's clock that was set ahead for a
    moment is believed from then on: what was forgotten or had ended by it must not come back.
    """

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._at_start = time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        """The time, UTC."""
        passed = time.clock_gettime(time.CLOCK_BOOTTIME) - self._at_start
        known = self._start + timedelta(seconds=passed)
        ahead = max(datetime.now(UTC) - known, timedelta(0))
        self._start += ahead
        return known + ahead

    def advance_to(self, moment: datetime) -> None:
        """Never say a time before this one again."""
        self._start += max(moment - self.now(), timedelta(0))
