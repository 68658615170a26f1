"""A committee's members behind real sockets, and a server that asks them."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from member_server import Answer, listening
from member_world import COMMITTEE, IDENTITIES, SERVER, Asked, Member, policy

from strongroom.errors import CommitteeError
from strongroom.keys.identity import Identity
from strongroom.keys.query import SealedShare
from strongroom.keys.share_proofs import SealedProof, SignedDemand
from strongroom.member import proof_request
from strongroom.member.policy import read_policy
from strongroom.member.proof_request import decode_proof_request
from strongroom.member.share_request import ANSWER, decode_share_request
from strongroom.server.gathering import Gathering, GatheringError


class Committee:
    """Members behind real sockets, and a server that asks them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.urls = dict.fromkeys(IDENTITIES, "http://127.0.0.1:9")
        self.members: dict[str, Member] = {}

    def start(self, name: str, **options: Any) -> Member:
        member = Member(name, self.folder / name, **options)
        self.stack.callback(lambda: member.ledger.close())

        def answer(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
            return ANSWER, member.judge.answer(sender, decode_share_request(body))

        def prove(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
            return proof_request.ANSWER, member.prover.answer(sender, decode_proof_request(body))

        self.answer_with(name, answer, proofs=prove)
        self.members[name] = member
        return member

    def answer_with(
        self,
        name: str,
        answer: Answer,
        identity: Identity | None = None,
        proofs: Answer | None = None,
    ) -> None:
        allowed = policy().server_identities

        def known() -> Any:
            path = self.folder / name / "policy.json"
            return read_policy(path).server_identities if path.exists() else allowed

        context = listening(identity or IDENTITIES[name], known, answer, proofs=proofs)
        self.urls[name] = self.stack.enter_context(context)

    def gather(
        self,
        asked: Asked,
        server: Identity = SERVER,
        partial: bytes | None = None,
        timeout_seconds: float = 5.0,
    ) -> tuple[SealedShare, ...]:
        async def run() -> tuple[SealedShare, ...]:
            gathering = self._gathering(server, timeout_seconds)
            try:
                found = asked.partial if partial is None else partial
                return await gathering.gather(asked.query, asked.request, found)
            finally:
                await gathering.close()

        return asyncio.run(run())

    def prove(
        self,
        asked: Asked,
        demand: SignedDemand | None = None,
        server: Identity = SERVER,
        timeout_seconds: float = 5.0,
    ) -> dict[str, tuple[SealedProof, bytes] | CommitteeError]:
        async def run() -> dict[str, tuple[SealedProof, bytes] | CommitteeError]:
            gathering = self._gathering(server, timeout_seconds)
            try:
                demanded = demand or asked.demand()
                return await gathering.prove(asked.query, demanded, asked.partial)
            finally:
                await gathering.close()

        return asyncio.run(run())

    def _gathering(self, server: Identity, timeout_seconds: float) -> Gathering:
        identities = {name: one.public for name, one in IDENTITIES.items()}
        return Gathering(server, COMMITTEE, identities, self.urls, timeout_seconds=timeout_seconds)

    def failures(self, asked: Asked, **options: Any) -> dict[str, str]:
        with pytest.raises(GatheringError) as error:
            self.gather(asked, **options)
        assert "\n" not in str(error.value)
        assert set(error.value.members) == set(error.value.failures)
        return {name: code for name, (code, _) in error.value.failures.items()}
