"""The keeper as the front sees it: started first, given links of workers, asked for no key."""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Final

import msgspec

from strongroom.errors import StrongroomError
from strongroom.keys.home import home_folder
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.server.broker_relay import BrokerRelay
from strongroom.server.channel import ErrorReport
from strongroom.server.config import ServerConfig
from strongroom.server.keeper_messages import (
    MAXIMUM_BYTES,
    AskBroker,
    Authority,
    BrokerFailed,
    BrokerSaid,
    Configuration,
    Failed,
    FromKeeper,
    Link,
    Sign,
    Signed,
    Unlock,
    Unlocked,
    decode,
    encode,
    keeper_lost,
    packet_pair,
)
from strongroom.server.process import THREAD_VARIABLES

_ASKING_SECONDS: Final = 2.0
_ENDING_SECONDS: Final = 5.0

_log = logging.getLogger("strongroom.server")

_from_keeper: Final = msgspec.msgpack.Decoder(FromKeeper)


class KeeperProcess:
    """One running keeper. Belongs to the event loop that made it.

    Args:
        config: which identity, and how long its serving keys last.
        on_exit: called once if it ends after it was unlocked and before `close`.

    Raises:
        OSError: the system can't start another process.
    """

    def __init__(self, config: ServerConfig, on_exit: Callable[[], None]) -> None:
        assert config.identity is not None
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._unlocked: asyncio.Future[None] = self._loop.create_future()
        self._configuration: Configuration | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._authorities: dict[str, str] = {}
        self._public: PublicIdentity | None = None
        self._signing: dict[int, asyncio.Future[Signatures]] = {}
        self._questions = itertools.count()
        self._asking: set[asyncio.Task[None]] = set()
        self._broker = _broker(config)
        self._control, theirs = packet_pair()
        with theirs:
            self._process = _spawn(theirs.fileno())
        self._control.setblocking(False)
        self._exit = os.pidfd_open(self._process.pid)
        self._loop.add_reader(self._control, self._receive)
        self._loop.add_reader(self._exit, self._reap)
        unlock = Unlock(
            identity=config.identity,
            home=str(home_folder(config.home)),
            lifetime_seconds=config.serving_key_seconds,
            overlap_seconds=config.serving_key_overlap_seconds,
            replay_capacity=config.replay_capacity,
            broker=config.broker is not None,
            attestation=config.attestation,
            certificates=config.attestation_certificates,
            revocations=config.attestation_revocations,
            collateral=config.attestation_collateral,
        )
        with suppress(OSError):  # its exit says so
            self._control.send(encode(unlock))

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def configuration(self) -> str | None:
        """The current key configuration; None as long as no package was opened."""
        return None if self._configuration is None else self._configuration.text

    def authority(self, package: str) -> str | None:
        """What proves that a broker released a package; None if that is not how it is served."""
        return self._authorities.get(package)

    async def unlocked(self) -> None:
        """Wait until the identity is open.

        Raises:
            StrongroomError: it can't be opened.
            ServerError: SR-WORKER-LOST if the keeper ended.
        """
        await asyncio.shield(self._unlocked)

    @property
    def public(self) -> PublicIdentity:
        """The identity that it holds.

        Raises:
            ServerError: SR-WORKER-LOST before it is open.
        """
        if self._public is None:
            raise keeper_lost()
        return self._public

    async def sign(self, head: bytes) -> Signatures:
        """Signatures of a message to a committee's member.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        number = next(self._questions)
        answer: asyncio.Future[Signatures] = self._loop.create_future()
        self._signing[number] = answer
        try:
            await self._loop.sock_sendall(self._control, encode(Sign(number, head)))
            return await answer
        except OSError as error:
            raise keeper_lost() from error
        finally:
            del self._signing[number]

    async def announced(self, packages: Collection[str]) -> None:
        """Wait until the key configuration names all of some packages that were opened.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper ended.
        """
        while not set(packages) <= set(self._configuration.packages if self._configuration else ()):
            await self._change()
            if self._process.returncode is not None:
                raise keeper_lost()

    def link(self) -> socket.socket:
        """A new link: the worker's end, which its caller hands on and closes.

        Raises:
            OSError: the keeper is gone.
        """
        worker, keeper = packet_pair()
        with keeper:
            try:
                socket.send_fds(self._control, [encode(Link())], [keeper.fileno()])
            except OSError:
                worker.close()
                raise
        return worker

    @property
    def lost(self) -> bool:
        """Whether it ended before `close`."""
        return self._process.returncode is not None and not self._closing

    async def close(self) -> None:
        """End the keeper, and wait for its end."""
        self._closing = not self.lost
        if not self._unlocked.done():  # it may be asking: let it put the terminal in order
            self._process.send_signal(signal.SIGINT)
            await self._wait_until_gone(_ASKING_SECONDS)
        if self._process.returncode is None:
            self._process.kill()
        await self._wait_until_gone(_ENDING_SECONDS)
        for asking in self._asking:
            asking.cancel()
        if self._broker is not None:
            await self._broker.close()

    async def _wait_until_gone(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._process.returncode is None:
                    await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _receive(self) -> bool:
        """Handle one message; False if there is none to wait for any more."""
        try:
            packet = self._control.recv(MAXIMUM_BYTES + 1)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            packet = b""
        message = decode(packet, _from_keeper)
        if isinstance(message, Configuration):
            self._configuration = message
            self._changed.set()
        elif isinstance(message, Authority):
            self._authorities[message.package] = message.text
        elif isinstance(message, Signed):
            asked = self._signing.get(message.number)
            if asked is not None and not asked.done():  # whoever asked may have given up
                asked.set_result(message.signatures)
        elif isinstance(message, AskBroker):
            asking = self._loop.create_task(self._ask_broker(message))
            self._asking.add(asking)
            asking.add_done_callback(self._asking.discard)
        elif isinstance(message, Unlocked) and not self._unlocked.done():
            self._public = PublicIdentity.from_text(message.server)
            self._unlocked.set_result(None)
        elif isinstance(message, Failed) and not self._unlocked.done():
            self._unlocked.set_exception(message.report.error())
        else:  # the end of the socket, or no keeper of ours
            self._loop.remove_reader(self._control)
            self._process.kill()
            return False
        return True

    async def _ask_broker(self, question: AskBroker) -> None:
        assert self._broker is not None
        try:
            content = await self._broker.ask(question.body)
            answer: BrokerSaid | BrokerFailed = BrokerSaid(question.package, content)
        except StrongroomError as error:
            _log.error("key broker", extra={"code": error.code, "reason": str(error)})
            answer = BrokerFailed(question.package, ErrorReport.of(error))
        with suppress(OSError):  # a keeper that is gone is noticed by its exit
            self._control.send(encode(answer))

    def _reap(self) -> None:
        self._loop.remove_reader(self._exit)
        while self._receive():  # its last words
            pass
        self._loop.remove_reader(self._control)
        self._process.wait()
        os.close(self._exit)
        self._control.close()
        self._changed.set()
        for waiting in self._signing.values():
            waiting.set_exception(keeper_lost())
        if not self._unlocked.done():
            self._unlocked.set_exception(keeper_lost())
        if self._unlocked.exception() is None and not self._closing:
            _log.error("keeper ended", extra={"status": self._process.returncode})
            self._on_exit()


def _broker(config: ServerConfig) -> BrokerRelay | None:
    if config.broker is None:
        return None
    return BrokerRelay(config.broker, config.broker_token, config.broker_ca)


def _spawn(theirs: int) -> subprocess.Popen[bytes]:
    # It stays in the front's process group: one of the background could not ask at the terminal.
    # -P: the working directory is no place to import from.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "strongroom.server.keeper", str(theirs), str(os.getpid())],
        pass_fds=(theirs,),
        stdin=subprocess.DEVNULL,
        stdout=2,  # standard output belongs to the front's ready line
        env=os.environ | dict.fromkeys(THREAD_VARIABLES, "1"),
    )
