"""The worker process: loads the packages, then evaluates one request at a time.

    python -m strongroom.server.worker CONTROL REQUESTS RESPONSES PARENT

The arguments are three inherited file descriptors (`server.channel`) and the process id of the
front. Rules of this process:

1. It dies with the front: by the kernel's parent-death signal, and by the end of the control
   socket.
2. Once the packages are loaded, its memory is limited to what it has then and the configured
   extra.
3. It prints nothing and logs nothing; what went wrong is reported to the front.
4. It never writes a core file, which would hold requests.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import mmap
import os
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec

from strongroom.errors import ServerError, StrongroomError
from strongroom.server.channel import (
    MESSAGE_BYTES,
    ErrorReport,
    FaultReport,
    Kind,
    Message,
    Startup,
    pack,
    read_arena,
    unpack,
    write_arena,
)
from strongroom.server.log import exception_frames, exception_type
from strongroom.server.model import Loader, ModelDescription, ServedModel

_PR_SET_PDEATHSIG: Final = 1
_RESERVED_PER_THREAD_BYTES: Final = 256 << 20


class _Channel:
    """The worker's end of the control socket and of the two arenas."""

    def __init__(self, control: socket.socket, requests: int, responses: int) -> None:
        self._control = control
        self._requests = requests
        self._responses = responses
        self._view = memoryview(b"")

    def receive(self) -> Message | None:
        """The next message, or None if the front is gone."""
        return unpack(self._control.recv(MESSAGE_BYTES))

    def startup(self, length: int) -> Startup:
        text = read_arena(self._requests, length)
        return msgspec.json.decode(text or b"", type=Startup)

    def map_requests(self, length: int) -> None:
        self._view = memoryview(mmap.mmap(self._requests, length, prot=mmap.PROT_READ))

    def request(self, length: int) -> memoryview:
        """The request of the current job, without a copy."""
        return self._view[:length]

    def send(self, kind: Kind, content: bytes = b"", microseconds: int = 0) -> None:
        write_arena(self._responses, content)
        self._control.send(pack(Message(kind, 0, len(content), microseconds)))

    def report(self, error: Exception) -> None:
        """Tell the front what went wrong."""
        if isinstance(error, StrongroomError):
            self.send(Kind.REFUSED, msgspec.json.encode(ErrorReport.of(error)))
        else:
            fault = FaultReport(exception_type(error), exception_frames(error))
            self.send(Kind.FAULT, msgspec.json.encode(fault))


def main(arguments: list[str]) -> None:
    """Run a worker until the front ends it."""
    control, requests, responses, parent = map(int, arguments)
    _die_with(parent)
    # A terminal's Ctrl-C and a service manager's SIGTERM reach every process of a server; the
    # front drains, and the workers have to finish what they are at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # should the machine run out of memory, not the front but a worker
        Path("/proc/self/oom_score_adj").write_text("500")

    channel = _Channel(socket.socket(fileno=control), requests, responses)
    start = channel.receive()
    if start is None or start.kind != Kind.START:
        return
    startup = channel.startup(start.length)
    try:
        models = _load(startup)
        channel.map_requests(startup.request_arena_bytes)
    except Exception as error:
        channel.report(error)
        return
    gc.collect()
    gc.freeze()
    _limit_memory(startup.memory_bytes, startup.threads)
    descriptions = [ModelDescription.of(model) for model in models]
    channel.send(Kind.READY, msgspec.json.encode(descriptions))

    while (job := channel.receive()) is not None and job.kind == Kind.JOB:
        try:
            _answer(channel, models[job.model], job.length, startup.threads)
        except MemoryError:
            # The request is over, and so is this process: whatever failed half-way through an
            # allocation is not trusted with the next request.
            channel.send(Kind.MEMORY)
            return
        except Exception as error:
            channel.report(error)


def _answer(channel: _Channel, model: ServedModel, length: int, threads: int) -> None:
    started = time.perf_counter_ns()
    response = model.answer(channel.request(length), threads=threads)
    microseconds = (time.perf_counter_ns() - started) // 1000
    channel.send(Kind.ANSWER, response, microseconds)


def _load(startup: Startup) -> list[ServedModel]:
    module, function = startup.loader.split(":")
    try:
        loader = cast(Loader, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the loader {startup.loader!r} can't be imported ({exception_type(error)})",
            "Correct the configuration's field loader",
        ) from error
    return [loader(path) for path in startup.packages]


def _die_with(parent: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the line above
        os._exit(1)


def _limit_memory(extra_bytes: int, threads: int) -> None:
    """Limit this process to its present memory and some more.

    RLIMIT_DATA counts what can be written and is private: the limit proper. RLIMIT_AS catches
    the rest (shared mappings); it also counts address space that allocators and thread stacks
    only reserve, hence its margin.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    data = int(sizes["VmData"]) * 1024 + extra_bytes
    reserved = int(sizes["VmSize"]) * 1024 + extra_bytes + threads * _RESERVED_PER_THREAD_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_AS, (reserved, reserved))


if __name__ == "__main__":
    main(sys.argv[1:])
