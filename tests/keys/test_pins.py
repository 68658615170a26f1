"""Pins: the first owner counts, damage is never an empty list."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom.errors import KeyStoreError
from strongroom.keys.pins import Pins

URL = "https://models.example"
FIRST = "identity:" + "1" * 64
SECOND = "identity:" + "2" * 64


def test_the_first_owner_counts(home: Path) -> None:
    pins = Pins(home)
    assert pins.get(URL, "m") is None
    assert pins.pin(URL, "m", FIRST) == FIRST
    assert pins.pin(URL, "m", SECOND) == FIRST
    assert Pins(home).get(URL, "m") == FIRST


def test_server_and_model_are_told_apart(home: Path) -> None:
    pins = Pins(home)
    pins.pin(URL, "m", FIRST)
    assert pins.pin(URL, "n", SECOND) == SECOND
    assert pins.pin("https://other.example", "m", SECOND) == SECOND
    assert [pin.owner for pin in pins.entries()] == [FIRST, SECOND, SECOND]


def test_a_forgotten_pin_makes_room(home: Path) -> None:
    pins = Pins(home)
    pins.pin(URL, "m", FIRST)
    assert pins.forget(URL, "m")
    assert not pins.forget(URL, "m")
    assert pins.pin(URL, "m", SECOND) == SECOND


def test_the_file_is_private(home: Path) -> None:
    Pins(home).pin(URL, "m", FIRST)
    path = home / "known_owners.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyStoreError) as caught:
        Pins(home).get(URL, "m")
    assert caught.value.code == "SR-KEYS-PERMISSIONS"


DAMAGED = {
    "empty": b"",
    "not_json": b"\x80\x04",
    "other_version": b'{"format_version":2,"models":[]}',
    "unknown_field": b'{"format_version":1,"more":1,"models":[]}',
    "not_a_fingerprint": b'{"format_version":1,"models":[{"url":"u","model":"m","owner":"x",'
    b'"pinned":""}]}',
    "nested": b'{"models":' + b"[" * 5000,
    "oversize": b" " * (4 * 2**20 + 1),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_file_does_not_mean_that_nothing_was_trusted(home: Path, damage: str) -> None:
    pins = Pins(home)
    pins.pin(URL, "m", FIRST)
    (home / "known_owners.json").write_bytes(DAMAGED[damage])
    for call in (lambda: pins.get(URL, "m"), lambda: pins.pin(URL, "m", SECOND)):
        with pytest.raises(KeyStoreError) as caught:
            call()
        assert caught.value.code == "SR-KEYS-FILE"
    assert (home / "known_owners.json").read_bytes() == DAMAGED[damage]


@pytest.mark.parametrize("where", ["disk", "memory"])
def test_what_is_no_fingerprint_is_not_pinned(home: Path, where: str) -> None:
    pins = Pins(home if where == "disk" else None)
    pins.pin(URL, "m", FIRST)
    with pytest.raises(KeyStoreError) as caught:
        pins.pin(URL, "n", "sha256:" + "3" * 64)
    assert caught.value.code == "SR-KEYS-FILE"
    assert [pin.owner for pin in pins.entries()] == [FIRST]


def test_pins_in_memory_touch_no_disk(home: Path) -> None:
    pins = Pins(None)
    assert pins.pin(URL, "m", FIRST) == FIRST
    assert pins.pin(URL, "m", SECOND) == FIRST
    assert not home.exists()


_WRITER = """
import sys
from pathlib import Path
from strongroom.keys.pins import Pins
pins = Pins(Path(sys.argv[1]))
for number in range(10):
    pins.pin("https://models.example", f"{sys.argv[2]}{number}", "identity:" + "0" * 64)
"""


def test_writers_at_the_same_time_lose_nothing(home: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(home), letter]) for letter in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert len(Pins(home).entries()) == 20
