"""Heads of a member's log: one signed line that stands for every answer it ever gave.

The log is a chain: link n is a digest of n, link n - 1 and the digest of entry n. So who has seen a
head can check a later one against it with nothing but the digests of the entries between: peers
countersign, and learn from that how many answers there were, but not to whom or of what.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.errors import CommitteeError, PackageError
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.keys.query import MemberName

PURPOSE: Final = "log-head"
"""What a member signs a head of its own log for."""

COUNTERSIGNED_FOR: Final = "log-countersignature"
"""What a peer signs the same for."""

START: Final = "sha256:" + bytes(32).hex()
"""Link 0, of a log without entries."""

MOST_LINKS: Final = 4096
"""Entries between two heads that one message may carry."""

_LABEL: Final = b"strongroom member log\0"
_NUMBER: Final = struct.Struct("<Q")
_PREFIX: Final = "sha256:"
_DIGEST_BYTES: Final = 32

Number = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class LogHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where a log ends.

    Attributes:
        format: of this statement.
        committee: digest of the committee's statement.
        member: whose log it is.
        number: of the last entry; 0 if there is none.
        link: of the last entry.
    """

    format: Literal["strongroom-member-log-1"] = "strongroom-member-log-1"
    committee: Digest
    member: MemberName
    number: Number
    link: Digest


class SignedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head with signatures: its member's, or a peer's who countersigns it."""

    head: LogHead
    signatures: Signatures

    @classmethod
    def by(cls, signer: Identity, head: LogHead, purpose: str = PURPOSE) -> Self:
        """A head, signed for `PURPOSE` or `COUNTERSIGNED_FOR`."""
        return cls(head, signer.sign(purpose, canonical_json(head)))

    def verify(self, signer: PublicIdentity, purpose: str = PURPOSE) -> None:
        """Check who signed.

        Raises:
            CommitteeError: SR-MEMBER-ROLLBACK.
        """
        try:
            signer.verify(self.signatures, purpose, canonical_json(self.head))
        except PackageError as error:
            raise CommitteeError(
                "SR-MEMBER-ROLLBACK",
                f"a head of member {self.head.member}'s log is not signed by {signer.fingerprint}",
                member=self.head.member,
            ) from error


class Advance(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A member shows a peer how its log went on.

    Attributes:
        head: where it ends now, signed by the member.
        after: number of the head that the peer has.
        entries: digests of the entries from there on.
    """

    head: SignedHead
    after: Number
    entries: Annotated[tuple[Digest, ...], msgspec.Meta(max_length=MOST_LINKS)]


class Witnessed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a peer has seen of a member's log.

    Attributes:
        head: the last that the member showed it, with the member's own signatures; None if none.
        countersignature: the peer's signatures of the same.
    """

    head: SignedHead | None = None
    countersignature: Signatures | None = None


def next_link(number: int, previous: str, entry: str) -> str:
    """Link of an entry.

    Args:
        number: of the entry, from 1.
        previous, entry: link before, and digest of the entry, as `canonical.digest` writes them.
    """
    raw = _LABEL + _NUMBER.pack(number) + _raw(previous) + _raw(entry)
    return _text(hashlib.sha256(raw).digest())


class Chain:
    """The links of one log, in 64 bytes an entry. Not for several threads at once."""

    def __init__(self) -> None:
        self._entries = bytearray()
        self._links = bytearray(_raw(START))

    @property
    def number(self) -> int:
        """Of the last entry."""
        return len(self._entries) // _DIGEST_BYTES

    @property
    def link(self) -> str:
        """Of the last entry."""
        return _text(self._links[-_DIGEST_BYTES:])

    def following(self, entry: str) -> str:
        """The link that an entry would get."""
        return next_link(self.number + 1, self.link, entry)

    def append(self, entry: str, link: str) -> None:
        """Add an entry, by its digest, with the link that follows."""
        self._entries += _raw(entry)
        self._links += _raw(link)

    def link_at(self, number: int) -> str | None:
        """The link of an entry, `START` for 0; None if there is no such entry."""
        if not 0 <= number <= self.number:
            return None
        return _text(self._links[number * _DIGEST_BYTES : (number + 1) * _DIGEST_BYTES])

    def entries_after(self, number: int, most: int) -> tuple[str, ...]:
        """Digests of the entries after one, the first so many."""
        starts = range(number * _DIGEST_BYTES, len(self._entries), _DIGEST_BYTES)[:most]
        return tuple(_text(self._entries[start : start + _DIGEST_BYTES]) for start in starts)


def chained(number: int, link: str, entries: Iterable[str]) -> tuple[int, str]:
    """Number and link after some more entries."""
    for entry in entries:
        number += 1
        link = next_link(number, link, entry)
    return number, link


def _text(raw: bytes | bytearray) -> str:
    return _PREFIX + raw.hex()


def _raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix(_PREFIX))
