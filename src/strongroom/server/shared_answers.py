"""Answers that a committee's members open: what the front does after a worker has computed.

The worker's results go whole to the members of the query's active set. The asker gets of them what
is declared, and the members' sealed shares:

    length   4  of the results' declared part, little-endian
    results     as `protections` shows them to an asker
    shares      canonical JSON: `keys.query.SealedShare` of each member of the active set

Whoever asked may demand proofs of these shares: it sends the same request and the same query again,
and a demand. The result is computed again, byte by byte the same; members show their proofs, which
are examined here (`proof_examiner`); and the answer is canonical JSON: a
`keys.share_proofs.ProofEntry` of each member of the active set.
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import CommitteeError, ServerError
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.keys.query import SignedQuery
from strongroom.keys.share_proofs import MAXIMUM_LINE, ProofEntry, SignedDemand
from strongroom.member.addresses import moved_members, reached_at
from strongroom.server.committee_documents import CommitteeDocuments
from strongroom.server.config import ServerConfig
from strongroom.server.gathering import Gathering, failure_of
from strongroom.server.job import Evaluation
from strongroom.server.keeper_process import KeeperProcess
from strongroom.server.model import ModelDescription
from strongroom.server.proof_examiner import ProofExaminer

_LENGTH: Final = struct.Struct("<I")
_SIGNING_SECONDS: Final = 10.0

Signed = TypeVar("Signed", SignedQuery, SignedDemand)


class KeeperSigner:
    """Signs the server's messages to members by way of its keeper. For threads beside the loop."""

    def __init__(self, keeper: KeeperProcess, loop: asyncio.AbstractEventLoop) -> None:
        self._keeper = keeper
        self._loop = loop

    @property
    def public(self) -> PublicIdentity:
        """See `member.channel.Signer`."""
        return self._keeper.public

    def sign(self, purpose: str, message: bytes) -> Signatures:
        """See `member.channel.Signer`. The keeper signs for one purpose only, and does not ask.

        Raises:
            ServerError: SR-WORKER-LOST if the keeper is gone.
        """
        asked = asyncio.run_coroutine_threadsafe(self._keeper.sign(message), self._loop)
        return asked.result(_SIGNING_SECONDS)


class SharedAnswers:
    """The committees of one server, from its front. Belongs to the running event loop.

    Args:
        config: names the committees' folders, and members that moved.
        keeper: that signs what members are asked.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-ACCESS.
        ServerError: SR-SERVER-URL, SR-SERVER-TLS; SR-SERVER-CONFIG for a name of no member.
    """

    def __init__(self, config: ServerConfig, keeper: KeeperProcess) -> None:
        signer = KeeperSigner(keeper, asyncio.get_running_loop())
        self._gatherings: dict[str, Gathering] = {}
        self._documents: dict[str, CommitteeDocuments] = {}
        self._examiners: dict[str, ProofExaminer] = {}
        # The processors are the workers'.
        self._examining = asyncio.Lock()
        found = [CommitteeDocuments(Path(folder)) for folder in config.committees]
        moved = moved_members(
            (one.committee().identities for one in found), config.member_urls, "member_urls"
        )
        for documents in found:
            committee = documents.committee()
            self._documents[committee.digest] = documents
            self._gatherings[committee.digest] = Gathering(
                signer,
                committee.digest,
                committee.identities,
                reached_at(committee.identities, committee.urls, moved),
                timeout_seconds=config.member_timeout_seconds,
                ca=config.member_ca,
            )

    def documents(self, committee: str) -> CommitteeDocuments:
        """What an asker needs of a committee.

        Raises:
            CommitteeError: SR-COMMITTEE-MISMATCH (404) if the server does not have it.
        """
        if committee not in self._documents:
            raise CommitteeError(
                "SR-COMMITTEE-MISMATCH",
                "the server has no such committee",
                "Connect again, so that the client reads the model's current plan",
                http_status=404,
            )
        return self._documents[committee]

    async def finished(
        self, committee: str, query: str, request: memoryview, evaluation: Evaluation
    ) -> bytes:
        """The response to a request, once its members have answered.

        Args:
            committee: that the model is under.
            query: as it came with the request.
            request: the whole protected request.
            evaluation: what a worker made of it.

        Raises:
            ServerError: SR-REQUEST-FORMAT if there is no query, or it is none.
            CommitteeError: SR-COMMITTEE-MISMATCH, SR-MEMBER-UNREACHABLE, SR-MEMBER-REFUSED.
        """
        gathering = self._gatherings[committee]
        shares = await gathering.gather(_query(query), bytes(request), evaluation.results)
        content = canonical_json(shares)
        return b"".join((_LENGTH.pack(len(evaluation.response)), evaluation.response, content))

    async def proved(
        self, model: ModelDescription, query: str, demand: str, evaluation: Evaluation
    ) -> bytes:
        """The response to a demand for proofs of a result's shares.

        Args:
            model: under a committee's key.
            query, demand: as they came with the request.
            evaluation: what a worker made of the request now.

        Raises:
            ServerError: SR-REQUEST-FORMAT if query or demand is none.
            CommitteeError: SR-COMMITTEE-MISMATCH, SR-COMMITTEE-FILE; SR-MEMBER-QUERY (409) if the
                demand is not about this result.
        """
        signed, demanded = _query(query), _signed(demand, SignedDemand, "a demand for a proof")
        partial = evaluation.results
        if demanded.demand.result != await asyncio.to_thread(digest, partial):
            raise CommitteeError(
                "SR-MEMBER-QUERY",
                "the demand is about another result than the one that this request has here",
                "Demand proofs with the request that was answered, unaltered",
                http_status=409,
            )
        examiner = await asyncio.to_thread(self._examiner, model)
        await asyncio.to_thread(examiner.require_state, demanded.demand)
        answers = await self._gatherings[model.committee].prove(signed, demanded, partial)
        entries = []
        for name, answer in answers.items():
            if not isinstance(answer, CommitteeError):
                sealed, shown = answer
                asked = (signed.query, demanded.demand, partial, name, shown)
                try:
                    async with self._examining:
                        examined = await asyncio.to_thread(examiner.examine, *asked)
                    entries.append(ProofEntry(name, sealed, examined))
                    continue
                except CommitteeError as error:
                    if error.member is None:
                        raise
                    answer = error
            code, line = failure_of(answer)
            entries.append(ProofEntry(name, code=code, line=line[:MAXIMUM_LINE]))
        return canonical_json(entries)

    def _examiner(self, model: ModelDescription) -> ProofExaminer:
        if model.digest not in self._examiners:
            documents = self._documents[model.committee]
            self._examiners[model.digest] = ProofExaminer(model, documents)
        return self._examiners[model.digest]

    async def close(self) -> None:
        """Close the connections to members."""
        for gathering in self._gatherings.values():
            await gathering.close()


def _query(text: str) -> SignedQuery:
    if not text:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            "the model is under a committee's key, and the request came without a signed query",
            "Ask with a Client that has an identity which the committee's members enrolled",
            http_status=400,
        )
    return _signed(text, SignedQuery, "a query")


def _signed(text: str, kind: type[Signed], what: str) -> Signed:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            f"what came as {what} is none",
            "Send what the client library made, unaltered",
            http_status=400,
        ) from error
