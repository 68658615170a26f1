"""The coordinator's side of a refresh: as of a setup (`coordinator`), with messages only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from strongroom.errors import CommitteeError
from strongroom.keys.committee.messages import Confirm, setup_error
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.refresh_record import RefreshView
from strongroom.keys.committee.statement import Committee, MemberSignatures, Refresh


class RefreshCoordinator:
    """One refresh. Not for several threads.

    Args:
        committee: as it is now; verified.
        proposal: that `propose_refresh` made.
        checks: of the present parts.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS.
        ValueError: the checks are not those of the committee's present state.
    """

    def __init__(self, committee: Committee, proposal: bytes, checks: PartChecks) -> None:
        self._view = view = RefreshView(committee, proposal, checks)
        self._messages: tuple[bytes, ...] = ()
        self._committee: Committee | None = None
        self._rounds: Iterator[Callable[[Sequence[bytes]], object]] = iter(
            (view.take_keys, view.take_deals, self._take_confirms)
        )

    @property
    def messages(self) -> tuple[bytes, ...]:
        """What every member's next answer is to."""
        return self._messages

    @property
    def finished(self) -> bool:
        """Whether all members have signed."""
        return self._committee is not None

    @property
    def committee(self) -> Committee:
        """The committee with one more record.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP if not all signed.
        """
        if self._committee is None:
            raise setup_error("not all members have signed")
        return self._committee

    @property
    def checks(self) -> PartChecks:
        """Of the new parts, as all members signed.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP if not all signed.
        """
        if self._committee is None:
            raise setup_error("not all members have signed")
        return self._view.checks

    def take(self, messages: Sequence[bytes]) -> None:
        """All members' messages of the next round, untrusted, in the committee's order.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose message is wrong.
        """
        try:
            if (step := next(self._rounds, None)) is None:
                raise setup_error("the refresh has ended")
            step(messages)
        except CommitteeError:
            self._rounds = iter(())
            raise
        self._messages = tuple(messages)

    def _take_confirms(self, messages: Sequence[bytes]) -> None:
        record = self._view.record()
        confirms = self._view.transcript.take(Confirm, messages)
        members = tuple(MemberSignatures(name, said.signatures) for name, said in confirms.items())
        before = self._view.committee
        refreshes = (*before.refreshes, Refresh(record, members))
        committee = msgspec.structs.replace(before, refreshes=refreshes)
        committee.verify()
        self._committee = committee
