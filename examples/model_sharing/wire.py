"""A wire with somebody listening: passes bytes on between the hospitals and the host, and keeps
a copy of all of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_READ_BYTES = 1 << 16


class Wire:
    """A listener on loopback; what comes is passed on to a port, and back.

    Args:
        port: of the host.
        copy: file that both directions are appended to.
    """

    def __init__(self, port: int, copy: Path) -> None:
        self._target = port
        self._copy = copy.open("ab")
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """Where the hospitals think that the host is."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        """No further connections; the copy is complete."""
        self._listener.close()
        with self._lock:
            self._copy.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:  # closed
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while content := source.recv(_READ_BYTES):
                with self._lock:
                    if not self._copy.closed:
                        self._copy.write(content)
                sink.sendall(content)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # either end has gone
            sink.close()


@contextmanager
def wire(port: int, copy: Path) -> Iterator[Wire]:
    """A wire to the host until the context ends."""
    listening = Wire(port, copy)
    try:
        yield listening
    finally:
        listening.close()
