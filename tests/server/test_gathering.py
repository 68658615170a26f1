"""The server asks all members at once, and names those that are down, refuse, or send garbage."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "member"))

from committee_servers import Committee
from member_world import (
    OTHER,
    SECRETS,
    ask,
    number_share,
    opened,
    policy,
)

from strongroom.canonical import canonical_json
from strongroom.errors import CommitteeError
from strongroom.keys.query import SealedShare
from strongroom.member.share_request import ANSWER, decode_share_request
from strongroom.server.gathering import GatheringError


@pytest.fixture
def committee(tmp_path: Path) -> Iterator[Committee]:
    with ExitStack() as stack:
        yield Committee(tmp_path, stack)


def test_shares_of_all_members_come_in_order_and_open_for_the_client(
    committee: Committee,
) -> None:
    for name in ("vendor", "hospital"):
        committee.start(name)
    asked = ask(1)
    shares = committee.gather(asked)
    assert [one.member for one in shares] == ["vendor", "hospital"]
    total = sum(opened(one, asked.key)[0] for one in shares)
    assert (total == sum(SECRETS.values())).all()
    assert committee.gather(asked) == shares  # the same bytes, from the members' ledgers


def test_members_are_asked_at_the_same_time(committee: Committee) -> None:
    barrier = threading.Barrier(2)

    def together(*args: Any, **options: Any) -> Any:
        barrier.wait(5)
        return number_share(*args, **options)

    for name in ("vendor", "hospital"):
        committee.start(name, make_share=together)
    assert len(committee.gather(ask(1))) == 2


def test_a_member_that_is_down_is_named_and_another_set_answers(committee: Committee) -> None:
    for name in ("vendor", "auditor"):
        committee.start(name)
    assert committee.failures(ask(1)) == {"hospital": "SR-MEMBER-UNREACHABLE"}
    shares = committee.gather(ask(2, active=("vendor", "auditor")))
    assert [one.member for one in shares] == ["vendor", "auditor"]


def test_a_member_that_is_slow_counts_as_down(committee: Committee) -> None:
    def slow(*args: Any, **options: Any) -> Any:
        time.sleep(1.5)
        return number_share(*args, **options)

    committee.start("vendor")
    committee.start("hospital", make_share=slow)
    started = time.monotonic()
    failures = committee.failures(ask(1), timeout_seconds=0.7)
    assert failures == {"hospital": "SR-MEMBER-UNREACHABLE"}
    assert time.monotonic() - started < 1.4


def test_refusals_name_the_member_and_say_why(committee: Committee) -> None:
    committee.start("vendor", budget=1)
    committee.start("hospital").allow(policy(clients=()))
    with pytest.raises(GatheringError) as error:
        committee.gather(ask(1, results=2))
    failures = error.value.failures
    assert {name: code for name, (code, _) in failures.items()} == {
        "vendor": "SR-MEMBER-BUDGET",
        "hospital": "SR-MEMBER-POLICY",
    }
    assert error.value.code == "SR-MEMBER-REFUSED"
    assert "member hospital refuses: [SR-MEMBER-POLICY]" in error.value.message
    assert error.value.http_status == 403


def test_a_server_that_the_operators_did_not_name_gets_nothing(committee: Committee) -> None:
    for name in ("vendor", "hospital"):
        committee.start(name)
    failures = committee.failures(ask(1), server=OTHER)
    assert set(failures) == {"vendor", "hospital"}
    assert all(one.ledger.spent == 0 for one in committee.members.values())


def test_a_member_answering_garbage_is_identified(committee: Committee) -> None:
    committee.start("vendor")
    hospital = committee.start("hospital")

    def spoilt(sender: Any, purpose: str, body: memoryview) -> tuple[str, bytes]:
        request = decode_share_request(body)
        share = msgspec.json.decode(hospital.judge.answer(sender, request), type=SealedShare)
        garbage = share.sealed[:-1] + bytes([share.sealed[-1] ^ 1])
        return ANSWER, canonical_json(msgspec.structs.replace(share, sealed=garbage))

    committee.answer_with("hospital", spoilt)
    assert committee.failures(ask(1)) == {"hospital": "SR-MEMBER-SHARE"}
    committee.answer_with("hospital", lambda *_: (ANSWER, b"{}"))
    assert committee.failures(ask(2)) == {"hospital": "SR-MEMBER-SHARE"}


def test_whoever_stands_in_for_a_member_is_nobody(committee: Committee) -> None:
    committee.start("vendor")
    committee.answer_with("hospital", lambda *_: (ANSWER, b"{}"), identity=OTHER)
    assert committee.failures(ask(1)) == {"hospital": "SR-MEMBER-UNREACHABLE"}


def test_a_fault_in_a_member_is_one_line_without_its_text(
    committee: Committee, caplog: pytest.LogCaptureFixture
) -> None:
    def faulty(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"part {SECRETS[0]}")

    committee.start("vendor", make_share=faulty)
    committee.start("hospital")
    with caplog.at_level(logging.DEBUG, "strongroom"), pytest.raises(GatheringError) as error:
        committee.gather(ask(1))
    assert error.value.failures["vendor"][0] == "SR-MEMBER-UNREACHABLE"
    assert str(SECRETS[0]) not in str(error.value)


def test_a_query_for_another_committee_is_not_carried(committee: Committee) -> None:
    for changes in ({"committee": "sha256:" + "0" * 64}, {"active": ("vendor", "nobody")}):
        with pytest.raises(CommitteeError) as error:
            committee.gather(ask(1, **changes))
        assert error.value.code == "SR-COMMITTEE-MISMATCH"


def test_members_between_two_states_of_the_key_give_nothing_that_adds_up(
    committee: Committee,
) -> None:
    committee.start("vendor")
    committee.start("hospital", state="sha256:" + "5" * 64)
    with pytest.raises(CommitteeError, match="do not add up") as error:
        committee.gather(ask(1))
    assert (error.value.code, error.value.http_status) == ("SR-MEMBER-REFUSED", 503)
