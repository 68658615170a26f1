"""The HTTP connection: uvicorn's on h11, with bounds on what a stranger can hold.

h11 bounds the size of a request's head. What uvicorn leaves open is time: a head that never
ends, a refused body that never ends, an answer that is never fetched. Between requests a
connection has `idle_timeout_seconds`, however busy it looks, and the server a largest number of
connections.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Final, Protocol

from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_CLOSING_SECONDS: Final = 2.0


class ConnectionLimits(Protocol):
    """What a server's configuration says of connections."""

    @property
    def idle_timeout_seconds(self) -> float:
        """Between requests, and for the head of one."""
        ...

    @property
    def connections(self) -> int:
        """Most that are open at once."""
        ...


class BoundedProtocol(H11Protocol):
    """One connection. `bounded(config)` makes the class that uvicorn instantiates."""

    idle_timeout_seconds: float
    largest_number: int

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._deadline: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, and give it time for its first request."""
        super().connection_made(transport)
        if len(self.connections) > self.largest_number:
            transport.abort()
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass data on; uvicorn has stopped its own idle timer by now."""
        super().data_received(data)
        if self._answering():
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def on_response_complete(self) -> None:
        """Give the connection time for its next request, or for its end."""
        self._disarm()
        self._arm()
        super().on_response_complete()

    def shutdown(self) -> None:
        """The server drains: end the connection, now or after its answer."""
        super().shutdown()
        if not self._answering():
            self._disarm()
            self._arm()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _arm(self) -> None:
        self._unsent_bytes = self.transport.get_write_buffer_size()
        closing = self.transport.is_closing()
        seconds = _CLOSING_SECONDS if closing else self.idle_timeout_seconds
        self._deadline = self.loop.call_later(seconds, self._cut)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _cut(self) -> None:
        self._deadline = None
        if self._answering():
            return
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent_bytes:  # a slow reader, but one that reads
            self._arm()
        else:
            self.transport.abort()


def bounded(config: ConnectionLimits) -> type[BoundedProtocol]:
    """The protocol class with a configuration's limits."""

    class Bounded(BoundedProtocol):
        idle_timeout_seconds = config.idle_timeout_seconds
        largest_number = config.connections

    return Bounded


def tls_context(certificate: str, key: str) -> ssl.SSLContext:
    """A server's TLS context: 1.3 only, since every client of a new protocol has it.

    Raises:
        OSError: a file can't be read; `ssl.SSLError` if it holds something else.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # An encrypted key must fail, not ask at a terminal that nobody watches.
    context.load_cert_chain(certificate, key, password=lambda: "")
    context.set_alpn_protocols(["http/1.1"])
    return context
