"""The coordinator's side of a setup: carries messages, sums the keys, signs the outcome.

It holds no secret of the key and can't forge or exchange a message; what it can do is not finish.

    coordinator = Coordinator(identity, propose(...), writer)
    every member starts with coordinator.proposal
    while not coordinator.finished:
        messages = each member's answer to coordinator.messages, in the committee's order
        coordinator.take(messages)
        for item in coordinator.wanted:
            shares = each dealer's share of the item, by number of the part
            coordinator.take_shares(item.name, shares); and so does every member
    every member finishes with coordinator.committee
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from strongroom.canonical import canonical_json
from strongroom.errors import CommitteeError
from strongroom.keys.committee.key_items import KeyItem, second_items
from strongroom.keys.committee.messages import setup_error
from strongroom.keys.committee.proposal import SignedProposal, Terms, open_proposal
from strongroom.keys.committee.setup_record import KeySink, SetupRecord
from strongroom.keys.committee.statement import (
    COORDINATOR_PURPOSE,
    Committee,
    MemberSignatures,
)
from strongroom.keys.identity import Identity


class Coordinator:
    """One setup. Not for several threads.

    Args:
        identity: that signed the proposal.
        proposal: what `propose` made.
        sink: gets the keys; usually a `CommitteeFolderWriter`.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP if the proposal is not this identity's.
    """

    def __init__(
        self, identity: Identity, proposal: SignedProposal, sink: KeySink | None = None
    ) -> None:
        self._identity = identity
        self._proposal = canonical_json(proposal)
        self._terms = terms = open_proposal(self._proposal)
        if terms.coordinator != identity.public:
            raise setup_error("its coordinator did not sign the proposal")
        self._record = SetupRecord(terms, sink)
        self._messages: tuple[bytes, ...] = ()
        self._committee: Committee | None = None
        self._agreed = False
        again = (self._take_seconds, self._take_agrees) if second_items(terms) else ()
        self._rounds: Iterator[Callable[[Sequence[bytes]], None]] = iter(
            (
                self._record.take_commits,
                self._record.take_reveals,
                self._take_offers,
                self._take_agrees,
                *again,
                self._take_confirms,
            )
        )

    @property
    def proposal(self) -> bytes:
        """What every member starts with."""
        return self._proposal

    @property
    def terms(self) -> Terms:
        """What was proposed."""
        return self._terms

    @property
    def messages(self) -> tuple[bytes, ...]:
        """What every member's next answer is to: all messages of the last round."""
        return self._messages

    @property
    def wanted(self) -> tuple[KeyItem, ...]:
        """Items whose shares are to be gathered before the next round, in their order."""
        return self._record.wanted if self._agreed else ()

    @property
    def finished(self) -> bool:
        """Whether the committee exists."""
        return self._committee is not None

    @property
    def committee(self) -> Committee:
        """The committee, signed by all.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP if not all did.
        """
        if self._committee is None:
            raise setup_error("not all members have signed")
        return self._committee

    def take(self, messages: Sequence[bytes]) -> None:
        """All members' messages of the next round, untrusted, in the committee's order.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose message is wrong; the setup has ended.
        """
        try:
            if (step := next(self._rounds, None)) is None:
                raise setup_error("the setup has ended")
            step(messages)
        except CommitteeError:
            self._rounds = iter(())
            raise
        self._messages = tuple(messages)

    def take_shares(self, item: str, shares: Mapping[int, bytes]) -> None:
        """All parts' shares of one item; see `SetupRecord.take_shares`.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose share is wrong; the setup has ended.
        """
        try:
            self._record.take_shares(item, shares)
        except CommitteeError:
            self._rounds = iter(())
            raise

    def _take_offers(self, messages: Sequence[bytes]) -> None:
        self._record.take_offers(messages)

    def _take_agrees(self, messages: Sequence[bytes]) -> None:
        self._record.take_agrees(messages)
        self._agreed = True

    def _take_seconds(self, messages: Sequence[bytes]) -> None:
        self._record.take_seconds(messages)
        self._agreed = False

    def _take_confirms(self, messages: Sequence[bytes]) -> None:
        statement = self._record.statement()
        confirms = self._record.take_confirms(messages)
        members = tuple(MemberSignatures(name, said.signatures) for name, said in confirms.items())
        text = canonical_json(statement)
        own = self._identity.sign(COORDINATOR_PURPOSE, text)
        committee = Committee(statement, own, members)
        committee.verify()
        self._committee = committee
