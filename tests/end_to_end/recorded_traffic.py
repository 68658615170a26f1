"""What goes over the wire: a proxy between client and server, and a transport that writes down
what it sends."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

import httpx


class RecordingProxy:
    """Passes TCP connections on to a port of this machine and keeps every byte.

    Attributes:
        sent, received: what came from clients, and from the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent = bytearray()
        self.received = bytearray()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
                for source, sink, record in (
                    (client, server, self.sent),
                    (server, client, self.received),
                ):
                    threading.Thread(target=_pump, args=(source, sink, record), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, record: bytearray) -> None:
    with contextlib.suppress(OSError):  # the other direction has closed both
        while data := source.recv(1 << 16):
            record += data
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


class RecordingTransport(httpx.BaseTransport):
    """Writes down every request, and may change what comes back.

    Args:
        inner: where requests go; the network if None.
        change: makes the body of an answered inference from the one that came.

    Attributes:
        asked: method and path of every request, in order.
        bodies: those of the inference requests.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport | None = None,
        change: Callable[[bytes], bytes] | None = None,
    ) -> None:
        self._inner = inner or httpx.HTTPTransport()
        self.change = change
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.answers: list[bytes] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass one request on."""
        self.asked.append((request.method, request.url.path))
        if request.method == "POST":
            self.bodies.append(request.read())
        response = self._inner.handle_request(request)
        if request.method != "POST" or response.status_code != 200:
            return response
        body = response.read()
        self.answers.append(body)
        if self.change is not None:
            body = self.change(body)
        headers = [pair for pair in response.headers.multi_items() if pair[0] != "content-length"]
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(body))

    @property
    def inferences(self) -> int:
        """How many requests carried rows."""
        return len(self.bodies)

    def close(self) -> None:
        """Close what is underneath."""
        self._inner.close()
