"""What a server brings to a member that shall prove a share: a query, the asker's demand, and the
result again.

    length   4  of the head, little-endian
    head        JSON: the signed query, the signed demand, the length of what follows
    partial     the whole partial response, as the server computed it

And what the member answers:

    length   4  of the head, little-endian
    head        JSON: a `keys.share_proofs.SealedProof`
    shown       the shown half of the proof, whose digest the head names
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from strongroom.canonical import digest
from strongroom.errors import CommitteeError, ServerError
from strongroom.keys.query import SignedQuery
from strongroom.keys.share_proofs import (
    MAXIMUM_SHOWN_BYTES,
    SealedProof,
    SignedDemand,
    no_proof,
)
from strongroom.member.headed import LENGTH_BYTES, read_headed, write_headed
from strongroom.member.share_request import MAXIMUM_PARTIAL_BYTES

PURPOSE: Final = "proof-request"
"""Of the message on the channel."""

ANSWER: Final = "share-proof"
"""Of the answer."""

_MAXIMUM_HEAD_BYTES: Final = 32 * 2**10

MAXIMUM_ANSWER_BYTES: Final = LENGTH_BYTES + _MAXIMUM_HEAD_BYTES + MAXIMUM_SHOWN_BYTES
MAXIMUM_REQUEST_BYTES: Final = LENGTH_BYTES + _MAXIMUM_HEAD_BYTES + MAXIMUM_PARTIAL_BYTES


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    query: SignedQuery
    demand: SignedDemand
    partial_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAXIMUM_PARTIAL_BYTES)]


@dataclass(frozen=True, slots=True)
class ProofRequest:
    """One request for a proof. Its digests have been compared with what it holds.

    Attributes:
        query: as the client signed it, not verified.
        demand: of that query and that partial response, not verified.
        partial: the whole partial response.
    """

    query: SignedQuery
    demand: SignedDemand
    partial: memoryview


def encode_proof_request(query: SignedQuery, demand: SignedDemand, partial: bytes) -> bytes:
    """The body of a request for a proof."""
    return write_headed(_Head(query, demand, len(partial)), partial)


def decode_proof_request(body: bytes | memoryview) -> ProofRequest:
    """Read an untrusted request.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
        CommitteeError: SR-MEMBER-QUERY if the demand is of another query or another result.
    """
    head, partial = read_headed(body, _Head, _MAXIMUM_HEAD_BYTES, _malformed)
    if len(partial) != head.partial_bytes:
        raise _malformed("its parts do not have the lengths that it says")
    demand = head.demand.demand
    if demand.query != head.query.query.digest:
        raise _another("the demand is about another query")
    if demand.result != digest(partial):
        raise _another("the result is not the one that the demand is about")
    return ProofRequest(head.query, head.demand, partial)


def encode_proof_answer(sealed: SealedProof, shown: bytes) -> bytes:
    """The body of an answer."""
    return write_headed(sealed, shown)


def decode_proof_answer(body: bytes | memoryview, name: str) -> tuple[SealedProof, bytes]:
    """Read what came as a proof; untrusted, and not verified.

    Args:
        name: of the member that it came from.

    Returns:
        The proof, and its shown half.

    Raises:
        CommitteeError: SR-MEMBER-SHARE, with the member's name.
    """

    def none(what: str) -> CommitteeError:
        return no_proof(name, what)

    sealed, rest = read_headed(body, SealedProof, _MAXIMUM_HEAD_BYTES, none)
    shown = bytes(rest)
    if digest(shown) != sealed.shown:
        raise no_proof(name, "what it shows is not what was signed")
    return sealed, shown


def _malformed(what: str) -> ServerError:
    return ServerError(
        "SR-REQUEST-FORMAT",
        f"this is no request for a proof: {what}",
        "Check that both sides run the same version of Strongroom",
        http_status=400,
    )


def _another(what: str) -> CommitteeError:
    return CommitteeError(
        "SR-MEMBER-QUERY",
        what,
        "Bring what the client signed, and the result that the members answered",
        http_status=403,
    )
