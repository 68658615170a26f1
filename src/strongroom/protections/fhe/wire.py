"""Requests and responses (docs/reference/protocol.md).

Little-endian, an envelope of 60 bytes and then engine objects (docs/reference/format.md), of
lengths that both sides derive from the plan and the number of rows:

    magic       4  "SRRQ" request, "SRRS" response
    version     2  1
    reserved    2  0
    request id 16  random, repeated in the response
    binding    32  of package and plan, so that a message cannot serve another model
    rows        4

A request on a linear model goes on with a public key, then for each block of rows one seeded
ciphertext a chunk of columns; one on a network with the identifier of a key set (16 bytes), then
for each block one seeded ciphertext. A response has, for each block, one ciphertext a group of
outputs.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from strongroom.compiler.messages import ENVELOPE_BYTES
from strongroom.compiler.network_messages import KEY_SET_BYTES
from strongroom.errors import CiphertextError

REQUEST: Final = b"SRRQ"
RESPONSE: Final = b"SRRS"
_VERSION: Final = 1
_ENVELOPE: Final = struct.Struct("<4sHH16s32sI")
_REMEDY: Final = "Send what the client library made, unaltered"

if _ENVELOPE.size != ENVELOPE_BYTES:
    raise AssertionError("the planner's message sizes are out of date")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Header of a message.

    Attributes:
        request_id: 16 random bytes.
        rows: how many rows are asked about.
    """

    request_id: bytes
    rows: int

    @classmethod
    def fresh(cls, rows: int) -> Envelope:
        """An envelope for a new request."""
        return cls(secrets.token_bytes(16), rows)

    def to_bytes(self, magic: bytes, binding: bytes) -> bytes:
        """The header's bytes."""
        return _ENVELOPE.pack(magic, _VERSION, 0, self.request_id, binding, self.rows)


def read_envelope(
    data: memoryview, magic: bytes, binding: bytes, largest_rows: int
) -> tuple[Envelope, memoryview]:
    """The header of a message and what follows it.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -MISMATCH.
    """
    if len(data) < _ENVELOPE.size:
        raise malformed(f"{len(data)} bytes are too few")
    found, version, reserved, request_id, its_binding, rows = _ENVELOPE.unpack_from(data)
    if found != magic or reserved != 0:
        raise malformed("it does not begin as such a message does")
    if version != _VERSION:
        raise malformed(f"protocol version {version} is not known here")
    if its_binding != binding:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "a message was made for another model or another plan",
            "Connect again, so that the client reads the model's current plan",
        )
    if not 1 <= rows <= largest_rows:
        raise malformed(f"{rows} rows where the plan allows 1 to {largest_rows}")
    return Envelope(request_id, rows), data[_ENVELOPE.size :]


def read_answer(data: memoryview, asked: Envelope, binding: bytes, largest_rows: int) -> memoryview:
    """What follows the header of the response to a request.

    Args:
        asked: of the request.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT; -MISMATCH, also for another request's response.
    """
    envelope, body = read_envelope(data, RESPONSE, binding, largest_rows)
    if envelope != asked:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "the response answers another request",
            "Ask again; if it happens again, tell the server's operator",
        )
    return body


def read_key_set(body: memoryview) -> tuple[bytes, memoryview]:
    """The identifier of a key set, and what follows it."""
    return bytes(body[:KEY_SET_BYTES]), body[KEY_SET_BYTES:]


def require_size(data: memoryview, expected: int) -> None:
    """Check a whole message's length against what plan and rows say."""
    if len(data) != expected:
        raise malformed(f"it has {len(data)} bytes where {expected} belong")


def malformed(what: str) -> CiphertextError:
    """The error for a message that can't be read."""
    return CiphertextError("SR-CIPHERTEXT-FORMAT", f"malformed message: {what}", _REMEDY)


def blocks(step: int, rows: int) -> Iterator[slice]:
    """The rows of each block, in order, `step` of them in all but the last."""
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))
