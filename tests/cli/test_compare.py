"""`strongroom compare`: what it measures, shows, writes and refuses."""

from __future__ import annotations

import csv
import itertools
import json
import re
import stat
from pathlib import Path
from typing import Any, Self
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump

import strongroom
from strongroom import Policy, SealedPackage
from strongroom.cli import app, compare_plot
from strongroom.cli import compare as command
from strongroom.errors import PolicyError
from strongroom.models.load import import_model
from strongroom.models.text_rows import TextRows
from strongroom.package.parity import plain_scores

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, packages and rows of two data sets; `other.skops` is fitted to fewer wines."""
    folder = tmp_path_factory.mktemp("compare")
    for data, estimator in ((load_wine(), LogisticRegression()), (load_diabetes(), Ridge())):
        name = type(estimator).__name__.lower()
        model = make_pipeline(StandardScaler(), estimator).fit(data.data, data.target)
        dump(model, folder / f"{name}.skops")
        # The weights are not hidden from askers; what the owner chose must do for a comparison.
        policy = Policy(sanitising_bits=0, decryption_bits=20)
        package = strongroom.protect(model, sample=data.data, policy=policy)
        package.save(folder / f"{name}.strongroom")
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([data.feature_names, *data.data.tolist()])
    wine = load_wine()
    few = make_pipeline(StandardScaler(), LogisticRegression())
    dump(few.fit(wine.data[::5], wine.target[::5]), folder / "other.skops")
    return folder


def compare(folder: Path, name: str, *more: str | Path, model: str = "") -> int:
    files = [folder / f"{name}.strongroom", folder / f"{name}.csv"]
    plain = folder / f"{model or name}.skops"
    return app.run(["compare", *map(str, [*files, "--model", plain, *more])])


@pytest.mark.parametrize(("name", "rows"), [("logisticregression", 178), ("ridge", 442)])
def test_the_protected_model_agrees_within_the_declared_error(
    folder: Path, name: str, rows: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(folder, name, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["rows"], shown["agreement"], shown["disagreeing_rows"]) == (rows, 1.0, [])
    package = strongroom.load(folder / f"{name}.strongroom")
    assert shown["package_digest"] == package.digest
    declared = package.manifest.plan.costs.score_error
    assert shown["declared_score_error"] == declared
    assert 0 < shown["max_score_difference"] <= declared
    assert shown["rows_beyond_declared_error"] == 0
    quantiles = list(shown["score_difference_quantiles"].values())
    assert quantiles == sorted(quantiles)
    assert quantiles[-1] <= shown["max_score_difference"]


def test_another_model_disagrees_and_rows_are_named_by_line_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    allowed = ("--minimum-agreement", "0.9")
    assert compare(folder, "logisticregression", "--json", *allowed, model="other") == 0
    found = json.loads(capsys.readouterr().out)
    X = load_wine().data
    plain, protected = (
        plain_scores(import_model(folder / f"{model}.skops"), X)
        for model in ("other", "logisticregression")
    )
    wrong = np.flatnonzero(plain.argmax(axis=1) != protected.argmax(axis=1))
    assert wrong.size > 0
    assert found["disagreeing_rows"] == wrong.tolist()
    assert found["disagreeing_lines"] == (wrong + 2).tolist()
    largest = np.abs(plain - protected).max()
    assert found["max_score_difference"] == pytest.approx(largest, abs=1e-3)
    assert found["rows_beyond_declared_error"] == 178

    assert compare(folder, "logisticregression", *allowed, model="other") == 0
    shown = capsys.readouterr().out
    assert ", ".join(str(row + 2) for row in wrong) in shown
    assert str(X[wrong[0], 0]) not in shown


def test_a_comparison_fails_where_too_few_rows_agree(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(folder, "logisticregression", model="other") == PolicyError.exit_status
    seen = capsys.readouterr()
    assert "lines that disagree" in seen.out  # the comparison is shown all the same
    assert seen.err.startswith("error: [SR-POLICY-PARITY] 6 of 178 rows predict something else")
    assert seen.err.count("\n") == 1

    assert compare(folder, "logisticregression", "--json", model="other") == PolicyError.exit_status
    found = json.loads(capsys.readouterr().out)
    assert (found["code"], len(found["disagreeing_rows"])) == ("SR-POLICY-PARITY", 6)

    least = ("--minimum-agreement", "1.5")
    assert compare(folder, "logisticregression", *least) == PolicyError.exit_status
    assert "[SR-POLICY-VALUE] --minimum-agreement is 1.5." in capsys.readouterr().err


def test_the_plot_is_one_private_svg_that_loads_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "plot.svg"
    assert compare(folder, "logisticregression", "-o", output, model="other") == 5
    assert f"wrote {output}" in capsys.readouterr().out
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    root = ElementTree.parse(output).getroot()
    assert root.tag == f"{SVG}svg"
    circles = root.findall(f".//{SVG}circle")
    assert len([c for c in circles if c.get("class") != "worst"]) == 178 * 3
    assert len(root.findall(f".//{SVG}line[@class='bound']")) == 2 + 2
    assert not re.search(r"https?://(?!www.w3.org/2000/svg)|url\(|href|script", output.read_text())


def test_an_output_that_is_no_new_svg_is_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(folder, "ridge", "-o", tmp_path / "plot.png") == 3
    assert "ends in .svg" in capsys.readouterr().err
    output = tmp_path / "plot.svg"
    output.write_text("old")
    assert compare(folder, "ridge", "-o", output) == 3
    assert "[SR-INPUT-FILE]" in capsys.readouterr().err
    assert output.read_text() == "old"
    assert compare(folder, "ridge", "-o", output, "--overwrite") == 0
    assert output.read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["absent.strongroom", "ridge.csv", "--model", "ridge.skops"], 6, "can't be read"),
        (["ridge.strongroom", "absent.csv", "--model", "ridge.skops"], 3, "can't be read"),
        (["ridge.strongroom", "ridge.csv", "--model", "ridge.pkl"], 4, "pickle"),
        (["ridge.strongroom", "ridge.csv", "--model", "other.skops"], 2, "its columns are others"),
        (["ridge.strongroom", "logisticregression.csv", "--model", "ridge.skops"], 3, "columns"),
        (["https://127.0.0.1:1", "ridge.csv", "--model", "ridge.skops"], 2, "--name"),
    ],
)
def test_bad_input_is_one_line(
    folder: Path,
    arguments: list[str],
    status: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert app.run(["compare", *arguments]) == status
    line = capsys.readouterr().err
    assert line.startswith("error: [SR-")
    assert line.count("\n") == 1
    assert words in line


class StandIn:
    """A client of a server whose scores are one thousandth too large."""

    package: SealedPackage
    graph: Any
    opened: dict[str, Any]

    def __init__(self, url: str, **options: Any) -> None:
        type(self).opened = {"url": url, **options}
        self.plan, self.package_digest = self.package.manifest.plan, self.package.digest
        self.key_bytes_sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def scores(self, table: TextRows) -> NDArray[np.float64]:
        return plain_scores(self.graph, self.plan.input.rows(table)) + 1e-3


def test_a_server_is_asked_by_name_and_trusted_by_digest(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRONGROOM_TOKEN", "sr_environment")
    model = folder / "logisticregression.skops"
    package = strongroom.read(folder / "logisticregression.strongroom")
    client = type("Client", (StandIn,), {"package": package, "graph": import_model(model)})
    monkeypatch.setattr(command, "Client", client)
    server = ["https://127.0.0.1:1", "--name", "wine", "--trust", package.digest]
    rows = str(folder / "logisticregression.csv")
    assert app.run(["compare", *server, rows, "--model", str(model), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["agreement"] == 1.0
    assert shown["max_score_difference"] == pytest.approx(1e-3)
    asked = {name: client.opened[name] for name in ("url", "model", "trust", "token")}
    assert asked == {
        "url": "https://127.0.0.1:1",
        "model": "wine",
        "trust": package.digest,
        "token": "sr_environment",
    }


def test_bars_count_every_score_once() -> None:
    differences = np.concatenate([np.linspace(-2.0, 2.0, 1001), [5.0]])
    picture = compare_plot.histogram(differences, 1.0)
    counts = re.findall(r"<title>(\d+) from", picture)
    assert sum(int(count) for count in counts) == 1002
    heights = [float(height) for height in re.findall(r'class="bar".*?height="([\d.]+)"', picture)]
    assert min(heights) >= 1.5  # the one score far out is still seen


def test_of_many_scores_those_that_disagree_are_drawn_on_top() -> None:
    rows = 3 * compare_plot.MAXIMUM_POINTS
    plain = np.linspace(-1.0, 1.0, rows)[:, None]
    agree = np.ones(rows, dtype=np.bool_)
    agree[7] = False
    picture = compare_plot.picture(
        "a <model>", "summary", plain, plain, agree, 0.1, range(2, rows + 2)
    )
    circles = re.findall(r'<circle class="(class\d)"', picture)
    assert len(circles) == compare_plot.MAXIMUM_POINTS
    assert circles.index("class1") == len(circles) - 1
    assert f"{compare_plot.MAXIMUM_POINTS:,} of {rows:,} scores drawn" in picture
    assert "a &lt;model&gt;" in picture


def test_the_rows_that_are_furthest_off_are_named_by_line_and_apart() -> None:
    plain = np.linspace(0.0, 1.0, 50)[:, None] * np.array([1.0, -1.0])
    protected = plain.copy()
    protected[[7, 8, 30, 31], [0, 0, 0, 1]] += [0.31, 0.3, -0.4, 0.1]
    agree = np.ones(50, dtype=np.bool_)
    picture = compare_plot.picture("m", "s", plain, protected, agree, 0.05, range(2, 52))
    named = re.findall(r'x="([\d.]+)" y="([\d.]+)" text-anchor="(start|end)">line (\d+)<', picture)
    assert [line for _, _, _, line in named] == ["32", "9", "10"]
    places = [(float(x) - 50 * (side == "end"), float(y)) for x, y, side, _ in named]
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert abs(x - other_x) >= 50 or abs(y - other_y) >= 14
    assert picture.count('class="worst"') == 3
