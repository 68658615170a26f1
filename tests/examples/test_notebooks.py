"""The notebooks run from the first cell to the last, in plain Python: no cell needs more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from application_runs import PROJECT, Run

NOTEBOOKS = sorted((PROJECT / "examples").rglob("*.ipynb"))


def cells(notebook: Path) -> list[dict[str, Any]]:
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    found: list[dict[str, Any]] = content["cells"]
    return found


def test_each_application_has_a_notebook() -> None:
    assert [path.parent.name for path in NOTEBOOKS] == [
        "encrypted_model",
        "fraud_detection",
        "healthcare",
        "model_sharing",
    ]


@pytest.mark.long
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_through(notebook: Path, run: Run, tmp_path: Path) -> None:
    sources = ["".join(cell["source"]) for cell in cells(notebook) if cell["cell_type"] == "code"]
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(sources))
    # As Jupyter does it: in the folder of the notebook.
    ran = run(script, cwd=notebook.parent)
    assert ran.status == 0, ran.errors
    assert "sha256:" in ran.output


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_what_it_printed(notebook: Path) -> None:
    for cell in cells(notebook):
        assert cell["cell_type"] == "markdown" or cell["outputs"] == []
        assert cell.get("execution_count") is None
        assert not "".join(cell["source"]).startswith(("%", "!")), "plain Python only"
