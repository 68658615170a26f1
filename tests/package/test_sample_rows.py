"""Rows of a sample that the model has no answer to: named as their owner knows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer
from skops.io import dump

import strongroom
from strongroom.cli import app
from strongroom.compiler import network
from strongroom.compiler.network import PLANNING_ROWS
from strongroom.errors import InputError
from strongroom.package import build
from strongroom.policy import Policy

ROWS = PLANNING_ROWS + 300
LABELS = np.arange(ROWS) % 2


def columns(seed: int) -> Any:
    return np.random.default_rng(seed).uniform(0.5, 1.5, (ROWS, 3)) + 0.3 * LABELS[:, None]


@pytest.fixture(scope="module")
def positive() -> Any:
    """A model whose preprocessing takes positive numbers only."""
    return make_pipeline(PowerTransformer("box-cox"), LogisticRegression()).fit(columns(0), LABELS)


def test_a_row_without_an_answer_is_named_by_its_number_in_the_sample(positive: Any) -> None:
    sample = columns(1)
    sample[1234, 1] = -1.0
    for command in (strongroom.plan, strongroom.protect):
        with pytest.raises(InputError, match=r"row 1234 leads to a number"):
            command(positive, sample=sample)


@pytest.mark.parametrize("command", ["plan", "protect"])
def test_a_row_without_an_answer_is_named_by_its_line_in_a_file(
    command: str, positive: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dump(positive, tmp_path / "model.skops")
    sample = columns(1)
    sample[1234, 1] = -1.0
    np.savetxt(tmp_path / "rows.csv", sample, delimiter=",", header="a,b,c", comments="")
    output = ["-o", str(tmp_path / "m.strongroom")] if command == "protect" else []
    files = [str(tmp_path / "model.skops"), "--sample", str(tmp_path / "rows.csv")]
    assert app.run([command, *files, *output]) == 3
    assert f"{tmp_path / 'rows.csv'} line 1236 leads to a number" in capsys.readouterr().err


def test_a_row_that_only_the_measurement_of_parity_meets_is_named_by_its_number_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = set(np.random.default_rng(0).choice(ROWS, PLANNING_ROWS, replace=False).tolist())
    unseen = max(row for row in range(ROWS) if row not in planned)
    sample = columns(2)
    model = MLPRegressor(
        hidden_layer_sizes=(2,), activation="tanh", solver="lbfgs", alpha=1.0, random_state=0
    )
    model.fit(sample, LABELS)
    sample[unseen] = 1e9
    monkeypatch.setattr(build, "affordable_rows", lambda *_: ROWS - 1)
    monkeypatch.setattr(network, "_farthest", lambda _graph, _sample, features: features[:0])
    compared = np.sort(np.random.default_rng(0).permutation(ROWS)[: ROWS - 1])
    assert unseen in compared
    assert compared[unseen] != unseen
    with pytest.raises(InputError, match=f"row {unseen} as a whole lies further out"):
        strongroom.protect(model, sample=sample, policy=Policy(minimum_agreement=0.5))
