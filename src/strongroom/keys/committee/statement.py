"""The statement: what a committee is, signed by all of its members.

It names the key by digests: of the public key, of every evaluation key, of the common randomness,
and of the transcript, which covers every message of the setup. Its own digest is the committee's
name, which the plan of a model that is encrypted under its key has. That name stays as long as
the key: a refresh changes the members' parts and not the key, and is recorded behind the
statement. Whoever wants other members, another access structure or further keys makes a new
committee and encrypts the model anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.durable import write_durably
from strongroom.engine import Parameters, catalogued
from strongroom.errors import CommitteeError, PackageError, StrongroomError
from strongroom.keys.committee.access import MAXIMUM_MEMBERS, MAXIMUM_TEXT, Access
from strongroom.keys.committee.proposal import (
    MAXIMUM_KEYS,
    Element,
    IdentityText,
    Limbs,
    MemberName,
    Nonce,
    Seat,
    ShareBudget,
    check_members,
    decode,
)
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.moments import Moment
from strongroom.protections.interface import KeyNeed, KeyNeeds

STATEMENT_PURPOSE: Final = "committee statement"
COORDINATOR_PURPOSE: Final = "committee coordinator"
REFRESH_PURPOSE: Final = "committee refresh"
MAXIMUM_COMMITTEE_BYTES: Final = 16 * 2**20
PUBLIC_MODE: Final = 0o644
"""Of files that anybody may read."""

_MAXIMUM_REFRESHES: Final = 256

Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class MadeKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An evaluation key.

    Attributes:
        element: `engine.RELINEARISATION` or a Galois element.
        limbs: for ciphertexts of up to so many primes.
        digest: SHA-256 of its words, hexadecimal, as the index of its key file has it.
    """

    element: Element
    limbs: Limbs
    digest: Hex32


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all members sign.

    Attributes:
        format, access, members, coordinator, parameters, public_limbs, share_budget, created:
            as of the `Proposal`.
        parameters_digest: of the parameters themselves, hexadecimal.
        public_key: SHA-256 of the serialised public key, hexadecimal.
        keys: evaluation keys, ascending by element.
        checks: SHA-256 of the checks of all parts (`part_checks`), hexadecimal.
        seed: the common randomness, hexadecimal.
        proposal: digest of the proposal.
        transcript: of the setup, up to the last message about keys.
    """

    format: Literal["strongroom-committee-1"]
    access: Annotated[str, msgspec.Meta(max_length=MAXIMUM_TEXT)]
    members: Annotated[tuple[Seat, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_MEMBERS)]
    coordinator: IdentityText
    parameters: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}\Z")]
    parameters_digest: Hex32
    public_limbs: Limbs
    public_key: Hex32
    keys: Annotated[tuple[MadeKey, ...], msgspec.Meta(max_length=MAXIMUM_KEYS)]
    checks: Hex32
    share_budget: ShareBudget
    created: Moment
    seed: Nonce
    proposal: Digest
    transcript: Digest


class MemberSignatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One member's signatures of a statement or a record."""

    member: MemberName
    signatures: Signatures


AllSignatures = Annotated[
    tuple[MemberSignatures, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_MEMBERS)
]


class RefreshRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """That all parts were changed, and the key was not.

    Attributes:
        committee: digest of the statement.
        epoch: number of the refresh, from 1.
        before: digest of the record before, of the statement for the first.
        proposal: digest of the refresh's proposal.
        transcript: of the refresh, which covers the commitments to all seeds.
        checks: SHA-256 of the checks of the new parts, hexadecimal.
        created: UTC.
    """

    committee: Digest
    epoch: Annotated[int, msgspec.Meta(ge=1, le=_MAXIMUM_REFRESHES)]
    before: Digest
    proposal: Digest
    transcript: Digest
    checks: Hex32
    created: Moment


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record with the signatures of all members, in the committee's order."""

    record: RefreshRecord
    signatures: AllSignatures


class Committee(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A committee as everybody knows it: the file `committee.json`. Says nothing until `verify`.

    Attributes:
        statement: what it is.
        coordinator: its coordinator's signatures of the statement.
        members: all members' signatures of the statement, in the committee's order.
        refreshes: all refreshes, oldest first.
    """

    statement: Statement
    coordinator: Signatures
    members: AllSignatures
    refreshes: Annotated[tuple[Refresh, ...], msgspec.Meta(max_length=_MAXIMUM_REFRESHES)] = ()

    @cached_property
    def digest(self) -> str:
        """The committee's name: the digest of its statement. A refresh does not change it."""
        return digest(canonical_json(self.statement))

    @property
    def epoch(self) -> int:
        """How often the parts were refreshed."""
        return len(self.refreshes)

    @cached_property
    def states(self) -> tuple[str, ...]:
        """What members' parts belonged to, oldest first: digests of statement and records."""
        records = (canonical_json(refresh.record) for refresh in self.refreshes)
        return (self.digest, *map(digest, records))

    @property
    def state(self) -> str:
        """What the members' present parts belong to, the last of `states`."""
        return self.states[-1]

    @property
    def checks_digest(self) -> str:
        """SHA-256 of the checks of the members' present parts, hexadecimal."""
        return self.refreshes[-1].record.checks if self.refreshes else self.statement.checks

    @cached_property
    def access(self) -> Access:
        """Who must agree."""
        return Access.parse(self.statement.access)

    @cached_property
    def identities(self) -> Mapping[str, PublicIdentity]:
        """Of the members, by name, in the committee's order."""
        return check_members(self.statement.access, self.statement.members)[1]

    @property
    def urls(self) -> Mapping[str, str]:
        """Where the members are reached, by name."""
        return {seat.name: seat.url for seat in self.statement.members}

    @property
    def parameters(self) -> Parameters:
        """From the catalogue."""
        return catalogued(self.statement.parameters)

    @property
    def needs(self) -> KeyNeeds:
        """The keys that there are."""
        keys = tuple(KeyNeed(key.element, key.limbs) for key in self.statement.keys)
        return KeyNeeds(self.statement.parameters, keys, self.statement.public_limbs)

    def name_of(self, fingerprint: str) -> str | None:
        """Which member has an identity; None if none has."""
        found = (n for n, one in self.identities.items() if one.fingerprint == fingerprint)
        return next(found, None)

    def verify(self, owner: str | None = None) -> None:
        """Check the signatures of all members and of the coordinator, and all refreshes.

        Args:
            owner: fingerprint that the coordinator must have; anybody's if None. Then it is the
                digest that must be known from elsewhere: from a signed package.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE if it does not hold; SR-COMMITTEE-MISMATCH for
                another coordinator; SR-COMMITTEE-ACCESS.
        """
        try:
            coordinator = PublicIdentity.from_text(self.statement.coordinator)
            known = self.parameters.digest.hex() == self.statement.parameters_digest
            identities = self.identities
        except CommitteeError as error:
            raise file_error(error.message) from error
        except StrongroomError as error:
            raise file_error(f"its parameters or its coordinator: {error.message}") from error
        if not known:
            raise file_error("its parameters have another digest here")
        if owner is not None and coordinator.fingerprint != owner:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the committee was formed by {coordinator.fingerprint}, not by {owner}",
                "Ask the model's owner for its committee",
            )
        text = canonical_json(self.statement)
        try:
            coordinator.verify(self.coordinator, COORDINATOR_PURPOSE, text)
        except PackageError as error:
            raise file_error("it is not signed by its coordinator") from error
        verify_all(identities, self.members, STATEMENT_PURPOSE, text)
        for epoch, refresh in enumerate(self.refreshes, 1):
            record = refresh.record
            follows = (self.digest, epoch, self.states[epoch - 1])
            if (record.committee, record.epoch, record.before) != follows:
                raise file_error(f"its refresh {epoch} does not follow what is before it")
            verify_all(identities, refresh.signatures, REFRESH_PURPOSE, canonical_json(record))

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(self)

    @classmethod
    def from_bytes(cls, data: bytes, *, owner: str | None = None) -> Committee:
        """Read and `verify`.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH, SR-COMMITTEE-ACCESS.
        """
        committee = decode(data, cls, "the committee", MAXIMUM_COMMITTEE_BYTES, "SR-COMMITTEE-FILE")
        committee.verify(owner)
        return committee

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; one that is there is replaced.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE.
        """
        try:
            write_durably(path, [self.to_bytes()], replace=True, mode=PUBLIC_MODE)
        except OSError as error:
            raise file_error(f"{path} can't be written: {error.strerror or error}") from error

    @classmethod
    def read(cls, path: Path, *, owner: str | None = None) -> Committee:
        """Read a file and `verify`.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-MISMATCH, SR-COMMITTEE-ACCESS.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAXIMUM_COMMITTEE_BYTES + 1)
        except OSError as error:
            raise file_error(f"{path} can't be read: {error.strerror or error}") from error
        return cls.from_bytes(data, owner=owner)


def verify_all(
    identities: Mapping[str, PublicIdentity],
    signatures: tuple[MemberSignatures, ...],
    purpose: str,
    text: bytes,
) -> None:
    """Every member signed, in the committee's order.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, naming whose signatures do not hold.
    """
    if [one.member for one in signatures] != list(identities):
        raise file_error("it is not signed by each of its members, once, in their order")
    for one in signatures:
        try:
            identities[one.member].verify(one.signatures, purpose, text)
        except PackageError as error:
            raise file_error(f"its member {one.member} did not sign it", one.member) from error


def file_error(what: str, member: str | None = None) -> CommitteeError:
    """The error for a committee's statement or parts that can't be used."""
    return CommitteeError(
        "SR-COMMITTEE-FILE",
        f"what the committee signed, or what belongs to it, can't be used: {what}",
        "Fetch committee.json again from its coordinator",
        member=member,
    )
