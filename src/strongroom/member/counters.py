"""Which counters of which client were used, and for what: the part of the ledger that is in memory.

Of each client the `WINDOW` counters up to its highest are remembered one by one; those below are
used up, whether they were used or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from strongroom.errors import CommitteeError

WINDOW: Final = 1024


@dataclass(frozen=True, slots=True)
class Use:
    """What a counter was used for.

    Attributes:
        query, result: digests.
        place: start and length of the answer's line in the ledger; None while it is computed.
    """

    query: str
    result: str
    place: tuple[int, int] | None


@dataclass(slots=True)
class _Client:
    highest: int = 0
    uses: dict[int, Use] = field(default_factory=dict)


class Counters:
    """The counters of all clients. Not for several threads at once."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}

    def used(self, client: str, counter: int, query: str, result: str) -> Use | None:
        """How a counter was used for this query and this result; None if it is free.

        Raises:
            CommitteeError: SR-MEMBER-QUERY if it was used for anything else, or is used up.
        """
        known = self._clients.get(client)
        if known is None:
            return None
        use = known.uses.get(counter)
        if use is None:
            if counter <= known.highest - WINDOW:
                raise _refused(f"counter {counter} is used up")
            return None
        if use.query != query:
            raise _refused(f"counter {counter} was used for another query")
        if use.result != result:
            raise _refused("this query was brought with another result before")
        return use

    def use(self, client: str, counter: int, use: Use) -> None:
        """Use a counter, or say where its answer is now."""
        known = self._clients.setdefault(client, _Client())
        known.uses[counter] = use
        if counter > known.highest:
            known.highest = counter
            for old in [one for one in known.uses if one <= counter - WINDOW]:
                del known.uses[old]

    def free(self, client: str, counter: int) -> None:
        """What a counter was used for came to nothing."""
        self._clients[client].uses.pop(counter, None)


def _refused(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-QUERY",
        what,
        "Make a new query: rows encrypted anew, another one-time key, the next counter",
        http_status=403,
    )
