"""High-water marks: nothing older than what was seen, on disk and in memory alike."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from strongroom.errors import KeyStoreError, PackageError, ServerError, StrongroomError
from strongroom.keys.seen import Seen

OWNER = "identity:" + "1" * 64
SERVER = "identity:" + "2" * 64
PACKAGE = "sha256:" + "3" * 64
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.time = NOON

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture(params=["disk", "memory"])
def again(request: pytest.FixtureRequest, home: Path) -> Callable[[Clock], Seen]:
    """The marks as a later process sees them; in memory, those of the same one."""
    if request.param == "disk":
        return lambda clock: Seen(home, clock)
    kept: list[Seen] = []

    def same(clock: Clock) -> Seen:
        if not kept:
            kept.append(Seen(None, clock))
        kept[0]._clock = clock
        return kept[0]

    return same


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _refusal(kind: type[StrongroomError], call: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments)
    return caught.value.code


def test_a_clock_that_goes_on_is_right(again: Callable[[Clock], Seen], clock: Clock) -> None:
    for minutes in (0, 1, 60, 60 * 24 * 400):
        clock.time = NOON + timedelta(minutes=minutes)
        assert again(clock).now() == clock.time


def test_a_clock_that_was_set_back_is_refused(again: Callable[[Clock], Seen], clock: Clock) -> None:
    again(clock).now()
    clock.time = NOON - timedelta(minutes=5)
    assert again(clock).now() == clock.time
    clock.time = NOON - timedelta(minutes=5, seconds=1)
    assert _refusal(KeyStoreError, again(clock).now) == "SR-IDENTITY-CLOCK"
    clock.time = NOON
    assert again(clock).now() == NOON


def test_a_clock_can_not_be_walked_back_in_small_steps(
    again: Callable[[Clock], Seen], clock: Clock
) -> None:
    again(clock).now()
    clock.time -= timedelta(minutes=4)
    again(clock).now()
    clock.time -= timedelta(minutes=4)
    assert _refusal(KeyStoreError, again(clock).now) == "SR-IDENTITY-CLOCK"


def test_a_clock_before_what_was_signed_is_refused(
    again: Callable[[Clock], Seen], clock: Clock
) -> None:
    assert again(clock).now(at_least=NOON + timedelta(minutes=5)) == NOON
    late = NOON + timedelta(minutes=5, seconds=1)
    assert _refusal(KeyStoreError, again(clock).now, late) == "SR-IDENTITY-CLOCK"
    assert again(clock).now() == NOON


def test_an_older_release_is_refused(again: Callable[[Clock], Seen], clock: Clock) -> None:
    assert again(clock).release(OWNER, "m") == 0
    again(clock).saw_release(OWNER, "m", 3)
    again(clock).saw_release(OWNER, "m", 3)
    assert _refusal(PackageError, again(clock).saw_release, OWNER, "m", 2) == "SR-PACKAGE-ROLLBACK"
    again(clock).saw_release(OWNER, "m", 7)
    assert again(clock).release(OWNER, "m") == 7


def test_releases_of_other_models_and_owners_are_told_apart(
    again: Callable[[Clock], Seen], clock: Clock
) -> None:
    again(clock).saw_release(OWNER, "m", 9)
    again(clock).saw_release(OWNER, "n", 1)
    again(clock).saw_release(SERVER, "m", 2)
    found = [again(clock).release(*of) for of in ((OWNER, "m"), (OWNER, "n"), (SERVER, "m"))]
    assert found == [9, 1, 2]


def test_an_older_grant_log_is_refused(again: Callable[[Clock], Seen], clock: Clock) -> None:
    assert again(clock).grant_log(PACKAGE) == (0, 0)
    again(clock).saw_grant_log(PACKAGE, 1, 4)
    again(clock).saw_grant_log(PACKAGE, 2, 2)  # a rotation may leave fewer entries
    for older in ((1, 9), (2, 1)):
        refused = _refusal(PackageError, again(clock).saw_grant_log, PACKAGE, *older)
        assert refused == "SR-PACKAGE-ROLLBACK"
    again(clock).saw_grant_log(PACKAGE, 2, 3)
    assert again(clock).grant_log(PACKAGE) == (2, 3)


def test_an_older_key_configuration_is_refused(
    again: Callable[[Clock], Seen], clock: Clock
) -> None:
    counter = 1_780_000_000_000
    again(clock).saw_key_configuration(SERVER, counter)
    again(clock).saw_key_configuration(SERVER, counter)
    again(clock).saw_key_configuration(OWNER, 1)
    refused = _refusal(ServerError, again(clock).saw_key_configuration, SERVER, counter - 1)
    assert refused == "SR-SERVER-KEYS"
    assert again(clock).key_configuration(SERVER) == counter


def test_marks_do_not_disturb_each_other(again: Callable[[Clock], Seen], clock: Clock) -> None:
    again(clock).now()
    again(clock).saw_release(OWNER, "m", 3)
    again(clock).saw_grant_log(PACKAGE, 1, 4)
    again(clock).saw_key_configuration(SERVER, 5)
    clock.time = NOON + timedelta(hours=1)
    seen = again(clock)
    seen.now()
    assert seen.release(OWNER, "m") == 3
    assert seen.grant_log(PACKAGE) == (1, 4)
    assert seen.key_configuration(SERVER) == 5
    clock.time = NOON
    assert _refusal(KeyStoreError, seen.now) == "SR-IDENTITY-CLOCK"


def test_what_is_seen_again_is_not_written_again(home: Path, clock: Clock) -> None:
    Seen(home, clock).now()
    Seen(home, clock).saw_release(OWNER, "m", 3)
    before = (home / "seen.json").stat().st_ino
    clock.time += timedelta(seconds=59)
    Seen(home, clock).now()
    Seen(home, clock).saw_release(OWNER, "m", 3)
    assert (home / "seen.json").stat().st_ino == before


DAMAGED = {
    "empty": b"",
    "not_json": b"\x80\x04",
    "other_version": b'{"format_version":2}',
    "unknown_field": b'{"format_version":1,"more":1}',
    "not_a_time": b'{"format_version":1,"latest":"tomorrow"}',
    "no_such_day": b'{"format_version":1,"latest":"2026-02-30T00:00:00Z"}',
    "not_a_fingerprint": b'{"format_version":1,"key_configurations":{"x":1}}',
    "below_zero": b'{"format_version":1,"releases":{"identity:%s":{"m":-1}}}' % (b"1" * 64),
    "nested": b'{"releases":' + b"[" * 5000,
    "oversize": b" " * (4 * 2**20 + 1),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_does_not_mean_that_nothing_was_seen(
    home: Path, clock: Clock, damage: str
) -> None:
    seen = Seen(home, clock)
    seen.saw_release(OWNER, "m", 3)
    (home / "seen.json").write_bytes(DAMAGED[damage])
    for call in (seen.now, lambda: seen.saw_release(OWNER, "m", 1)):
        assert _refusal(KeyStoreError, call) == "SR-KEYS-FILE"
    assert (home / "seen.json").read_bytes() == DAMAGED[damage]


def test_marks_in_memory_touch_no_disk(home: Path, clock: Clock) -> None:
    seen = Seen(None, clock)
    seen.now()
    seen.saw_release(OWNER, "m", 3)
    assert not home.exists()


_WRITER = """
import sys
from pathlib import Path
from strongroom.keys.seen import Seen
seen = Seen(Path(sys.argv[1]))
for number in range(10):
    seen.saw_release("identity:" + "1" * 64, f"{sys.argv[2]}{number}", number + 1)
"""


def test_writers_at_the_same_time_lose_nothing(home: Path, clock: Clock) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(home), letter]) for letter in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    seen = Seen(home, clock)
    found = [seen.release(OWNER, f"{letter}{number}") for letter in "ab" for number in range(10)]
    assert found == [*range(1, 11), *range(1, 11)]


def test_a_clock_that_was_right_is_believed_for_a_second_while_it_goes_on(home: Path) -> None:
    mine, other = Clock(), Clock()
    seen = Seen(home, mine)
    seen.now()
    other.time = NOON + timedelta(hours=1)
    Seen(home, other).now()
    mine.time = NOON + timedelta(seconds=0.9)
    assert seen.now() == mine.time
    mine.time = NOON + timedelta(seconds=1)
    assert _refusal(KeyStoreError, seen.now) == "SR-IDENTITY-CLOCK"


def test_a_clock_that_stands_still_is_not_believed_for_ever(
    home: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = [0.0]
    monkeypatch.setattr("strongroom.keys.seen.time.monotonic", lambda: passed[0])
    seen = Seen(home, clock)
    seen.now()
    (home / "seen.json").write_text("damaged")
    assert seen.now() == NOON
    passed[0] = 1.0
    assert _refusal(KeyStoreError, seen.now) == "SR-KEYS-FILE"


def test_a_clock_that_is_set_back_is_noticed_at_once(home: Path, clock: Clock) -> None:
    seen = Seen(home, clock)
    seen.now()
    clock.time = NOON - timedelta(minutes=6)
    assert _refusal(KeyStoreError, seen.now) == "SR-IDENTITY-CLOCK"
