"""Queries: what an asker signs before a committee's members answer, and what they answer.

A hidden model's result is opened by its asker alone, from what the members of the asker's *active
set* say of it. The asker signs, for each request anew:

    which committee and package, who asks, the digest of its encrypted rows, how many result
    ciphertexts it wants, a one-time key that answers are sealed to, a counter that only grows, and
    the members whom it asks.

Each member answers with a `SealedShare`: words that only the one-time key opens, bound to query,
result and member, and signed, so that the asker can prove who sent what.

Rules:

1. A query is named by its digest; whatever differs in one byte is another query.
2. A one-time key is for one query. A retry is a new query, with rows encrypted anew.
3. A share opens under the query, the result and the member that it is for, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.errors import CommitteeError, PackageError
from strongroom.keys.committee.access import MAXIMUM_MEMBERS, NAME_PATTERN
from strongroom.keys.identity import Fingerprint, Identity, PublicIdentity, Signatures
from strongroom.keys.one_time_keys import ONE_TIME_KEY_BYTES, SEALING_BYTES, OneTimeKey, seal_to

FORMAT: Final = "strongroom-query-1"
PURPOSE: Final = "query"
"""What an asker's identity signs a query for."""

SHARE_PURPOSE: Final = "share"
"""What a member's identity signs a share for."""

MAXIMUM_RESULTS: Final = 2**16
MAXIMUM_SHARE_WORDS: Final = 2**22

_WORD: Final = np.dtype("<u8")
_INFO: Final = b"strongroom share\0"

MemberName = Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}\\Z")]


class Query(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an asker wants of a committee's members.

    Attributes:
        format: of this statement.
        committee: digest of the committee's statement.
        package: digest of the package that is asked.
        client: fingerprint of the asker.
        input: digest of the protected request, whole.
        blocks: how many result ciphertexts are to be opened.
        target: one-time X-Wing public key that shares are sealed to.
        counter: of this asker at this committee; each is used once, and they grow.
        active: names of the members that are asked, in the committee's order.
        issued: UTC, in milliseconds since 1970.
    """

    format: Literal["strongroom-query-1"] = FORMAT
    committee: Digest
    package: Digest
    client: Fingerprint
    input: Digest
    blocks: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RESULTS)]
    target: Annotated[
        bytes, msgspec.Meta(min_length=ONE_TIME_KEY_BYTES, max_length=ONE_TIME_KEY_BYTES)
    ]
    counter: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    active: Annotated[
        tuple[MemberName, ...], msgspec.Meta(min_length=1, max_length=MAXIMUM_MEMBERS)
    ]
    issued: Annotated[int, msgspec.Meta(ge=0, le=2**53)]

    def __post_init__(self) -> None:
        if len(set(self.active)) != len(self.active):
            raise ValueError("a member is asked twice")

    @property
    def digest(self) -> str:
        """Names the query."""
        return digest(canonical_json(self))


class SignedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A query and its asker's signatures."""

    query: Query
    signatures: Signatures

    @classmethod
    def by(cls, client: Identity, query: Query) -> Self:
        """A query, signed.

        Raises:
            ValueError: the query names another asker.
        """
        if query.client != client.fingerprint:
            raise ValueError("the query names another asker")
        return cls(query, client.sign(PURPOSE, canonical_json(query)))

    def verify(self, client: PublicIdentity) -> None:
        """Check that this asker signed.

        Raises:
            CommitteeError: SR-MEMBER-QUERY (403).
        """
        try:
            if self.query.client != client.fingerprint:
                raise PackageError("SR-PACKAGE-SIGNATURE", "it names another asker")
            client.verify(self.signatures, PURPOSE, canonical_json(self.query))
        except PackageError as error:
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                f"the query is not the one that {client.fingerprint} signed",
                "Ask again; if it happens again, somebody on the way changes queries",
                http_status=403,
            ) from error


class ShareStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a member signs with a share.

    Attributes:
        query, result: digests of the query and of the whole partial response.
        state: digest that the member's parts belong to: of the committee, or its last refresh.
        member: its name.
        sealed: digest of the sealed words.
    """

    query: Digest
    result: Digest
    state: Digest
    member: MemberName
    sealed: Digest


class SealedShare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member's answer to a query.

    Attributes:
        query, result: digests of the query and of the whole partial response.
        state: digest that the member's parts belong to. Shares of two states do not add up.
        member: its name.
        sealed: the words, little-endian, of all result ciphertexts one after the other, by HPKE to
            the query's one-time key.
        signatures: the member's, of all of this.
    """

    query: Digest
    result: Digest
    state: Digest
    member: MemberName
    sealed: Annotated[
        bytes,
        msgspec.Meta(min_length=SEALING_BYTES, max_length=SEALING_BYTES + 8 * MAXIMUM_SHARE_WORDS),
    ]
    signatures: Signatures

    @classmethod
    def by(
        cls,
        member: Identity,
        name: str,
        query: Query,
        result: str,
        state: str,
        words: Sequence[NDArray[np.uint64]],
    ) -> Self:
        """Seal and sign a share.

        Args:
            member: who answers.
            name: of that member in the committee.
            query: that is answered.
            result: digest of the whole partial response.
            state: digest that the member's parts belong to.
            words: of each result ciphertext, shape (limbs, positions).

        Raises:
            CommitteeError: SR-MEMBER-QUERY if the query's one-time key is none.
        """
        plain = b"".join(np.ascontiguousarray(one, _WORD).tobytes() for one in words)
        info = _info(query.digest, result, name)
        try:
            sealed = seal_to(query.target, plain, info)
        except ValueError as error:
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                "the query's one-time key is none",
                "Send what the client library made, unaltered",
            ) from error
        statement = ShareStatement(query.digest, result, state, name, digest(sealed))
        signatures = member.sign(SHARE_PURPOSE, canonical_json(statement))
        return cls(query.digest, result, state, name, sealed, signatures)

    def verify(self, member: PublicIdentity, name: str, query: str, result: str) -> None:
        """Check that a member gave this share, of this result to this query.

        Args:
            member, name: whose share it has to be.
            query, result: digests.

        Raises:
            CommitteeError: SR-MEMBER-SHARE, with the member's name.
        """
        statement = ShareStatement(query, result, self.state, name, digest(self.sealed))
        try:
            if (self.query, self.result, self.member) != (query, result, name):
                raise PackageError("SR-PACKAGE-SIGNATURE", "it is of something else")
            member.verify(self.signatures, SHARE_PURPOSE, canonical_json(statement))
        except PackageError as error:
            raise no_share(name, "it is not signed by that member, or is of another query") from (
                error
            )

    def open(
        self, target: OneTimeKey, shapes: Sequence[tuple[int, int]]
    ) -> list[NDArray[np.uint64]]:
        """The words of a verified share.

        Args:
            target: the query's one-time key.
            shapes: of the words of each result ciphertext: limbs, positions.

        Raises:
            CommitteeError: SR-MEMBER-SHARE, with the member's name.
        """
        try:
            plain = target.open(self.sealed, _info(self.query, self.result, self.member))
        except ValueError as error:
            raise no_share(self.member, "it does not open") from error
        sizes = [limbs * count for limbs, count in shapes]
        if len(plain) != _WORD.itemsize * sum(sizes):
            raise no_share(self.member, f"it has {len(plain)} bytes")
        flat = np.frombuffer(plain, _WORD).astype(np.uint64)
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def milliseconds(moment: datetime) -> int:
    """A time as queries write it.

    Raises:
        ValueError: it does not say its time zone.
    """
    if moment.tzinfo is None:
        raise ValueError("the time does not say its time zone")
    return int(moment.astimezone(UTC).timestamp() * 1000)


def no_share(member: str, what: str) -> CommitteeError:
    """The error for what a member sent as a share: SR-MEMBER-SHARE, with its name."""
    return CommitteeError(
        "SR-MEMBER-SHARE",
        f"what member {member} sent is no share of the result: {what}",
        "Keep it, and ask that member's operator; meanwhile ask another set of members",
        member=member,
        http_status=502,
    )


def _info(query: str, result: str, member: str) -> bytes:
    return _INFO + canonical_json([query, result, member])
