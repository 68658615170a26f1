"""A worker process as the front sees it: started, given one job at a time, killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec

from strongroom.keys.custody import (
    NEW_PASSPHRASE_ENVIRONMENT,
    PASSPHRASE_ENVIRONMENT,
    PIN_ENVIRONMENT,
)
from strongroom.server.channel import (
    MESSAGE_BYTES,
    Kind,
    Message,
    Startup,
    pack,
    read_arena,
    unpack,
    write_arena,
)

_KEPT_ARENA_BYTES: Final = 1 << 20
"""What an arena may keep of the machine's memory between jobs."""

_SECRET_VARIABLES: Final = (
    PASSPHRASE_ENVIRONMENT,
    NEW_PASSPHRASE_ENVIRONMENT,
    PIN_ENVIRONMENT,
)
"""Variables of the environment that are the keeper's business."""

THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class WorkerProcess:
    """One running worker. Not thread-safe: belongs to the event loop that made it.

    Args:
        startup: what it loads.
        link: the worker's end of a link to the keeper, which is closed here; None if there is none.
        on_message: called with each control message.
        on_exit: called once when the process has ended and is reaped.

    Raises:
        OSError: the system can't start another process.
    """

    def __init__(
        self,
        startup: Startup,
        link: socket.socket | None,
        on_message: Callable[[WorkerProcess, Message], None],
        on_exit: Callable[[WorkerProcess], None],
    ) -> None:
        self._on_message = on_message
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._request_arena_bytes = startup.request_arena_bytes
        self._requests = os.memfd_create("strongroom-requests", os.MFD_CLOEXEC)
        self._responses = os.memfd_create("strongroom-responses", os.MFD_CLOEXEC)
        os.truncate(self._requests, self._request_arena_bytes)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._process = self._spawn(theirs, link, startup.threads)
        except OSError:
            self._close()
            raise
        finally:
            theirs.close()
            if link is not None:
                link.close()
        self._control.setblocking(False)
        self._exit = os.pidfd_open(self._process.pid)
        self._listening = True
        self._loop.add_reader(self._control, self._receive)
        self._loop.add_reader(self._exit, self._reap)
        self._send(Kind.START, msgspec.json.encode(startup))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def ending(self) -> str:
        """How it ended, for the log: "exit status 3", "signal SIGKILL"."""
        status = self._process.returncode
        if status is None:
            return "running"
        if status >= 0:
            return f"exit status {status}"
        with suppress(ValueError):
            return f"signal {signal.Signals(-status).name}"
        return f"signal {-status}"

    def submit(
        self,
        kind: Kind,
        tenant: str,
        model: int,
        request: bytes | bytearray | memoryview,
        receipt: bool,
    ) -> None:
        """Start a job; its end is a message, or the end of the process."""
        self._send(kind, request, model, tenant, receipt)

    def content(self, length: int) -> bytes | None:
        """What a message announced, or None if the worker lied about its length."""
        content = read_arena(self._responses, length)
        if length > _KEPT_ARENA_BYTES:
            os.truncate(self._responses, 0)
        return content

    def release(self, length: int) -> None:
        """Give the memory of a large request back, once its job is over."""
        if length > _KEPT_ARENA_BYTES:
            os.truncate(self._requests, 0)
            os.truncate(self._requests, self._request_arena_bytes)

    def kill(self) -> None:
        """End the process now; no message follows, `on_exit` does."""
        self._stop_listening()
        self._process.kill()

    def leave(self) -> None:
        """Ask an idle process to end, by closing the control socket; `on_exit` follows."""
        self._stop_listening()
        self._control.close()

    def _spawn(
        self, theirs: socket.socket, link: socket.socket | None, threads: int
    ) -> subprocess.Popen[bytes]:
        # -P: the working directory is no place to import from. A process group of its own keeps
        # a terminal's Ctrl-C away while the interpreter starts.
        command = [sys.executable, "-P", "-X", "faulthandler", "-m", "strongroom.server.worker"]
        descriptors = [theirs.fileno(), self._requests, self._responses]
        if link is not None:
            descriptors.append(link.fileno())
        return subprocess.Popen(
            [*command, str(os.getpid()), *map(str, descriptors)],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output belongs to the front's ready line
            env=_environment(threads),
            process_group=0,
        )

    def _send(
        self,
        kind: Kind,
        content: bytes | bytearray | memoryview,
        model: int = 0,
        tenant: str = "",
        receipt: bool = False,
    ) -> None:
        write_arena(self._requests, content)
        message = Message(kind, model, len(content), 0, tenant.encode(), int(receipt))
        # A worker that is gone is noticed by its exit, not here.
        with suppress(OSError):
            self._control.send(pack(message))

    def _receive(self) -> bool:
        """Handle one message; False if there is none to wait for any more."""
        try:
            raw = self._control.recv(MESSAGE_BYTES)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            raw = b""
        message = unpack(raw)
        if message is None:  # the end of the socket, or no worker of ours
            self.kill()
            return False
        self._on_message(self, message)
        return self._listening

    def _reap(self) -> None:
        self._loop.remove_reader(self._exit)
        while self._listening and self._receive():  # its last words
            pass
        self._stop_listening()
        self._process.wait()
        os.close(self._exit)
        self._close()
        self._on_exit(self)

    def _stop_listening(self) -> None:
        if self._listening:
            self._listening = False
            self._loop.remove_reader(self._control)

    def _close(self) -> None:
        self._control.close()
        os.close(self._requests)
        os.close(self._responses)


def _environment(threads: int) -> dict[str, str]:
    variables = os.environ | dict.fromkeys(THREAD_VARIABLES, str(threads))
    return {name: value for name, value in variables.items() if name not in _SECRET_VARIABLES}
