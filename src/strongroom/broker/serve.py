"""The broker's process, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from strongroom.broker.decision import Broker
from strongroom.broker.policy import DevelopmentPolicy, read_policy
from strongroom.broker.service import broker_application
from strongroom.broker.shelf import Shelf
from strongroom.errors import ServerError
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.server.listening import AnnouncingServer, limit_process, listen, uvicorn_config
from strongroom.server.log import start_log
from strongroom.server.private_process import hide_memory
from strongroom.server.tokens import TokenFile

_log = logging.getLogger("strongroom.server.broker")


class BrokerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a broker is told at its start.

    Attributes:
        policy: path of the owner's policy.
        packages: path of the folder of packages that are granted to the broker.
        tokens: path of the token file; everybody may ask if None, and evidence decides.
        home: where is remembered what was seen; $STRONGROOM_HOME, else ~/.strongroom, if None.
        host, port: where to listen; anything but loopback needs TLS. 0 lets the system choose.
        tls_certificate, tls_key: paths of PEM files; both or neither.
        connections: most that are open at once.
        idle_timeout_seconds: how long one may stay open between requests.
        read_timeout_seconds: within which the body of a request has to arrive.
        drain_timeout_seconds: how long running requests are waited for after SIGTERM.

    Raises:
        ServerError: SR-BROKER-CONFIG for a value that makes no sense.
    """

    policy: str
    packages: str
    tokens: str | None = None
    home: str | None = None
    host: str = "127.0.0.1"
    port: int = 8444
    tls_certificate: str | None = None
    tls_key: str | None = None
    connections: int = 256
    idle_timeout_seconds: float = 30.0
    read_timeout_seconds: float = 10.0
    drain_timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65_535:
            raise ServerError(
                "SR-BROKER-CONFIG", f"port is {self.port}", "Choose one from 0 to 65535"
            )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServerError(
                "SR-BROKER-CONFIG",
                "only one of tls_certificate and tls_key is set",
                "Set both, or neither on loopback",
            )


def announce_ready(url: str) -> None:
    """Print `strongroom broker on https://host:port` on standard output."""
    print(f"strongroom broker on {url}", flush=True)


def serve_broker(
    config: BrokerConfig, identity: Identity, *, announce: Callable[[str], None] = announce_ready
) -> None:
    """Run a broker until SIGTERM or SIGINT. Logs JSON lines on standard error.

    The identity is in the memory of this process, which also has the network: a broker belongs
    on a machine of the owner's, or of somebody whom the owner trusts with the keys.

    Args:
        identity: that packages are granted to.
        announce: called with the URL once requests are answered.

    Raises:
        ServerError: SR-BROKER-CONFIG, SR-SERVER-CONFIG, SR-SERVER-TLS.
        KeyStoreError: SR-IDENTITY-CLOCK, SR-KEYS-*.
    """
    policy = read_policy(Path(config.policy))
    seen = Seen(home_folder(config.home))
    policy_is_for_development = isinstance(policy, DevelopmentPolicy)
    broker = Broker(identity, policy, Shelf(Path(config.packages), seen), seen)
    tokens = None if config.tokens is None else TokenFile(config.tokens)
    seen.now()
    listener, tls = listen(config)
    start_log()
    limit_process()
    hide_memory()
    if policy_is_for_development:
        _log.warning(
            "DEVELOPMENT POLICY: keys are released to any process that asks for them; "
            "every release says so"
        )
    _log.info(
        "broker started",
        extra={
            "identity": identity.fingerprint,
            "policy": policy.digest,
            "development": policy_is_for_development,
        },
    )
    app = broker_application(broker, tokens, config.read_timeout_seconds)
    with listener:
        server = AnnouncingServer(uvicorn_config(config, app, tls), announce)
        asyncio.run(_run(server, listener))


async def _run(server: AnnouncingServer, listener: socket.socket) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(ValueError, RuntimeError):  # not in the main thread
            loop.add_signal_handler(number, stop)
    await server.serve([listener])
