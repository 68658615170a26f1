"""One call that runs a server: front process, workers, TLS, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from typing import Any, Final

import uvicorn

from strongroom.errors import ServerError
from strongroom.keys.server_store import ServerKeyStore
from strongroom.server.app import application
from strongroom.server.catalogue import Catalogue
from strongroom.server.config import ServerConfig
from strongroom.server.log import exception_type, start_log
from strongroom.server.model import ModelDescription
from strongroom.server.protocol import bounded, tls_context
from strongroom.server.tokens import TokenFile
from strongroom.server.workers import WorkerPool

_BACKLOG: Final = 1024
_DESCRIPTORS: Final = 65_536

_log = logging.getLogger("strongroom.server")


def announce_ready(url: str) -> None:
    """Print `strongroom serving on https://host:port` on standard output."""
    print(f"strongroom serving on {url}", flush=True)


def serve(config: ServerConfig, *, announce: Callable[[str], None] = announce_ready) -> None:
    """Run a server until SIGTERM or SIGINT, then drain it. Logs JSON lines on standard error.

    Args:
        config: what to serve, and how.
        announce: called with the server's URL once requests are answered.

    Raises:
        ServerError: SR-SERVER-CONFIG, SR-SERVER-TLS; SR-WORKER-* if the workers can't start.
        StrongroomError: what the loader of packages raises.
    """
    start_log()
    _limit_process()
    tokens = TokenFile(config.tokens)
    tls = _tls(config)
    listener = _bind(config)
    with listener:
        if tls is None and not _is_loopback(listener):
            raise ServerError(
                "SR-SERVER-TLS",
                f"host {config.host} is not loopback, and there is no TLS certificate",
                "Set tls_certificate and tls_key, or bind to 127.0.0.1",
            )
        asyncio.run(_run(config, listener, tls, tokens, announce))


async def _run(
    config: ServerConfig,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    tokens: TokenFile,
    announce: Callable[[str], None],
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_fault)
    pool = WorkerPool(config)
    starting = asyncio.ensure_future(pool.start())
    stop = _Stop(starting)
    with stop.on_signals(loop):
        try:
            models = await starting
            catalogue = Catalogue(models, config.request_bytes)
            with _key_store(config, models) as key_store:
                app = application(config, catalogue, pool, tokens, key_store)
                stop.server = _Server(_uvicorn_config(config, app, tls), announce)
                if stop.asked:
                    return
                await stop.server.serve([listener])
        except asyncio.CancelledError:
            if not stop.asked:
                raise
        finally:
            await pool.close()


@contextlib.contextmanager
def _key_store(
    config: ServerConfig, models: tuple[ModelDescription, ...]
) -> Generator[ServerKeyStore | None]:
    """The tenants' keys, if a model takes keys or did so once."""
    sizes = {one.key_parameters: dict(one.key_objects) for one in models if one.key_parameters}
    if not sizes and not config.keys_at.exists():
        yield None
        return
    store = ServerKeyStore(
        config.keys_at,
        sizes,
        tenant_bytes=config.key_bytes_per_tenant,
        total_bytes=config.key_bytes_total,
        upload_seconds=config.key_upload_seconds,
    )
    with contextlib.closing(store):
        yield store


class _Stop:
    """What SIGTERM and SIGINT do: cancel the start, or drain the server; the second time, stop
    waiting."""

    def __init__(self, starting: asyncio.Future[Any]) -> None:
        self._starting = starting
        self.asked = False
        self.server: _Server | None = None

    @contextlib.contextmanager
    def on_signals(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        """Listen to both signals, where this thread may."""
        signals = (signal.SIGTERM, signal.SIGINT)
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
            for number in signals:
                loop.add_signal_handler(number, self._ask)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def _ask(self) -> None:
        if self.server is None:
            self._starting.cancel()
        else:
            self.server.force_exit = self.asked
            self.server.should_exit = True
        self.asked = True


class _Server(uvicorn.Server):
    """uvicorn, saying when it is ready and leaving signals to `_Stop`."""

    def __init__(self, config: uvicorn.Config, announce: Callable[[str], None]) -> None:
        super().__init__(config)
        self._announce = announce

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        scheme = "https" if self.config.ssl else "http"
        host, port = (sockets or [])[0].getsockname()[:2]
        host = f"[{host}]" if ":" in host else host
        self._announce(f"{scheme}://{host}:{port}")

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _uvicorn_config(config: ServerConfig, app: Any, tls: ssl.SSLContext | None) -> uvicorn.Config:
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


def _limit_process() -> None:
    """No core file, which would hold requests; and descriptors for every connection."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        most = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
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


def _bind(config: ServerConfig) -> socket.socket:
    """The socket, bound but not listening yet."""
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


def _unbound(config: ServerConfig, error: OSError) -> ServerError:
    return ServerError(
        "SR-SERVER-CONFIG",
        f"host {config.host} port {config.port} can't be bound ({error.strerror})",
        "Choose another host or port",
    )


def _is_loopback(listener: socket.socket) -> bool:
    """Judged by the bound address, not by a name that may resolve to anything."""
    return ipaddress.ip_address(listener.getsockname()[0].split("%")[0]).is_loopback


def _log_loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    fault = context.get("exception")
    _log.error(
        "fault in the event loop",
        extra={
            "reason": context.get("message", ""),
            "exception": exception_type(fault) if fault else "",
        },
    )
