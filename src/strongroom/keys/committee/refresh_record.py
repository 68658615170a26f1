"""The public side of a refresh: what everybody who sees the messages checks.

A refresh is proposed by the committee's coordinator for one state of the parts, and ends with a
record that all members sign. What it does and why: `refresh`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import combinations
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.engine.threshold import CHANGE_SUMMED, PartCheck
from strongroom.errors import CiphertextError, CommitteeError, PackageError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.messages import (
    DealtSeed,
    RefreshDeal,
    RefreshKey,
    Transcript,
    setup_error,
)
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.proposal import Nonce, decode
from strongroom.keys.committee.statement import Committee, RefreshRecord
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.moments import Moment, write_moment

_PURPOSE: Final = "committee refresh proposal"
_SEED_CONTEXT: Final = "strongroom committee refresh seed 1"
_COMMITMENT: Final = b"strongroom committee refresh seed\0"
_MAXIMUM_BYTES: Final = 2**16


class RefreshProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the coordinator of a committee asks its members to do.

    Attributes:
        format: "strongroom-refresh-1".
        committee: digest of the statement.
        before: the state that is to be replaced.
        epoch: number of the refresh, from 1.
        created: UTC.
        nonce: random.
    """

    format: Literal["strongroom-refresh-1"]
    committee: Digest
    before: Digest
    epoch: Annotated[int, msgspec.Meta(ge=1)]
    created: Moment
    nonce: Nonce


class SignedRefreshProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh's proposal with its coordinator's signatures."""

    proposal: RefreshProposal
    signatures: Signatures


def propose_refresh(coordinator: Identity, committee: Committee, *, now: datetime) -> bytes:
    """A fresh proposal, signed.

    Raises:
        CommitteeError: SR-COMMITTEE-ACCESS if the key has one part only: nothing can be moved.
    """
    require_pairs(committee.access)
    proposal = RefreshProposal(
        format="strongroom-refresh-1",
        committee=committee.digest,
        before=committee.state,
        epoch=committee.epoch + 1,
        created=write_moment(now),
        nonce=secrets.token_hex(32),
    )
    signatures = coordinator.sign(_PURPOSE, canonical_json(proposal))
    return canonical_json(SignedRefreshProposal(proposal, signatures))


class RefreshView:
    """The public side of a refresh: what everybody who sees the messages checks.

    Args:
        committee: as it is now; verified.
        proposal: untrusted bytes of a `SignedRefreshProposal`.
        checks: of the present parts.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS.
        ValueError: the checks are not those of the committee's present state.
    """

    def __init__(self, committee: Committee, proposal: bytes, checks: PartChecks) -> None:
        if checks.digest != committee.checks_digest:
            raise ValueError("these are the checks of other parts")
        signed = decode(proposal, SignedRefreshProposal, "the refresh's proposal", _MAXIMUM_BYTES)
        self.committee = committee
        self.proposal = signed.proposal
        coordinator = PublicIdentity.from_text(committee.statement.coordinator)
        try:
            coordinator.verify(signed.signatures, _PURPOSE, canonical_json(signed.proposal))
        except PackageError as error:
            raise setup_error("the refresh is not proposed by its coordinator") from error
        its = (signed.proposal.committee, signed.proposal.before, signed.proposal.epoch)
        if its != (committee.digest, committee.state, committee.epoch + 1):
            # A member's refusal carries this line alone.
            raise setup_error(
                "the refresh is of another committee, or of another state of it; a member that "
                "missed the end of the last one takes it with `strongroom member adopt`"
            )
        require_pairs(committee.access)
        name = digest(canonical_json(signed.proposal))
        self.transcript = Transcript(name, committee.identities)
        self._subject = name
        self._one_time_keys: Mapping[str, bytes] = {}
        self._checks = checks
        self._changes: dict[tuple[int, int], PartCheck] = {}

    @property
    def checks(self) -> PartChecks:
        """Of the parts as they are after the second round."""
        changes = ((add, subtract, one) for (add, subtract), one in self._changes.items())
        return self._checks.changed(changes)

    def change(self, add: int, subtract: int) -> PartCheck:
        """The check of what one part gains and another loses, as its dealer showed it."""
        return self._changes[add, subtract]

    def one_time_key(self, member: str) -> bytes:
        """The public half of a member's one-time key."""
        return self._one_time_keys[member]

    def take_keys(self, messages: Sequence[bytes]) -> None:
        """The first round, untrusted; raises SR-COMMITTEE-SETUP, as the others."""
        said = self.transcript.take(RefreshKey, messages)
        self._one_time_keys = {name: key.one_time_key for name, key in said.items()}

    def take_deals(self, messages: Sequence[bytes]) -> dict[str, RefreshDeal]:
        """The second round."""
        deals = self.transcript.take(RefreshDeal, messages)
        for name, deal in deals.items():
            expected = [
                (add, subtract, tuple(readers(self.committee.access, add, subtract)))
                for add, subtract in pairs_dealt_by(self.committee.access, name)
            ]
            found = [
                (one.add, one.subtract, tuple(sealed.holder for sealed in one.sealed))
                for one in deal.seeds
            ]
            if found != expected:
                raise setup_error("it does not deal the seeds that are its own", name)
            for one in deal.seeds:
                self._changes[one.add, one.subtract] = self._check(name, one)
        return deals

    def record(self) -> RefreshRecord:
        """What all members sign after the second round."""
        return RefreshRecord(
            committee=self.committee.digest,
            epoch=self.proposal.epoch,
            before=self.committee.state,
            proposal=self._subject,
            transcript=self.transcript.digest,
            checks=self.checks.digest,
            created=self.proposal.created,
        )

    def _check(self, dealer: str, one: DealtSeed) -> PartCheck:
        statement = self.committee.statement
        try:
            check = PartCheck.from_bytes(
                self.committee.parameters, statement.public_limbs, one.check
            )
        except CiphertextError as error:
            what = f"its check of the parts' change is none: {error.message}"
            raise setup_error(what, dealer) from error
        if check.summed != CHANGE_SUMMED:
            # Errors that are as large as one likes fit anything.
            what = "its check of the parts' change has errors of another size"
            raise setup_error(what, dealer)
        return check

    def seed_info(self, before: str, dealer: str, holder: str, add: int, subtract: int) -> bytes:
        """The context in which a seed is sealed."""
        return canonical_json([_SEED_CONTEXT, self._subject, before, dealer, holder, add, subtract])


def pairs_dealt_by(access: Access, member: str) -> tuple[tuple[int, int], ...]:
    """The pairs of parts whose seeds a member draws: it deals the first of them."""
    pairs = combinations(range(len(access.parts())), 2)
    return tuple((add, subtract) for add, subtract in pairs if access.dealer(add) == member)


def readers(access: Access, add: int, subtract: int) -> tuple[str, ...]:
    """Who gets the seed of a pair: all holders of either part but the dealer, in order."""
    holders = {*access.parts()[add], *access.parts()[subtract]} - {access.dealer(add)}
    return tuple(name for name in access.members if name in holders)


def require_pairs(access: Access) -> None:
    """Refuse to refresh a key of one part.

    Raises:
        CommitteeError: SR-COMMITTEE-ACCESS.
    """
    if len(access.parts()) < 2:
        raise CommitteeError(
            "SR-COMMITTEE-ACCESS",
            f"the key of {access} has one part, which can't change while the key stays",
            "Form a new committee and encrypt the model anew",
        )


def seed_commitment(seed: bytes) -> str:
    """What binds a dealer to a seed before all holders."""
    return digest(_COMMITMENT + seed)
