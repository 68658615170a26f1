"""The ledger: what a member ever answered, in one durable append-only file.

Budget, counters, days and the log follow from the same lines, so that none can be behind another.
What holds:

1. Nothing is answered before its line is on the disk. A line that was not finished was not
   answered.
2. One decision at a time: what is being computed counts as spent, until it is answered or given up.
3. The budget is of the key, in result ciphertexts, and never comes back.
4. A counter is of one query. The same query about the same result gets the same bytes again;
   about another result it gets none (`member.counters`).
5. Days (`member.days`) are UTC, and never go back: the time is at least that of the last line, and
   a clock that is more than five minutes behind that is refused.
6. The log is a chain (`member.log_heads`); a ledger whose links do not hold is damaged.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import CommitteeError, KeyStoreError, ServerError
from strongroom.keys.query import milliseconds
from strongroom.member.counters import Counters, Use
from strongroom.member.days import DailyLimits, Days
from strongroom.member.journal import Journal, damaged
from strongroom.member.log_heads import Chain, LogHead, SignedHead
from strongroom.member.records import (
    Answered,
    Deviation,
    Entry,
    Line,
    Opening,
    Pardon,
    PeerHead,
)

_TOLERANCE: Final = 5 * 60 * 1000
_FORMAT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Wanted:
    """An answer that is asked for.

    Attributes:
        query, result: digests.
        client, counter, package, server, cost: as in `records.Entry`.
    """

    query: str
    result: str
    client: str
    counter: int
    package: str
    server: str
    cost: int


class Ledger:
    """One member's ledger at one committee. Safe for threads; one process at a time has it.

    Args:
        path: of the file.
        committee: digest of the committee's statement.
        member: name of the member.
        budget: result ciphertexts that this member may ever answer.

    Raises:
        KeyStoreError: SR-KEYS-FILE if the file is damaged, another's, or in use;
            SR-KEYS-PERMISSIONS.
    """

    def __init__(self, path: Path, committee: str, member: str, budget: int) -> None:
        self._committee = committee
        self._member = member
        self._budget = budget
        self._lock = threading.Lock()
        self._spent = 0
        self._reserved = 0
        self._latest = 0
        self._days = Days()
        self._counters = Counters()
        self._peers: dict[str, SignedHead] = {}
        self._deviated: dict[str, Deviation] = {}
        self._chain = Chain()
        self._journal = Journal(path)
        try:
            self._load()
        except BaseException:
            self._journal.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have the file."""
        with self._lock:
            self._journal.close()

    @property
    def spent(self) -> int:
        """Result ciphertexts that were answered."""
        with self._lock:
            return self._spent

    @property
    def budget(self) -> int:
        """Result ciphertexts that may ever be answered."""
        return self._budget

    @property
    def head(self) -> LogHead:
        """Where the log ends."""
        with self._lock:
            return LogHead(
                committee=self._committee,
                member=self._member,
                number=self._chain.number,
                link=self._chain.link,
            )

    def link_at(self, number: int) -> str | None:
        """The link of an entry, `log_heads.START` for 0; None if there is no such entry."""
        with self._lock:
            return self._chain.link_at(number)

    def entries_after(self, number: int, most: int) -> tuple[str, ...]:
        """Digests of the entries after one, the first so many."""
        with self._lock:
            return self._chain.entries_after(number, most)

    def peer_head(self, member: str) -> SignedHead | None:
        """The last head of another member's log that was kept."""
        with self._lock:
            return self._peers.get(member)

    def keep_peer_head(self, head: SignedHead) -> None:
        """Keep the head of another member's log, durably. Raises KeyStoreError: SR-KEYS-FILE."""
        with self._lock:
            self._journal.append(canonical_json(PeerHead(head)))
            self._peers[head.head.member] = head

    def deviation(self, server: str) -> Deviation | None:
        """What a server was caught at, unless it was pardoned since."""
        with self._lock:
            return self._deviated.get(server)

    def record_deviation(self, wanted: Wanted, expected: str, now: datetime) -> None:
        """Record, durably, that a result was not what the computation gives.

        Args:
            expected: digest of what it gives.

        Raises:
            KeyStoreError: SR-KEYS-FILE.
        """
        with self._lock:
            time = max(milliseconds(now), self._latest)
            found = Deviation(wanted.server, wanted.query, wanted.result, expected, time)
            self._journal.append(canonical_json(found))
            self._deviated[found.server] = found

    def pardon(self, server: str, now: datetime) -> bool:
        """Trust a server again; false if there was nothing to pardon.

        Raises:
            KeyStoreError: SR-KEYS-FILE.
        """
        with self._lock:
            if server not in self._deviated:
                return False
            time = max(milliseconds(now), self._latest)
            self._journal.append(canonical_json(Pardon(server, time)))
            del self._deviated[server]
            return True

    def begin(
        self, wanted: Wanted, now: datetime, limits: DailyLimits | None = None
    ) -> bytes | Reservation:
        """Decide on an answer.

        Returns:
            The answer that was given before; or room for a new one, which its caller commits or
            leaves.

        Raises:
            CommitteeError: SR-MEMBER-QUERY if the counter was used for another query or result,
                or is used up; SR-MEMBER-BUDGET; SR-MEMBER-POLICY if the day has had its number.
            KeyStoreError: SR-IDENTITY-CLOCK (503), SR-KEYS-FILE.
            ServerError: SR-REQUEST-BUSY (503) if this very answer is being computed.
        """
        with self._lock:
            time = self._time(now)
            use = self._counters.used(wanted.client, wanted.counter, wanted.query, wanted.result)
            if use is None:
                self._require_room(wanted, limits or DailyLimits(), time)
                self._reserve(wanted)
                return Reservation(self, wanted, self._days.day, now)
        if use.place is None:
            raise ServerError(
                "SR-REQUEST-BUSY",
                "this query is being answered",
                "Ask again a little later",
                http_status=503,
            )
        return self._answer_at(*use.place)

    def _require_room(self, wanted: Wanted, limits: DailyLimits, time: int) -> None:
        left = self._budget - self._spent - self._reserved
        if wanted.cost > left:
            raise CommitteeError(
                "SR-MEMBER-BUDGET",
                f"{wanted.cost} result ciphertexts are asked for, of the key's budget of "
                f"{self._budget} at this member {left} are left",
                "Have the committee make a new key, and its models protected under it",
                http_status=403,
            )
        self._days.turn_to(time)
        self._days.require_room(wanted.client, wanted.package, wanted.cost, limits)

    def _time(self, now: datetime) -> int:
        time = milliseconds(now)
        if time < self._latest - _TOLERANCE:
            raise KeyStoreError(
                "SR-IDENTITY-CLOCK",
                f"the clock says {now:%Y-%m-%dT%H:%M:%SZ}, "
                f"{(self._latest - time) // 1000} seconds before the last answer",
                "Set the clock of the member's machine",
                http_status=503,
            )
        return max(time, self._latest)

    def _reserve(self, wanted: Wanted) -> None:
        self._reserved += wanted.cost
        self._days.add(wanted.client, wanted.package, wanted.cost)
        self._counters.use(wanted.client, wanted.counter, Use(wanted.query, wanted.result, None))

    def _commit(self, wanted: Wanted, now: datetime, answer: bytes, audited: bool) -> None:
        with self._lock:
            entry = Entry(
                query=wanted.query,
                result=wanted.result,
                client=wanted.client,
                counter=wanted.counter,
                package=wanted.package,
                server=wanted.server,
                cost=wanted.cost,
                time=max(milliseconds(now), self._latest),
                answer=digest(answer),
                audited=audited,
            )
            name = digest(canonical_json(entry))
            link = self._chain.following(name)
            line = canonical_json(Answered(entry, link, answer))
            start = self._journal.append(line)
            self._reserved -= wanted.cost
            self._add(entry, name, link, (start, len(line)))

    def _add(self, entry: Entry, name: str, link: str, place: tuple[int, int]) -> None:
        self._spent += entry.cost
        self._latest = entry.time
        self._chain.append(name, link)
        self._counters.use(entry.client, entry.counter, Use(entry.query, entry.result, place))

    def _release(self, wanted: Wanted, day: int) -> None:
        with self._lock:
            self._reserved -= wanted.cost
            self._counters.free(wanted.client, wanted.counter)
            self._days.take_back(wanted.client, wanted.package, wanted.cost, day)

    def _answer_at(self, start: int, length: int) -> bytes:
        line = _decode(self._journal, self._journal.line_at(start, length))
        if not isinstance(line, Answered) or digest(line.answer) != line.entry.answer:
            raise damaged(self._journal.path, "an answer is not the one that was given")
        return line.answer

    def _load(self) -> None:
        lines = self._journal.lines()
        first = next(lines, None)
        opening = Opening(_FORMAT_VERSION, self._committee, self._member)
        if first is None:
            self._journal.append(canonical_json(opening))
            return
        if _decode(self._journal, first[1]) != opening:
            raise damaged(self._journal.path, "it is the ledger of another member or committee")
        for start, text in lines:
            self._replay(start, text)

    def _replay(self, start: int, text: bytes) -> None:
        line = _decode(self._journal, text)
        if isinstance(line, Answered):
            entry = line.entry
            name = digest(canonical_json(entry))
            if line.link != self._chain.following(name):
                broken = self._chain.number + 1
                raise damaged(self._journal.path, f"entry {broken} breaks its chain")
            self._days.turn_to(entry.time)
            self._days.add(entry.client, entry.package, entry.cost)
            self._add(entry, name, line.link, (start, len(text)))
        elif isinstance(line, PeerHead):
            self._peers[line.head.head.member] = line.head
        elif isinstance(line, Deviation):
            self._deviated[line.server] = line
        elif isinstance(line, Pardon):
            self._deviated.pop(line.server, None)
        else:
            raise damaged(self._journal.path, "it begins twice")


class Reservation:
    """Room for one answer. A context manager: what is not committed is given back.

    What is given back was computed for nobody: the same query may be asked again.
    """

    def __init__(self, ledger: Ledger, wanted: Wanted, day: int, now: datetime) -> None:
        self._ledger = ledger
        self._wanted = wanted
        self._day = day
        self._now = now
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._open:
            self._open = False
            self._ledger._release(self._wanted, self._day)

    def commit(self, answer: bytes, *, audited: bool) -> None:
        """Write the answer down; only then may it leave.

        Raises:
            KeyStoreError: SR-KEYS-FILE; then it must not, and nothing else will either.
        """
        if not self._open:
            raise ValueError("this was committed or given back")
        # What can't be written stays reserved: the disk may have it, whole or in part.
        self._open = False
        self._ledger._commit(self._wanted, self._now, answer, audited)


def _decode(journal: Journal, text: bytes) -> Line:
    try:
        line: Line = msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise damaged(journal.path, "a line is none of a ledger") from error
    return line
