"""What a tenant has at a server: its key sets, and their removal (docs/reference/protocol.md).

No secret key is opened for that: the token alone says whose sets are meant. What a server answers
is untrusted, and bounded here.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from strongroom.client.key_requests import KeyRequests, decoded
from strongroom.client.transport import Transport

_ANSWER_BYTES: Final = 16 << 20

_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
_Counts = Annotated[tuple[_Count, ...], msgspec.Meta(max_length=2**8)]
_Keys = Annotated[tuple[tuple[_Count, _Count], ...], msgspec.Meta(max_length=2**16)]


class ServedName(msgspec.Struct, frozen=True):
    """A model that a server serves, as the server calls it: text from a stranger."""

    name: Annotated[str, msgspec.Meta(max_length=512)]
    version: Annotated[str, msgspec.Meta(max_length=512)]


class UploadedSet(msgspec.Struct, frozen=True):
    """A key set at a server.

    Attributes:
        parameters: name in the catalogue.
        key_set: the identifier, 32 hex digits.
        bytes: that it takes on the server's disk.
        keys: (element, primes) of each evaluation key.
        public_limbs: levels of the public keys.
        last_used: ISO 8601, UTC; empty if that isn't known.
        models: those for which it is complete.
    """

    parameters: Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9-]{0,63}\Z")]
    key_set: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    bytes: _Count
    keys: _Keys
    public_limbs: _Counts
    last_used: Annotated[str, msgspec.Meta(pattern=r"\A[0-9T:+.Z-]{0,40}\Z")]
    models: Annotated[tuple[ServedName, ...], msgspec.Meta(max_length=2**12)]


class UploadedKeys(msgspec.Struct, frozen=True):
    """All that a tenant has at a server.

    Attributes:
        key_sets: the sets.
        bytes: that they take together.
        bytes_limit: that they may take.
    """

    key_sets: Annotated[tuple[UploadedSet, ...], msgspec.Meta(max_length=2**16)]
    bytes: _Count
    bytes_limit: _Count


def uploaded_keys(transport: Transport) -> UploadedKeys:
    """The key sets of the token's tenant.

    Raises:
        ServerError: what the server says, or SR-SERVER-UNREACHABLE, -TLS, -PROTOCOL.
    """
    return decoded(transport.ask("GET", "/v2/keys", _ANSWER_BYTES), UploadedKeys)


def delete_key_set(transport: Transport, one: UploadedSet) -> None:
    """Remove a set of the token's tenant; done already is done.

    Raises:
        ServerError: as for `uploaded_keys`.
    """
    KeyRequests(transport, bytes.fromhex(one.key_set), one.parameters).delete()
