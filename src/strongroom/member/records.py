"""The lines of a member's ledger."""

from __future__ import annotations

from typing import Annotated

import msgspec

from strongroom.canonical import Digest
from strongroom.keys.identity import Fingerprint
from strongroom.keys.query import MAXIMUM_RESULTS, MemberName
from strongroom.member.log_heads import SignedHead

_Time = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Opening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="opening"):
    """The first line.

    Attributes:
        format_version: of the ledger.
        committee, member: whose ledger it is.
    """

    format_version: Annotated[int, msgspec.Meta(ge=1, le=1)]
    committee: Digest
    member: MemberName


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One answer, as the log has it.

    Attributes:
        query, result: digests of the query and of the whole partial response.
        client, counter: who asked, and its counter.
        package: digest.
        server: fingerprint of who brought the result.
        cost: result ciphertexts that were answered.
        time: UTC, in milliseconds since 1970.
        answer: digest of what was answered.
        audited: whether the result was computed again first.
    """

    query: Digest
    result: Digest
    client: Fingerprint
    counter: Annotated[int, msgspec.Meta(ge=1, le=2**53)]
    package: Digest
    server: Fingerprint
    cost: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_RESULTS)]
    time: _Time
    answer: Digest
    audited: bool


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="answered"):
    """An entry, its link, and the answer itself, to be repeated."""

    entry: Entry
    link: Digest
    answer: bytes


class PeerHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="peer"):
    """The last head of another member's log that this one countersigned."""

    head: SignedHead


class Deviation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="deviation"):
    """A result that was not what the computation gives.

    Attributes:
        server: fingerprint of who brought it.
        query, result: as in an entry.
        expected: digest of what the computation gives.
        time: UTC, in milliseconds since 1970.
    """

    server: Fingerprint
    query: Digest
    result: Digest
    expected: Digest
    time: _Time


class Pardon(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="pardon"):
    """The operator trusts a server again that had deviated."""

    server: Fingerprint
    time: _Time


Line = Opening | Answered | PeerHead | Deviation | Pardon
