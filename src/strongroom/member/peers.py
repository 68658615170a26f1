"""Carrying heads of this member's log to its peers, as long as the process runs.

At the start every peer is asked what it has seen; after every answer it is shown more. Many answers
in short time travel in one message. A peer that is away is asked again, less and less often.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from strongroom.canonical import Digest, canonical_json
from strongroom.errors import CommitteeError, StrongroomError
from strongroom.member.asking import PEER_PATH, MemberLink
from strongroom.member.channel import Channel
from strongroom.member.log_heads import Advance, Witnessed
from strongroom.member.witness import Standing

RECALL: Final = "log-recall"
"""Purpose of the question what a peer has seen."""

ADVANCE: Final = "log-advance"
"""Purpose of showing a peer more."""

WITNESSED: Final = "log-witnessed"
"""Purpose of both answers."""

MAXIMUM_MESSAGE_BYTES: Final = 2**20

_TOGETHER_SECONDS: Final = 0.1
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 30.0

_Message = TypeVar("_Message", bound=msgspec.Struct)

_log = logging.getLogger("strongroom.server.member")


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The question what a peer has seen of the asker's log in a committee."""

    committee: Digest


class Peers:
    """The other members, from this one's side.

    Args:
        channel: of this member.
        committee: digest of the committee's statement.
        links: to each of them.
        standing: takes what they say.
    """

    def __init__(
        self, channel: Channel, committee: str, links: Sequence[MemberLink], standing: Standing
    ) -> None:
        self._channel = channel
        self._recall = canonical_json(Recall(committee))
        self._links = links
        self._standing = standing
        self._news = {link.name: asyncio.Event() for link in links}

    def tell(self) -> None:
        """There is something new in the log."""
        for news in self._news.values():
            news.set()

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for link in self._links:
                    tasks.create_task(self._keep(link))
        finally:
            for link in self._links:
                await link.close()

    async def _keep(self, link: MemberLink) -> None:
        heard, wait = False, _FIRST_WAIT_SECONDS
        while True:
            try:
                if not heard:
                    await self._hear(link, RECALL, self._recall)
                    heard = True
                    _log.info("peer heard", extra={"peer": link.name})
                while True:
                    self._news[link.name].clear()
                    advance = await asyncio.to_thread(self._standing.next_advance, link.name)
                    if advance is None:
                        break
                    await self._hear(link, ADVANCE, canonical_json(advance))
                    wait = _FIRST_WAIT_SECONDS
            except StrongroomError as error:
                _log.warning(
                    "peer does not countersign",
                    extra={"peer": link.name, "code": error.code, "reason": error.message},
                )
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT_SECONDS)
                continue
            await self._news[link.name].wait()
            # A message costs as much as an answer, so those of a moment go together.
            await asyncio.sleep(_TOGETHER_SECONDS)

    async def _hear(self, link: MemberLink, purpose: str, body: bytes) -> None:
        content = await link.ask(
            self._channel,
            PEER_PATH,
            purpose,
            body,
            answer=WITNESSED,
            answer_bytes=MAXIMUM_MESSAGE_BYTES,
        )
        try:
            witnessed = msgspec.json.decode(content, type=Witnessed)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise CommitteeError(
                "SR-MEMBER-REFUSED",
                f"member {link.name} does not say what it has seen",
                member=link.name,
                http_status=502,
            ) from error
        await asyncio.to_thread(self._standing.heard, link.name, witnessed)


def decode_advance(body: bytes | memoryview) -> Advance:
    """Read what a peer shows, untrusted.

    Raises:
        CommitteeError: SR-MEMBER-QUERY (400).
    """
    return _decode(body, Advance)


def decode_recall(body: bytes | memoryview) -> Recall:
    """Read a peer's question, untrusted. Raises as `decode_advance`."""
    return _decode(body, Recall)


def _decode(body: bytes | memoryview, kind: type[_Message]) -> _Message:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CommitteeError(
            "SR-MEMBER-QUERY",
            f"this says nothing of a log: {ascii(str(error))[1:-1][:200]}",
            "Check that both members run the same version of Strongroom",
        ) from error
