"""Access structures: whose consent decrypts, and which part of the key each member holds.

Written as members who are each required, and at most one group of which some are enough:

    vendor AND 1-of-2(hospital, auditor)
    2-of-3(a, b, c)
    vendor AND insurer

The secret key is a plain sum of *parts*, and whoever knows all of them knows the key. Each
required member has one part alone. Of a group t-of-n there is one part for every subset of t - 1
of its members, held by the n - t + 1 members outside of it (replicated secret sharing: Ito, Saito,
Nishizeki, GLOBECOM 1987). So t members of the group hold all its parts between them, since no
subset of t - 1 has them all inside; and any t - 1 lack the part of their own subset. Nothing is
divided by Lagrange coefficients, so small noise stays small. The number of parts grows like a
binomial coefficient, which is why a committee has five members at most.

The *dealer* of a part is its first holder, in the committee's order: the order of this text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Final, Self

from strongroom.errors import CommitteeError

MAXIMUM_MEMBERS: Final = 5
MAXIMUM_TEXT: Final = 512

NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
"""Of a member's name, the same as of an identity's."""

_NAME: Final = re.compile(NAME_PATTERN)
_GROUP: Final = re.compile(r"([0-9]{1,2})-of-([0-9]{1,2}) ?\(([^()]*)\)")
_AND: Final = "AND"


@dataclass(frozen=True)
class Access:
    """Who must agree. Immutable; made by `parse`, or from its fields.

    Attributes:
        required: names of members without whom nothing is decrypted.
        threshold: how many of the others it takes besides; 0 if there are none.
        others: names of the members of the group.

    Raises:
        CommitteeError: SR-COMMITTEE-ACCESS.
    """

    required: tuple[str, ...]
    threshold: int = 0
    others: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        members = self.required + self.others
        for name in members:
            if not _NAME.fullmatch(name) or name.upper() == _AND:
                raise _wrong(f"{ascii(name)[:80]} can't be the name of a member")
        if len(set(members)) != len(members):
            raise _wrong("a member is named twice")
        if not 1 <= len(members) <= MAXIMUM_MEMBERS:
            raise _wrong(f"a committee has 1 to {MAXIMUM_MEMBERS} members, not {len(members)}")
        if len(self.others) == 1:
            raise _wrong(f"a group of {self.others[0]} alone: write it as a required member")
        if not (1 if self.others else 0) <= self.threshold <= len(self.others):
            raise _wrong(f"{self.threshold} of {len(self.others)} members can't be asked for")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The structure that a text describes; names are in the committee's order.

        Raises:
            CommitteeError: SR-COMMITTEE-ACCESS.
        """
        if len(text) > MAXIMUM_TEXT:
            raise _wrong(f"its text has {len(text)} characters")
        required: list[str] = []
        threshold, others = 0, tuple[str, ...]()
        for term in (term.strip() for term in text.split(f" {_AND} ")):
            if others:
                raise _wrong("a group comes last, and there is one at most")
            if (group := _GROUP.fullmatch(term)) is None:
                required.append(term)
                continue
            threshold = int(group[1])
            others = tuple(name.strip() for name in group[3].split(","))
            if len(others) != int(group[2]):
                raise _wrong(f"{group[1]}-of-{group[2]} names {len(others)} members")
        return cls(tuple(required), threshold, others)

    def __str__(self) -> str:
        terms = list(self.required)
        if self.others:
            terms.append(f"{self.threshold}-of-{len(self.others)}({', '.join(self.others)})")
        return f" {_AND} ".join(terms)

    @property
    def members(self) -> tuple[str, ...]:
        """All members, in the committee's order."""
        return self.required + self.others

    def parts(self) -> tuple[tuple[str, ...], ...]:
        """The holders of each part, in the committee's order, the dealer first.

        Parts are numbered from 0 by their place here: those of required members, then those of
        the group, by the subset that lacks them in lexicographic order.
        """
        return self._parts

    @cached_property
    def _parts(self) -> tuple[tuple[str, ...], ...]:
        parts: list[tuple[str, ...]] = [(name,) for name in self.required]
        if self.others:
            for outside in combinations(self.others, self.threshold - 1):
                parts.append(tuple(name for name in self.others if name not in outside))
        return tuple(parts)

    def dealer(self, part: int) -> str:
        """Who makes a part and what follows from it."""
        return self._parts[part][0]

    def held_by(self, member: str) -> tuple[int, ...]:
        """The parts of a member, ascending."""
        return tuple(i for i, holders in enumerate(self._parts) if member in holders)

    def dealt_by(self, member: str) -> tuple[int, ...]:
        """The parts that a member deals, ascending."""
        return tuple(i for i, holders in enumerate(self._parts) if holders[0] == member)

    def allows(self, active: Iterable[str]) -> bool:
        """Whether these members together may decrypt; false if one is no member."""
        chosen = set(active)
        return (
            chosen <= set(self.members)
            and chosen >= set(self.required)
            and len(chosen & set(self.others)) >= self.threshold
        )

    def require(self, active: Sequence[str]) -> None:
        """Refuse an active set that is not allowed, or not written in the committee's order.

        Raises:
            CommitteeError: SR-COMMITTEE-ACCESS.
        """
        if list(active) != [name for name in self.members if name in active]:
            raise CommitteeError(
                "SR-COMMITTEE-ACCESS",
                "an active set does not name members of the committee, each once, in its order",
                f"Name some of {', '.join(self.members)}",
            )
        if not self.allows(active):
            raise CommitteeError(
                "SR-COMMITTEE-ACCESS",
                f"{', '.join(active) or 'nobody'} can't decrypt alone: it takes {self}",
                "Ask more members",
            )

    def answerers(self, active: Sequence[str]) -> Mapping[int, str]:
        """Who answers for each part: its first holder in the active set.

        Raises:
            CommitteeError: SR-COMMITTEE-ACCESS, as `require`.
        """
        self.require(active)
        return {
            part: next(name for name in holders if name in active)
            for part, holders in enumerate(self._parts)
        }

    def answered_by(self, member: str) -> tuple[tuple[int, ...], ...]:
        """All sets of parts that a member may have to answer for in one request, ascending."""
        sizes = range(1, len(self.members) + 1)
        sets = (chosen for size in sizes for chosen in combinations(self.members, size))
        allowed = (self.answerers(active) for active in sets if self.allows(active))
        found = {
            tuple(part for part, name in answerers.items() if name == member)
            for answerers in allowed
        }
        return tuple(sorted(found - {()}))

    def smallest_sets(self) -> tuple[tuple[str, ...], ...]:
        """The sets that may decrypt and hold nobody who could be left out, each in order."""
        return tuple(self.required + chosen for chosen in combinations(self.others, self.threshold))


def _wrong(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-COMMITTEE-ACCESS",
        f"the access structure makes no sense: {what}",
        'Write it like "vendor AND 1-of-2(hospital, auditor)"',
    )
