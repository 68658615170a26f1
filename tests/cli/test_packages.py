"""The commands about models and packages: what they show, write and refuse."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

import strongroom
from strongroom.cli import app
from strongroom.compiler.plan import Plan
from strongroom.models.trees.options import TreeOptions
from strongroom.package.file import Package, load
from strongroom.policy import Policy


class Calls:
    """What the commands asked of the public API."""

    def __init__(self) -> None:
        self.arguments: list[dict[str, Any]] = []


@pytest.fixture
def api(plan: Plan, package: Package, monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The public API, answering with one plan and one package."""
    calls = Calls()

    def answer(result: object) -> Any:
        def call(model: Path, **rest: Any) -> object:
            rest["sample"] = plan.input.rows(rest["sample"])  # as the real one does first
            calls.arguments.append({"model": model, **rest})
            return result

        return call

    monkeypatch.setattr("strongroom.cli.plan.candidates", answer([SimpleNamespace(plan=plan)]))
    monkeypatch.setattr(strongroom, "protect", answer(package))
    return calls


@pytest.fixture
def sample(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("age,weight\n40,70\n50,80.5\n")
    return str(path)


def test_plan_passes_rows_and_policy_on(api: Calls, sample: str) -> None:
    options = ["--lambda", "40", "--precision-bits", "15", "--security", "quantum-128"]
    options += ["--minimum-agreement", "0.9", "--objective", "throughput"]
    assert app.run(["plan", "model.skops", "--sample", sample, *options]) == 0
    (call,) = api.arguments
    assert call["model"] == Path("model.skops")
    np.testing.assert_array_equal(call["sample"], [[40, 70], [50, 80.5]])
    assert call["policy"] == Policy(
        sanitising_bits=40,
        precision_bits=15,
        security="quantum-128",
        minimum_agreement=0.9,
        objective="throughput",
    )
    assert call["trees"] is None


def test_plan_says_what_a_person_needs(
    api: Calls, sample: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["plan", "model.skops", "--sample", sample]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for piece in ("0.80 ms", "37.1 KiB", "14.2 bits", "does not see the rows", "about 3 answers"):
        assert piece in shown


def test_plan_as_json_is_the_plan(
    api: Calls, sample: str, plan: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["plan", "model.skops", "--sample", sample, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["plan"]["guarantee"]["queries_to_extract"] == plan.guarantee.queries_to_extract


def test_sample_with_other_names_is_refused_before_anything_is_written(
    api: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = tmp_path / "swapped.csv"
    sample.write_text("weight,age\n70,40\n")
    output = tmp_path / "model.strongroom"
    assert app.run(["protect", "m.onnx", "--sample", str(sample), "-o", str(output)]) == 3
    assert "[SR-INPUT-COLUMNS] column 1 is named 'weight'" in capsys.readouterr().err
    assert not output.exists()


def test_protect_writes_a_package_that_inspect_and_explain_read(
    api: Calls, sample: str, tmp_path: Path, package: Package, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "patients.strongroom"
    assert app.run(["protect", "m.onnx", "--sample", sample, "-o", str(output)]) == 0
    assert api.arguments[-1]["name"] == "patients"
    said = capsys.readouterr().out
    assert f"digest {package.digest}\n" in said
    assert "model patients, version 1, release 1\n" in said
    assert "strongroom predict --url URL --model patients --trust OWNER.pub ROWS" in said

    assert app.run(["inspect", str(output)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "100.0000% of 100 rows" in shown
    assert "classification, 2 columns in, 2 classes out" in shown
    assert app.run(["inspect", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["digest"] == package.digest

    assert app.run(["explain", str(output)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Assumption: ring learning with errors is hard" in shown
    assert "Not promised" in shown
    assert app.run(["explain", str(output), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["guarantee"]["sanitising_bits"] == 30


def test_protect_replaces_nothing_unasked(
    api: Calls, sample: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "kept.strongroom"
    output.write_text("precious")
    command = ["protect", "m.onnx", "--sample", sample, "-o", str(output)]
    assert app.run(command) == 6
    assert "[SR-PACKAGE-EXISTS]" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert api.arguments == []  # refused before the work, not after
    assert app.run([*command, "--overwrite"]) == 0
    assert load(output).manifest.name == "patients"


def test_lambda_zero_is_said_loudly(
    plan: Plan, sample: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    open_weights = msgspec.structs.replace(
        plan.guarantee, sanitising_bits=0, weights_from_client="visible"
    )
    trusting = msgspec.structs.replace(plan, guarantee=open_weights)
    found = [SimpleNamespace(plan=trusting)]
    monkeypatch.setattr("strongroom.cli.plan.candidates", lambda *_, **__: found)
    assert app.run(["plan", "m.onnx", "--sample", sample, "--lambda", "0"]) == 0
    assert "Weights are NOT hidden from askers" in " ".join(capsys.readouterr().out.split())


def test_damaged_package_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.strongroom"
    file.write_bytes(b"PK\x03\x04 no package at all, and then some more bytes")
    for command in ("inspect", "explain"):
        assert app.run([command, str(file)]) == 6
        line = capsys.readouterr().err
        assert line.startswith("error: [SR-PACKAGE-FILE]")
        assert line.count("\n") == 1


def test_the_dials_of_trees_are_passed_on(api: Calls, sample: str, tmp_path: Path) -> None:
    dials = ["--grid", "padded", "--decoys", "3", "--trees-per-group", "2"]
    assert app.run(["plan", "trees.json", "--sample", sample, *dials]) == 0
    output = str(tmp_path / "trees.strongroom")
    assert app.run(["protect", "trees.json", "--sample", sample, "-o", output, *dials]) == 0
    expected = TreeOptions(grid="padded", decoys=3, trees_per_group=2)
    assert [call["trees"] for call in api.arguments] == [expected, expected]


def test_members_come_from_files_with_their_labels(api: Calls, sample: str, tmp_path: Path) -> None:
    for name, label in (("members", "ill"), ("nonmembers", "well")):
        (tmp_path / f"{name}.csv").write_text(f"age,answer,weight\n40,{label},70\n")
    assert (
        app.run(
            [
                *("protect", "m.onnx", "--sample", sample, "-o", str(tmp_path / "m.strongroom")),
                *("--members", str(tmp_path / "members.csv")),
                *("--nonmembers", str(tmp_path / "nonmembers.csv"), "--label-column", "answer"),
            ]
        )
        == 0
    )
    (call,) = api.arguments
    assert call["members"].names == call["nonmembers"].names == ("age", "weight")
    assert (call["member_labels"], call["nonmember_labels"]) == (["ill"], ["well"])


def test_the_candidates_are_shown_with_the_chosen_one_first(
    plan: Plan, sample: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = msgspec.structs.replace(plan.costs, server_milliseconds=7.25, precision_bits=19.0)
    other = msgspec.structs.replace(plan, parameters="linear-other", costs=costs)
    found = [SimpleNamespace(plan=one) for one in (plan, other)]
    monkeypatch.setattr("strongroom.cli.plan.candidates", lambda *_, **__: found)
    assert app.run(["plan", "m.onnx", "--sample", sample, "--objective", "bytes"]) == 0
    shown = capsys.readouterr().out
    assert "Candidates, the best for bytes first (2 of 2)" in shown
    (chosen,) = [line for line in shown.splitlines() if line.startswith(" chosen")]
    assert "linear-test" in chosen
    (second,) = [line for line in shown.splitlines() if "linear-other" in line]
    assert "7.25 ms" in second
    assert "19 bits" in second
    assert app.run(["plan", "m.onnx", "--sample", sample, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["candidates"]
    assert [one["parameters"] for one in listed] == ["linear-test", "linear-other"]
    assert listed[1]["costs"]["server_milliseconds"] == 7.25


def test_protect_refuses_a_folder_that_is_not_there_before_it_works(
    api: Calls, sample: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "nowhere" / "model.strongroom"
    assert app.run(["protect", "model.skops", "--sample", sample, "-o", str(output)]) == 6
    assert not api.arguments
    assert "[SR-PACKAGE-FILE]" in capsys.readouterr().err


def test_a_wrong_command_line_is_told_in_whole_sentences(
    sample: str, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ["--url", "http://127.0.0.1:1", "--model", "m"]
    assert app.run(["predict", *url, "--proba", "--scores", sample]) == 2
    message = "--proba and --scores exclude each other. See `strongroom predict --help`.\n"
    assert capsys.readouterr().err.endswith(message)
