"""How many result ciphertexts each client and each package had in a UTC day."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from strongroom.errors import CommitteeError

_DAY: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class DailyLimits:
    """How many result ciphertexts a UTC day may have; None for any number."""

    client: int | None = None
    package: int | None = None


class Days:
    """The count of the latest day; days never go back. Not for several threads at once."""

    def __init__(self) -> None:
        self._day = 0
        self._counts: Counter[str] = Counter()  # by client and by package

    @property
    def day(self) -> int:
        """That is counted, since 1970."""
        return self._day

    def turn_to(self, time: int) -> None:
        """Begin a new day if that has come. Time is in milliseconds since 1970."""
        if time // _DAY > self._day:
            self._day = time // _DAY
            self._counts.clear()

    def require_room(self, client: str, package: str, cost: int, limits: DailyLimits) -> None:
        """Nothing, if there is room for some more.

        Raises:
            CommitteeError: SR-MEMBER-POLICY (403).
        """
        for used, most, whose in (
            (self._counts[client], limits.client, "this client"),
            (self._counts[package], limits.package, "this package"),
        ):
            if most is not None and used + cost > most:
                raise CommitteeError(
                    "SR-MEMBER-POLICY",
                    f"{whose} had {used} of {most} result ciphertexts of this day",
                    "Ask again tomorrow, UTC, or ask the member's operator",
                    http_status=403,
                )

    def add(self, client: str, package: str, cost: int) -> None:
        """Count some more."""
        self._counts.update({client: cost, package: cost})

    def take_back(self, client: str, package: str, cost: int, day: int) -> None:
        """Count less again, if it still is that day."""
        if day == self._day:
            self._counts.subtract({client: cost, package: cost})
