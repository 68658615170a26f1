"""A request on its way through the pool of workers, and the ways in which it may end."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from strongroom.errors import ServerError, StrongroomError
from strongroom.server.channel import Kind, Message


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A protected response, and how long it took to get there.

    Attributes:
        receipt: text of the signed statement, where one was asked for.
        results: what a committee's members need to decrypt; empty where the asker does.
    """

    response: bytes
    compute_microseconds: int
    queue_microseconds: int
    receipt: str | None = None
    results: bytes = b""


@dataclass(slots=True, eq=False)
class Job:
    """One protected request, or one key to be checked; ends exactly once.

    Attributes:
        kind: `Kind.JOB` or `Kind.KEY`.
        tenant: who asks.
        model: index of the package.
        request: the protected request, or a `WholeObject`.
        receipt: whether the answer has to come with one.
        result: resolves to the evaluation, or to the error that ends the request.
        timer: ends the wait in the queue.
    """

    kind: Kind
    tenant: str
    model: int
    request: memoryview
    receipt: bool
    result: asyncio.Future[Evaluation]
    timer: asyncio.TimerHandle | None = None
    _queued_at: float = field(default_factory=time.perf_counter)
    _started_at: float | None = None

    @property
    def waiting(self) -> bool:
        """Whether it has not been given to a worker yet."""
        return self._started_at is None

    def start(self) -> None:
        """It has been given to a worker."""
        self._started_at = time.perf_counter()
        self._stop_timer()

    def succeed(self, content: bytes, message: Message) -> None:
        """The worker has answered.

        Args:
            content: the response, the receipt, and what is for a committee, one behind the other.
            message: says how long they are.
        """
        if not self.result.done():
            waited = (self._started_at or self._queued_at) - self._queued_at
            end = len(content) - message.receipt - message.results
            behind = end + message.receipt
            evaluation = Evaluation(
                content[:end],
                message.microseconds,
                int(waited * 1e6),
                content[end:behind].decode("ascii", "replace") if message.receipt else None,
                content[behind:],
            )
            self.result.set_result(evaluation)

    def fail(self, error: StrongroomError) -> None:
        """It ends with an error."""
        self._stop_timer()
        if not self.result.done():
            self.result.set_exception(error)

    def abandon(self) -> None:
        """Nobody waits for it any more."""
        self._stop_timer()
        self.result.cancel()

    def _stop_timer(self) -> None:
        # A timer that is left to run out would keep the request in memory until then.
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


def lost(message: str) -> ServerError:
    """The error of a job whose worker is gone."""
    return ServerError("SR-WORKER-LOST", message, "Send the request again", http_status=502)


def busy(message: str) -> ServerError:
    """The error of a request that finds no worker."""
    return ServerError("SR-REQUEST-BUSY", message, "Try again a little later", http_status=503)
