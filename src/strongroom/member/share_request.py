"""What a server brings to a member: a query, the result that it computed, and what it came from.

    length   4  of the head, little-endian
    head        JSON: the signed query, the result's digest, the lengths of what follows
    partial     the whole partial response, as the server computed it
    input       the whole protected request

The input always comes along where a member audits: a server that is asked for it only sometimes
could leave those queries unanswered, and say that the member is down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from strongroom.canonical import Digest, digest
from strongroom.errors import CommitteeError, ServerError
from strongroom.keys.query import SignedQuery
from strongroom.member.headed import LENGTH_BYTES, read_headed, write_headed

PURPOSE: Final = "share-request"
"""Of the message on the channel."""

ANSWER: Final = "share"
"""Of the answer: a `keys.query.SealedShare` in canonical JSON."""

MAXIMUM_PARTIAL_BYTES: Final = 64 * 2**20
MAXIMUM_INPUT_BYTES: Final = 64 * 2**20

_MAXIMUM_HEAD_BYTES: Final = 16 * 2**10

MAXIMUM_REQUEST_BYTES: Final = (
    LENGTH_BYTES + _MAXIMUM_HEAD_BYTES + MAXIMUM_PARTIAL_BYTES + MAXIMUM_INPUT_BYTES
)


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: SignedQuery
    result: Digest
    partial_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_PARTIAL_BYTES)]
    input_bytes: Annotated[int, msgspec.Meta(ge=0, le=MAXIMUM_INPUT_BYTES)]


@dataclass(frozen=True, slots=True)
class ShareRequest:
    """One request for a share. Its digests have been compared with what it holds.

    Attributes:
        query: as the client signed it, not verified.
        result: digest of `partial`.
        partial: the whole partial response.
        input: the whole protected request; empty if it did not come along.
    """

    query: SignedQuery
    result: str
    partial: memoryview
    input: memoryview


def encode_share_request(query: SignedQuery, partial: bytes, input_bytes: bytes) -> bytes:
    """The body of a request for a share."""
    head = _Head(query, digest(partial), len(partial), len(input_bytes))
    return write_headed(head, partial, input_bytes)


def decode_share_request(body: bytes | memoryview) -> ShareRequest:
    """Read an untrusted request.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
        CommitteeError: SR-MEMBER-QUERY if result or input is not what its digest says.
    """
    head, rest = read_headed(body, _Head, _MAXIMUM_HEAD_BYTES, _malformed)
    if len(rest) != head.partial_bytes + head.input_bytes:
        raise _malformed("its parts do not have the lengths that it says")
    partial, input_bytes = rest[: head.partial_bytes], rest[head.partial_bytes :]
    if digest(partial) != head.result:
        raise _another("the result is not the one whose digest is named")
    if input_bytes and digest(input_bytes) != head.query.query.input:
        raise _another("the rows are not those that the client's query names")
    return ShareRequest(head.query, head.result, partial, input_bytes)


def _malformed(what: str) -> ServerError:
    return ServerError(
        "SR-REQUEST-FORMAT",
        f"this is no request for a share: {what}",
        "Check that both sides run the same version of Strongroom",
        http_status=400,
    )


def _another(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-QUERY", what, "Bring what the client sent, and what was computed of it"
    )
