"""The whole way as a person walks it: protect, serve, predict, with real processes and keys."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from model_owner import PASSPHRASE, write_identity
from numpy.typing import NDArray
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump

from strongroom.cli.demo_server import RunningServer, running_server
from strongroom.package.file import read


def strongroom(*arguments: str | Path, cwd: Path, **environment: str) -> tuple[int, str, str]:
    """Run one command in a process of its own: exit status, standard output, standard error."""
    process = subprocess.run(
        [sys.executable, "-m", "strongroom.cli", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"STRONGROOM_HOME": str(cwd / "asker")} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return process.returncode, process.stdout, process.stderr


def write_rows(path: Path, names: list[str], rows: NDArray[np.float64]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows.tolist()])
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole-way")
    write_identity(folder / "asker")
    return folder


@pytest.fixture(scope="module")
def model() -> Pipeline:
    X, y = load_wine(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)


@pytest.fixture(scope="module")
def package(folder: Path, model: Pipeline) -> Path:
    """Made by `strongroom protect` from a .skops file and a CSV file."""
    data = load_wine()
    dump(model, folder / "wine.skops")
    sample = write_rows(folder / "sample.csv", data.feature_names, data.data)
    status, out, err = strongroom(
        "protect", "wine.skops", "--sample", sample, "-o", "wine.strongroom", cwd=folder
    )
    assert status == 0, err
    package = folder / "wine.strongroom"
    assert read(package).digest in out
    return package


@pytest.fixture(scope="module")
def server(folder: Path, package: Path) -> Iterator[RunningServer]:
    home = folder / "server"
    home.mkdir()
    with running_server([package], home) as running:
        yield running


def ask(folder: Path, server: RunningServer, *more: str | Path) -> tuple[int, str, str]:
    return strongroom(
        *("predict", "--url", server.url, "--model", "wine", "--ca", server.certificate, *more),
        cwd=folder,
        STRONGROOM_TOKEN=server.token,
        STRONGROOM_PASSPHRASE=PASSPHRASE,
    )


def test_predictions_are_the_plain_model_s(
    folder: Path, package: Path, server: RunningServer, model: Pipeline
) -> None:
    X = load_wine().data
    trust = read(package).digest
    status, _, err = ask(folder, server, "--trust", trust, "sample.csv", "-o", "labels.csv")
    assert status == 0, err
    header, *labels = (folder / "labels.csv").read_text().splitlines()
    assert header == "prediction"
    assert [int(label) for label in labels] == model.predict(X).tolist()

    status, out, err = ask(folder, server, "--trust", trust, "--proba", "sample.csv")
    assert status == 0, err
    header, *lines = csv.reader(out.splitlines())
    assert header == ["probability_0", "probability_1", "probability_2"]
    np.testing.assert_allclose(np.array(lines, dtype=np.float64), model.predict_proba(X), atol=1e-3)


def test_explain_says_of_the_server_what_it_says_of_the_file(
    folder: Path, package: Path, server: RunningServer
) -> None:
    _, of_file, _ = strongroom("explain", package, cwd=folder)
    command = ("explain", server.url, "--model", "wine", "--ca", server.certificate)
    status, of_server, err = strongroom(*command, cwd=folder, STRONGROOM_TOKEN=server.token)
    assert status == 0, err
    assert of_server == of_file


def test_a_served_model_is_compared_with_the_plain_one(
    folder: Path, package: Path, server: RunningServer
) -> None:
    status, out, err = strongroom(
        *("compare", server.url, "sample.csv", "--model", "wine.skops", "--name", "wine"),
        *("--trust", read(package).digest, "--ca", server.certificate, "--json"),
        *("-o", "compared.svg"),
        cwd=folder,
        STRONGROOM_TOKEN=server.token,
        STRONGROOM_PASSPHRASE=PASSPHRASE,
    )
    assert status == 0, err
    shown = json.loads(out)
    assert (shown["rows"], shown["agreement"]) == (178, 1.0)
    assert shown["max_score_difference"] <= shown["declared_score_error"]
    assert shown["package_digest"] == read(package).digest
    assert (folder / "compared.svg").read_text().startswith("<svg")


def test_another_digest_is_refused_and_nothing_is_written(
    folder: Path, server: RunningServer
) -> None:
    other = "sha256:" + "0" * 64
    status, out, err = ask(folder, server, "--trust", other, "sample.csv", "-o", "refused.csv")
    assert (status, out) == (6, "")
    assert err.startswith("error: [SR-PACKAGE-DIGEST]")
    assert not (folder / "refused.csv").exists()


def test_without_passphrase_or_terminal_the_keys_stay_locked(
    folder: Path, server: RunningServer
) -> None:
    status, _, err = strongroom(
        *("predict", "--url", server.url, "--model", "wine", "--ca", server.certificate),
        *("--trust", "first-use", "sample.csv"),
        cwd=folder,
        STRONGROOM_TOKEN=server.token,
        STRONGROOM_HOME=str(folder / "nobody"),
        STRONGROOM_PASSPHRASE="",
        PYTHON_KEYRING_BACKEND="keyring.backends.fail.Keyring",
    )
    assert status == 8
    assert "[SR-KEYS-LOCKED]" in err


def test_wrong_token_and_wrong_model_are_one_line_each(folder: Path, server: RunningServer) -> None:
    status, _, err = ask(folder, server, "--token", "sr_wrong", "sample.csv")
    assert status == 9
    assert err.startswith("error: [SR-SERVER-TOKEN]")
    status, _, err = ask(folder, server, "--model", "absent", "sample.csv")
    assert status == 9
    assert err.startswith("error: [SR-SERVER-MODEL]")
    assert err.count("\n") == 1


def test_demo_ends_with_one_json_line_and_a_report(tmp_path: Path) -> None:
    status, out, err = strongroom("demo", "-o", "report.html", cwd=tmp_path)
    assert status == 0, err
    summary = json.loads(out.splitlines()[-1])
    assert summary["agreement"] == 1.0
    assert summary["rows"] == 171
    assert summary["max_score_error"] <= 1e-3
    assert "<svg" in (tmp_path / "report.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
