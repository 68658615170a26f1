"""What the keeper holds of the server's identity, and what it answers: everything but sockets."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from strongroom.attestation.development import DevelopmentAttester
from strongroom.attestation.interface import Attester
from strongroom.attestation.tsm import TsmAttester
from strongroom.broker import exchange
from strongroom.errors import AttestationError, KeyStoreError, ServerError, StrongroomError
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.keys.seen import Seen
from strongroom.keys.serving import CLOCK_SKEW, ServingSecrets
from strongroom.member.messages import SIGNED_FOR as CHANNEL_PURPOSE
from strongroom.package.grants import package_of
from strongroom.server.channel import ErrorReport
from strongroom.server.clock import Clock
from strongroom.server.keeper_messages import (
    MAXIMUM_BYTES,
    AskBroker,
    Authority,
    BrokerFailed,
    BrokerSaid,
    Configuration,
    FromKeeper,
    FromWorker,
    Key,
    NoKey,
    Opened,
    Refused,
    Release,
    Released,
    Secret,
    Server,
    Sign,
    Signed,
    Tenure,
    ToWorker,
    Unlock,
    Until,
    Unwrap,
)
from strongroom.server.releases import Releases
from strongroom.server.replay import create_window
from strongroom.server.rotation import Rotation

_LONGEST_WAIT_SECONDS: Final = 60.0
_BETWEEN_RECORDS: Final = timedelta(minutes=10)
_REPLAY_WINDOW: Final = 4 * CLOCK_SKEW
"""Longest time that a request is remembered: a sender's clock may be ahead, and the window's
behind that of the worker."""

_LONGEST_BODY: Final = MAXIMUM_BYTES - 1024


class KeptKeys:
    """The open identity, serving keys, the replay window, and what a broker released.

    Args:
        identity: the server's.
        start: how long keys last, and what evidence there is.
        tell: says something to the front.

    Attributes:
        window: descriptor of the replay window, for workers.
    """

    def __init__(
        self, identity: Identity, start: Unlock, tell: Callable[[FromKeeper], None]
    ) -> None:
        self._identity = identity
        self._tell = tell
        self._clock = Clock()
        self._seen = Seen(Path(start.home), self._clock.now)
        self._recorded = self._clock.now()
        attester = _attester(start)
        self._rotation = Rotation(
            identity,
            lifetime=timedelta(seconds=start.lifetime_seconds),
            overlap=timedelta(seconds=start.overlap_seconds),
            attester=attester,
        )
        self._rotation.advance(self._clock.now())
        self._unpublished = False
        longest = int(_REPLAY_WINDOW.total_seconds() * 1000)
        self.window = create_window(start.replay_capacity, longest)
        self._releases: Releases | None = None
        if start.broker and attester is not None:
            development = start.attestation == "development"
            self._releases = Releases(identity, attester, self._ask, development=development)
        self._waiting: dict[str, list[socket.socket]] = {}

    def seconds_until_next(self) -> float:
        """How long until `pass_time` has something to do, at most a minute."""
        now = self._clock.now()
        seconds = min(self._rotation.seconds_until_next(now), _LONGEST_WAIT_SECONDS)
        if self._releases is not None:
            seconds = min(seconds, self._releases.seconds_until_next(now))
        return seconds

    def pass_time(self) -> None:
        """Make and drop keys, and renew releases, as their time comes."""
        now = self._clock.now()
        if self._rotation.advance(now) or self._unpublished:
            with suppress(AttestationError):  # the last configuration holds for the overlap
                self._publish()
        if self._releases is not None:
            self._releases.renew(now)
        if now - self._recorded >= _BETWEEN_RECORDS:
            self._recorded = now
            with suppress(KeyStoreError):  # a full disk does not end a server
                self._seen.now()

    def answer(self, question: FromWorker, link: socket.socket) -> ToWorker | None:
        """The answer to a worker's question; None if it comes later, by `hear_broker`.

        Args:
            link: of that worker.

        Raises:
            StrongroomError: what was asked can't be done.
        """
        if isinstance(question, Key):
            now = self._clock.now()
            if question.key_id is None:
                return _secret(self._rotation.signing(now))
            found = self._rotation.secrets(question.key_id, now)
            return NoKey() if found is None else _secret(found)
        if isinstance(question, Unwrap):
            package = package_of(question.info, self._clock.now())
            secret = self._identity.unwrap(question.wrapped, question.info)
            if self._rotation.add_package(package):
                self._publish()
            return Opened(secret)
        if isinstance(question, Release):
            return self._release(question, link)
        if isinstance(question, Tenure):
            return Until(self._release_ends(question.package))
        return Server(self._identity.fingerprint, self._milliseconds(), self._releases is not None)

    def sign(self, question: Sign) -> Signed:
        """Sign a message to a committee's member."""
        return Signed(question.number, self._identity.sign(CHANNEL_PURPOSE, question.head))

    def hear_broker(
        self, said: BrokerSaid | BrokerFailed
    ) -> tuple[list[socket.socket], ToWorker] | None:
        """Go on with what a broker was asked.

        Returns:
            The links of the workers that wait for that, and the answer to them; None if the
            broker is asked something else first.
        """
        if self._releases is None:
            return None
        now = self._clock.now()
        try:
            if isinstance(said, BrokerFailed):
                self._releases.failed(said.package, now)
                answer: ToWorker = Refused(said.report)
            else:
                found = self._releases.heard(said.package, said.content, now)
                if found is None:
                    return None
                self._tell(Authority(said.package, found.authority))
                if self._rotation.add_package(said.package):
                    self._publish()
                answer = _released(found)
        except StrongroomError as error:
            answer = Refused(ErrorReport.of(error))
        return self._waiting.pop(said.package, []), answer

    def _ask(self, package: str, body: bytes | None) -> None:
        if body is not None and len(body) > _LONGEST_BODY:
            raise AttestationError(
                "SR-ATTESTATION-EVIDENCE",
                f"a request with the evidence of this machine has {len(body)} bytes, more than "
                f"{_LONGEST_BODY}",
                "Leave out what is not needed of the collateral",
            )
        self._tell(AskBroker(package, body))

    def _release(self, question: Release, link: socket.socket) -> ToWorker | None:
        if self._releases is None:
            raise ServerError("SR-BROKER-CONFIG", "the server has no key broker to ask")
        held = self._releases.held(question.package, self._clock.now())
        if held is not None:
            return _released(held)
        self._waiting.setdefault(question.package, []).append(link)
        self._releases.begin(question.package, PublicIdentity.from_text(question.owner))
        return None

    def _release_ends(self, package: str) -> int:
        held = None
        if self._releases is not None:
            held = self._releases.held(package, self._clock.now())
        return 0 if held is None else int(held.expires.timestamp())

    def _publish(self) -> None:
        self._unpublished = True
        text = self._rotation.configuration(self._clock.now())
        self._unpublished = False
        if text is not None:
            self._tell(Configuration(text, self._rotation.packages))

    def _milliseconds(self) -> int:
        return int(self._clock.now().timestamp() * 1000)


def _attester(start: Unlock) -> Attester | None:
    if start.attestation is None:
        return None
    if start.attestation == "development":
        return DevelopmentAttester()
    paths = (start.certificates, start.revocations, start.collateral)
    certificates, revocations, collateral = (None if one is None else Path(one) for one in paths)
    return TsmAttester(certificates=certificates, revocations=revocations, collateral=collateral)


def _released(found: exchange.Released) -> Released:
    return Released(found.file_key, found.authority, int(found.expires.timestamp()))


def _secret(key: ServingSecrets) -> Secret:
    not_before, not_after = (int(moment.timestamp()) for moment in key.valid)
    return Secret(key.to_bytes(), not_before, not_after)
