"""A message between coordinator, server and members, as bytes.

    magic    4  "SRCM"
    version  4  1
    length   4  of the head
    head        JSON: what is below, and its sender's two signatures
    body        to the end

Little-endian. The head names format, purpose, sender, recipient, a random nonce, the time, the
body's digest, and in an answer the digest of the head that it answers.
"""

from __future__ import annotations

import struct
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import Digest, canonical_json, digest
from strongroom.errors import CommitteeError, PackageError, ServerError
from strongroom.keys.identity import Fingerprint, PublicIdentity, Signatures

FORMAT: Final = "strongroom-channel-1"
SIGNED_FOR: Final = "channel"
"""What identities sign heads for."""

_MAGIC: Final = b"SRCM"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sII")
_MAXIMUM_HEAD_BYTES: Final = 8192
_LONGEST_REFUSAL: Final = 600
_REMEDY: Final = "Check that both sides run the same version of Strongroom"

HEAD_ROOM: Final = _PREFIX.size + _MAXIMUM_HEAD_BYTES
"""Bytes that a message takes at most beside its body."""

Purpose = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is signed of a message.

    Attributes:
        format: of the head.
        purpose: what it is about.
        sender, recipient: fingerprints.
        nonce: 16 random bytes in hex.
        sent: UTC, in milliseconds since 1970.
        body: digest of what follows.
        answers: digest of the head that it answers; None for a request.
    """

    format: Literal["strongroom-channel-1"] = FORMAT
    purpose: Purpose
    sender: Fingerprint
    recipient: Fingerprint
    nonce: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
    sent: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    body: Digest
    answers: Digest | None = None

    @property
    def digest(self) -> str:
        """Names the message."""
        return digest(canonical_json(self))


class SignedHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A head with its sender's signatures."""

    head: Head
    signatures: Signatures


class Refusal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why there is no answer: a code and one line.

    Attributes:
        code: of `errors.CODES`.
        message: of the error, and its remedy.
        status: HTTP status that goes with it.
    """

    code: Annotated[str, msgspec.Meta(max_length=64)]
    message: Annotated[str, msgspec.Meta(max_length=_LONGEST_REFUSAL)]
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 403


def write_message(signed: SignedHead, body: bytes) -> bytes:
    """A whole message."""
    text = canonical_json(signed)
    return b"".join((_PREFIX.pack(_MAGIC, _VERSION, len(text)), text, body))


def read_message(content: bytes | bytearray | memoryview) -> tuple[SignedHead, memoryview]:
    """Head and body of a whole message, untrusted.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
    """
    found = read_head(content)
    if found is None:
        raise malformed("it is cut off")
    signed, start = found
    return signed, memoryview(content).cast("B")[start:]


def read_head(content: bytes | bytearray | memoryview) -> tuple[SignedHead, int] | None:
    """The head of an untrusted message, and where the body begins; None if there is not all of it
    yet.

    Raises:
        ServerError: SR-REQUEST-FORMAT (400).
    """
    view = memoryview(content).cast("B")
    if len(view) < _PREFIX.size:
        return None
    magic, version, length = _PREFIX.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise malformed("it does not begin as a message does")
    if length > _MAXIMUM_HEAD_BYTES:
        raise malformed("its head is too long")
    end = _PREFIX.size + length
    if end > len(view):
        return None
    try:
        signed = msgspec.json.decode(view[_PREFIX.size : end], type=SignedHead)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise malformed(f"its head is wrong: {ascii(str(error))[1:-1][:200]}") from error
    return signed, end


def verify_head(signed: SignedHead, sender: PublicIdentity) -> None:
    """Check who signed. Raises CommitteeError: SR-MEMBER-QUERY (403)."""
    try:
        sender.verify(signed.signatures, SIGNED_FOR, canonical_json(signed.head))
    except PackageError as error:
        raise unsigned(f"the message is not signed by {sender.fingerprint}") from error


def require_body(head: Head, body: memoryview) -> None:
    """Check that the body is the one that a head names. Raises as `verify_head`."""
    if digest(body) != head.body:
        raise unsigned("the message's body is not the one that was signed")


def malformed(what: str) -> ServerError:
    """The error for what is no message."""
    return ServerError(
        "SR-REQUEST-FORMAT", f"this is no message to a member: {what}", _REMEDY, http_status=400
    )


def unsigned(what: str) -> CommitteeError:
    """The error for a message that does not hold."""
    return CommitteeError(
        "SR-MEMBER-QUERY", what, "Compare the clocks, and send it anew", http_status=403
    )
