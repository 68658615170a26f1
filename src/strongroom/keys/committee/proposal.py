"""The proposal: what key a committee shall make, who its members are, and whom it takes to decrypt.

The coordinator writes and signs it; it needs no member's trust, since every member checks the
proposal against what its operator allows, and signs it in the end with everything that followed.
It is bounded by its type, checked once, and from then on a `Terms`.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal, Self, TypeVar

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.engine import RELINEARISATION, Parameters, catalogued
from strongroom.errors import CommitteeError, PackageError, StrongroomError
from strongroom.keys.committee.access import MAXIMUM_MEMBERS, MAXIMUM_TEXT, NAME_PATTERN, Access
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.moments import Moment, write_moment
from strongroom.package.records import decode_record
from strongroom.protections.interface import KeyNeeds

FORMAT: Final = "strongroom-committee-1"
MAXIMUM_PROPOSAL_BYTES: Final = 2**20
MAXIMUM_KEYS: Final = 4096
DEFAULT_SHARE_BUDGET: Final = 2**20
MAXIMUM_SHARE_BUDGET: Final = 2**40

_PURPOSE: Final = "committee proposal"

MemberName = Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}\\Z")]
IdentityText = Annotated[str, msgspec.Meta(max_length=8192)]
Nonce = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Element = Annotated[int, msgspec.Meta(ge=0, le=2**18)]
Limbs = Annotated[int, msgspec.Meta(ge=1, le=255)]
ShareBudget = Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_SHARE_BUDGET)]
Record = TypeVar("Record", bound=msgspec.Struct)


class Seat(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's place.

    Attributes:
        name: as the access structure writes it.
        identity: the text of its public identity.
        url: where its service is reached.
    """

    name: MemberName
    identity: IdentityText
    url: Annotated[str, msgspec.Meta(pattern=r"^https?://[!-~]{1,500}\Z")]


class WantedKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An evaluation key that shall be made.

    Attributes:
        element: `engine.RELINEARISATION` or a Galois element.
        limbs: for ciphertexts of up to so many primes.
    """

    element: Element
    limbs: Limbs


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What shall be made.

    Attributes:
        format: `FORMAT`.
        access: the access structure, see `access`.
        members: in the order of the access structure.
        coordinator: the text of its public identity; usually the model's owner.
        parameters: name in the catalogue.
        keys: evaluation keys, ascending by element.
        public_limbs: level of the public key.
        share_budget: shares of results that the key allows, of all members together.
        created: UTC.
        nonce: random, so that no two proposals are the same.
    """

    format: Literal["strongroom-committee-1"]
    access: Annotated[str, msgspec.Meta(max_length=MAXIMUM_TEXT)]
    members: Annotated[tuple[Seat, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_MEMBERS)]
    coordinator: IdentityText
    parameters: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
    keys: Annotated[tuple[WantedKey, ...], msgspec.Meta(max_length=MAXIMUM_KEYS)]
    public_limbs: Limbs
    share_budget: ShareBudget
    created: Moment
    nonce: Nonce


class SignedProposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A proposal with its coordinator's signatures."""

    proposal: Proposal
    signatures: Signatures


@dataclass(frozen=True, slots=True)
class Terms:
    """A proposal that has been checked; nobody checks it again.

    Attributes:
        proposal: as it was signed.
        digest: of its canonical bytes.
        access: the access structure.
        parameters: from the catalogue.
        identities: of the members, by name, in the committee's order.
        coordinator: who proposes.
    """

    proposal: Proposal
    digest: str
    access: Access
    parameters: Parameters
    identities: Mapping[str, PublicIdentity]
    coordinator: PublicIdentity

    @classmethod
    def of(cls, proposal: Proposal) -> Self:
        """Check a proposal in itself.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS.
        """
        access, identities = check_members(proposal.access, proposal.members)
        try:
            parameters = catalogued(proposal.parameters)
            coordinator = PublicIdentity.from_text(proposal.coordinator)
        except StrongroomError as error:
            raise refused(f"its parameters or its coordinator: {error.message}") from error
        elements = [key.element for key in proposal.keys]
        if elements != sorted(set(elements)):
            raise refused("its keys are not in ascending order, each once")
        if proposal.keys and not parameters.special_primes:
            raise refused("its parameters have no special primes for evaluation keys")
        for key in proposal.keys:
            galois = key.element % 2 == 1 and 1 < key.element < 2 * parameters.ring_degree
            if not (galois or key.element == RELINEARISATION) or key.limbs > parameters.limbs:
                raise refused(f"there is no key of {key.limbs} primes for element {key.element}")
        if proposal.public_limbs > parameters.limbs:
            raise refused(f"there is no public key of {proposal.public_limbs} primes")
        name = digest(canonical_json(proposal))
        return cls(proposal, name, access, parameters, identities, coordinator)

    @property
    def members(self) -> tuple[str, ...]:
        """The members' names, in the committee's order."""
        return self.access.members

    def name_of(self, fingerprint: str) -> str | None:
        """Which member has an identity; None if none has."""
        found = (n for n, one in self.identities.items() if one.fingerprint == fingerprint)
        return next(found, None)


def propose(
    coordinator: Identity,
    access: Access,
    seats: Mapping[str, tuple[PublicIdentity, str]],
    needs: KeyNeeds,
    *,
    now: datetime,
    share_budget: int = DEFAULT_SHARE_BUDGET,
) -> SignedProposal:
    """A fresh proposal.

    Args:
        coordinator: signs it.
        access: who must agree.
        seats: identity and URL of each member, by name.
        needs: the keys that models need; `public_limbs` is at least 1.
        now: UTC.
        share_budget: shares of results that the key shall allow.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS.
    """
    if set(seats) != set(access.members):
        raise refused("its members are not those of the access structure")
    identities = {name: identity for name, (identity, _) in seats.items()}
    proposal = Proposal(
        format=FORMAT,
        access=str(access),
        members=tuple(
            Seat(name, identities[name].to_text(), seats[name][1]) for name in access.members
        ),
        coordinator=coordinator.public.to_text(),
        parameters=needs.parameters,
        keys=tuple(WantedKey(need.element, need.limbs) for need in needs.keys),
        public_limbs=needs.public_limbs,
        share_budget=share_budget,
        created=write_moment(now),
        nonce=secrets.token_hex(32),
    )
    decode(canonical_json(proposal), Proposal, "the proposal", MAXIMUM_PROPOSAL_BYTES)
    terms = Terms.of(proposal)
    signatures = coordinator.sign(_PURPOSE, canonical_json(proposal))
    return SignedProposal(terms.proposal, signatures)


def open_proposal(data: bytes) -> Terms:
    """Read an untrusted proposal and check it, its signatures too.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP, SR-COMMITTEE-ACCESS.
    """
    signed = decode(data, SignedProposal, "the proposal", MAXIMUM_PROPOSAL_BYTES)
    terms = Terms.of(signed.proposal)
    try:
        terms.coordinator.verify(signed.signatures, _PURPOSE, canonical_json(signed.proposal))
    except PackageError as error:
        raise refused("it is not signed by the coordinator that it names") from error
    return terms


def check_members(access: str, seats: tuple[Seat, ...]) -> tuple[Access, dict[str, PublicIdentity]]:
    """The access structure in a text and the identities of its members, in its order.

    Raises:
        CommitteeError: SR-COMMITTEE-SETUP if text and seats do not belong together, or one
            identity has two seats; SR-COMMITTEE-ACCESS.
    """
    structure = Access.parse(access)
    if str(structure) != access:
        raise refused("its access structure is not written in the one form")
    if structure.members != tuple(seat.name for seat in seats):
        raise refused("its members are not those of the access structure, in its order")
    identities: dict[str, PublicIdentity] = {}
    for seat in seats:
        try:
            identities[seat.name] = PublicIdentity.from_text(seat.identity)
        except StrongroomError as error:
            raise refused(f"the identity of {seat.name} is none", member=seat.name) from error
    if len({identity.fingerprint for identity in identities.values()}) != len(seats):
        raise refused("two members have the same identity, so one could answer for both")
    return structure, identities


def decode(
    data: bytes, record: type[Record], what: str, most: int, code: str = "SR-COMMITTEE-SETUP"
) -> Record:
    """Read an untrusted record in canonical form.

    Raises:
        CommitteeError: with the code.
    """
    try:
        return decode_record(data, record, what, most)
    except PackageError as error:
        raise CommitteeError(code, error.message, "Fetch it again from where it came") from error


def refused(what: str, *, member: str | None = None) -> CommitteeError:
    """The error for a proposal that nobody should agree to."""
    return CommitteeError(
        "SR-COMMITTEE-SETUP",
        f"the proposal is refused: {what}",
        "Let the coordinator make a new proposal",
        member=member,
    )
