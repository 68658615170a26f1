"""`python -m examples.model_sharing`: a vendor, a host, two hospitals, and somebody on the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from application_runs import PROJECT, Ran, Run

from examples import command
from examples.model_sharing import model
from examples.model_sharing.__main__ import GRANT_SECONDS, model_sharing
from examples.model_sharing.canaries import Canaries

Capture = pytest.CaptureFixture[str]

ROWS = 3
WEIGHTS, NORTH, SOUTH = "weights", "north's patients", "south's patients"


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model-sharing") / "parties"


@pytest.fixture(scope="module")
def ran(run: Run, folder: Path) -> Ran:
    """With everything that the parties wrote kept."""
    return run("-m", "examples.model_sharing", "--rows", str(ROWS), "--folder", folder)


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


def test_both_hospitals_are_answered_as_by_the_plain_model(
    summary: dict[str, Any], folder: Path
) -> None:
    plain = model.train(0)
    for hospital in ("north", "south"):
        rows, labels = model.patients(hospital, ROWS, 0)
        answers = np.load(folder / hospital / "answers.npy")
        np.testing.assert_allclose(answers, plain.predict_proba(rows), atol=1e-5)
        accuracy = float(np.mean(answers.argmax(axis=1) == labels))
        assert summary["asked"][hospital]["accuracy"] == accuracy
        assert summary["asked"][hospital]["median_ms"] > 0


def test_only_what_is_granted_can_be_done(ended: dict[tuple[str, str], str]) -> None:
    assert ended["host", "serve without a grant"] == "SR-PACKAGE-GRANT"
    assert ended["north", "open what is not granted to it"] == "SR-PACKAGE-GRANT"
    assert ended["north", "open what is granted to it"] == "done"
    assert ended["south", "open what is granted to it"] == "done"


def test_a_grant_ends_when_it_says(ended: dict[tuple[str, str], str]) -> None:
    assert GRANT_SECONDS > 0
    assert ended["north", "open it after its grant ended"] == "SR-PACKAGE-EXPIRED"


def test_who_is_revoked_keeps_the_old_file_and_does_not_open_the_new_one(
    ended: dict[tuple[str, str], str],
) -> None:
    assert ended["south", "open the old file, which it kept"] == "done"
    assert ended["south", "open the new file"] == "SR-PACKAGE-GRANT"


def test_a_host_that_goes_back_to_the_old_file_is_refused_by_who_saw_the_new_one(
    ended: dict[tuple[str, str], str],
) -> None:
    assert ended["north", "use the host with the new file"] == "done"
    assert ended["host", "serve the old file"] == "SR-PACKAGE-ROLLBACK"
    assert ended["north", "use the host with the old file"] == "SR-PACKAGE-ROLLBACK"


def test_receipts_hold_and_altered_ones_do_not(ended: dict[tuple[str, str], str]) -> None:
    for hospital in ("north", "south"):
        assert ended[hospital, "verify its receipt"] == "done"
        assert ended[hospital, "verify it, altered"] == "SR-RECEIPT-INVALID"


def test_secrets_are_where_they_belong_and_nowhere_else(summary: dict[str, Any]) -> None:
    found = summary["found"]
    # The same search has to find them where they are, or its silence would mean nothing.
    assert found["vendor's files"] == {WEIGHTS: True, NORTH: False, SOUTH: False}
    assert found["north's files"] == {WEIGHTS: False, NORTH: True, SOUTH: False}
    assert found["south's files"] == {WEIGHTS: False, NORTH: False, SOUTH: True}
    assert found["host's worker process, memory"][WEIGHTS] in (True, None)
    nothing = {WEIGHTS: False, NORTH: False, SOUTH: False}
    for place in ("host's files", "host's log", "the wire"):
        assert found[place] == nothing, place
    for place in ("host's front process, memory", "host's keeper process, memory"):
        assert set(found[place].values()) <= {False, None}, place


def test_whoever_listened_has_a_copy_of_the_whole_exchange(
    summary: dict[str, Any], folder: Path
) -> None:
    copy = (folder / "wire.bin").read_bytes()
    assert summary["package_digest"].encode() in copy
    assert copy.count(b"POST /v2/models/tumour/infer") == 2 * (ROWS + 1)


def test_the_log_is_there_and_names_the_hospitals(folder: Path, ran: Ran) -> None:
    assert ran.status == 0, ran.errors
    log = (folder / "host" / "server.log").read_text()
    assert "north" in log
    assert "south" in log


@pytest.mark.parametrize("form", ["doubles", "floats", "transposed", "decimals"])
def test_the_search_finds_weights_that_somebody_writes_down(form: str, tmp_path: Path) -> None:
    weights = model.weights(model.train(0))
    content = {
        "doubles": weights[1].tobytes(),
        "floats": weights[1].astype(np.float32).tobytes(),
        "transposed": weights[1].astype(np.float32).T.tobytes(),
        "decimals": json.dumps(weights[1].tolist()).encode(),
    }
    (tmp_path / "other").write_bytes(b"model: nothing")
    (tmp_path / "dump").write_bytes(b"model: " + content[form])
    assert Canaries(weights).below(tmp_path) == ["dump"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rows", "0"], "--rows"),
        (["--rows", "136"], "each hospital has 135 patients"),
        (["--folder", "README.md"], "README.md can't be used"),
        (["--folder", "docs"], "docs is not empty"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.chdir(PROJECT)
    status = command.run(model_sharing, "python -m examples.model_sharing", arguments)
    said = capfd.readouterr()
    assert status in (2, 3)
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: [SR-")
    assert says in said.err


def test_nobody_shares_patients() -> None:
    training = {row.tobytes() for row in model.training_rows(0)}
    north, south = (
        {row.tobytes() for row in model.patients(hospital, model.PATIENTS, 0)[0]}
        for hospital in ("north", "south")
    )
    assert len(north) == len(south) == model.PATIENTS
    assert not training & north
    assert not training & south
    assert not north & south
