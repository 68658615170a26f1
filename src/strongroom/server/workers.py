"""The pool of workers: a queue in front, replacement behind.

Rules:

1. A worker has one job at a time; jobs start in the order in which they came.
2. A job that takes too long, or a worker that ends, costs that job only: the worker is replaced
   at once and the job gets SR-WORKER-TIMEOUT, -MEMORY or -LOST.
3. A worker that fails while it *loads* is started again after a pause that doubles each time.
4. A replacement has to load what the first workers loaded; a package that has changed on disk
   is refused until the server is restarted. One whose grant has ended meanwhile answers so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from strongroom.errors import ServerError, StrongroomError
from strongroom.server.channel import ErrorReport, FaultReport, Kind, Message, Startup
from strongroom.server.config import ServerConfig
from strongroom.server.job import Job, busy, lost
from strongroom.server.keeper_process import KeeperProcess
from strongroom.server.model import ModelDescription
from strongroom.server.process import WorkerProcess

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 10.0

_log = logging.getLogger("strongroom.server")


class _State(Enum):
    LOADING = "loading"
    IDLE = "idle"
    BUSY = "busy"
    PAUSED = "paused"


@dataclass(slots=True, eq=False)
class _Seat:
    """One place in the pool, taken by one worker process after another."""

    number: int
    state: _State = _State.PAUSED
    process: WorkerProcess | None = None
    job: Job | None = None
    timer: asyncio.TimerHandle | None = None
    failed_loads: int = 0


class WorkerPool:
    """The worker processes of one server. Belongs to one event loop.

    Args:
        config: number, limits and packages.
        keeper: to which each worker gets a link; None if the server has none.
        examine: raises StrongroomError for packages that must not be served, whenever a worker
            has loaded them.
    """

    def __init__(
        self,
        config: ServerConfig,
        keeper: KeeperProcess | None = None,
        examine: Callable[[tuple[ModelDescription, ...]], None] = lambda _: None,
    ) -> None:
        self._examine = examine
        self._config = config
        self._keeper = keeper
        self._startup = Startup(
            loader=config.loader,
            packages=config.packages,
            threads=config.evaluation_threads,
            memory_bytes=config.worker_memory_bytes,
            request_arena_bytes=config.request_bytes,
            key_folder=str(config.keys_at),
            key_cache_bytes=config.key_cache_bytes,
            committees=config.committees,
        )
        self._places = config.workers + config.queue_length
        self._seats = [_Seat(number) for number in range(config.workers)]
        self._idle: list[_Seat] = []
        self._queue: deque[Job] = deque()
        self._processes: set[WorkerProcess] = set()
        self._models: tuple[ModelDescription, ...] | None = None
        self._loading: asyncio.Future[None] | None = None
        self._all_gone: asyncio.Future[None] | None = None
        self._closing = False

    @property
    def ready(self) -> bool:
        """Whether there is a worker that has loaded the packages."""
        return any(seat.state in (_State.IDLE, _State.BUSY) for seat in self._seats)

    async def start(self) -> tuple[ModelDescription, ...]:
        """Start all workers and wait until they have loaded the packages.

        Returns:
            The packages' descriptions, in the configured order.

        Raises:
            StrongroomError: what the loader raised; or ServerError SR-WORKER-LOST,
                SR-WORKER-TIMEOUT, SR-SERVER-CONFIG, SR-INTERNAL.
        """
        self._loading = asyncio.get_running_loop().create_future()
        for seat in self._seats:
            self._fill(seat)
        try:
            await self._loading
        finally:
            self._loading = None
        assert self._models is not None
        return self._models

    async def close(self) -> None:
        """End all workers: idle ones by asking, the others by SIGKILL."""
        self._closing = True
        for job in self._queue:
            job.fail(lost("the server is stopping"))
        self._queue.clear()
        for seat in self._seats:
            self._disarm(seat)
        busy = {seat.process for seat in self._seats if seat.state is not _State.IDLE}
        for process in self._processes:
            if process in busy:
                process.kill()
            else:
                process.leave()
        await self._wait_until_gone(1.0)
        for process in self._processes:
            process.kill()
        await self._wait_until_gone(5.0)

    def enter(self) -> None:
        """Take a place; every request holds one from before its body is read to its end.

        Raises:
            ServerError: SR-REQUEST-BUSY if all are taken.
        """
        if self._places == 0:
            raise busy("all workers are busy and the queue is full")
        self._places -= 1

    def leave(self) -> None:
        """Give a place back."""
        self._places += 1

    def submit(
        self,
        tenant: str,
        model: int,
        request: memoryview,
        *,
        kind: Kind = Kind.JOB,
        receipt: bool = False,
    ) -> Job:
        """Give a request to an idle worker, or put it into the queue."""
        loop = asyncio.get_running_loop()
        job = Job(kind, tenant, model, request, receipt, loop.create_future())
        if self._idle:
            self._run(self._idle.pop(), job)
        else:
            self._queue.append(job)
            job.timer = loop.call_later(self._config.queue_timeout_seconds, self._give_up, job)
        return job

    def withdraw(self, job: Job) -> None:
        """Forget a job whose client has gone, unless it has started."""
        if job in self._queue:
            self._queue.remove(job)
        job.abandon()

    # From here on: what the event loop calls.

    def _fill(self, seat: _Seat) -> None:
        if self._closing:
            return
        seat.state = _State.LOADING
        try:
            link = None if self._keeper is None else self._keeper.link()
            process = WorkerProcess(self._startup, link, self._received, self._exited)
        except OSError as error:
            self._load_failed(seat, lost(f"a worker could not be started ({error.strerror})"))
            return
        seat.process = process
        self._processes.add(process)
        self._arm(seat, self._config.load_timeout_seconds)

    def _received(self, process: WorkerProcess, message: Message) -> None:
        seat = self._seat_of(process)
        if seat is None:
            return
        if seat.state is _State.LOADING:
            self._loaded(seat, process, message)
        elif seat.state is _State.BUSY:
            self._finished(seat, process, message)
        else:
            self._abandon(seat, lost("the worker spoke out of turn"))

    def _loaded(self, seat: _Seat, process: WorkerProcess, message: Message) -> None:
        content = process.content(message.length)
        if message.kind != Kind.READY or content is None:
            self._load_failed(seat, _reported(message, content))
            return
        models = tuple(msgspec.json.decode(content, type=list[ModelDescription]))
        try:
            self._examine(models)
        except StrongroomError as error:
            self._load_failed(seat, error)
            return
        if self._models is None:
            self._models = models
            self._startup = msgspec.structs.replace(self._startup, again=True)
        elif _contents(models) != _contents(self._models):
            self._load_failed(
                seat,
                ServerError(
                    "SR-SERVER-CONFIG",
                    "a package has changed on disk since the server started",
                    "Restart the server",
                ),
            )
            return
        seat.failed_loads = 0
        self._disarm(seat)
        self._next(seat)
        if self._loading and all(other.state is _State.IDLE for other in self._seats):
            self._loading.set_result(None)

    def _finished(self, seat: _Seat, process: WorkerProcess, message: Message) -> None:
        job = seat.job
        assert job is not None
        if message.kind == Kind.MEMORY:
            limit = self._config.worker_memory_bytes
            self._abandon(
                seat,
                ServerError(
                    "SR-WORKER-MEMORY",
                    f"the evaluation took more than {limit} bytes of memory and was ended",
                    "Send fewer rows at once, or ask the operator for a higher limit",
                    http_status=507,
                ),
            )
            return
        content = process.content(message.length)
        if (
            content is None
            or message.kind not in (Kind.ANSWER, Kind.REFUSED, Kind.FAULT)
            or message.receipt + message.results > len(content)
        ):
            self._abandon(seat, lost("the worker broke its protocol"))
            return
        self._disarm(seat)
        seat.job = None
        process.release(len(job.request))
        if message.kind == Kind.ANSWER:
            job.succeed(content, message)
        else:
            job.fail(_reported(message, content))
        self._next(seat)

    def _exited(self, process: WorkerProcess) -> None:
        self._processes.discard(process)
        if self._all_gone and not self._processes:
            self._all_gone.set_result(None)
        seat = self._seat_of(process)
        if seat is None or self._closing:
            return
        error = lost(f"the worker ended unexpectedly ({process.ending})")
        if seat.state is _State.LOADING:
            self._load_failed(seat, error)
        else:
            self._abandon(seat, error)

    def _expired(self, seat: _Seat) -> None:
        seconds = self._config.evaluation_timeout_seconds
        if seat.state is _State.LOADING:
            seconds = self._config.load_timeout_seconds
        error = ServerError(
            "SR-WORKER-TIMEOUT",
            f"the worker took more than {seconds:g} seconds and was ended",
            "Send fewer rows at once, or ask the operator for a higher limit",
            http_status=504,
        )
        if seat.state is _State.LOADING:
            self._load_failed(seat, error)
        else:
            self._abandon(seat, error)

    def _give_up(self, job: Job) -> None:
        if job in self._queue:
            self._queue.remove(job)
            job.fail(busy("no worker became free in time"))

    # Transitions of a seat.

    def _run(self, seat: _Seat, job: Job) -> None:
        assert seat.process is not None
        seat.state = _State.BUSY
        seat.job = job
        job.start()
        self._arm(seat, self._config.evaluation_timeout_seconds)
        seat.process.submit(job.kind, job.tenant, job.model, job.request, job.receipt)

    def _next(self, seat: _Seat) -> None:
        if self._queue:
            self._run(seat, self._queue.popleft())
        else:
            seat.state = _State.IDLE
            self._idle.append(seat)

    def _abandon(self, seat: _Seat, error: StrongroomError) -> None:
        """End a seat's worker and its job, and start the next worker."""
        _log.warning(
            "worker replaced",
            extra={"worker": seat.number, "code": error.code, "reason": str(error)},
        )
        if seat in self._idle:
            self._idle.remove(seat)
        job, seat.job = seat.job, None
        self._vacate(seat)
        self._fill(seat)
        if job is not None:
            job.fail(error)

    def _load_failed(self, seat: _Seat, error: StrongroomError) -> None:
        self._vacate(seat)
        if self._loading is not None:
            if not self._loading.done():
                self._loading.set_exception(error)
            return
        pause = min(_FIRST_PAUSE_SECONDS * 2**seat.failed_loads, _LONGEST_PAUSE_SECONDS)
        seat.failed_loads = min(seat.failed_loads + 1, 16)
        _log.error(
            "worker failed to load",
            extra={"worker": seat.number, "code": error.code, "reason": str(error)},
        )
        asyncio.get_running_loop().call_later(pause, self._fill, seat)

    def _vacate(self, seat: _Seat) -> None:
        self._disarm(seat)
        process, seat.process = seat.process, None
        seat.state = _State.PAUSED
        if process in self._processes and process is not None:
            process.kill()

    def _arm(self, seat: _Seat, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        seat.timer = loop.call_later(seconds, self._expired, seat)

    def _disarm(self, seat: _Seat) -> None:
        if seat.timer is not None:
            seat.timer.cancel()
            seat.timer = None

    def _seat_of(self, process: WorkerProcess) -> _Seat | None:
        return next((seat for seat in self._seats if seat.process is process), None)

    async def _wait_until_gone(self, seconds: float) -> None:
        if self._processes:
            self._all_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._all_gone,), timeout=seconds)
            self._all_gone = None


def _contents(models: tuple[ModelDescription, ...]) -> list[ModelDescription]:
    """What must not change while a server runs. A grant may: its owner may have written others
    behind it, or have encrypted the package anew."""
    return [msgspec.structs.replace(model, authority="", grant_log=None) for model in models]


def _reported(message: Message, content: bytes | None) -> StrongroomError:
    """The error of a REFUSED or FAULT message; a fault is logged here, and only here."""
    try:
        if message.kind == Kind.REFUSED:
            return msgspec.json.decode(content or b"", type=ErrorReport).error()
        if message.kind == Kind.FAULT:
            fault = msgspec.json.decode(content or b"", type=FaultReport)
            _log.error(
                "fault in a worker", extra={"exception": fault.exception, "frames": fault.frames}
            )
            return ServerError(
                "SR-INTERNAL",
                "an unexpected fault in the server's worker",
                "Ask the server's operator to look into its log",
            )
    except msgspec.MsgspecError:
        pass
    return lost("the worker broke its protocol")
