"""The replay window: one identifier once, and nothing forgotten too early."""

from __future__ import annotations

import secrets

from hypothesis import given
from hypothesis import strategies as st

from strongroom.server.replay import ReplayWindow

NOW = 1_795_000_000_000
MINUTE = 60_000


def identifier() -> bytes:
    return secrets.token_bytes(16)


def test_an_identifier_is_taken_once() -> None:
    window, one = ReplayWindow(10, 20 * MINUTE), identifier()
    assert window.take(one, NOW + MINUTE, NOW) is True
    assert window.take(one, NOW + MINUTE, NOW) is False
    assert window.take(one, NOW + 9 * MINUTE, NOW) is False
    assert window.take(identifier(), NOW + MINUTE, NOW) is True


def test_an_identifier_counts_until_its_time_and_then_takes_no_room() -> None:
    window, one = ReplayWindow(10, 20 * MINUTE), identifier()
    assert window.take(one, NOW + 10 * MINUTE, NOW)
    assert window.take(one, NOW + 10 * MINUTE, NOW + 10 * MINUTE) is False
    window.take(identifier(), NOW + 12 * MINUTE, NOW + 11 * MINUTE)
    assert len(window) == 1


def test_a_request_out_of_time_is_not_taken() -> None:
    window = ReplayWindow(10, 20 * MINUTE)
    assert window.take(identifier(), NOW - 1, NOW) is False
    assert window.take(identifier(), NOW + 20 * MINUTE + 1, NOW) is False
    assert len(window) == 0


def test_a_full_window_takes_nothing_and_forgets_nothing() -> None:
    window = ReplayWindow(3, 20 * MINUTE)
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
    window, now = ReplayWindow(100, 20 * MINUTE), NOW
    counts_until: dict[int, int] = {}
    for name, ahead, passed in steps:
        now += passed
        first = window.take(bytes([name]) * 16, now + ahead, now)
        if first:
            assert counts_until.get(name, 0) < now
            counts_until[name] = now + ahead
        assert first is not None
