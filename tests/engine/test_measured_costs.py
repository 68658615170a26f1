"""The measurement is kept: in memory, and in a file that is replaced if it is not to be trusted."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from strongroom.engine import measured_costs as module
from strongroom.engine.cost_model import CostModel, RowTimes
from strongroom.engine.measured_costs import cache_folder, cost_model

ROWS = RowTimes(10.0, 13.0, 0.1, 1.0, 0.5, 20.0, 100.0, 15.0, 4.0, 0.5, 3.0)

GAINS = {2**12: 1.5, 2**13: 1.6}


class Measuring:
    """Stands for the measurement and counts how often it is made."""

    def __init__(self) -> None:
        self.count = 0
        self.quiet = True

    def __call__(self, kernel: str) -> CostModel:
        self.count += 1
        return CostModel(kernel, dict.fromkeys((2**12, 2**13), ROWS), GAINS, self.quiet)


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Measuring:
    measuring = Measuring()
    monkeypatch.setattr(module, "measure", measuring)
    monkeypatch.setattr(module, "_models", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return measuring


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(module, "_models", {})


def only_file() -> Path:
    folder = cache_folder()
    assert folder is not None
    (path,) = folder.iterdir()
    return path


def test_one_process_measures_a_kernel_once(measuring: Measuring) -> None:
    assert cost_model("portable") is cost_model("portable")
    assert measuring.count == 1
    cost_model("avx2")
    assert measuring.count == 2


def test_another_process_reads_what_the_first_has_measured(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = cost_model("portable")
    forget(monkeypatch)
    second = cost_model("portable")
    assert measuring.count == 1
    assert second is not first
    assert second == first


def test_threads_that_ask_at_once_measure_once(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(kernel: str) -> CostModel:
        time.sleep(0.05)
        return measuring(kernel)

    monkeypatch.setattr(module, "measure", slowly)
    threads = [threading.Thread(target=cost_model, args=("portable",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert measuring.count == 1


def test_the_file_is_for_its_owner_alone_and_says_what_it_is_of(measuring: Measuring) -> None:
    cost_model("portable")
    path = only_file()
    assert path.name.startswith("engine-costs-")
    assert path.suffix == ".json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    content = json.loads(path.read_bytes())
    assert content["format"] == module.FORMAT
    assert content["machine"]["kernel"] == "portable"
    assert content["model"]["rows"]["4096"]["samples"] == 100.0


def edited(**changes: Any) -> bytes:
    content = json.loads(only_file().read_bytes())
    content.update(changes)
    return json.dumps(content).encode()


def with_model(**changes: Any) -> bytes:
    content = json.loads(only_file().read_bytes())
    content["model"].update(changes)
    return json.dumps(content).encode()


def with_ring(degree: str) -> bytes:
    rows = json.loads(only_file().read_bytes())["model"]["rows"]
    return with_model(rows={degree: rows["4096"]})


def with_rows(**changes: Any) -> bytes:
    content = json.loads(only_file().read_bytes())
    content["model"]["rows"]["4096"].update(changes)
    return json.dumps(content).encode()


DAMAGES = {
    "empty": lambda: b"",
    "cut": lambda: only_file().read_bytes()[:-20],
    "no JSON": lambda: b"\x00\xff" * 50,
    "another shape": lambda: b"[1, 2, 3]",
    "too long": lambda: only_file().read_bytes() + b" " * (1 << 16),
    "another format": lambda: edited(format=module.FORMAT + 1),
    "another machine": lambda: edited(machine={"kernel": "portable", "processor": "abacus"}),
    "an unknown field": lambda: edited(comment="hello"),
    "another kernel": lambda: with_model(kernel="avx2"),
    "no rings": lambda: with_model(rows={}),
    "a ring that is too small": lambda: with_ring("1"),
    "a ring that is too large": lambda: with_ring("1048576"),
    "an impossible gain": lambda: with_model(parallel_gains={"4096": 7.0, "8192": 1.5}),
    "a gain for other rings": lambda: with_model(parallel_gains={"4096": 1.5}),
    "a negative time": lambda: with_rows(passes=-1.0),
    "a time too large for a double": lambda: with_rows(passes=1.0).replace(
        b'"passes": 1.0', b'"passes": 1e999'
    ),
    "no time for transforms": lambda: with_rows(transforms=0.0),
    "a string for a time": lambda: with_rows(passes="fast"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_or_foreign_file_is_measured_again_and_replaced(
    damage: str, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost_model("portable")
    good = only_file().read_bytes()
    only_file().write_bytes(DAMAGES[damage]())
    assert only_file().read_bytes() != good
    forget(monkeypatch)
    cost_model("portable")
    assert measuring.count == 2
    assert only_file().read_bytes() == good


@pytest.mark.parametrize("change", ["version", "build", "processor", "processors"])
def test_another_machine_or_version_has_a_file_of_its_own(
    change: str, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost_model("portable")
    here = module._machine("portable")
    monkeypatch.setattr(module, "_machine", lambda kernel: {**here, change: "other"})
    forget(monkeypatch)
    cost_model("portable")
    assert measuring.count == 2
    folder = cache_folder()
    assert folder is not None
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize(
    ("quiet", "age_seconds", "count"), [(False, 60, 1), (False, 4000, 2), (True, 4000, 1)]
)
def test_what_was_measured_beside_others_serves_for_an_hour(
    quiet: bool, age_seconds: int, count: int, measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring.quiet = quiet
    cost_model("portable")
    forget(monkeypatch)
    made = time.time() - age_seconds
    os.utime(only_file(), (made, made))
    cost_model("portable")
    assert measuring.count == count


def test_without_a_place_for_a_file_memory_keeps_it(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    cost_model("portable")
    cost_model("portable")
    assert measuring.count == 1
    assert blocked.read_text() == "not a folder"


def test_without_a_home_memory_keeps_it(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert cache_folder() is None
    cost_model("portable")
    cost_model("portable")
    assert measuring.count == 1


@pytest.mark.parametrize("named", ["", "relative/place"])
def test_a_place_that_is_not_absolute_is_ignored(
    named: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "strongroom"


def test_a_file_that_cannot_be_read_is_measured_again(
    measuring: Measuring, monkeypatch: pytest.MonkeyPatch
) -> None:
    cost_model("portable")
    path = only_file()
    path.unlink()
    os.mkdir(path)
    forget(monkeypatch)
    cost_model("portable")
    assert measuring.count == 2
