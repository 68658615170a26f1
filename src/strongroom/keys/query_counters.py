"""Counters of queries: each is used once, whatever process of this user asks.

`query_counters.json` in the home. Numbers are taken from the file in runs, so that of many queries
in a row most write nothing; what is left of a run after a moment, or when a process ends, is never
used. A run begins at the milliseconds since 1970 at least: who lost the file goes on above what it
used before, and no run is far below another's, where members would count it as used up.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest
from strongroom.keys.identity import Fingerprint
from strongroom.keys.record_file import RecordFile

RUN: Final = 64
"""Numbers taken at once."""

_FRESH_SECONDS: Final = 0.5
"""So long numbers of a run are used."""


class _Taken(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The highest number taken, by asker and committee."""

    format_version: Annotated[int, msgspec.Meta(ge=1, le=1)] = 1
    taken: dict[Fingerprint, dict[Digest, Annotated[int, msgspec.Meta(ge=0, le=2**53)]]] = {}


class QueryCounters:
    """The counters of one asker at one committee. Safe for threads and between processes.

    Args:
        home: the key store's home; None keeps them in memory, and then every process begins anew.
        client: fingerprint of the asker.
        committee: digest of the committee's statement.
    """

    def __init__(self, home: Path | None, client: str, committee: str) -> None:
        loss = "it is not known which counters were used"
        self._file = RecordFile(home, "query_counters.json", _Taken(), loss)
        self._client = client
        self._committee = committee
        self._lock = threading.Lock()
        self._next = self._end = 1
        self._taken = 0.0

    def next(self) -> int:
        """A number that was not used before, and is greater than all that this process used.

        Raises:
            KeyStoreError: SR-KEYS-PERMISSIONS, SR-KEYS-FILE.
        """
        with self._lock:
            if self._next >= self._end or time.monotonic() - self._taken > _FRESH_SECONDS:
                self._take()
            number = self._next
            self._next += 1
            return number

    def _take(self) -> None:
        with self._file.exclusively():
            record = self._file.read()
            committees = record.taken.get(self._client, {})
            highest = max(committees.get(self._committee, 0), time.time_ns() // 1_000_000)
            committees = {**committees, self._committee: highest + RUN}
            taken = {**record.taken, self._client: committees}
            self._file.replace(msgspec.structs.replace(record, taken=taken))
        self._next, self._end = highest + 1, highest + RUN + 1
        self._taken = time.monotonic()
