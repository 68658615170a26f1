"""`strongroom plan` and `protect` on models that run sealed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from skops.io import dump

from strongroom.cli import app
from strongroom.cli.statement import model_line, sentences, visibility_rows
from strongroom.compiler.plan import Plan
from strongroom.package.build import plan as planned


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A model of two named tensors."""
    tables = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("a", ["n", 3]), ("b", ["n", 3]), ("y", ["n", 2]))
    ]
    nodes = [
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("MatMul", ["c", "w"], ["y"]),
    ]
    weights = numpy_helper.from_array(np.ones((3, 2), dtype="f4"), "w")
    graph = helper.make_graph(nodes, "g", tables[:2], tables[2:], [weights])
    opsets = [helper.make_opsetid("", 20)]
    path = tmp_path / "encoder.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    status = app.run(list(map(str, arguments)))
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_a_model_of_named_tensors_needs_no_sample(
    encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = said(capsys, "plan", encoder, "--protection", "sealed")
    assert "a float32[any, 3], b float32[any, 3] in, y float32[any, 2] out" in out
    assert "sees in the serving process only" in out
    assert "ring degree" not in out
    told = json.loads(said(capsys, "plan", encoder, "--protection", "sealed", "--json"))
    assert told["plan"]["layout"]["type"] == "sealed"
    assert told["plan"]["prediction"] is None


def test_a_sealed_plan_of_rows_promises_what_it_keeps() -> None:
    X, y = load_wine(return_X_y=True)
    model = LogisticRegression(max_iter=20, C=1e-4).fit(X / X.max(axis=0), y)
    plan: Plan = planned(model, sample=X, protection="sealed")
    assert model_line(plan) == "classification, 13 columns in, 3 classes out"
    text = " ".join(sentences(plan.guarantee))
    assert "in the clear in ONE place: the serving process" in text
    assert "decryption floods" not in text
    seen = {what: sees for what, sees, _ in visibility_rows(plan.guarantee)}
    assert seen["rows that are asked about"] == "sees in the serving process only"
    assert visibility_rows(plan.guarantee)[2][2] == "does not see, beyond what answers say"


def test_other_protections_ask_for_a_sample(
    encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["plan", str(encoder)]) == 2
    assert "protection fhe needs --sample FILE" in capsys.readouterr().err


def test_a_model_of_rows_asks_for_a_sample_under_sealed_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.skops"
    model.write_bytes(b"")
    assert app.run(["plan", str(model), "--protection", "sealed"]) == 2
    assert "a model of rows needs --sample FILE" in capsys.readouterr().err


def test_no_page_is_drawn_of_a_sealed_plan(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        app.run(
            ["plan", str(encoder), "--protection", "sealed", "--html", str(tmp_path / "p.html")]
        )
        == 2
    )
    assert "--html draws plans" in capsys.readouterr().err
    assert not (tmp_path / "p.html").exists()


def test_dials_of_trees_are_not_for_sealed_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = load_wine(return_X_y=True)
    dump(LogisticRegression(max_iter=20, C=1e-4).fit(X, y), tmp_path / "m.skops")
    np.savetxt(tmp_path / "rows.csv", X, delimiter=",")
    rows = ["--sample", str(tmp_path / "rows.csv"), "--no-header"]
    model = str(tmp_path / "m.skops")
    assert app.run(["plan", model, *rows, "--protection", "sealed", "--grid", "model"]) == 4
    assert "SR-MODEL-TREES" in capsys.readouterr().err
