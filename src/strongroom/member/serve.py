"""A member's process, until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from strongroom.engine import KeyCache
from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.committee.folder import CommitteeKeys
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.statement import Committee
from strongroom.keys.home import home_folder
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.member import proof_request, setup_desk
from strongroom.member.addresses import moved_members, reached_at
from strongroom.member.asking import PEER_PATH, PROOF_PATH, SETUP_PATH, SHARE_PATH, MemberLink
from strongroom.member.channel import Channel
from strongroom.member.models import PackageFolder, require_folder
from strongroom.member.peers import ADVANCE, MAXIMUM_MESSAGE_BYTES, RECALL, Peers
from strongroom.member.policy import PolicyFile
from strongroom.member.seats import Seat, Seats
from strongroom.member.service import About, Desk, member_application
from strongroom.member.share_request import MAXIMUM_REQUEST_BYTES, PURPOSE
from strongroom.server.clock import Clock
from strongroom.server.listening import AnnouncingServer, limit_process, listen, uvicorn_config
from strongroom.server.log import start_log
from strongroom.server.private_process import hide_memory

_KEY_CACHE_BYTES: Final = 2 << 30

_log = logging.getLogger("strongroom.server.member")


class MemberConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that a member is told at its start.

    Attributes:
        policy: path of the operator's policy.
        packages: path of the folder of packages whose results may be opened.
        home: the key store's home; $STRONGROOM_HOME, else ~/.strongroom, if None.
        host, port: where to listen; anything but loopback needs TLS. 0 lets the system choose.
        tls_certificate, tls_key: paths of PEM files; both or neither.
        peers_ca: PEM file of the only authorities to trust for the other members.
        peer_urls: where other members are reached that are not where their committee's statement
            says, by name (`member.addresses`).
        threads: of an evaluation that is computed again.
        connections: most that are open at once.
        idle_timeout_seconds: how long one may stay open between requests.
        read_timeout_seconds: within which a message has to arrive.
        peer_timeout_seconds: within which another member has to answer.
        drain_timeout_seconds: how long running requests are waited for after SIGTERM.

    Raises:
        ServerError: SR-SERVER-CONFIG for a value that makes no sense.
    """

    policy: str
    packages: str
    home: str | None = None
    host: str = "127.0.0.1"
    port: int = 8445
    tls_certificate: str | None = None
    tls_key: str | None = None
    peers_ca: str | None = None
    peer_urls: dict[str, str] = {}
    threads: int = 2
    connections: int = 256
    idle_timeout_seconds: float = 30.0
    read_timeout_seconds: float = 60.0
    peer_timeout_seconds: float = 10.0
    drain_timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("port", self.port, 0, 65_535),
            ("threads", self.threads, 1, 1024),
        ):
            if not least <= value <= most:
                raise ServerError(
                    "SR-SERVER-CONFIG", f"{name} is {value}", f"Choose one from {least} to {most}"
                )
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServerError(
                "SR-SERVER-CONFIG",
                "only one of tls_certificate and tls_key is set",
                "Set both, or neither on loopback",
            )


def announce_ready(url: str) -> None:
    """Print `strongroom member on https://host:port` on standard output."""
    print(f"strongroom member on {url}", flush=True)


def serve_member(
    config: MemberConfig,
    identity: Identity,
    store: MemberStore,
    *,
    announce: Callable[[str], None] = announce_ready,
) -> None:
    """Run a member until SIGTERM or SIGINT. Logs JSON lines on standard error.

    The parts are in the memory of this process, which also has the network: a member belongs on a
    machine of whoever it speaks for.

    Args:
        identity: of the member.
        store: its committees and parts.
        announce: called with the URL once requests are answered.

    Raises:
        ServerError: SR-SERVER-CONFIG, SR-SERVER-TLS, SR-SERVER-URL.
        CommitteeError: SR-COMMITTEE-FILE.
        KeyStoreError: SR-IDENTITY-CLOCK, SR-KEYS-*.
    """
    limit_process()
    hide_memory()  # before the first part is opened
    process = _Process(config, identity, store)
    try:
        for committee in store.committees():
            process.sit(committee)
        process.find_moved()
        listener, tls = listen(config)
        start_log()
        _log.info(
            "member started",
            extra={
                "identity": identity.fingerprint,
                "committees": [seat.committee.digest for seat in process.seats.all()],
            },
        )
        with listener:
            server = AnnouncingServer(uvicorn_config(config, process.application(), tls), announce)
            asyncio.run(process.run(server, listener))
    finally:
        process.close()


class _Process:
    """What a member's process holds."""

    def __init__(self, config: MemberConfig, identity: Identity, store: MemberStore) -> None:
        self._config = config
        self._identity = identity
        require_folder(Path(config.packages))
        self._store = store
        self._home = home_folder(config.home)
        self._policy = PolicyFile(Path(config.policy))
        self._seen = Seen(self._home)
        self._seen.now()
        self._clock = Clock()
        self._channel = Channel(identity, self._clock.now)
        self._cache = KeyCache(_KEY_CACHE_BYTES)
        self.seats = Seats()
        self._moved: dict[str, str] = {}
        self._peers: dict[str, Peers] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._setup = setup_desk.SetupDesk(
            identity,
            self._policy,
            store,
            self._home,
            lambda committee: self.seats.find(committee).committee,
            self._settled,
        )

    def sit(self, committee: Committee) -> None:
        """Answer for a committee from now on.

        Raises:
            CommitteeError: SR-COMMITTEE-FILE; ServerError: SR-SERVER-CONFIG; KeyStoreError.
        """
        name = committee.name_of(self._identity.fingerprint)
        if name is None:
            raise ServerError(
                "SR-SERVER-CONFIG",
                f"{self._identity.fingerprint} is no member of committee {committee.digest}",
                "Start with the identity that is, or with another home",
            )
        models = PackageFolder(
            Path(self._config.packages),
            committee,
            self._identity,
            self._keys(committee),
            self._seen,
            self._config.threads,
        )
        held = self._store.open(committee, name)
        if (before := self.seats.leave(committee.digest)) is not None:
            before.close()
        seat = Seat(
            self._identity,
            held,
            lambda: self._store.checks(committee),
            self._home,
            self._policy,
            models,
            self._clock.now,
        )
        self.seats.take(seat)

    def find_moved(self) -> None:
        """Look up who moved, among the peers at all seats.

        Raises:
            ServerError: SR-SERVER-CONFIG for a name of no peer; SR-SERVER-URL, SR-SERVER-TLS.
        """
        peers = (seat.peers for seat in self.seats.all())
        self._moved = moved_members(peers, self._config.peer_urls, "peer_urls")

    def application(self) -> object:
        """The ASGI application."""
        desks = [
            Desk(
                SHARE_PATH,
                frozenset({PURPOSE}),
                lambda: self._policy.current().server_identities,
                MAXIMUM_REQUEST_BYTES,
                self.seats.share,
                waiting=16,
            ),
            # A proof takes seconds. One at a time, so that demands keep nobody from shares.
            Desk(
                PROOF_PATH,
                frozenset({proof_request.PURPOSE}),
                lambda: self._policy.current().server_identities,
                proof_request.MAXIMUM_REQUEST_BYTES,
                self.seats.proof,
                at_once=1,
                waiting=16,
            ),
            Desk(
                PEER_PATH,
                frozenset({RECALL, ADVANCE}),
                self.seats.peer_identities,
                MAXIMUM_MESSAGE_BYTES,
                self.seats.peer,
            ),
            Desk(
                SETUP_PATH,
                setup_desk.PURPOSES,
                self._setup.known,
                setup_desk.MAXIMUM_BYTES,
                self._setup.answer,
                at_once=1,
                waiting=4,
            ),
        ]
        return member_application(
            self._channel,
            self._about,
            desks,
            self._config.read_timeout_seconds,
            answered=self._tell,
        )

    async def run(self, server: AnnouncingServer, listener: socket.socket) -> None:
        """Serve until a signal."""
        self._loop = loop = asyncio.get_running_loop()

        def stop() -> None:
            server.force_exit = server.should_exit
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(ValueError, RuntimeError):  # not in the main thread
                loop.add_signal_handler(number, stop)
        for seat in self.seats.all():
            self._keep_peers(seat)
        try:
            await server.serve([listener])
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def close(self) -> None:
        """Let another process have the ledgers."""
        self._setup.close()
        for seat in self.seats.all():
            seat.close()

    def _keep_peers(self, seat: Seat) -> None:
        """In the loop: begin to show a seat's log to its peers."""
        digest = seat.committee.digest
        if (before := self._tasks.pop(digest, None)) is not None:
            before.cancel()
        links = []
        urls = reached_at(seat.peers, seat.committee.urls, self._moved)
        for name, identity in seat.peers.items():
            try:
                links.append(
                    MemberLink(
                        name,
                        identity,
                        urls[name],
                        timeout_seconds=self._config.peer_timeout_seconds,
                        ca=self._config.peers_ca,
                    )
                )
            except ServerError as error:
                _log.error("peer can't be asked", extra={"peer": name, "reason": error.message})
        self._peers[digest] = peers = Peers(self._channel, digest, links, seat.standing)
        self._tasks[digest] = asyncio.get_running_loop().create_task(peers.run())

    def _settled(self, committee: Committee) -> None:
        """In a thread: a committee was made or refreshed."""
        self.sit(committee)
        if self._loop is not None:
            seat = self.seats.find(committee.digest)
            self._loop.call_soon_threadsafe(self._keep_peers, seat)

    def _tell(self) -> None:
        for peers in self._peers.values():
            peers.tell()

    def _about(self) -> About:
        seats = self.seats.all()
        text = self._identity.public.to_text()
        if not seats:
            return About(text)
        return About(text, seats[-1].member, seats[-1].committee.digest)

    def _keys(self, committee: Committee) -> CommitteeKeys | None:
        folder = setup_desk.keys_folder(self._home, committee.statement.proposal)
        if not folder.is_dir():
            return None
        try:
            return CommitteeKeys(folder, self._cache)
        except StrongroomError as error:
            _log.error("keys for audits can't be read", extra={"reason": error.message})
            return None
