"""`python -m examples.healthcare`: a vendor's model, a cloud host, a hospital."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from application_runs import PROJECT, Ran, Run
from row_values import any_of, holding, needles

import strongroom
from examples import command
from examples.healthcare import diagnosis, images
from examples.healthcare.__main__ import healthcare
from strongroom import Guarantee

Capture = pytest.CaptureFixture[str]

ROWS = 8
SEARCHED = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("healthcare") / "parties"


@pytest.fixture(scope="module")
def ran(run: Run, folder: Path) -> Ran:
    """With everything that the parties wrote kept."""
    return run("-m", "examples.healthcare", "--rows", str(ROWS), "--folder", folder)


@pytest.fixture(scope="module")
def summary(ran: Ran) -> dict[str, Any]:
    assert ran.status == 0, ran.errors
    last: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
    return last


def test_encrypted_diagnoses_are_those_of_the_plain_model(summary: dict[str, Any]) -> None:
    assert summary["rows"] == summary["requests"] == ROWS
    assert summary["agreement"] == 1.0
    assert summary["encrypted"] == pytest.approx(summary["plain"], abs=0.05), "ties may be broken"
    for name in ("accuracy", "sensitivity", "specificity"):
        assert summary["encrypted"][name] == summary["plain"][name]
    assert summary["largest_probability_difference"] < 1e-4
    assert summary["plain"]["accuracy"] >= 0.7
    assert set(summary["plain"]) >= {"accuracy", "sensitivity", "specificity"}


def test_time_and_bytes_are_those_of_the_requests(summary: dict[str, Any], folder: Path) -> None:
    plan = strongroom.read(folder / "owner" / "model.strongroom").manifest.plan
    assert summary["bytes_sent"] == pytest.approx(ROWS * plan.costs.request_bytes, rel=0.1)
    assert summary["bytes_received"] == pytest.approx(ROWS * plan.costs.response_bytes, rel=0.1)
    assert summary["key_bytes_sent"] == pytest.approx(plan.costs.evaluation_key_bytes, rel=0.1)
    latency = summary["latency_ms"]
    assert 0 < summary["server_ms"] <= latency["median"] <= latency["p95"] <= latency["p99"]


def test_who_learned_what_is_the_statement_of_the_package(
    ran: Ran, summary: dict[str, Any], folder: Path
) -> None:
    package = strongroom.read(folder / "server" / "model.strongroom")
    assert summary["package_digest"] == package.digest
    guarantee = msgspec.convert(summary["guarantee"], Guarantee)
    assert guarantee == package.manifest.plan.guarantee
    assert guarantee.membership is not None, "what answers tell of the training data is measured"
    shown = " ".join(ran.output.split())
    assert f"lambda = {guarantee.sanitising_bits}" in shown
    assert "the weights of the model sees" in shown or "weights of the model sees" in shown
    for assumption in guarantee.assumptions:
        assert " ".join(assumption.split()) in shown


def test_nobody_wrote_or_printed_a_value_of_a_patient(ran: Ran, folder: Path) -> None:
    patients, _ = diagnosis.hospital(ROWS, 0)
    wanted = needles(patients[:SEARCHED])
    assert len(wanted) > 10 * SEARCHED
    assert ran.status == 0
    assert (folder / "server" / "server.log").stat().st_size > 0
    assert holding(folder, wanted) == set()
    assert not any_of((ran.output + ran.errors).encode(), wanted)


@pytest.mark.parametrize("form", ["doubles", "floats", "decimals"])
def test_the_search_finds_a_patient_that_somebody_writes_down(form: str, tmp_path: Path) -> None:
    patients, _ = diagnosis.hospital(ROWS, 0)
    wanted = needles(patients[:SEARCHED])
    content = {
        "doubles": patients.tobytes(),
        "floats": patients.astype(np.float32).tobytes(),
        "decimals": json.dumps(patients.tolist()).encode(),
    }
    (tmp_path / "other").write_bytes(b"request: nothing")
    (tmp_path / "dump").write_bytes(b"request: " + content[form])
    assert holding(tmp_path, wanted) == {"dump"}


@pytest.mark.long
@pytest.mark.timeout(600)
def test_images_are_answered_as_by_the_plain_network(run: Run) -> None:
    options = ["--task", "images", "--rows", "6", "--json"]
    ran = run("-m", "examples.healthcare", *options, seconds=580.0)
    assert ran.status == 0, ran.errors
    summary = json.loads(ran.output)  # one line, and nothing else
    assert summary["task"] == "images"
    assert summary["agreement"] == 1.0
    assert summary["encrypted"] == summary["plain"]
    assert summary["plain"]["accuracy"] >= 0.8
    assert summary["guarantee"]["inputs_from_server"] == "hidden"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--rows", "0"], "--rows"),
        (["--rows", "many"], "--rows"),
        (["--rows", "172"], "only 171 are held out"),
        (["--task", "teeth"], "--task"),
        (["--threads", "0"], "--threads"),
        (["--folder", "README.md"], "README.md can't be used"),
        (["--folder", "docs"], "docs is not empty"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capfd: Capture
) -> None:
    monkeypatch.chdir(PROJECT)
    status = command.run(healthcare, "python -m examples.healthcare", arguments)
    said = capfd.readouterr()
    assert status in (2, 3)
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert said.err.startswith("error: [SR-")
    assert says in said.err


def test_what_the_vendor_trains_on_and_what_it_is_judged_by_are_apart() -> None:
    training, held_out, _, labels = diagnosis._parts(0)
    assert len(held_out) == len(labels) == diagnosis.HELD_OUT
    assert not {row.tobytes() for row in training} & {row.tobytes() for row in held_out}


def test_figures_of_a_test_that_finds_half_of_the_ill_and_spares_all_others() -> None:
    labels = np.array([1, 1, 0, 0])
    ill = np.array([0.9, 0.2, 0.1, 0.3])
    figures = diagnosis.figures(labels, np.column_stack([1 - ill, ill]))
    assert figures["accuracy"] == 0.75
    assert figures["sensitivity"] == 0.5
    assert figures["specificity"] == 1.0
    assert figures["area under the ROC curve"] == 0.75
    assert diagnosis.figures(labels[:2], np.eye(2))["specificity"] is None


def test_figures_of_images_name_the_worst_digit() -> None:
    labels = np.array([0, 0, 3, 3])
    figures = images.figures(labels, np.eye(10)[[0, 0, 3, 8]])
    assert figures == {"accuracy": 0.75, "accuracy of the worst digit": 0.5}
