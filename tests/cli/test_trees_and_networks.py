"""The whole way for models that need keys at the server, from the files that their frameworks
write: protect, serve, predict, compare, with real processes; and what goes wrong on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from model_owner import PASSPHRASE, write_identity
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from skops.io import dump
from xgboost import XGBClassifier

from strongroom.cli.demo_server import RunningServer, running_server


def strongroom(*arguments: str | Path, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """Run one command in a process of its own: exit status, standard output, standard error."""
    home = {"STRONGROOM_HOME": str(cwd / "asker"), "STRONGROOM_PASSPHRASE": PASSPHRASE}
    process = subprocess.run(
        [sys.executable, "-m", "strongroom.cli", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | home | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return process.returncode, process.stdout, process.stderr


def patients() -> tuple[pd.DataFrame, pd.Series]:
    """Text, numbers and missing values, and which of two answers goes with them."""
    generator = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "age": generator.integers(20, 80, 120).astype(float),
            "city": generator.choice(["Oslo", "Paris", "Rome"], 120),
        }
    )
    answers = (table["age"] > 50) ^ (table["city"] == "Rome")
    table.loc[::9, "age"] = np.nan
    return table, answers.map({True: "ill", False: "well"})


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Any, pd.DataFrame]]:
    """Fitted models and rows for them, by name."""
    cancer = load_breast_cancer(as_frame=True)
    X, y = cancer.data.iloc[:, :6], cancer.target
    encoded = make_column_transformer(
        (SimpleImputer(), ["age"]), (OneHotEncoder(handle_unknown="error"), ["city"])
    )
    table, answers = patients()
    forest = RandomForestClassifier(3, max_depth=2, random_state=0)
    network = MLPClassifier((3,), activation="relu", solver="lbfgs", alpha=1.0, random_state=0)
    return {
        "boosted": (XGBClassifier(n_estimators=4, max_depth=2).fit(X, y), X[:60]),
        "network": (make_pipeline(StandardScaler(), network).fit(X, y), X[:60]),
        "patients": (make_pipeline(encoded, forest).fit(table, answers), table[:60]),
    }


FILES = {"boosted": "boosted.json", "network": "network.skops", "patients": "patients.skops"}


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, tuple[Any, pd.DataFrame]]
) -> Path:
    """With a model file, a CSV file and a package of each."""
    folder = tmp_path_factory.mktemp("trees")
    write_identity(folder / "asker")
    for name, (model, rows) in models.items():
        file = folder / FILES[name]
        model.save_model(file) if name == "boosted" else dump(model, file)
        rows.to_csv(folder / f"{name}.csv", index=False)
        sample = ("--sample", f"{name}.csv", "--minimum-agreement", "0.98")
        command = ("protect", file.name, *sample, "-o", f"{name}.strongroom")
        status, _, err = strongroom(*command, cwd=folder)
        assert status == 0, err
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    home = folder / "server"
    home.mkdir()
    packages = [folder / f"{name}.strongroom" for name in FILES]
    with running_server(packages, home) as running:
        yield running


def ask(folder: Path, server: RunningServer, name: str, *more: str | Path) -> tuple[int, str, str]:
    return strongroom(
        *("predict", "--url", server.url, "--model", name, "--ca", server.certificate, *more),
        cwd=folder,
        STRONGROOM_TOKEN=server.token,
    )


@pytest.mark.parametrize("name", FILES)
def test_predictions_are_the_plain_model_s_and_keys_go_once(
    name: str, folder: Path, server: RunningServer, models: dict[str, tuple[Any, pd.DataFrame]]
) -> None:
    model, rows = models[name]
    status, out, err = ask(folder, server, name, f"{name}.csv")
    assert status == 0, err
    # A later model may need no keys beyond those of the ones before.
    if name == next(iter(FILES)):
        assert "of evaluation keys, which the server keeps" in err
    labels = out.splitlines()[1:]
    equal = np.array(labels) == model.predict(rows).astype(str)
    assert equal.mean() >= (0.98 if name == "network" else 1.0)

    status, out, err = ask(folder, server, name, f"{name}.csv", "--json")
    assert status == 0, err
    again = json.loads(out)
    assert again["key_bytes_sent"] == 0
    assert [str(label) for label in again["predictions"]] == labels


def test_uploaded_keys_are_listed_with_their_models_deleted_and_sent_again(
    folder: Path, server: RunningServer
) -> None:
    def keys(command: str, *more: str) -> Any:
        status, out, err = strongroom(
            *("keys", "uploaded", command, server.url, *more, "--ca", server.certificate, "--json"),
            cwd=folder,
            STRONGROOM_TOKEN=server.token,
        )
        assert status == 0, err
        return json.loads(out)

    def sent() -> int:
        status, out, err = ask(folder, server, "boosted", "boosted.csv", "--json")
        assert status == 0, err
        return int(json.loads(out)["key_bytes_sent"])

    sent()
    found = keys("list")
    (its_set,) = [
        one for one in found["key_sets"] if {"name": "boosted", "version": "1"} in one["models"]
    ]
    assert found["bytes"] >= its_set["bytes"] > 0
    assert all(limbs > 0 for _, limbs in its_set["keys"])
    assert sent() == 0
    keys("delete", its_set["key_set"], "--yes")
    assert its_set["key_set"] not in {one["key_set"] for one in keys("list")["key_sets"]}
    assert sent() > 0


def test_a_served_model_of_text_and_gaps_is_compared_with_its_file(
    folder: Path, server: RunningServer
) -> None:
    status, out, err = strongroom(
        *("compare", server.url, "patients.csv", "--model", "patients.skops"),
        *("--name", "patients", "--ca", server.certificate, "--json"),
        cwd=folder,
        STRONGROOM_TOKEN=server.token,
    )
    assert status == 0, err
    assert json.loads(out)["agreement"] == 1.0


def test_the_statement_names_what_runs_at_the_asker(folder: Path) -> None:
    status, out, err = strongroom("explain", "patients.strongroom", cwd=folder)
    assert status == 0, err
    said = " ".join(out.split())
    assert "What fills in missing values of column 'age' is public" in said
    assert "The categories of column 'city' are public" in said
    assert "cut points" in said


CLUMSY: dict[str, tuple[str, str, str, str]] = {
    "a category of its own": (
        "patients",
        "age,city\n40,Oslo\n41,Bern\n",
        "SR-INPUT-CATEGORY",
        "line 3, column 2 (city) holds a category that the model does not know",
    ),
    "text for a number": (
        "patients",
        "age,city\nelderly,Oslo\n",
        "SR-INPUT-TYPE",
        "line 2, column 1 (age) holds text where a number belongs",
    ),
    "a missing category": (
        "patients",
        "age,city\n,Rome\n40,\n",
        "SR-INPUT-MISSING",
        "line 3, column 2 (city) is empty",
    ),
    "columns in another order": (
        "patients",
        "city,age\nOslo,40\n",
        "SR-INPUT-COLUMNS",
        "column 1 is named 'city', the model takes 'age' there",
    ),
    "the rows of another model": (
        "boosted",
        "age,city\n40,Oslo\n",
        "SR-INPUT-COLUMNS",
        "has 2 columns, the model takes 6; 'mean radius' is not there",
    ),
}


@pytest.mark.parametrize("what", CLUMSY)
def test_rows_that_do_not_fit_are_one_line(what: str, folder: Path, server: RunningServer) -> None:
    name, text, code, said = CLUMSY[what]
    (folder / "clumsy.csv").write_text(text)
    status, out, err = ask(folder, server, name, "--trust", "first-use", "clumsy.csv")
    assert (status, out) == (3, "")
    line = err.splitlines()[-1]
    assert line.startswith(f"error: [{code}] ")
    assert said in line
    assert "Bern" not in err
    assert "elderly" not in err


def test_a_value_far_away_counts_as_the_end_of_the_range_with_a_warning(
    folder: Path, server: RunningServer, models: dict[str, tuple[Any, pd.DataFrame]]
) -> None:
    rows = models["network"][1].iloc[:5].copy()
    rows.iloc[3, 2] = 1e9
    rows.to_csv(folder / "far.csv", index=False)
    status, out, err = ask(folder, server, "network", "far.csv")
    assert (status, len(out.splitlines())) == (0, 1 + 5)
    assert err.splitlines()[-1] == (
        "warning: 1 of 5 rows lie far outside the sample's range, the first at "
        "far.csv line 5, column 'mean perimeter': what lies beyond counts as the end of the range"
    )


def test_a_row_that_lies_far_away_as_a_whole_is_named_by_its_line(
    folder: Path, server: RunningServer, models: dict[str, tuple[Any, pd.DataFrame]]
) -> None:
    rows = models["network"][1].iloc[:5].copy()
    rows.iloc[3, :] = 1e9
    rows.to_csv(folder / "far.csv", index=False)
    status, out, err = ask(folder, server, "network", "far.csv")
    assert (status, out) == (3, "")
    line = err.splitlines()[-1]
    assert line.startswith("error: [SR-INPUT-RANGE] far.csv line 5 as a whole lies further out")
    assert "1000000000" not in err


def test_a_file_that_is_no_model_is_one_line(folder: Path) -> None:
    (folder / "notes.txt").write_text("shopping list\n")
    command = ("protect", "notes.txt", "--sample", "boosted.csv", "-o", "notes.strongroom")
    status, out, err = strongroom(*command, cwd=folder)
    assert (status, out) == (4, "")
    assert err.startswith("error: [SR-MODEL-FILE] 'notes.txt' is no model of XGBoost, LightGBM")
    assert err.count("\n") == 1
    assert not (folder / "notes.strongroom").exists()
