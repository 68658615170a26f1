"""What members know of each other's logs: countersigning, and noticing one that went back.

Rules:

1. A member countersigns a head of a peer's log that continues the last one it countersigned, link
   by link; and never one that is behind, or beside, what it has. It keeps the head on its own disk
   first.
2. A member that has started answers nothing before it has heard from so many peers that one of
   them must have countersigned whatever it gave out with enough witnesses; and if one of them has
   seen more of its log than it has, or something else, it answers nothing ever again: it was
   restored from an old copy, and would use budget and counters a second time.
3. A member that could not get its log countersigned for a number of answers gives no more. So
   that number bounds what a restored copy could repeat.

What a peer shows of a member's log is signed by that member, so a peer can't invent it.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final

from strongroom.errors import CommitteeError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.member.ledger import Ledger
from strongroom.member.log_heads import (
    COUNTERSIGNED_FOR,
    MOST_LINKS,
    START,
    Advance,
    LogHead,
    SignedHead,
    Witnessed,
    chained,
)
from strongroom.member.policy import MemberPolicy

_REMEDY: Final = (
    "Never restore a member from a backup: let it stay away, and have the committee make a new key"
)


class Witness:
    """What this member keeps of its peers' logs. Safe for threads.

    Args:
        identity: of this member.
        committee: digest of the committee's statement.
        ledger: that heads are kept in.
    """

    def __init__(self, identity: Identity, committee: str, ledger: Ledger) -> None:
        self._identity = identity
        self._committee = committee
        self._ledger = ledger
        self._lock = threading.Lock()

    def seen(self, peer: str) -> Witnessed:
        """The last head of a peer's log that was countersigned here."""
        head = self._ledger.peer_head(peer)
        return Witnessed() if head is None else self._countersigned(head)

    def countersign(self, peer: str, identity: PublicIdentity, advance: Advance) -> Witnessed:
        """Countersign how a peer's log goes on. If it starts elsewhere than where the last one
        ended, the answer is that one, and the peer shows more.

        Args:
            peer: name of the member whose log it is.
            identity: its.

        Raises:
            CommitteeError: SR-MEMBER-ROLLBACK if the log does not continue what was seen of it.
            KeyStoreError: SR-KEYS-FILE.
        """
        head = advance.head.head
        if (head.committee, head.member) != (self._committee, peer):
            raise _rolled_back(peer, "the head is of another log")
        advance.head.verify(identity)
        with self._lock:
            last = self._ledger.peer_head(peer)
            number, link = (0, START) if last is None else (last.head.number, last.head.link)
            if head.number < number:
                raise _rolled_back(
                    peer, f"it ends at entry {head.number}, and entry {number} was seen of it"
                )
            if advance.after != number:
                return self.seen(peer)
            if chained(number, link, advance.entries) != (head.number, head.link):
                raise _rolled_back(peer, f"it does not continue entry {number}, as it was seen")
            if head.number > number:
                self._ledger.keep_peer_head(advance.head)
            return self._countersigned(advance.head)

    def _countersigned(self, head: SignedHead) -> Witnessed:
        own = SignedHead.by(self._identity, head.head, COUNTERSIGNED_FOR)
        return Witnessed(head, own.signatures)


class Standing:
    """Whether this member's own log stands: what its peers have seen of it. Safe for threads.

    Args:
        identity: of this member.
        ledger: its log.
        peers: identities of the other members, by name.
    """

    def __init__(
        self, identity: Identity, ledger: Ledger, peers: Mapping[str, PublicIdentity]
    ) -> None:
        self._identity = identity
        self._ledger = ledger
        self._peers = peers
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._broken: CommitteeError | None = None

    def next_advance(self, peer: str) -> Advance | None:
        """What to show a peer next; None if it has seen all."""
        with self._lock:
            after = self._seen.get(peer, 0)
        head = self._ledger.head
        if head.number <= after:
            return None
        entries = self._ledger.entries_after(after, MOST_LINKS)
        number = after + len(entries)
        link = self._ledger.link_at(number)
        if link is None:  # a log does not get shorter
            raise AssertionError("the log has no link where it has an entry")
        shown = LogHead(committee=head.committee, member=head.member, number=number, link=link)
        return Advance(SignedHead.by(self._identity, shown), after, entries)

    def heard(self, peer: str, witnessed: Witnessed) -> None:
        """Take what a peer says that it has seen, untrusted.

        Raises:
            CommitteeError: SR-MEMBER-ROLLBACK if it has seen more than there is, or something
                else; from then on always. SR-MEMBER-REFUSED if it says nothing that holds.
        """
        number = 0
        if witnessed.head is not None:
            self._require_signed(peer, witnessed.head, witnessed.countersignature)
            number, link = witnessed.head.head.number, witnessed.head.head.link
            if self._ledger.link_at(number) != link:
                with self._lock:
                    self._broken = _rolled_back(
                        self._ledger.head.member,
                        f"member {peer} has countersigned entry {number} of it, and here "
                        f"it ends at {self._ledger.head.number} or differs",
                    )
                    raise self._broken
        with self._lock:
            self._seen[peer] = number

    def require(self, policy: MemberPolicy) -> None:
        """Nothing, if this member may answer.

        Raises:
            CommitteeError: SR-MEMBER-ROLLBACK; SR-MEMBER-UNREACHABLE (503) if too few peers were
                heard of, or have countersigned lately.
        """
        witnesses = min(policy.witnesses, len(self._peers))
        # Any so many have one in common with those who countersigned.
        needed = len(self._peers) - witnesses + 1 if witnesses else 0
        with self._lock:
            if self._broken is not None:
                raise self._broken
            missing = [name for name in self._peers if name not in self._seen]
            numbers = sorted(self._seen.values(), reverse=True)
        if len(numbers) < needed:
            raise _unheard(
                f"this member has started and not heard of {', '.join(missing)} yet, "
                "who may have seen more of its log"
            )
        if witnesses == 0:
            return
        countersigned = numbers[witnesses - 1] if len(numbers) >= witnesses else 0
        ahead = self._ledger.head.number - countersigned
        if ahead >= policy.unwitnessed:
            raise _unheard(f"{ahead} answers of this member are not countersigned")

    def _require_signed(
        self, peer: str, head: SignedHead, countersignature: Signatures | None
    ) -> None:
        own = self._ledger.head
        try:
            if (head.head.committee, head.head.member) != (own.committee, own.member):
                raise _rolled_back(own.member, "another log")
            head.verify(self._identity.public)
            if countersignature is None:
                raise _rolled_back(own.member, "no countersignature")
            SignedHead(head.head, countersignature).verify(self._peers[peer], COUNTERSIGNED_FOR)
        except CommitteeError as error:
            raise CommitteeError(
                "SR-MEMBER-REFUSED",
                f"member {peer} shows a head of this log that is not signed as it must be",
                "Ask that member's operator",
                member=peer,
                http_status=502,
            ) from error


def _rolled_back(member: str, what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-ROLLBACK",
        f"member {member}'s log went back: {what}",
        _REMEDY,
        member=member,
        http_status=403,
    )


def _unheard(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-UNREACHABLE",
        what,
        "Start the other members, and look at the way to them",
        http_status=503,
    )
