"""What the front, the workers and the keeper say to each other about keys.

Messages are MessagePack, one in a packet of a socket pair that keeps boundaries
(SOCK_SEQPACKET), none longer than `MAXIMUM_BYTES`. On the front's *control* socket both speak
when they have something to say. On a worker's *link*, to which the front has no end, the worker
asks one thing at a time and the keeper answers.

Private keys travel on links only.
"""

from __future__ import annotations

import socket
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from strongroom.errors import ServerError
from strongroom.keys.identity import Signatures
from strongroom.server.channel import ErrorReport

MAXIMUM_BYTES: Final = 200_000
"""Longest message; the kernel takes about 212,000 in one packet."""

_Message = TypeVar("_Message")


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, tag=True):
    """A message; its name is its tag."""


# From the front, on the control socket.


class Unlock(_Record, frozen=True):
    """Open the identity; the first message. Answered by `Unlocked` or `Failed`.

    Attributes:
        identity: its name in the store.
        home: of the store.
        lifetime_seconds, overlap_seconds: of serving keys.
        replay_capacity: identifiers that the replay window has to hold.
        broker: whether the front can ask a key broker.
        attestation: "tsm", "development", or None for no evidence.
        certificates, revocations, collateral: files for evidence, see `attestation.tsm`.
    """

    identity: str
    home: str
    lifetime_seconds: int
    overlap_seconds: int
    replay_capacity: int
    broker: bool = False
    attestation: Literal["tsm", "development"] | None = None
    certificates: str | None = None
    revocations: str | None = None
    collateral: str | None = None


class Link(_Record, frozen=True):
    """With one descriptor: the keeper's end of a new worker's link."""


class BrokerSaid(_Record, frozen=True):
    """What a broker answered to `AskBroker`; nothing of it is checked.

    Attributes:
        package: that it was asked about.
        content: body of the answer.
    """

    package: str
    content: bytes


class BrokerFailed(_Record, frozen=True):
    """A broker could not be asked, or refuses."""

    package: str
    report: ErrorReport


class Sign(_Record, frozen=True):
    """Sign a message to a committee's member as the server. Answered by `Signed`.

    Attributes:
        number: of the question.
        head: of the message (`member.channel`).
    """

    number: int
    head: Annotated[bytes, msgspec.Meta(max_length=8192)]


FromFront = Unlock | Link | BrokerSaid | BrokerFailed | Sign


# From the keeper, on the control socket.


class Unlocked(_Record, frozen=True):
    """The identity is open.

    Attributes:
        server: its public half, as text.
    """

    server: str


class Failed(_Record, frozen=True):
    """The identity can't be opened, or the keeper can't go on; it ends."""

    report: ErrorReport


class Configuration(_Record, frozen=True):
    """A new key configuration, as the server publishes it from now on.

    Attributes:
        text: see `keys.serving`.
        packages: that it names.
    """

    text: str
    packages: tuple[str, ...]


class AskBroker(_Record, frozen=True):
    """Ask the broker. Answered by `BrokerSaid` or `BrokerFailed`.

    Attributes:
        package: digest.
        body: of a request for a release (`broker.exchange`); None for a challenge.
    """

    package: str
    body: bytes | None


class Authority(_Record, frozen=True):
    """A broker released a package, for the first time or anew.

    Attributes:
        package: digest.
        text: what proves it to clients, see `receipts.authority`.
    """

    package: str
    text: str


class Signed(_Record, frozen=True):
    """Signatures that the front asked for.

    Attributes:
        number: of the question.
        signatures: by the server's identity, for messages to members and for nothing else.
    """

    number: int
    signatures: Signatures


FromKeeper = Unlocked | Failed | Configuration | AskBroker | Authority | Signed


# From a worker, on its link.


class Unwrap(_Record, frozen=True):
    """Open a file key. Answered by `Opened` or `Refused`.

    Attributes:
        wrapped: by HPKE to the server's identity.
        info: its context, that of a grant.
    """

    wrapped: Annotated[bytes, msgspec.Meta(max_length=4096)]
    info: Annotated[bytes, msgspec.Meta(max_length=65536)]


class Key(_Record, frozen=True):
    """Give a serving key. Answered by `Secret` or `NoKey`.

    Attributes:
        key_id: None for the one that signs receipts now.
    """

    key_id: Annotated[str, msgspec.Meta(max_length=16)] | None


class Release(_Record, frozen=True):
    """Have the file key of a package released by the broker. Answered by `Released` or
    `Refused`, once the broker has spoken.

    Attributes:
        package: digest.
        owner: its owner's public identity, as text.
    """

    package: str
    owner: Annotated[str, msgspec.Meta(max_length=8192)]


class Tenure(_Record, frozen=True):
    """Until when does the broker's release of a package hold? Answered by `Until`."""

    package: str


class Who(_Record, frozen=True):
    """Whose keeper is it? Answered by `Server`."""


FromWorker = Unwrap | Key | Release | Tenure | Who


# From the keeper, on a link.


class Opened(_Record, frozen=True):
    """The file key."""

    secret: bytes


class Secret(_Record, frozen=True):
    """A serving key with its private halves, see `keys.serving.ServingSecrets`.

    Attributes:
        seeds: 160 bytes.
        not_before, not_after: seconds since 1970.
    """

    seeds: bytes
    not_before: int
    not_after: int


class NoKey(_Record, frozen=True):
    """There is no such key, or none any more."""


class Released(_Record, frozen=True):
    """What the broker released.

    Attributes:
        file_key: of the package.
        authority: what proves it to clients.
        until: when the release ends, seconds since 1970.
    """

    file_key: bytes
    authority: str
    until: int


class Until(_Record, frozen=True):
    """When a release ends, seconds since 1970; 0 if there is none."""

    seconds: int


class Server(_Record, frozen=True):
    """Whose keeper this is. With one descriptor: the replay window, see `server.replay`.

    Attributes:
        fingerprint: of the identity that it holds.
        milliseconds: its time, since 1970.
        broker: whether it can have packages released.
    """

    fingerprint: str
    milliseconds: int
    broker: bool


class Refused(_Record, frozen=True):
    """What was asked can't be done."""

    report: ErrorReport


ToWorker = Opened | Secret | NoKey | Released | Until | Server | Refused

_encoder: Final = msgspec.msgpack.Encoder()


def encode(message: _Record) -> bytes:
    """A message as a packet."""
    return _encoder.encode(message)


def decode(packet: bytes, decoder: msgspec.msgpack.Decoder[_Message]) -> _Message | None:
    """The message in a packet, or None if it is none that this end takes."""
    if len(packet) > MAXIMUM_BYTES:
        return None
    try:
        return decoder.decode(packet)
    except (msgspec.MsgspecError, ValueError):
        return None


def keeper_lost() -> ServerError:
    """The error of whoever needs the keeper when it is gone."""
    return ServerError(
        "SR-WORKER-LOST",
        "the process that holds the server's keys is gone",
        "Ask the server's operator to start it again",
        http_status=503,
    )


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new socket pair for messages."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
