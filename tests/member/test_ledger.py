"""Budgets, counters and days hold across restarts, crashes, threads and clocks."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from member_world import CLIENT, COMMITTEE, NOW, PACKAGE, Member, ask, policy

from strongroom.errors import StrongroomError
from strongroom.keys.query import milliseconds
from strongroom.member.counters import WINDOW, Counters, Use
from strongroom.member.ledger import Ledger
from strongroom.member.log_heads import Chain, chained
from strongroom.member.policy import ClientRule, PackageRule

Start = Callable[..., Member]


def code_of(member: Member, asked: Any) -> str:
    with pytest.raises(StrongroomError) as error:
        member.answer(asked)
    return error.value.code


def fresh(member: Member, counter: int, **changes: Any) -> Any:
    return ask(counter, issued=milliseconds(member.clock[0]), **changes)


def log_of(member: Member) -> Path:
    return member.ledger._journal.path


def test_the_budget_holds_across_restarts_and_never_comes_back(member: Start) -> None:
    one = member(budget=5)
    one.answer(ask(1, results=3))
    one.restart()
    assert code_of(one, ask(2, results=3)) == "SR-MEMBER-BUDGET"
    one.answer(ask(3, results=2))
    one.clock[0] = NOW + timedelta(days=20)
    one.restart()
    assert one.ledger.spent == 5
    assert code_of(one, fresh(one, 4)) == "SR-MEMBER-BUDGET"


def test_a_day_has_its_number_whatever_the_clock_does(member: Start) -> None:
    one = member()
    one.allow(policy(clients=(ClientRule(CLIENT.public.to_text(), queries_per_day=3),)))
    one.answer(ask(1, results=2))
    assert code_of(one, ask(2, results=2)) == "SR-MEMBER-POLICY"
    one.answer(ask(3))
    one.restart()
    assert code_of(one, ask(4)) == "SR-MEMBER-POLICY"
    one.clock[0] = NOW + timedelta(days=1)
    one.answer(fresh(one, 5))
    # A clock that goes back to yesterday does not bring yesterday's queries back, nor today's.
    one.clock[0] = NOW + timedelta(days=1, minutes=-4)
    for counter in (6, 7):
        one.answer(fresh(one, counter))
    assert code_of(one, fresh(one, 8)) == "SR-MEMBER-POLICY"
    one.clock[0] = NOW
    assert code_of(one, fresh(one, 9)) == "SR-IDENTITY-CLOCK"
    one.restart()
    assert code_of(one, fresh(one, 9)) == "SR-IDENTITY-CLOCK"


def test_a_package_has_its_own_number_a_day(member: Start) -> None:
    one = member()
    one.allow(policy(packages=(PackageRule(PACKAGE, queries_per_day=1),)))
    one.answer(ask(1))
    assert code_of(one, ask(2)) == "SR-MEMBER-POLICY"


def test_a_line_that_a_crash_cut_off_was_not_answered(member: Start) -> None:
    one = member()
    first = one.answer(ask(1))
    whole = log_of(one).read_bytes()
    one.answer(ask(2))
    longer = log_of(one).read_bytes()
    for cut in (len(whole) + 1, len(longer) - 1, len(whole)):
        one.ledger.close()
        log_of(one).write_bytes(longer[:cut])
        one.start()
        assert (one.ledger.spent, one.ledger.head.number) == (1, 1)
        assert log_of(one).read_bytes() == whole
    one.ledger.close()
    log_of(one).write_bytes(whole + b"\0" * 100 + b"\n")  # room that the system had given
    one.start()
    assert log_of(one).read_bytes() == whole
    one.answer(ask(2))
    one.restart()
    assert one.ledger.spent == 2
    assert first.member == "vendor"


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b'"cost":1', b'"cost":2', 1),
        lambda text: b"".join(text.splitlines(keepends=True)[::2]),
        lambda text: text.replace(COMMITTEE.encode(), b"sha256:" + b"d" * 64, 1),
        lambda text: text + text.splitlines(keepends=True)[0],
        lambda text: text + b"{}\n",
        lambda text: text[1:],
    ],
)
def test_a_ledger_that_was_changed_is_refused(
    member: Start, damage: Callable[[bytes], bytes]
) -> None:
    one = member()
    for counter in (1, 2, 3):
        one.answer(ask(counter))
    one.ledger.close()
    path = log_of(one)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(StrongroomError) as error:
        one.start()
    assert (error.value.code, "damaged" in error.value.message) == ("SR-KEYS-FILE", True)


def test_two_processes_do_not_share_a_ledger(member: Start) -> None:
    one = member()
    with pytest.raises(StrongroomError, match="in use"):
        Ledger(log_of(one), COMMITTEE, "vendor", 1)


def test_a_ledger_that_others_could_read_or_that_is_a_link_is_refused(
    member: Start, tmp_path: Path
) -> None:
    one = member()
    one.ledger.close()
    log_of(one).parent.chmod(0o755)
    with pytest.raises(StrongroomError) as error:
        one.start()
    assert error.value.code == "SR-KEYS-PERMISSIONS"
    log_of(one).parent.chmod(0o700)
    os.rename(log_of(one), tmp_path / "elsewhere")
    log_of(one).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StrongroomError):
        one.start()


def test_nothing_is_answered_once_a_write_failed(
    member: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = member()
    one.answer(ask(1))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", full)
        assert code_of(one, ask(2)) == "SR-KEYS-FILE"
    assert code_of(one, ask(3)) == "SR-KEYS-FILE"
    one.restart()  # the line may have come to the disk or not; here it has
    assert one.ledger.spent == 2


def test_an_answer_is_on_the_disk_before_it_is_given(
    member: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, synced, real = member(), [], os.fdatasync

    def recorded(descriptor: int) -> None:
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fdatasync", recorded)
    one.answer(ask(1))
    assert synced == [log_of(one).stat().st_size]


def test_counters_far_behind_are_used_up_and_those_near_are_not() -> None:
    counters = Counters()
    for counter in range(1, 2 * WINDOW + 1, 2):
        counters.use("client", counter, Use("query", "result", (0, 0)))
    highest = 2 * WINDOW - 1
    assert counters.used("client", highest - WINDOW + 1, "query", "result") is None
    with pytest.raises(StrongroomError, match="used up"):
        counters.used("client", highest - WINDOW - 1, "query", "result")
    assert counters.used("client", highest, "query", "result") is not None
    assert counters.used("another", 1, "query", "result") is None


def test_a_chain_of_digests_says_where_it_ends() -> None:
    chain, entries = Chain(), [f"sha256:{number:064x}" for number in range(10)]
    for entry in entries:
        chain.append(entry, chain.following(entry))
    middle = chain.link_at(4)
    assert middle is not None
    assert chained(4, middle, chain.entries_after(4, 100)) == (10, chain.link)
    assert chain.entries_after(2, 3) == tuple(entries[2:5])
    assert chain.link_at(11) is None
    assert chained(4, middle, entries[5:]) != (9, chain.link_at(9))
