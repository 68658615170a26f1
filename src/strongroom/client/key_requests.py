"""The client's half of the protocol for key sets (docs/reference/protocol.md).

What a server answers is untrusted: numbers are bounded here, and what it says is missing is only
compared with what is needed.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Annotated, Final, TypeVar

import msgspec

from strongroom.canonical import canonical_json
from strongroom.client.transport import Transport
from strongroom.client.v2 import wrong
from strongroom.protections.interface import KeyNeed, KeyNeeds

_LEAST_CHUNK_BYTES: Final = 1 << 10
_LARGEST_CHUNK_BYTES: Final = 4 << 20
_ANSWER_BYTES: Final = 2 << 20

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Answer = TypeVar("_Answer")


class _Missing(msgspec.Struct):
    keys: Annotated[list[tuple[int, int]], msgspec.Meta(max_length=2**16)]
    public_limbs: _Count
    chunk_bytes: _Count


class ObjectState(msgspec.Struct, frozen=True):
    """How far an object has come.

    Attributes:
        received_bytes: from its beginning.
        stored: whether the server has it as a key.
    """

    received_bytes: _Count
    stored: bool


class _Nothing(msgspec.Struct):
    pass


@dataclass(frozen=True, slots=True)
class MissingKeys:
    """What a server lacks of some needs.

    Attributes:
        keys: evaluation keys.
        public: whether the public key is missing.
        chunk_bytes: largest chunk that it takes.
    """

    keys: tuple[KeyNeed, ...]
    public: bool
    chunk_bytes: int


class KeyRequests:
    """Requests about one key set at one server.

    Args:
        transport: to the server.
        key_set: the identifier.
        parameters: name in the catalogue.
    """

    def __init__(self, transport: Transport, key_set: bytes, parameters: str) -> None:
        self._transport = transport
        self._path = f"/v2/keys/{parameters}/{key_set.hex()}"

    def missing(self, needs: KeyNeeds) -> MissingKeys:
        """What the server lacks of some needs, in their order.

        Raises:
            ServerError: what the server says, or SR-SERVER-UNREACHABLE, -TLS, -PROTOCOL.
        """
        asked = {
            "keys": [[need.element, need.limbs] for need in needs.keys],
            "public_limbs": needs.public_limbs,
        }
        body = self._transport.ask(
            "POST", f"{self._path}/missing", _ANSWER_BYTES, content=canonical_json(asked)
        )
        found = decoded(body, _Missing)
        missing = set(found.keys)
        return MissingKeys(
            tuple(need for need in needs.keys if (need.element, need.limbs) in missing),
            found.public_limbs > 0 and needs.public_limbs > 0,
            max(_LEAST_CHUNK_BYTES, min(found.chunk_bytes, _LARGEST_CHUNK_BYTES)),
        )

    def state(self, digest: str) -> ObjectState:
        """How far an object has come.

        Args:
            digest: its SHA-256, hexadecimal.

        Raises:
            ServerError: as for `missing`.
        """
        body = self._transport.ask("GET", f"{self._path}/objects/{digest}", _ANSWER_BYTES)
        return decoded(body, ObjectState)

    def put_chunk(self, digest: str, size: int, offset: int, chunk: bytes) -> ObjectState:
        """Send a chunk of an object; an empty one asks for a whole object to be stored.

        Raises:
            ServerError: as for `missing`; SR-KEYS-UPLOAD with HTTP status 409 if the chunk does
                not continue what is there.
        """
        span = f"{offset}-{offset + len(chunk) - 1}" if chunk else "*"
        digest_of_chunk = base64.b64encode(hashlib.sha256(chunk).digest()).decode()
        body = self._transport.ask(
            "PUT",
            f"{self._path}/objects/{digest}",
            _ANSWER_BYTES,
            content=chunk,
            headers={
                "content-type": "application/octet-stream",
                "content-range": f"bytes {span}/{size}",
                "content-digest": f"sha-256=:{digest_of_chunk}:",
            },
        )
        return decoded(body, ObjectState)

    def delete(self) -> None:
        """Remove the set.

        Raises:
            ServerError: as for `missing`.
        """
        decoded(self._transport.ask("DELETE", self._path, _ANSWER_BYTES), _Nothing)


def decoded(body: bytes, kind: type[_Answer]) -> _Answer:
    """An answer about keys, of a kind that says what it may hold.

    Raises:
        ServerError: SR-SERVER-PROTOCOL if it is none.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise wrong("the server's answer about keys is not what the protocol says") from error
