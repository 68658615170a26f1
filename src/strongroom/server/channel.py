"""What the front process and a worker say to each other.

Control messages have a fixed size and travel over a socket pair that keeps their boundaries
(SOCK_SEQPACKET). Whatever is longer lies in shared memory: an arena that the front writes and
the worker reads (startup, requests), and one that the worker writes and the front reads
(descriptions, responses, reports). One thing is under way at a time, so each starts at offset 0.

The front reads and writes the arenas by `pread` and `pwrite` only: were they mapped, a worker
gone wrong could shrink one and end the front by SIGBUS.
"""

from __future__ import annotations

import os
import struct
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from strongroom.errors import CODES, StrongroomError


class Kind(IntEnum):
    """What a control message announces, and what lies in the arena."""

    START = 1
    """To the worker: a `Startup`."""
    READY = 2
    """From the worker: a list of `ModelDescription`, in the order of the packages."""
    JOB = 3
    """To the worker: a protected request of `Message.tenant` for `Message.model`."""
    ANSWER = 4
    """From the worker: the protected response."""
    REFUSED = 5
    """From the worker, to START, JOB or KEY: an `ErrorReport`."""
    FAULT = 6
    """From the worker, to START, JOB or KEY: a `FaultReport`."""
    MEMORY = 7
    """From the worker, to JOB or KEY: it ran out of memory, and ends."""
    KEY = 8
    """To the worker: a `WholeObject` of `Message.tenant` has come; answered by an empty ANSWER."""


class Message(NamedTuple):
    """A control message.

    Attributes:
        kind: a `Kind`.
        model: index of the package that a job is for; 0 otherwise.
        length: number of bytes in the arena.
        microseconds: time that the evaluation took, of an answer; 0 otherwise.
        tenant: name of the tenant whose job it is, padded with zeros.
        receipt: of a job: 1 if the answer has to come with a receipt, else 0. Of an answer: how
            many bytes behind the response are the receipt.
        results: of an answer: how many bytes behind both are for a committee's members.
    """

    kind: int
    model: int = 0
    length: int = 0
    microseconds: int = 0
    tenant: bytes = b""
    receipt: int = 0
    results: int = 0


_LAYOUT: Final = struct.Struct("<BxHxxxxQQ64sII")

MESSAGE_BYTES: Final = _LAYOUT.size


def pack(message: Message) -> bytes:
    """A message as bytes."""
    return _LAYOUT.pack(*message)


def unpack(raw: bytes) -> Message | None:
    """A message from bytes, or None if they are none."""
    return Message(*_LAYOUT.unpack(raw)) if len(raw) == MESSAGE_BYTES else None


def write_arena(descriptor: int, content: bytes | bytearray | memoryview, start: int = 0) -> None:
    """Put content into an arena, which grows as needed.

    Args:
        start: at which byte.
    """
    rest = memoryview(content)
    offset = 0
    while offset < len(content):
        offset += os.pwrite(descriptor, rest[offset:], start + offset)


def read_arena(descriptor: int, length: int) -> bytes | None:
    """The first `length` bytes of an arena, or None if it holds fewer."""
    if length > os.fstat(descriptor).st_size:
        return None
    content = os.pread(descriptor, length, 0)
    while len(content) < length:  # Linux reads at most 2 GiB at once
        more = os.pread(descriptor, length - len(content), len(content))
        if not more:
            return None
        content += more
    return content


class Startup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker is told at its start.

    Attributes:
        loader: import string of a `server.model.Loader`.
        packages: paths, in order.
        threads: threads of one evaluation.
        memory_bytes: what an evaluation may take on top of the loaded models.
        request_arena_bytes: size of the arena of requests.
        key_folder: where tenants' keys are.
        key_cache_bytes: how much of them is kept mapped.
        committees: folders with the keys of committees that models are encrypted under.
        again: whether workers of this server have loaded these packages before.
    """

    loader: str
    packages: tuple[str, ...]
    threads: int
    memory_bytes: int
    request_arena_bytes: int
    key_folder: str
    key_cache_bytes: int
    committees: tuple[str, ...] = ()
    again: bool = False


class WholeObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object with a key in it, all of which has come; see `keys.server_layout`."""

    parameters: str
    key_set: str
    digest: str
    size: int


class ErrorReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `StrongroomError` on its way from a worker to the front."""

    code: str
    message: str
    remedy: str
    http_status: int
    exit_status: int

    @classmethod
    def of(cls, error: StrongroomError) -> ErrorReport:
        """The report of an error."""
        return cls(error.code, error.message, error.remedy, error.http_status, error.exit_status)

    def error(self) -> RelayedError:
        """The error again, for the front to raise."""
        return RelayedError(self)


class FaultReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An unexpected exception in a worker: its type and where it came from, never its text."""

    exception: str
    frames: tuple[str, ...]


class RelayedError(StrongroomError):
    """An error that a worker raised, as the front raises it again.

    Attributes:
        http_status, exit_status: those of the original.
    """

    def __init__(self, report: ErrorReport) -> None:
        known = report.code in CODES
        super().__init__(report.code if known else "SR-INTERNAL", report.message, report.remedy)
        valid = known and 400 <= report.http_status < 600
        self.http_status = report.http_status if valid else 500  # type: ignore[misc]
        self.exit_status = report.exit_status  # type: ignore[misc]
