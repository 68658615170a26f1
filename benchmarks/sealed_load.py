"""Some clients of one HTTP server at once, in one thread: each asks again once it is answered.

On a machine that also runs the server whatever a client computes is missing there, so clients are
as light as can be: requests that are ready, sockets that are kept, and of an answer nothing is read
but its length and status.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

HEADER_LENGTH = "Inference-Header-Content-Length"
_END_OF_HEAD = b"\r\n\r\n"
_RECEIVE_BYTES = 1 << 18


@dataclass
class Address:
    """Where a model is asked.

    Attributes:
        host, port: of the server; plain HTTP on loopback.
        path: of the model's `infer`.
        token: of the server.
    """

    host: str
    port: int
    path: str
    token: str

    def request(self, body: bytes, json_bytes: int) -> bytes:
        """A whole HTTP request around a V2 body.

        Args:
            json_bytes: length of the JSON in front of the tensors.
        """
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Authorization: Bearer {self.token}\r\nContent-Type: application/octet-stream\r\n"
            f"{HEADER_LENGTH}: {json_bytes}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode("ascii") + body


@dataclass
class Asked:
    """What became of one client's requests.

    Attributes:
        seconds: that each took.
        answers: heads and bodies.
    """

    seconds: list[float] = field(default_factory=list)
    answers: list[tuple[bytes, bytes]] = field(default_factory=list)


class _Connection:
    """One client: a socket, and a request under way."""

    def __init__(self, address: Address, requests: Sequence[Callable[[], bytes]]) -> None:
        self.socket = socket.create_connection((address.host, address.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = Asked()
        self._requests = iter(requests)
        self._buffer = bytearray()
        self._end = 0
        self._body = 0
        self._began = 0.0

    def ask(self) -> bool:
        """Send the next request; False if there is none."""
        make = next(self._requests, None)
        if make is None:
            return False
        self._began = time.perf_counter()
        self.socket.sendall(make())
        return True

    def receive(self) -> bool:
        """Read what there is; whether the answer is complete."""
        chunk = self.socket.recv(_RECEIVE_BYTES)
        if not chunk:
            raise SystemExit("the server closed the connection")
        self._buffer += chunk
        if not self._end:
            found = self._buffer.find(_END_OF_HEAD)
            if found < 0:
                return False
            self._body = found + len(_END_OF_HEAD)
            self._end = self._body + _content_length(bytes(self._buffer[:found]))
        if len(self._buffer) < self._end:
            return False
        head, body = bytes(self._buffer[: self._body]), bytes(self._buffer[self._body :])
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"the server refused: {body[:500]!r}")
        self.asked.seconds.append(time.perf_counter() - self._began)
        self.asked.answers.append((head, body))
        self._buffer.clear()
        self._end = 0
        return True


def ask_at_once(address: Address, requests: Sequence[Sequence[Callable[[], bytes]]]) -> list[Asked]:
    """Let clients ask, each one request after the other.

    Args:
        requests: of each client, by what makes them; its time counts.
    """
    connections = [_Connection(address, own) for own in requests]
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        waiting = sum(connection.ask() for connection in connections)
        while waiting:
            for key, _ in selector.select():
                if key.data.receive() and not key.data.ask():
                    waiting -= 1
    for connection in connections:
        connection.socket.close()
    return [connection.asked for connection in connections]


def header(head: bytes, name: str) -> str | None:
    """The value of a header."""
    for line in head.decode("latin-1").split("\r\n")[1:]:
        found, _, value = line.partition(":")
        if found.lower() == name.lower():
            return value.strip()
    return None


def _content_length(head: bytes) -> int:
    length = header(head, "content-length")
    if length is None:
        raise SystemExit("the server's answer has no length")
    return int(length)
