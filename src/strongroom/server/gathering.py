"""Gathering shares: the server asks the members of a query's active set, all at once.

What it gets is sealed to the client: it checks who signed, and carries it. A member that is down or
refuses, or signs something else, is named, each with its reason; there is no second attempt at a
query, since the client chooses whom it asks next, and makes a new query for that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import msgspec

from strongroom.canonical import digest
from strongroom.errors import CommitteeError
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.query import MAXIMUM_SHARE_WORDS, SealedShare, SignedQuery
from strongroom.member.asking import SHARE_PATH, MemberLink
from strongroom.member.channel import Channel, Refused, Signer
from strongroom.member.share_request import ANSWER, PURPOSE, encode_share_request

DEFAULT_TIMEOUT_SECONDS: Final = 30.0

_MAXIMUM_ANSWER_BYTES: Final = 2**20 + 11 * MAXIMUM_SHARE_WORDS

_log = logging.getLogger("strongroom.server.gathering")


class GatheringError(CommitteeError):
    """Not all members of an active set answered.

    Attributes:
        members: names of those that did not.
        failures: code and line of each member that did not, by name.
    """

    def __init__(self, failures: Mapping[str, tuple[str, str]]) -> None:
        refused = [name for name, (code, _) in failures.items() if code != "SR-MEMBER-UNREACHABLE"]
        super().__init__(
            "SR-MEMBER-REFUSED" if refused else "SR-MEMBER-UNREACHABLE",
            "; ".join(line for _, line in failures.values()),
            "Ask another set of members, or the operators of these",
            member=next(iter(refused or failures)),
            http_status=403 if refused else 503,
        )
        self.failures: Final = dict(failures)
        self.members = tuple(failures)


class Gathering:
    """The members of one committee, from a server's side. For one event loop.

    Args:
        signer: the server's identity, which the members' operators know.
        committee: digest of the committee's statement.
        identities: of the members, by name.
        urls: where they are reached, by name.
        timeout_seconds: after which a member counts as down.
        ca: PEM file of the only authorities to trust for them; the usual ones if None.

    Raises:
        ServerError: SR-SERVER-URL, SR-SERVER-TLS.
    """

    def __init__(
        self,
        signer: Signer,
        committee: str,
        identities: Mapping[str, PublicIdentity],
        urls: Mapping[str, str],
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        ca: str | None = None,
    ) -> None:
        self._channel = Channel(signer)
        self._committee = committee
        self._timeout_seconds = timeout_seconds
        self._links = {
            name: MemberLink(name, identity, urls[name], timeout_seconds=timeout_seconds, ca=ca)
            for name, identity in identities.items()
        }

    async def gather(
        self, query: SignedQuery, request: bytes, partial: bytes
    ) -> tuple[SealedShare, ...]:
        """The shares of a result, one of each member of the active set, in its order.

        Args:
            query: as it came from the client; members verify it.
            request: the whole protected request.
            partial: the whole partial response.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH if the query is for another committee or its
                members are none of this one.
            GatheringError: who did not answer, and why.
        """
        asked = query.query
        strangers = [name for name in asked.active if name not in self._links]
        if asked.committee != self._committee or strangers:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                f"the query is for committee {asked.committee}, "
                f"the model is under the key of {self._committee}"
                if asked.committee != self._committee
                else f"the committee has no member {', '.join(strangers)}",
                "Connect again, so that the client reads the model's current plan",
            )
        body = await asyncio.to_thread(encode_share_request, query, partial, request)
        result = await asyncio.to_thread(digest, partial)
        answers = await asyncio.gather(
            *(self._ask(self._links[name], asked.digest, result, body) for name in asked.active)
        )
        failures: dict[str, tuple[str, str]] = {}
        shares = []
        for name, answer in zip(asked.active, answers, strict=True):
            if isinstance(answer, CommitteeError):
                code = answer.refusal.code if isinstance(answer, Refused) else answer.code
                failures[name] = (code, answer.message)
            else:
                shares.append(answer)
        if failures:
            raise GatheringError(failures)
        if len({share.state for share in shares}) > 1:
            # A refresh has reached some of them; what is left of it takes moments.
            raise CommitteeError(
                "SR-MEMBER-REFUSED",
                "the committee's parts are being changed: the members' shares do not add up",
                "Ask again in a moment",
                http_status=503,
            )
        return tuple(shares)

    async def close(self) -> None:
        """Close the connections."""
        for link in self._links.values():
            await link.close()

    async def _ask(
        self, link: MemberLink, query: str, result: str, body: bytes
    ) -> SealedShare | CommitteeError:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                content = await link.ask(
                    self._channel,
                    SHARE_PATH,
                    PURPOSE,
                    body,
                    answer=ANSWER,
                    answer_bytes=_MAXIMUM_ANSWER_BYTES,
                )
                return await asyncio.to_thread(_share, link, query, result, content)
        except TimeoutError:
            error = CommitteeError(
                "SR-MEMBER-UNREACHABLE",
                f"member {link.name} does not answer within {self._timeout_seconds:g} seconds",
                member=link.name,
                http_status=503,
            )
        except CommitteeError as failure:
            error = failure
        _log.warning(
            "no share",
            extra={"member": link.name, "code": error.code, "reason": error.message},
        )
        return error


def _share(link: MemberLink, query: str, result: str, content: memoryview) -> SealedShare:
    try:
        share = msgspec.json.decode(content, type=SealedShare)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise CommitteeError(
            "SR-MEMBER-SHARE",
            f"member {link.name} answers with what is no share",
            "Ask that member's operator",
            member=link.name,
            http_status=502,
        ) from error
    share.verify(link.identity, link.name, query, result)
    return share
