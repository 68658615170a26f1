"""The worker process: loads the packages, then evaluates one request at a time.

    python -m strongroom.server.worker PARENT CONTROL REQUESTS RESPONSES [LINK]

The arguments are the process id of the front and inherited file descriptors: three of
`server.channel` and, where the server has a keeper, a link to it. Rules of this process:

1. It dies with the front: by the kernel's parent-death signal, and by the end of the control
   socket.
2. Once the packages are loaded, its memory is limited to what it has then and the configured
   extra; keys that it has mapped are the system's to drop and don't count.
3. It prints nothing and logs nothing; what went wrong is reported to the front.
4. It never writes a core file, which would hold requests.
5. Before it opens a package it gives up its network, where the system can take it, and hides its
   memory from other processes. A model whose inputs it sees it serves only without network.
6. A package is served until its grant ends, and no request longer.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import mmap
import resource
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

import msgspec

from strongroom.engine import catalogued
from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.server_layout import Layout
from strongroom.keys.server_objects import object_sizes, store_object
from strongroom.keys.server_sets import WorkerKeySets
from strongroom.server.channel import (
    MESSAGE_BYTES,
    ErrorReport,
    FaultReport,
    Kind,
    Message,
    Startup,
    WholeObject,
    pack,
    read_arena,
    unpack,
    write_arena,
)
from strongroom.server.clock import Clock
from strongroom.server.committees import CommitteeFolders
from strongroom.server.keeper_link import KeeperLink
from strongroom.server.log import exception_frames, exception_type
from strongroom.server.model import Loader, Means, ModelDescription, ServedModel
from strongroom.server.no_network import give_up_network
from strongroom.server.private_process import (
    die_with,
    drop_capabilities,
    hide_memory,
    no_core_file,
)

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

    def send(
        self,
        kind: Kind,
        content: bytes = b"",
        microseconds: int = 0,
        receipt: bytes = b"",
        results: bytes = b"",
    ) -> None:
        length = 0
        for part in (content, receipt, results):
            write_arena(self._responses, part, length)
            length += len(part)
        self._control.send(
            pack(
                Message(
                    kind,
                    0,
                    length,
                    microseconds,
                    receipt=len(receipt),
                    results=len(results),
                )
            )
        )

    def report(self, error: Exception) -> None:
        """Tell the front what went wrong."""
        if isinstance(error, StrongroomError):
            self.send(Kind.REFUSED, msgspec.json.encode(ErrorReport.of(error)))
        else:
            fault = FaultReport(exception_type(error), exception_frames(error))
            self.send(Kind.FAULT, msgspec.json.encode(fault))


def main(arguments: list[str]) -> None:
    """Run a worker until the front ends it."""
    parent, control, requests, responses, *link = map(int, arguments)
    die_with(parent)
    # A terminal's Ctrl-C and a service manager's SIGTERM reach every process of a server; the
    # front drains, and the workers have to finish what they are at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    no_core_file()
    with suppress(OSError):  # should the machine run out of memory, not the front but a worker
        Path("/proc/self/oom_score_adj").write_text("500")

    channel = _Channel(socket.socket(fileno=control), requests, responses)
    start = channel.receive()
    if start is None or start.kind != Kind.START:
        return
    startup = channel.startup(start.length)
    try:
        means = _means(link, startup)
        models = _load(startup, means)
        channel.map_requests(startup.request_arena_bytes)
    except Exception as error:
        channel.report(error)
        return
    gc.collect()
    gc.freeze()
    _return_freed_memory()
    descriptions = [ModelDescription.of(model, _key_objects(model)) for model in models]
    largest = max((size for one in descriptions for _, size in one.key_objects), default=0)
    # What an operation uses stays mapped until its end, whatever the cache has let go by then.
    mapped = 2 * (startup.key_cache_bytes + largest) if largest else 0
    if means.committees is not None:
        mapped += 2 * startup.key_cache_bytes + means.committees.key_bytes
    _limit_memory(startup.memory_bytes, mapped, startup.threads)
    channel.send(Kind.READY, msgspec.json.encode(descriptions))

    key_sets = WorkerKeySets(Path(startup.key_folder), startup.key_cache_bytes)
    while (job := channel.receive()) is not None and job.kind in (Kind.JOB, Kind.KEY):
        try:
            if job.kind == Kind.KEY:
                _store_key(channel, Path(startup.key_folder), job)
            else:
                _answer(channel, models[job.model], means, key_sets, job, startup.threads)
        except MemoryError:
            # The request is over, and so is this process: whatever failed half-way through an
            # allocation is not trusted with the next request.
            channel.send(Kind.MEMORY)
            return
        except Exception as error:
            channel.report(error)


def _answer(
    channel: _Channel,
    model: ServedModel,
    means: Means,
    key_sets: WorkerKeySets,
    job: Message,
    threads: int,
) -> None:
    started = time.perf_counter_ns()
    ends = model.ends()
    if ends is not None and means.clock.now() >= ends:
        raise ServerError(
            "SR-PACKAGE-EXPIRED",
            f"the grant by which model {model.name!r} was served has ended",
            "Ask the server's operator for another",
            http_status=403,
        )
    request = channel.request(job.length)
    with key_sets.of(_tenant(job)) as keys:
        response, results = model.answer(request, keys=keys, threads=threads), b""
    if model.shared is not None:
        response, results = model.shared.shown(response), response
    microseconds = (time.perf_counter_ns() - started) // 1000
    receipt = b""
    if job.receipt and model.subject is not None and means.keeper is not None:
        receipt = means.keeper.receipt(model.subject, request, response).encode()
    channel.send(Kind.ANSWER, response, microseconds, receipt, results)


def _store_key(channel: _Channel, key_folder: Path, job: Message) -> None:
    """Check an object that has come, and make a key of it."""
    whole = msgspec.json.decode(channel.request(job.length), type=WholeObject)
    folder = Layout(key_folder).key_set(_tenant(job), whole.parameters, whole.key_set)
    store_object(folder, folder.upload(whole.digest, whole.size))
    channel.send(Kind.ANSWER)


def _tenant(job: Message) -> str:
    return job.tenant.rstrip(b"\0").decode("ascii")


def _key_objects(model: ServedModel) -> tuple[tuple[int, int], ...]:
    needs = model.key_needs
    return () if needs is None else object_sizes(catalogued(needs.parameters))


def _means(link: list[int], startup: Startup) -> Means:
    has_network = False
    try:
        give_up_network()
    except OSError:
        has_network = True
    if link:
        hide_memory()
        drop_capabilities()
    clock = Clock()
    keeper = KeeperLink(socket.socket(fileno=link[0]), clock) if link else None
    committees = None
    if startup.committees:
        committees = CommitteeFolders(startup.committees, startup.key_cache_bytes)
    return Means(keeper, clock, has_network, startup.again, startup.threads, committees)


def _load(startup: Startup, means: Means) -> list[ServedModel]:
    module, function = startup.loader.split(":")
    try:
        loader = cast(Loader, getattr(importlib.import_module(module), function))
    except (ImportError, AttributeError) as error:
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the loader {startup.loader!r} can't be imported ({exception_type(error)})",
            "Correct the configuration's field loader",
        ) from error
    return [loader(path, means) for path in startup.packages]


def _return_freed_memory() -> None:
    """Give back what loading took and needs no more: encoding a model holds its numbers several
    times, and glibc keeps them between what stays. Other C libraries have no such call."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _limit_memory(extra_bytes: int, mapped_bytes: int, threads: int) -> None:
    """Limit this process to its present memory and some more.

    RLIMIT_DATA counts what can be written and is private: the limit proper. RLIMIT_AS catches
    the rest (shared mappings, those of keys among them); it also counts address space that
    allocators and thread stacks only reserve, hence its margin.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    data = int(sizes["VmData"]) * 1024 + extra_bytes
    reserved = (
        int(sizes["VmSize"]) * 1024
        + extra_bytes
        + mapped_bytes
        + threads * _RESERVED_PER_THREAD_BYTES
    )
    resource.setrlimit(resource.RLIMIT_DATA, (data, data))
    resource.setrlimit(resource.RLIMIT_AS, (reserved, reserved))


if __name__ == "__main__":
    main(sys.argv[1:])
