"""One call that runs a server: front process, workers, TLS, until SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from strongroom.errors import PackageError
from strongroom.keys.home import home_folder
from strongroom.keys.seen import Seen
from strongroom.keys.server_store import ServerKeyStore
from strongroom.server.app import application
from strongroom.server.catalogue import Catalogue
from strongroom.server.config import ServerConfig
from strongroom.server.keeper_messages import keeper_lost
from strongroom.server.keeper_process import KeeperProcess
from strongroom.server.listening import AnnouncingServer, limit_process, listen, uvicorn_config
from strongroom.server.log import exception_type, start_log
from strongroom.server.model import ModelDescription
from strongroom.server.private_process import hide_memory
from strongroom.server.tokens import TokenFile
from strongroom.server.workers import WorkerPool

if TYPE_CHECKING:
    from strongroom.server.shared_answers import SharedAnswers

_log = logging.getLogger("strongroom.server")


Announce = Callable[[Sequence[ModelDescription], str], None]
"""Is told what is served, and on which URL, once requests are answered."""


def announce_ready(models: Sequence[ModelDescription], url: str) -> None:
    """Print `strongroom serving on https://host:port` on standard output, and a line for each
    model: askers need its name."""
    lines = [f" model {one.name}, version {one.version}, {one.protection}" for one in models]
    # At once: who waits for the first line may close the pipe after it.
    print("\n".join([f"strongroom serving on {url}", *lines]), flush=True)


def serve(config: ServerConfig, *, announce: Announce = announce_ready) -> None:
    """Run a server until SIGTERM or SIGINT, then drain it. Logs JSON lines on standard error.

    Args:
        config: what to serve, and how.
        announce: called with the models and the server's URL once requests are answered.

    Raises:
        ServerError: SR-SERVER-CONFIG, SR-SERVER-TLS; SR-WORKER-* if the workers can't start.
        StrongroomError: what the loader of packages raises.
    """
    start_log()
    limit_process()
    if config.identity is not None:
        # The passphrase may be in its environment, and through its memory a worker would reach
        # the network.
        hide_memory()
    tokens = TokenFile(config.tokens)
    listener, tls = listen(config)
    with listener:
        asyncio.run(_run(config, listener, tls, tokens, announce))


async def _run(
    config: ServerConfig,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    tokens: TokenFile,
    announce: Announce,
) -> None:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(_log_loop_fault)
    shared = None
    stop = _Stop()
    keeper = None if config.identity is None else KeeperProcess(config, stop.ask)
    pool = WorkerPool(config, keeper, _examine(config))
    stop.starting = asyncio.ensure_future(_start(pool, keeper))
    with stop.on_signals(loop):
        try:
            models = await stop.starting
            catalogue = Catalogue(models, config.request_bytes)
            shared = _shared(config, keeper)
            with _key_store(config, models) as key_store:
                app = application(config, catalogue, pool, tokens, key_store, keeper, shared)
                stop.server = AnnouncingServer(
                    uvicorn_config(config, app, tls), partial(announce, catalogue.models)
                )
                if stop.asked:
                    return
                await stop.server.serve([listener])
        except asyncio.CancelledError:
            if not stop.asked:
                raise
        finally:
            await pool.close()
            if shared is not None:
                await shared.close()
            if keeper is not None:
                await keeper.close()
    if keeper is not None and keeper.lost:
        raise keeper_lost()


async def _start(pool: WorkerPool, keeper: KeeperProcess | None) -> tuple[ModelDescription, ...]:
    """Everything that has to be there before the first request."""
    if keeper is None:
        return await pool.start()
    await keeper.unlocked()
    models = await pool.start()
    await keeper.announced({model.digest for model in models if model.authority})
    return models


def _examine(config: ServerConfig) -> Callable[[tuple[ModelDescription, ...]], None]:
    """Refuses a package whose grant log is older than one that this host has served: the grants
    that its owner has taken away since would count again."""
    seen = Seen(home_folder(config.home))

    def examine(models: tuple[ModelDescription, ...]) -> None:
        for model in models:
            if model.grant_log is None:
                continue
            try:
                seen.saw_grant_log(model.digest, *model.grant_log)
            except PackageError as error:
                # Of several packages the operator has to know which one.
                told = f"model {model.name}: {error.message}"
                raise PackageError(error.code, told, error.remedy) from error

    return examine


def _shared(config: ServerConfig, keeper: KeeperProcess | None) -> SharedAnswers | None:
    """The committees, if there are any: only then the front needs what knows their keys."""
    if keeper is None or not config.committees:
        return None
    from strongroom.server.shared_answers import SharedAnswers

    return SharedAnswers(config, keeper)


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
    """What SIGTERM and SIGINT do, and the loss of the keeper: cancel the start, or drain the
    server; the second time, stop waiting."""

    def __init__(self) -> None:
        self.starting: asyncio.Future[Any] | None = None
        self.asked = False
        self.server: AnnouncingServer | None = None

    @contextlib.contextmanager
    def on_signals(self, loop: asyncio.AbstractEventLoop) -> Generator[None]:
        """Listen to both signals, where this thread may."""
        signals = (signal.SIGTERM, signal.SIGINT)
        with contextlib.suppress(ValueError, RuntimeError):  # not in the main thread
            for number in signals:
                loop.add_signal_handler(number, self.ask)
        try:
            yield
        finally:
            for number in signals:
                loop.remove_signal_handler(number)

    def ask(self) -> None:
        """Ask for the end."""
        if self.server is None:
            if self.starting is not None:
                self.starting.cancel()
        else:
            self.server.force_exit = self.asked
            self.server.should_exit = True
        self.asked = True


def _log_loop_fault(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    fault = context.get("exception")
    _log.error(
        "fault in the event loop",
        extra={
            "reason": context.get("message", ""),
            "exception": exception_type(fault) if fault else "",
        },
    )
