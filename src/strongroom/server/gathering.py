"""Gathering shares: the server asks the members of a query's active set, all at once.

What it gets is sealed to the client: it checks who signed, and carries it. A member that is down or
refuses, or signs something else, is named, each with its reason; there is no second attempt at a
query, since the client chooses whom it asks next, and makes a new query for that.

Proofs of shares are gathered in the same way, but that what one member does not prove keeps nobody
from the proofs of the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

import msgspec

from strongroom.canonical import digest
from strongroom.errors import CommitteeError
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.query import MAXIMUM_SHARE_WORDS, SealedShare, SignedQuery
from strongroom.keys.share_proofs import ProofDemand, SealedProof, SignedDemand
from strongroom.member import proof_request, share_request
from strongroom.member.asking import PROOF_PATH, SHARE_PATH, MemberLink
from strongroom.member.channel import Channel, Refused, Signer
from strongroom.member.messages import HEAD_ROOM

DEFAULT_TIMEOUT_SECONDS: Final = 30.0

_MAXIMUM_ANSWER_BYTES: Final = 2**20 + 11 * MAXIMUM_SHARE_WORDS

_log = logging.getLogger("strongroom.server.gathering")

Answer = TypeVar("Answer")


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
        self._require_members(query)
        asked = query.query
        body = await asyncio.to_thread(share_request.encode_share_request, query, partial, request)
        result = await asyncio.to_thread(digest, partial)
        answers = await asyncio.gather(
            *(self._share(self._links[name], asked.digest, result, body) for name in asked.active)
        )
        failures: dict[str, tuple[str, str]] = {}
        shares = []
        for name, answer in zip(asked.active, answers, strict=True):
            if isinstance(answer, CommitteeError):
                failures[name] = failure_of(answer)
            else:
                shares.append(answer)
        if failures:
            raise GatheringError(failures)
        if len({share.state for share in shares}) > 1:
            # A refresh has reached some of them; what is left of it takes moments.
            raise CommitteeError(
                "SR-MEMBER-REFUSED",
                "the committee's parts are being changed: the members' shares do not add up",
                "Ask again in a moment; if it stays so, a member missed the end of it: let its "
                "operator run `strongroom member adopt committee.json`",
                http_status=503,
            )
        return tuple(shares)

    async def prove(
        self, query: SignedQuery, demand: SignedDemand, partial: bytes
    ) -> dict[str, tuple[SealedProof, bytes] | CommitteeError]:
        """The proofs of a result's shares, each with its shown half, or why there is none, by
        member of the active set.

        Args:
            query: that the members answered; they verify it.
            demand: as it came from the client; they verify that too.
            partial: the whole partial response.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH if the query is for another committee or its
                members are none of this one.
        """
        self._require_members(query)
        body = await asyncio.to_thread(proof_request.encode_proof_request, query, demand, partial)
        active = query.query.active
        answers = await asyncio.gather(
            *(self._proof(self._links[name], demand.demand, body) for name in active)
        )
        return dict(zip(active, answers, strict=True))

    async def close(self) -> None:
        """Close the connections."""
        for link in self._links.values():
            await link.close()

    def _require_members(self, query: SignedQuery) -> None:
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

    async def _share(
        self, link: MemberLink, query: str, result: str, body: bytes
    ) -> SealedShare | CommitteeError:
        return await self._ask(
            link,
            SHARE_PATH,
            share_request.PURPOSE,
            body,
            answer=share_request.ANSWER,
            answer_bytes=_MAXIMUM_ANSWER_BYTES,
            read=lambda content: _share(link, query, result, content),
        )

    async def _proof(
        self, link: MemberLink, demand: ProofDemand, body: bytes
    ) -> tuple[SealedProof, bytes] | CommitteeError:
        def read(content: memoryview) -> tuple[SealedProof, bytes]:
            proof, shown = proof_request.decode_proof_answer(content, link.name)
            proof.verify(link.identity, link.name, demand)
            return proof, shown

        return await self._ask(
            link,
            PROOF_PATH,
            proof_request.PURPOSE,
            body,
            answer=proof_request.ANSWER,
            answer_bytes=proof_request.MAXIMUM_ANSWER_BYTES + HEAD_ROOM,
            read=read,
        )

    async def _ask(
        self,
        link: MemberLink,
        path: str,
        purpose: str,
        body: bytes,
        *,
        answer: str,
        answer_bytes: int,
        read: Callable[[memoryview], Answer],
    ) -> Answer | CommitteeError:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                content = await link.ask(
                    self._channel, path, purpose, body, answer=answer, answer_bytes=answer_bytes
                )
                return await asyncio.to_thread(read, content)
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
            f"no {answer}",
            extra={"member": link.name, "code": error.code, "reason": error.message},
        )
        return error


def failure_of(error: CommitteeError) -> tuple[str, str]:
    """Code and line of what a member did not do: of a refusal, the code that it gives itself."""
    code = error.refusal.code if isinstance(error, Refused) else error.code
    return code, error.message


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
