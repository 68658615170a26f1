"""Listening: what every server of this project has around its application.

A bound socket, TLS unless that is loopback, uvicorn with bounds on connections and without
anything that an application here does not use, and a process without core files.
"""

from __future__ import annotations

import contextlib
import ipaddress
import resource
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

import uvicorn

from strongroom.errors import ServerError
from strongroom.server.protocol import ConnectionLimits, bounded, tls_context

_BACKLOG: Final = 1024
_DESCRIPTORS: Final = 65_536


class ListeningLimits(ConnectionLimits, Protocol):
    """What a server's configuration says of where it listens, and how."""

    @property
    def host(self) -> str:
        """Address to bind."""
        ...

    @property
    def port(self) -> int:
        """TCP port; 0 lets the system choose."""
        ...

    @property
    def tls_certificate(self) -> str | None:
        """Path of a PEM file."""
        ...

    @property
    def tls_key(self) -> str | None:
        """Path of a PEM file."""
        ...

    @property
    def drain_timeout_seconds(self) -> float:
        """How long running requests are waited for at the end."""
        ...


class AnnouncingServer(uvicorn.Server):
    """uvicorn, saying when it is ready and leaving signals to its caller."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then call `announce` with the URL."""
        await super().startup(sockets)
        scheme = "https" if self.config.ssl else "http"
        host, port = (sockets or [])[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self._announce(f"{scheme}://{host}:{port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Do nothing: the caller listens."""
        yield


def listen(config: ListeningLimits) -> tuple[socket.socket, ssl.SSLContext | None]:
    """The bound socket, not listening yet, and the TLS of the configuration.

    Raises:
        ServerError: SR-SERVER-CONFIG; SR-SERVER-TLS for anything but loopback without TLS.
    """
    tls = _tls(config)
    listener = _bind(config)
    if tls is None and not _is_loopback(listener):
        listener.close()
        raise ServerError(
            "SR-SERVER-TLS",
            f"host {config.host} is not loopback, and there is no TLS certificate",
            "Set tls_certificate and tls_key, or bind to 127.0.0.1",
        )
    return listener, tls


def uvicorn_config(config: ListeningLimits, app: Any, tls: ssl.SSLContext | None) -> uvicorn.Config:
    """The settings of uvicorn for an application."""
    settings = uvicorn.Config(
        app,
        http=bounded(config),
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=int(config.idle_timeout_seconds) or 1,
        timeout_graceful_shutdown=int(config.drain_timeout_seconds),
    )
    settings.load()
    settings.ssl = tls
    return settings


def limit_process() -> None:
    """No core file, which would hold requests; and descriptors for every connection."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _tls(config: ListeningLimits) -> ssl.SSLContext | None:
    if config.tls_certificate is None or config.tls_key is None:
        return None
    try:
        return tls_context(config.tls_certificate, config.tls_key)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise ServerError(
            "SR-SERVER-CONFIG",
            f"the TLS certificate {config.tls_certificate} and key {config.tls_key} "
            f"can't be used ({reason})",
            "Give PEM files of a certificate and its unencrypted key",
        ) from error


def _bind(config: ListeningLimits) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unbound(config, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unbound(config, error) from error
    return listener


def _unbound(config: ListeningLimits, error: OSError) -> ServerError:
    return ServerError(
        "SR-SERVER-CONFIG",
        f"host {config.host} port {config.port} can't be bound ({error.strerror})",
        "Choose another host or port",
    )


def _is_loopback(listener: socket.socket) -> bool:
    """Judged by the bound address, not by a name that may resolve to anything."""
    return ipaddress.ip_address(listener.getsockname()[0].split("%")[0]).is_loopback
