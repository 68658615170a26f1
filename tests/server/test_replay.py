"""The replay window: one identifier once, and nothing forgotten too early."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.server.replay import ReplayWindow, create_window

NOW = 1_795_000_000_000
MINUTE = 60_000
LONGEST = 20 * MINUTE
SCRIPT = Path(__file__).parent / "killed_takers.py"


def window_of(capacity: int) -> ReplayWindow:
    return ReplayWindow(create_window(capacity, LONGEST))


def identifier() -> bytes:
    return secrets.token_bytes(16)


def test_an_identifier_is_taken_once() -> None:
    window, one = window_of(10), identifier()
    assert window.take(one, NOW + MINUTE, NOW) is True
    assert window.take(one, NOW + MINUTE, NOW) is False
    assert window.take(one, NOW + 9 * MINUTE, NOW) is False
    assert window.take(identifier(), NOW + MINUTE, NOW) is True


def test_an_identifier_counts_until_its_time_and_then_takes_no_room() -> None:
    window, one = window_of(1), identifier()
    assert window.take(one, NOW + 10 * MINUTE, NOW)
    assert window.take(one, NOW + 10 * MINUTE, NOW + 10 * MINUTE) is False
    assert window.take(identifier(), NOW + 12 * MINUTE, NOW + 10 * MINUTE) is None
    assert window.take(identifier(), NOW + 12 * MINUTE, NOW + 10 * MINUTE + 1) is True


def test_a_request_out_of_time_is_not_taken() -> None:
    window = window_of(1)
    assert window.take(identifier(), NOW - 1, NOW) is False
    assert window.take(identifier(), NOW + 20 * MINUTE + 1, NOW) is False
    assert window.take(identifier(), NOW + 20 * MINUTE, NOW) is True


def test_a_full_window_takes_nothing_and_forgets_nothing() -> None:
    window = window_of(3)
    taken = [identifier() for _ in range(3)]
    assert all(window.take(one, NOW + MINUTE, NOW) for one in taken)
    assert window.take(identifier(), NOW + MINUTE, NOW) is None
    assert [window.take(one, NOW + MINUTE, NOW) for one in taken] == [False] * 3
    assert window.take(identifier(), NOW + 3 * MINUTE, NOW + 2 * MINUTE) is True


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 20 * MINUTE), st.integers(0, 2 * MINUTE)),
        max_size=60,
    )
)
def test_nothing_is_taken_twice_within_its_time(steps: list[tuple[int, int, int]]) -> None:
    window, now = window_of(100), NOW
    counts_until: dict[int, int] = {}
    for name, ahead, passed in steps:
        now += passed
        first = window.take(bytes([name]) * 16, now + ahead, now)
        if first:
            assert counts_until.get(name, 0) < now
            counts_until[name] = now + ahead
        assert first is not None


def test_a_large_window_holds_what_it_is_made_for() -> None:
    window, taken = window_of(5000), [identifier() for _ in range(5000)]
    assert all(window.take(one, NOW + MINUTE, NOW) for one in taken)
    assert not any(window.take(one, NOW + MINUTE, NOW) for one in taken)
    more = [window.take(identifier(), NOW + MINUTE, NOW) for _ in range(10_000)]
    assert more.count(None) >= 4900
    assert not any(window.take(one, NOW + MINUTE, NOW) for one in taken)


@pytest.mark.parametrize("one", [bytes(16), b"ab" * 8, bytes(15) + b"a", b"a" + bytes(15)])
def test_an_identifier_that_lies_across_others_is_told_from_them(one: bytes) -> None:
    window = window_of(5)
    for other in (bytes(8) + b"a" * 8, b"b" + b"ab" * 7 + b"a", bytes(8) + b"b" * 8):
        assert window.take(other, NOW + MINUTE, NOW)
    assert window.take(one, NOW + MINUTE, NOW) is True
    assert window.take(one, NOW + MINUTE, NOW) is False


@pytest.fixture
def shared() -> tuple[ReplayWindow, ReplayWindow]:
    descriptor = create_window(1, LONGEST)
    return ReplayWindow(descriptor), ReplayWindow(os.dup(descriptor))


def test_what_is_past_for_one_process_is_past_for_all(
    shared: tuple[ReplayWindow, ReplayWindow],
) -> None:
    ahead, behind = shared
    assert behind.take(one := identifier(), NOW + MINUTE, NOW)
    assert ahead.take(identifier(), NOW + 3 * MINUTE, NOW + 2 * MINUTE) is True
    assert behind.take(one, NOW + MINUTE, NOW) is False


def test_a_window_keeps_its_size() -> None:
    descriptor = create_window(100, LONGEST)
    size = os.fstat(descriptor).st_size
    for other in (0, size - 1, size + 1):
        with pytest.raises(PermissionError):
            os.truncate(descriptor, other)
    with pytest.raises(PermissionError):
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    os.close(descriptor)


def run_takers(how: str) -> list:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), how], env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_process_killed_at_any_line_holds_no_lock_and_lets_nothing_through_twice() -> None:
    found = run_takers("lines")
    assert len(found) > 20
    for first, second, live, other in found:
        assert second is False
        assert live is False
        assert other is None, "the one free slot is taken, or held by who was killed"
        assert first in (True, False)
    assert {first for first, *_ in found} == {True, False}


def test_processes_killed_at_random_times_take_nothing_twice() -> None:
    taken, most, again = run_takers("times")
    assert taken > 100
    assert (most, again) == (1, 0)
