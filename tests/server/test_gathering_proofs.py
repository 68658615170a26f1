"""Proofs of all members at once; what one of them does not prove keeps nobody from the others'."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "member"))

from committee_servers import Committee
from member_world import OTHER, SECRETS, ask, number_proof, number_share

from strongroom.canonical import canonical_json, digest
from strongroom.errors import CommitteeError
from strongroom.member import proof_request, share_request
from strongroom.member.proof_request import decode_proof_request
from strongroom.server.gathering import failure_of

ACTIVE = ("vendor", "hospital")


@pytest.fixture
def committee(tmp_path: Path) -> Iterator[Committee]:
    with ExitStack() as stack:
        yield Committee(tmp_path, stack)


def outcomes(answers: dict[str, Any]) -> dict[str, str]:
    """ "proved", or the code of why not, by member."""
    return {
        name: failure_of(one)[0] if isinstance(one, CommitteeError) else "proved"
        for name, one in answers.items()
    }


def test_all_members_prove_what_they_answered(committee: Committee) -> None:
    for name in ACTIVE:
        committee.start(name)
    asked = ask(1)
    committee.gather(asked)
    answers = committee.prove(asked)
    assert tuple(answers) == ACTIVE
    for one in answers.values():
        assert not isinstance(one, CommitteeError)
        sealed, shown = one
        assert (len(sealed.open(asked.key)), digest(shown)) == (768, sealed.shown)


def test_a_member_that_can_not_prove_is_named_and_the_others_are_not(
    committee: Committee,
) -> None:
    def damaged(parts: Any, c1: bytes, **options: Any) -> Any:
        return number_share([part + 1 for part in parts], c1, **options)

    committee.start("vendor")
    committee.start("hospital", make_share=damaged)
    asked = ask(1)
    committee.gather(asked)
    answers = committee.prove(asked)
    assert outcomes(answers) == {"vendor": "proved", "hospital": "SR-MEMBER-SHARE"}
    error = answers["hospital"]
    assert isinstance(error, CommitteeError)
    assert "member hospital can't prove its share" in error.message
    assert all(str(secret) not in str(error) for secret in SECRETS.values())


def test_members_that_are_down_or_were_started_again_prove_nothing(committee: Committee) -> None:
    for name in ACTIVE:
        committee.start(name)
    asked = ask(1)
    committee.gather(asked)
    committee.members["vendor"].restart()
    committee.urls["hospital"] = "http://127.0.0.1:9"
    assert outcomes(committee.prove(asked)) == {
        "vendor": "SR-MEMBER-QUERY",
        "hospital": "SR-MEMBER-UNREACHABLE",
    }


def test_what_is_no_proof_of_that_member_is_not_carried(committee: Committee) -> None:
    vendor, hospital = (committee.start(name) for name in ACTIVE)
    asked = ask(1)
    committee.gather(asked)

    def of_another(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        return proof_request.ANSWER, vendor.prover.answer(sender, decode_proof_request(body))

    def shares(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        return share_request.ANSWER, canonical_json(hospital.answer(asked))

    def nonsense(*_: Any) -> tuple[str, bytes]:
        return proof_request.ANSWER, b"{}"

    def altered(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        answer = hospital.prover.answer(sender, decode_proof_request(body))
        return proof_request.ANSWER, answer[:-1] + bytes([answer[-1] ^ 1])

    for answer, code in (
        (altered, "SR-MEMBER-SHARE"),
        (of_another, "SR-MEMBER-SHARE"),
        (nonsense, "SR-MEMBER-SHARE"),
        (shares, "SR-MEMBER-UNREACHABLE"),
    ):
        committee.answer_with("hospital", shares, proofs=answer)
        assert outcomes(committee.prove(asked)) == {"vendor": "proved", "hospital": code}


def test_demands_that_the_asker_did_not_sign_are_refused_by_every_member(
    committee: Committee,
) -> None:
    for name in ACTIVE:
        committee.start(name)
    asked = ask(1)
    committee.gather(asked)
    forged = asked.demand(client=OTHER)
    assert outcomes(committee.prove(asked, forged)) == dict.fromkeys(ACTIVE, "SR-MEMBER-QUERY")


def test_a_server_that_the_operators_did_not_name_gets_no_proofs(committee: Committee) -> None:
    for name in ACTIVE:
        committee.start(name)
    asked = ask(1)
    committee.gather(asked)
    codes = outcomes(committee.prove(asked, server=OTHER))
    assert codes == dict.fromkeys(ACTIVE, "SR-MEMBER-UNREACHABLE")


def test_while_a_member_proves_it_gives_shares(committee: Committee) -> None:
    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(1.5)
        return number_proof(*args, **options)

    for name in ACTIVE:
        committee.start(name, make_proof=slow)
    asked = ask(1)
    committee.gather(asked)
    with ThreadPoolExecutor(1) as pool:
        proving = pool.submit(committee.prove, asked)
        time.sleep(0.3)
        assert len(committee.gather(ask(2))) == 2
        assert not proving.done()
        assert outcomes(proving.result()) == dict.fromkeys(ACTIVE, "proved")


def test_a_demand_about_members_of_another_committee_is_not_carried(committee: Committee) -> None:
    for changes in ({"committee": "sha256:" + "0" * 64}, {"active": ("vendor", "nobody")}):
        with pytest.raises(CommitteeError) as error:
            committee.prove(ask(1, **changes))
        assert error.value.code == "SR-COMMITTEE-MISMATCH"
