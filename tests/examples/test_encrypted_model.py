"""`python -m examples.encrypted_model`: a vendor, a hospital, an auditor, and a cloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from application_runs import PROJECT, Ran, Run

from examples import command
from examples.encrypted_model import model
from examples.encrypted_model.__main__ import SAMPLE_ROWS, UNHIDDEN, encrypted_model
from examples.encrypted_model.looking import Looking
from examples.model_sharing.canaries import Canaries

Capture = pytest.CaptureFixture[str]

# The whole path is in tests/end_to_end/test_committee.py, in less time.
pytestmark = [pytest.mark.timeout(600), pytest.mark.long]
"""The whole application is one fixture: some fifty processes, one after the other."""

ROWS, TREES = 3, 8
MEMBERS = ("vendor", "hospital", "auditor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encrypted-model") / "parties"


@pytest.fixture(scope="module")
def ran(run: Run, folder: Path) -> Ran:
    """With everything that the parties wrote kept."""
    options = ("--rows", str(ROWS), "--trees", str(TREES), "--folder", folder)
    return run("-m", "examples.encrypted_model", *options, seconds=600.0)


@pytest.fixture(scope="module")
def summary(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran.errors
    last: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
    return last


@pytest.fixture(scope="module")
def ended(summary: dict[str, Any]) -> dict[tuple[str, str], str]:
    """How each attempt ended, by who tried what."""
    found = {(one["party"], one["tried"]): one["ended"] for one in summary["attempts"]}
    assert len(found) == len(summary["attempts"])
    return found


def test_the_hospital_is_answered_as_by_the_plain_model(
    summary: dict[str, Any], folder: Path
) -> None:
    rows, labels = model.patients(ROWS, 0)
    answers = np.load(folder / "hospital" / "answers.npy")
    np.testing.assert_allclose(answers, model.train(TREES, 0).predict_proba(rows), atol=1e-3)
    assert summary["asked"]["accuracy"] == float(np.mean(answers.argmax(axis=1) == labels))
    assert summary["agreement"] == summary["asked"]["agreement"] == 1.0
    assert summary["verified"]["weights_from_server"] == "hidden-while-computing"
    assert summary["verified"]["committee"] == summary["committee"]["committee"]


def test_the_model_stops_with_the_vendor_s_member_and_with_no_other(
    ended: dict[tuple[str, str], str],
) -> None:
    assert ended["hospital", "ask without its own member"] == "done"
    assert ended["hospital", "ask without the vendor's member"] == "SR-MEMBER-UNREACHABLE"


def test_the_members_open_nothing_for_the_cloud(ended: dict[tuple[str, str], str]) -> None:
    assert ended["cloud", "ask for itself"] == "SR-MEMBER-REFUSED"


def test_the_model_outlives_a_change_of_all_parts_of_its_key(
    ended: dict[tuple[str, str], str],
) -> None:
    assert ended["vendor", "have all parts of the key changed"] == "done"
    assert ended["hospital", "ask after that"] == "done"


def test_each_secret_is_where_it_belongs_and_nowhere_else(summary: dict[str, Any]) -> None:
    found = summary["found"]
    vendors = {"weights": True, "patients": False, "answers": False}
    hospitals = {"weights": False, "patients": True, "answers": True}
    # The same search has to find them where they are, or its silence would mean nothing.
    assert found.pop("vendor's files") == vendors
    assert found.pop("hospital's files") == hospitals
    for place, expected in (("vendor's desk", vendors), ("hospital's desk", hospitals)):
        looked = found.pop(f"{place}, memory")
        assert looked in (expected, dict.fromkeys(expected)), place
    # And in a process that computes with them.
    assert found.pop(f"{UNHIDDEN}, memory")["weights"] in (True, None)
    assert set(found) >= {"cloud's files", "auditor's files", "the wire to the cloud"}
    for name in ("front", "keeper", "worker"):
        assert f"cloud's {name}, memory" in found
    for name in MEMBERS:
        assert f"{name}'s member, memory" in found
    for place, looked in found.items():
        allowed = {False, None} if place.endswith("memory") else {False}
        assert set(looked.values()) <= allowed, place


def test_each_party_has_what_the_page_says(summary: dict[str, Any], folder: Path) -> None:
    held = summary["held_bytes"]
    assert held["cloud"]["encrypted model"] > 1000 * held["vendor"]["model"]
    for name in MEMBERS:
        assert 0 < held[name]["sealed parts of the key"] < 100_000
    assert not list((folder / "cloud" / "home").glob("parts/*"))


@pytest.mark.parametrize("name", ["vendor", "auditor"])
def test_members_who_do_not_ask_compute_again_what_they_help_to_open(
    name: str, folder: Path, ran: Ran
) -> None:
    assert ran.status == 0, ran.errors
    log = [json.loads(line) for line in (folder / name / "member.log").open()]
    given = [line for line in log if line.get("event") == "share given"]
    assert given
    assert all(line["audited"] for line in given)


def test_whoever_listened_has_a_copy_of_the_whole_exchange(
    summary: dict[str, Any], folder: Path
) -> None:
    copy = (folder / "wire" / "copy.bin").read_bytes()
    assert summary["package_digest"].encode() in copy
    assert len(copy) > ROWS * summary["asked"]["bytes_sent"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("trained") / "model.json"
    model.train(TREES, 0).save_model(file)
    return file


@pytest.mark.parametrize("form", ["file", "floats", "doubles", "compiled"])
def test_the_search_finds_weights_that_somebody_writes_down(
    form: str, trained: Path, tmp_path: Path
) -> None:
    tree = json.loads(trained.read_text())["learner"]["gradient_booster"]["model"]["trees"][0]
    values = np.array(tree["split_conditions"], np.float32)
    compiled = model.computed_with(trained, model.training_rows(0)[:SAMPLE_ROWS])
    content = {
        "file": trained.read_bytes(),
        "floats": values.tobytes(),
        "doubles": values.astype(np.float64).tobytes(),
        "compiled": compiled.tobytes(),
    }
    looking = Looking({"weights": Canaries([compiled], 1, written=model.leaf_values(trained))})
    (tmp_path / "other").write_bytes(b"model: nothing")
    assert looking.in_files(tmp_path) == {"weights": False}
    (tmp_path / "dump").write_bytes(b"model: " + content[form])
    assert looking.in_files(tmp_path) == {"weights": True}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rows", "0"], "--rows"),
        (["--rows", "271"], "the hospital has 270 patients"),
        (["--trees", "1"], "--trees"),
        (["--folder", "docs"], "docs is not empty"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.chdir(PROJECT)
    status = command.run(encrypted_model, "python -m examples.encrypted_model", arguments)
    said = capfd.readouterr()
    assert status in (2, 3)
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: [SR-")
    assert says in said.err


def test_the_vendor_trained_on_no_patient_of_the_hospital() -> None:
    training = {np.round(row, 4).tobytes() for row in model.training_rows(0)}
    patients = {np.round(row, 4).tobytes() for row in model.patients(model.PATIENTS, 0)[0]}
    assert len(patients) == model.PATIENTS
    assert not training & patients
