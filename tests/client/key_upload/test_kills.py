"""Server or client killed anywhere in an upload: nothing is lost, hardly anything sent twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import httpx
import pytest
from key_servers import CHUNK_BYTES, KeyServer, ask, client_process, total_bytes

from strongroom.package.protected import Package

MOMENTS: Final = ("before", "half of it sent", "all of it sent", "answered")

pytestmark = pytest.mark.timeout(600)  # servers start many times, on a machine that may be busy


class _Chunk(httpx.SyncByteStream):
    """A chunk that is interrupted after half of its bytes, or behind the last."""

    def __init__(self, content: bytes, at: int, interrupt: Callable[[], None]) -> None:
        self._content = content
        self._at = at
        self._interrupt = interrupt

    def __iter__(self) -> Iterator[bytes]:
        if self._at:
            yield self._content[: self._at]
        self._interrupt()
        if self._at < len(self._content):
            yield self._content[self._at :]


class Murderous(httpx.HTTPTransport):
    """Kills the server at a moment of some of the chunks, each in turn, and starts it again."""

    def __init__(self, server: KeyServer, every: int) -> None:
        super().__init__()
        self._server = server
        self._every = every
        self._chunks = 0
        self.kills: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PUT":
            return super().handle_request(request)
        self._chunks += 1
        if self._chunks % self._every:
            return super().handle_request(request)
        moment = MOMENTS[len(self.kills) % len(MOMENTS)]
        self.kills.append(moment)
        if moment == "before":
            self._server.kill()
        elif moment != "answered":
            content = request.read()
            at = len(content) // 2 if moment == "half of it sent" else len(content)
            request = httpx.Request(
                request.method,
                request.url,
                headers=request.headers,
                stream=_Chunk(content, at, self._server.kill),
                extensions=request.extensions,
            )
        with contextlib.suppress(httpx.TransportError):  # of a server that is no more
            super().handle_request(request).read()
        self._server.kill()
        self._server.start()
        raise httpx.ReadError("the answer was lost")


def test_sigkill_of_the_server_anywhere_in_an_upload_loses_nothing(
    serve: Any, connect: Any
) -> None:
    server = serve()
    murderous = Murderous(server, every=3)
    with connect(server, transport=murderous, timeout_seconds=120.0) as client:
        assert set(murderous.kills) == set(MOMENTS)
        # What was confirmed is not sent again: only chunks whose answer was lost.
        most = total_bytes() + len(murderous.kills) * CHUNK_BYTES
        assert client.key_bytes_sent <= total_bytes()
        assert server.confirmed_bytes() <= most
        ask(client)
    with connect(server) as client:
        ask(client)
        assert client.key_bytes_sent == 0


def test_sigkill_of_the_client_anywhere_in_an_upload_loses_nothing(
    serve: Any, packages: dict[str, Package]
) -> None:
    server = serve()
    kills = 0
    for share in (0.05, 0.3, 0.5, 0.7, 0.95):
        process = client_process(server, packages["m"].digest, 0.05)
        while server.confirmed_bytes() < share * total_bytes() and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    assert kills >= 4
    process = client_process(server, packages["m"].digest, 0.05)
    sent, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert int(sent) < total_bytes() / 2
    # A chunk that was under way at a kill may have come twice, and nothing else.
    assert server.confirmed_bytes() <= total_bytes() + kills * CHUNK_BYTES
