"""A server asks members where they signed that they are, or where its operator says they moved."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "member"))
sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from member_server import listening
from member_world import CLIENT, OTHER, SERVER, ask
from small_committees import (
    ENTRY,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    identity,
    needs,
    proposal_of,
    run_setup,
)

from strongroom.engine import CATALOGUE
from strongroom.errors import ServerError
from strongroom.keys.committee.folder import CommitteeFolderWriter
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity, PublicIdentity, Signatures
from strongroom.keys.query import SignedQuery
from strongroom.member.channel import SIGNED_FOR
from strongroom.member.share_request import ANSWER
from strongroom.server.config import ServerConfig
from strongroom.server.gathering import GatheringError
from strongroom.server.job import Evaluation
from strongroom.server.shared_answers import SharedAnswers

NOBODY = "http://127.0.0.1:9"


class Keeper:
    """Signs as the server's keeper does."""

    public: PublicIdentity = SERVER.public

    async def sign(self, message: bytes) -> Signatures:
        return SERVER.sign(SIGNED_FOR, message)


@pytest.fixture(autouse=True)
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)


def formed(folder: Path, access: str) -> tuple[Path, Committee]:
    """A committee whose members said that they are at URLs where nobody is."""
    with CommitteeFolderWriter(folder / "committee") as writer:
        wanted = needs(products=False)
        committee = run_setup(Members(folder, access), proposal_of(access, wanted), sink=writer)
        writer.finish(committee)
    return folder / "committee", committee


def asked(committee: Committee, folder: Path, urls: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Who failed to answer a query to two members of a server that was told these URLs, and why."""
    exchange = ask(1)
    query = msgspec.structs.replace(
        exchange.query.query, committee=committee.digest, active=("a", "b")
    )
    text = msgspec.json.encode(SignedQuery.by(CLIENT, query)).decode()
    config = ServerConfig(packages=("p",), tokens="t", committees=(str(folder),), member_urls=urls)

    async def run() -> None:
        keeper: Any = Keeper()
        answers = SharedAnswers(config, keeper)
        try:
            evaluation = Evaluation(b"", 0, 0, None, exchange.partial)
            await answers.finished(committee.digest, text, memoryview(exchange.request), evaluation)
        finally:
            await answers.close()

    with pytest.raises(GatheringError) as error:
        asyncio.run(run())
    return error.value.failures


def test_a_member_that_moved_is_asked_there_and_has_to_sign_as_itself(tmp_path: Path) -> None:
    folder, committee = formed(tmp_path, TWO_OF_THREE)

    def known() -> dict[str, PublicIdentity]:
        return {SERVER.fingerprint: SERVER.public}

    def failures(signer: Identity) -> dict[str, tuple[str, str]]:
        with ExitStack() as stack:
            heard: list[str] = []

            def answer(sender: PublicIdentity, purpose: str, _: memoryview) -> tuple[str, bytes]:
                heard.append(sender.fingerprint)
                return ANSWER, b"{}"

            url = stack.enter_context(listening(signer, known, answer))
            found = asked(committee, folder, {"a": NOBODY, "b": url, "c": NOBODY})
            assert heard == ([SERVER.fingerprint] if signer == identity("b") else [])
        return found

    found = failures(identity("b"))
    assert {name: code for name, (code, _) in found.items()} == {
        "a": "SR-MEMBER-UNREACHABLE",
        "b": "SR-MEMBER-SHARE",  # it was reached, and signed what is no share
    }
    # Whoever else answers at that URL is nobody.
    for signer in (OTHER, identity("a")):
        assert failures(signer)["b"][0] == "SR-MEMBER-UNREACHABLE"


def test_a_name_that_no_committee_has_and_a_wrong_url_stop_the_server_at_its_start(
    tmp_path: Path,
) -> None:
    folders = [str(formed(tmp_path / text[:3], text)[0]) for text in (TWO_OF_THREE, VENDOR_AND_ONE)]

    def started(urls: dict[str, str]) -> None:
        async def run() -> None:
            keeper: Any = Keeper()
            SharedAnswers(
                ServerConfig(
                    packages=("p",), tokens="t", committees=tuple(folders), member_urls=urls
                ),
                keeper,
            )

        asyncio.run(run())

    for urls, code, line in (
        ({"d": NOBODY}, "SR-SERVER-CONFIG", "member_urls names 'd', who is none of a, b, c, vend"),
        ({"a": "a.example"}, "SR-SERVER-URL", "member_urls of 'a'"),
        ({"vendor": "http://10.1.1.1"}, "SR-SERVER-TLS", "member_urls of 'vendor'"),
    ):
        with pytest.raises(ServerError, match=line) as error:
            started(urls)
        assert error.value.code == code
