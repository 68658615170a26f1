"""The coordinator's end of making or refreshing a key: it carries messages, over HTTP.

All members at once, round by round (`keys.committee.coordinator`). It holds no secret; what it
could do is not to finish. What everybody signed is on its disk before anybody hears of it, and
everybody is told, whoever else does not answer: a member that did not hear can take it from there
(`member.unfinished`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from strongroom.canonical import canonical_json
from strongroom.errors import CommitteeError
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.key_items import KeyItem
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity, PublicIdentity
from strongroom.member import setup_desk as desk
from strongroom.member.asking import SETUP_PATH, MemberLink
from strongroom.member.channel import Channel
from strongroom.member.frames import pack_frames

Keep = Callable[[Committee], None]
KeepRefreshed = Callable[[Committee, PartChecks], None]
Progress = Callable[[str], None]


def _silent(_text: str) -> None:
    """Nobody wants to know."""


class Coordinating:
    """The way from a coordinator to all members. An asynchronous context manager.

    Args:
        identity: of the coordinator.
        seats: identity and URL of each member, by name, in the committee's order.
        timeout_seconds: for one answer of a member.
        ca: PEM file of the only authorities to trust for them; the usual ones if None.
        progress: called with what is being done.

    Raises:
        ServerError: SR-SERVER-URL, SR-SERVER-TLS.
    """

    def __init__(
        self,
        identity: Identity,
        seats: dict[str, tuple[PublicIdentity, str]],
        *,
        timeout_seconds: float = 300.0,
        ca: str | None = None,
        progress: Progress = _silent,
    ) -> None:
        self._channel = Channel(identity)
        self._links = [
            MemberLink(name, public, url, timeout_seconds=timeout_seconds, ca=ca)
            for name, (public, url) in seats.items()
        ]
        self._progress = progress
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Coordinating:
        for link in self._links:
            self._stack.push_async_callback(link.close)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def create(self, coordinator: Coordinator, keep: Keep) -> Committee:
        """Make a key, from the proposal to everybody's signatures.

        Args:
            coordinator: of this setup, at its beginning.
            keep: called with what all members signed, before they hear of it.

        Raises:
            CommitteeError: SR-COMMITTEE-SETUP, naming whose message is wrong;
                SR-MEMBER-UNREACHABLE, SR-MEMBER-REFUSED, naming the member; what `keep` raises.
        """
        self._progress("asking the members")
        said = await self._all(desk.BEGIN, coordinator.proposal, desk.SAID)
        while True:
            await asyncio.to_thread(coordinator.take, said)
            for number, item in enumerate(coordinator.wanted, 1):
                name = item.describe(coordinator.terms)
                self._progress(f"making {name} ({number})")
                await self._share(coordinator, item)
            if coordinator.finished:
                break
            said = await self._all(desk.ANSWER, pack_frames(coordinator.messages), desk.SAID)
        self._progress("everybody has signed")
        committee = coordinator.committee
        await asyncio.to_thread(keep, committee)
        await self._tell(desk.FINISH, committee)
        return committee

    async def refresh(
        self, proposal: bytes, coordinator: RefreshCoordinator, keep: KeepRefreshed
    ) -> Committee:
        """Change all parts of a key that stays as it is.

        Args:
            proposal: that the coordinator was made with.
            coordinator: of this refresh, at its beginning.
            keep: called with what all members signed, before they hear of it: from then on the new
                parts are those that count, whoever does not hear.

        Raises:
            CommitteeError: as `create`; what `keep` raises.
        """
        self._progress("asking the members")
        said = await self._all(desk.REFRESH_BEGIN, proposal, desk.SAID)
        while True:
            await asyncio.to_thread(coordinator.take, said)
            if coordinator.finished:
                break
            body = pack_frames(coordinator.messages)
            said = await self._all(desk.REFRESH_ANSWER, body, desk.SAID)
        committee = coordinator.committee
        await asyncio.to_thread(keep, committee, coordinator.checks)
        await self._tell(desk.REFRESH_FINISH, committee)
        return committee

    async def _share(self, coordinator: Coordinator, item: KeyItem) -> None:
        access = coordinator.terms.access
        links = {link.name: link for link in self._links}
        shown = await asyncio.gather(
            *(
                self._ask(
                    links[access.dealer(part)],
                    desk.SHARE,
                    canonical_json(desk.WantedShare(item.name, part)),
                    desk.SHOWN,
                )
                for part in range(len(access.parts()))
            )
        )
        shares = dict(enumerate(shown))
        await asyncio.to_thread(coordinator.take_shares, item.name, shares)
        await self._all(desk.TAKE, desk.encode_shares(item.name, shares), desk.TAKEN)

    async def _tell(self, purpose: str, committee: Committee) -> None:
        """Tell everybody that all have signed. Nothing depends on who hears."""
        body = committee.to_bytes()
        asked = (self._ask(link, purpose, body, desk.FINISHED) for link in self._links)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        unheard: list[CommitteeError] = []
        for answer in answers:
            if isinstance(answer, CommitteeError):
                unheard.append(answer)
            elif isinstance(answer, BaseException):
                raise answer
        if unheard:
            names = [one.member for one in unheard if one.member is not None]
            raise CommitteeError(
                unheard[0].code,
                "all members have signed, and not all heard of that: "
                + "; ".join(one.message for one in unheard),
                f"Send the committee's folder to {', '.join(names)}, to run `strongroom member "
                "adopt FOLDER/committee.json` there",
                member=names[0] if names else None,
                http_status=unheard[0].http_status,
            )

    async def _all(self, purpose: str, body: bytes, answer: str) -> Sequence[bytes]:
        asked = (self._ask(link, purpose, body, answer) for link in self._links)
        return await asyncio.gather(*asked)

    async def _ask(self, link: MemberLink, purpose: str, body: bytes, answer: str) -> bytes:
        content = await link.ask(
            self._channel,
            SETUP_PATH,
            purpose,
            body,
            answer=answer,
            answer_bytes=desk.MAXIMUM_BYTES,
        )
        return bytes(content)
