"""What members say to each other, signed and chained: whoever carries it can't alter it.

Every round each member says one thing. What it says names what it is about (the digest of the
proposal), who says it, and the *transcript*: a digest of everything that everybody said before.

    T_0     = digest of the proposal
    T_(i+1) = digest of [T_i, the digests of all members' messages of round i, in their order]

So a message of another setup, of an earlier attempt, of another round, or of somebody to whom
other messages were shown is not one here, and the first difference ends the setup, naming whose
message it was. A digest is of the message without its signatures: there may be several valid
signatures of one message.

What is secret is sealed to its reader's one-time key (`keys.one_time_keys`); key shares are large
and travel beside the messages, which hold their digests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final, TypeVar

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.errors import CommitteeError, PackageError
from strongroom.keys.committee.proposal import MAXIMUM_KEYS, MemberName, decode
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.keys.one_time_keys import ONE_TIME_KEY_BYTES, SEALING_BYTES

CONTRIBUTION_BYTES: Final = 32
SEED_BYTES: Final = 32
MAXIMUM_MESSAGE_BYTES: Final = 96 * 2**20
"""Most of it checks of what a refresh changes: a member deals at most 21 pairs."""


_PURPOSE: Final = "committee message"
_MAXIMUM_PARTS: Final = 16
_MAXIMUM_SEALED: Final = 64
_MAXIMUM_PART_BYTES: Final = 2**16
_MAXIMUM_CHECK_BYTES: Final = 8 * 2**20

OneTimePublic = Annotated[
    bytes, msgspec.Meta(min_length=ONE_TIME_KEY_BYTES, max_length=ONE_TIME_KEY_BYTES)
]
PartNumber = Annotated[int, msgspec.Meta(ge=0, le=_MAXIMUM_PARTS)]


class _Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all bodies have in common."""


class Commit(_Said, frozen=True, tag="commit"):
    """First: bound to a contribution that nobody knows yet.

    Attributes:
        contribution: digest that `setup_record.commitment` makes of it.
        one_time_key: the public half of the key that parts are sealed to.
    """

    contribution: Digest
    one_time_key: OneTimePublic


class Reveal(_Said, frozen=True, tag="reveal"):
    """Second: the contribution to the common randomness, 32 random bytes."""

    contribution: Annotated[
        bytes, msgspec.Meta(min_length=CONTRIBUTION_BYTES, max_length=CONTRIBUTION_BYTES)
    ]


class SealedPart(_Said, frozen=True):
    """A part on its way from its dealer to another holder.

    Attributes:
        part: its number.
        holder: name of the member that it is sealed to.
        sealed: HPKE; its context names proposal, transcript, part, dealer and holder.
    """

    part: PartNumber
    holder: MemberName
    sealed: Annotated[
        bytes,
        msgspec.Meta(min_length=SEALING_BYTES, max_length=SEALING_BYTES + _MAXIMUM_PART_BYTES),
    ]


class Offer(_Said, frozen=True, tag="offer"):
    """Third: parts for their other holders, and digests of the shares of all keys.

    Attributes:
        parts: for each part that the sender deals, by number, each other holder in order.
        shares: `key_items.share_digest` of each item, and in it of each dealt part.
    """

    parts: Annotated[tuple[SealedPart, ...], msgspec.Meta(max_length=_MAXIMUM_SEALED)]
    shares: Annotated[
        tuple[Digest, ...], msgspec.Meta(max_length=(MAXIMUM_KEYS + 2) * _MAXIMUM_PARTS)
    ]


class Agree(_Said, frozen=True, tag="agree"):
    """Fourth, and after the second shares again: the sender is shown what everybody is bound to,
    the transcript says which, and its parts open."""


class Second(_Said, frozen=True, tag="second"):
    """Fifth, where products are needed: digests of the second shares of that key.

    Attributes:
        shares: `key_items.share_digest` of each part that the sender deals, by number.
    """

    shares: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=_MAXIMUM_PARTS)]


class Confirm(_Said, frozen=True, tag="confirm"):
    """Last: the sender holds its parts on disk, and signs the outcome.

    Attributes:
        signatures: of the statement, or of the record of a refresh.
    """

    signatures: Signatures


class RefreshKey(_Said, frozen=True, tag="refresh-key"):
    """First of a refresh: the public half of the key that seeds are sealed to."""

    one_time_key: OneTimePublic


class SealedSeed(_Said, frozen=True):
    """A seed on its way to a holder of one of the two parts that it changes."""

    holder: MemberName
    sealed: Annotated[
        bytes,
        msgspec.Meta(min_length=SEALING_BYTES + SEED_BYTES, max_length=SEALING_BYTES + SEED_BYTES),
    ]


class DealtSeed(_Said, frozen=True):
    """A change of two parts that cancels out.

    Attributes:
        add: number of the part to which what follows from the seed is added.
        subtract: number of the part from which it is subtracted.
        commitment: digest that `refresh_record.seed_commitment` makes of the seed.
        check: `engine.threshold.PartCheck` of what follows from the seed.
        sealed: for every holder of either part but the sender, in the committee's order.
    """

    add: PartNumber
    subtract: PartNumber
    commitment: Digest
    check: Annotated[bytes, msgspec.Meta(max_length=_MAXIMUM_CHECK_BYTES)]
    sealed: Annotated[tuple[SealedSeed, ...], msgspec.Meta(max_length=_MAXIMUM_PARTS)]


class RefreshDeal(_Said, frozen=True, tag="refresh-deal"):
    """Second of a refresh: the seeds of all pairs whose first part the sender deals."""

    seeds: Annotated[tuple[DealtSeed, ...], msgspec.Meta(max_length=_MAXIMUM_SEALED)]


Body = Commit | Reveal | Offer | Agree | Second | Confirm | RefreshKey | RefreshDeal
Kind = TypeVar("Kind", Commit, Reveal, Offer, Agree, Second, Confirm, RefreshKey, RefreshDeal)


class Message(_Said, frozen=True):
    """What one member says in one round.

    Attributes:
        subject: digest of the proposal that it is about.
        before: the transcript up to this round.
        sender: name of the member.
        body: what it says; its tag is the round.
    """

    subject: Digest
    before: Digest
    sender: MemberName
    body: Body


class SignedMessage(_Said, frozen=True):
    """A message with its sender's signatures."""

    message: Message
    signatures: Signatures


class Transcript:
    """All that was said about one proposal, as one digest. Refuses what does not continue it.

    Args:
        subject: digest of the proposal.
        identities: of all members, by name, in the committee's order.
    """

    def __init__(self, subject: str, identities: Mapping[str, PublicIdentity]) -> None:
        self._subject = subject
        self._identities = identities
        self._digest = subject

    @property
    def digest(self) -> str:
        """Of everything so far."""
        return self._digest

    def say(self, identity: Identity, sender: str, body: Body) -> bytes:
        """A member's message of the next round, signed."""
        message = Message(self._subject, self._digest, sender, body)
        signatures = identity.sign(_PURPOSE, canonical_json(message))
        return canonical_json(SignedMessage(message, signatures))

    def take(self, kind: type[Kind], messages: Sequence[bytes]) -> dict[str, Kind]:
        """Take all members' messages of a round, untrusted; all of them, or none.

        Args:
            kind: what this round's bodies are.
            messages: one from each member, in the committee's order.

        Returns:
            The bodies, by name.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose message is wrong.
        """
        if len(messages) != len(self._identities):
            raise setup_error(f"{len(messages)} messages came from {len(self._identities)} members")
        bodies: dict[str, Kind] = {}
        digests = []
        for (name, identity), data in zip(self._identities.items(), messages, strict=True):
            try:
                signed = decode(data, SignedMessage, "a message", MAXIMUM_MESSAGE_BYTES)
            except CommitteeError as error:
                raise setup_error(error.message, name) from error
            body = self._body(name, identity, signed, kind)
            bodies[name] = body
            digests.append(digest(canonical_json(signed.message)))
        self._digest = digest(canonical_json([self._digest, digests]))
        return bodies

    def _body(
        self, name: str, identity: PublicIdentity, signed: SignedMessage, kind: type[Kind]
    ) -> Kind:
        message = signed.message
        if message.sender != name:
            raise setup_error(f"a message of {message.sender} came in its place", name)
        try:
            identity.verify(signed.signatures, _PURPOSE, canonical_json(message))
        except PackageError as error:
            raise setup_error("its message is not signed by it", name) from error
        if message.subject != self._subject:
            raise setup_error("its message is about another proposal", name)
        if not isinstance(message.body, kind):
            raise setup_error("its message is of another round", name)
        if message.before != self._digest:
            raise setup_error("it was shown other messages than were shown here", name)
        return message.body


def setup_error(what: str, member: str | None = None) -> CommitteeError:
    """The error for a wrong message, which ends what it belongs to."""
    whose = "the committee" if member is None else f"the committee's member {member}"
    return CommitteeError(
        "SR-COMMITTEE-SETUP",
        f"{whose} does not get any further: {what}",
        "Begin again with a new proposal; if it stays, ask that member's operator",
        member=member,
    )
