"""Answers that a committee's members open: what the front does after a worker has computed.

The worker's results go whole to the members of the query's active set. The asker gets of them what
is declared, and the members' sealed shares:

    length   4  of the results' declared part, little-endian
    results     as `protections` shows them to an asker
    shares      canonical JSON: `keys.query.SealedShare` of each member of the active set
"""

from __future__ import annotations

import asyncio
import struct
from pathlib import Path
from typing import Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import CommitteeError, ServerError
from strongroom.keys.committee.folder import PUBLIC_FILE, STATEMENT_FILE
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import PublicIdentity, Signatures
from strongroom.keys.query import SignedQuery
from strongroom.server.config import ServerConfig
from strongroom.server.gathering import Gathering
from strongroom.server.job import Evaluation
from strongroom.server.keeper_process import KeeperProcess

_LENGTH: Final = struct.Struct("<I")
_SIGNING_SECONDS: Final = 10.0


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
        config: names the committees' folders.
        keeper: that signs what members are asked.

    Raises:
        CommitteeError: SR-COMMITTEE-FILE, SR-COMMITTEE-ACCESS.
        ServerError: SR-SERVER-URL, SR-SERVER-TLS.
    """

    def __init__(self, config: ServerConfig, keeper: KeeperProcess) -> None:
        signer = KeeperSigner(keeper, asyncio.get_running_loop())
        self._gatherings: dict[str, Gathering] = {}
        self._documents: dict[str, tuple[bytes, bytes]] = {}
        for folder in map(Path, config.committees):
            committee = Committee.read(folder / STATEMENT_FILE)
            self._gatherings[committee.digest] = Gathering(
                signer,
                committee.digest,
                committee.identities,
                committee.urls,
                timeout_seconds=config.member_timeout_seconds,
                ca=config.member_ca,
            )
            self._documents[committee.digest] = (committee.to_bytes(), _read(folder / PUBLIC_FILE))

    def documents(self, committee: str) -> tuple[bytes, bytes]:
        """What an asker needs of a committee: its signed statement, and its public key.

        Raises:
            ServerError: SR-COMMITTEE-MISMATCH (404) if the server does not have it.
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
        signed = _query(query)
        gathering = self._gatherings[committee]
        shares = await gathering.gather(signed, bytes(request), evaluation.results)
        content = canonical_json(shares)
        return b"".join((_LENGTH.pack(len(evaluation.response)), evaluation.response, content))

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
    try:
        return msgspec.json.decode(text, type=SignedQuery)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise ServerError(
            "SR-REQUEST-FORMAT",
            "what came as a query is none",
            "Send what the client library made, unaltered",
            http_status=400,
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommitteeError(
            "SR-COMMITTEE-FILE",
            f"{path} can't be read: {error.strerror or error}",
            "Fetch the committee's folder again from its coordinator",
        ) from error
