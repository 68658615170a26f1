"""A worker's end of its link to the keeper: file keys, serving keys, the replay window.

What the keeper says of a serving key is kept as long as the key counts, and the replay window is
shared memory, so that an exchange costs no question.
"""

from __future__ import annotations

import select
import socket
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec

from strongroom.errors import ServerError
from strongroom.keys.serving import ServingSecrets
from strongroom.receipts.statement import Subject, make_receipt
from strongroom.server.clock import Clock
from strongroom.server.keeper_messages import (
    MAXIMUM_BYTES,
    FromWorker,
    Key,
    NoKey,
    Opened,
    Refused,
    Release,
    Released,
    Secret,
    Server,
    Tenure,
    ToWorker,
    Until,
    Unwrap,
    Who,
    decode,
    encode,
    keeper_lost,
)
from strongroom.server.replay import ReplayWindow

_Answer = TypeVar("_Answer")

_decoder: Final = msgspec.msgpack.Decoder(ToWorker)


class KeeperLink:
    """The server's identity, as far as a worker may use it. A `package.sealed.Opener`, and the
    `OpeningKeys` of sealed requests. For one thread.

    Args:
        link: connected to the keeper.
        clock: the worker's; set to the keeper's time where that is later.

    Attributes:
        fingerprint: of the identity.
        has_broker: whether a package can be had released by a key broker.

    Raises:
        ServerError: SR-WORKER-LOST if there is no keeper at the other end.
    """

    def __init__(self, link: socket.socket, clock: Clock) -> None:
        self._link = link
        self._heard = select.poll()
        self._heard.register(link, select.POLLIN)
        self._clock = clock
        self._keys: dict[str, ServingSecrets] = {}
        self._ends: dict[str, datetime] = {}
        self._signing: ServingSecrets | None = None
        server, self._window = self._greet()
        clock.advance_to(datetime.fromtimestamp(server.milliseconds / 1000, UTC))
        self.fingerprint = server.fingerprint
        self.has_broker = server.broker

    def __repr__(self) -> str:
        return f"KeeperLink({self.fingerprint})"

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Open what a grant wraps to the server's identity.

        Raises:
            StrongroomError: SR-PACKAGE-GRANT if it does not open.
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        return self._ask(Unwrap(wrapped, info), Opened).secret

    def release(self, package: str, owner: str) -> Released:
        """Have the file key of a package released by the key broker. May take seconds.

        Args:
            package: its digest.
            owner: its owner's public identity, as text.

        Raises:
            StrongroomError: the broker refuses, or can't be asked.
        """
        return self._ask(Release(package, owner), Released)

    def release_ends(self, package: str) -> datetime:
        """When the broker's release of a package ends; the keeper has it renewed in time."""
        known = self._ends.get(package)
        if known is None or self._clock.now() >= known:
            seconds = self._ask(Tenure(package), Until).seconds
            known = self._ends[package] = datetime.fromtimestamp(seconds, UTC)
        return known

    def opening_key(self, key_id: str) -> ServingSecrets | None:
        """The serving key of that identifier, or None if there is none, or none any more.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        now = self._clock.now()
        if (known := self._keys.get(key_id)) is not None and not known.expired(now):
            return known
        self._keys = {name: key for name, key in self._keys.items() if not key.expired(now)}
        answer = self._ask(Key(key_id), Secret, NoKey)
        if not isinstance(answer, Secret):
            return None
        found = self._keys[key_id] = _secrets(answer)
        return found

    def signing_key(self) -> ServingSecrets:
        """The serving key that signs receipts now.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        if self._signing is None or self._clock.now() >= self._signing.valid[1]:
            self._signing = _secrets(self._ask(Key(None), Secret))
        return self._signing

    def receipt(
        self, subject: Subject, request: bytes | memoryview, response: bytes | memoryview
    ) -> str:
        """State an answer and sign it, see `receipts.statement.make_receipt`.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        now = self._clock.now()
        return make_receipt(self.signing_key(), self.fingerprint, subject, request, response, now)

    def seen(self, request_id: str, expires: datetime) -> bool:
        """Whether a request was taken before, by any worker of this server; from now on it was.

        Args:
            request_id: 32 hex digits.
            expires: when nobody needs to remember it any more.

        Raises:
            ServerError: SR-REQUEST-BUSY if no more requests can be remembered at present,
                SR-WORKER-LOST if the keeper is gone.
        """
        self._expect_keeper()
        until, now = (int(moment.timestamp() * 1000) for moment in (expires, self._clock.now()))
        first = self._window.take(bytes.fromhex(request_id), until, now)
        if first is None:
            raise ServerError(
                "SR-REQUEST-BUSY",
                "the server has to remember as many sealed requests as it can",
                "Try again a little later",
                http_status=503,
            )
        return not first

    def _expect_keeper(self) -> None:
        """Make sure that the keeper is there, without asking it anything."""
        if self._heard.poll(0):  # its end, or an answer to no question
            self._link.close()
        if self._link.fileno() < 0:
            raise keeper_lost()

    def _greet(self) -> tuple[Server, ReplayWindow]:
        try:
            self._link.send(encode(Who()))
            packet, descriptors, _, _ = socket.recv_fds(
                self._link, MAXIMUM_BYTES + 1, 1, socket.MSG_CMSG_CLOEXEC
            )
            answer = decode(packet, _decoder)
            if not isinstance(answer, Server) or len(descriptors) != 1:
                raise keeper_lost()
            return answer, ReplayWindow(descriptors[0])
        except OSError as error:
            raise keeper_lost() from error

    def _ask(self, question: FromWorker, *expected: type[_Answer]) -> _Answer:
        try:
            self._link.send(encode(question))
            answer = decode(self._link.recv(MAXIMUM_BYTES + 1), _decoder)
        except OSError as error:
            raise keeper_lost() from error
        if isinstance(answer, Refused):
            raise answer.report.error()
        if not isinstance(answer, expected):
            # Whatever it is: an answer that is out of step may be of the question before.
            self._link.close()
            raise keeper_lost()
        return answer


def _secrets(answer: Secret) -> ServingSecrets:
    not_before, not_after = (
        datetime.fromtimestamp(seconds, UTC) for seconds in (answer.not_before, answer.not_after)
    )
    try:
        return ServingSecrets(answer.seeds, not_before, not_after)
    except ValueError as error:
        raise ServerError("SR-INTERNAL", "the keeper gave a key that is none") from error
