"""`strongroom plan --html`: what the page shows, and that it stands alone."""

from __future__ import annotations

import json
import re
import stat
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io import dump

from strongroom import Plan
from strongroom.cli import app, plan_drawing
from strongroom.cli.plan_page import PlannedModel, page
from strongroom.compiler.stages import MatrixPacking, Stage

# There is one ring for it, so planning takes a moment only.
QUICK = ("--security", "quantum-128", "--minimum-agreement", "0.9")
FILES = {"network": "network.skops", "linear": "linear.skops"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models and rows for them."""
    folder = tmp_path_factory.mktemp("pages")
    cancer = load_breast_cancer(as_frame=True)
    X, y = cancer.data.iloc[:, :6], cancer.target
    network = MLPClassifier((5, 4), solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
    for name, estimator in (("network", network), ("linear", LogisticRegression())):
        dump(make_pipeline(StandardScaler(), estimator).fit(X, y), folder / FILES[name])
    X.to_csv(folder / "rows.csv", index=False)
    return folder


def run(folder: Path, name: str, *more: str | Path) -> int:
    arguments = ["plan", folder / FILES[name], "--sample", folder / "rows.csv", *QUICK, *more]
    return app.run(list(map(str, arguments)))


class Elements(HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def test_the_page_has_every_layer_and_all_that_the_plan_says(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "plan.html"
    assert run(folder, "network", "--html", output, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["html"] == str(output)
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    said = Elements(output.read_text()).said
    steps = told["plan"]["layout"]["steps"]
    assert len(steps) == 2
    for number, step in enumerate(steps, 1):
        assert f"Hidden layer {number}" in said
        assert f"{step['inputs']} → {step['units']} numbers" in said
    text = " ".join(said)
    assert text.count("Relu → ") == 2 * 3  # in the drawing, as its title, in the table
    assert "Scores" in said
    costs = told["plan"]["costs"]
    assert f"{costs['server_milliseconds']:.2f} ms" in said
    assert f"{len(told['plan']['layout']['keys'])} evaluation keys" in text
    assert f"Depth: {told['depth']['levels']} of about " in text
    assert "An asker learns no more of the weights than the answers say" in text
    assert "Assumption: " in text
    shown = [tag for tag, attributes in Elements(output.read_text()).tags if tag == "tr"]
    assert len(shown) > len(steps) + min(10, len(told["candidates"]))


def test_the_drawing_counts_the_primes_that_the_plan_takes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "plan.html"
    assert run(folder, "network", "--html", output, "--json") == 0
    layout = json.loads(capsys.readouterr().out)["plan"]["layout"]
    marks = [attributes.get("class") for tag, attributes in Elements(output.read_text()).tags]
    taken = sum(
        step["drop"] + sum(sum(circuit["drops"]) for circuit in step["circuits"])
        for step in layout["steps"]
    )
    cut = layout["sum_limbs"] - layout["response_limbs"]
    # The legend has one mark of each kind.
    assert marks.count("matrix") + marks.count("activation") - 2 == taken + cut


@pytest.mark.parametrize("name", FILES)
def test_the_page_loads_and_runs_nothing(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "plan.html"
    assert run(folder, name, "--html", output) == 0
    assert f"wrote {output}" in capsys.readouterr().out
    text = output.read_text()
    assert text.startswith("<!doctype html>")
    assert not re.search(r"https?:|//|url\(|@import|javascript:", text)
    elements = Elements(text)
    assert not {"script", "link", "img", "iframe", "object", "base"} & {t for t, _ in elements.tags}
    for _, attributes in elements.tags:
        assert not {"src", "href", "xlink:href", "srcset"} & set(attributes)
        assert not any(key.startswith("on") for key in attributes)


def test_the_same_plan_gives_the_same_bytes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = []
    for name in ("first.html", "second.html"):
        assert run(folder, "network", "--html", tmp_path / name) == 0
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_the_printed_plan_says_how_deep_it_is_and_how_deep_it_could_be(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "network", "--json") == 0
    depth = json.loads(capsys.readouterr().out)["depth"]
    assert run(folder, "network") == 0
    said = " ".join(capsys.readouterr().out.split())
    match = re.search(
        r"Depth: (\d+) of about (\d+) levels at ring 2\^15 \(\d+ of 14 primes\)", said
    )
    assert match is not None
    assert int(match[1]) == depth["levels"] <= int(match[2])
    fits = depth["square_layers_that_fit"]["32768"]
    assert f"in layers of a matrix and a square: {fits} at 2^15." in said


def test_a_linear_model_has_no_depth_to_speak_of(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(folder, "linear") == 0
    assert "Depth" not in capsys.readouterr().out
    assert run(folder, "linear", "--json") == 0
    assert "depth" not in json.loads(capsys.readouterr().out)


def test_a_page_that_can_t_be_written_is_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder.html").mkdir()
    old = tmp_path / "old.html"
    old.write_text("old")
    for output, words in (
        (tmp_path / "plan.txt", "ends in .html"),
        (tmp_path / "folder.html", "can't be written"),
        (tmp_path / "absent" / "plan.html", "can't be written"),
        (old, "exists already"),
    ):
        allowed = () if output == old else ("--overwrite",)
        assert run(folder, "network", "--html", output, *allowed) == 3
        line = capsys.readouterr().err
        assert line.startswith("error: [SR-INPUT-FILE]")
        assert line.count("\n") == 1
        assert words in line
    assert old.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.html", "old.html"]
    assert run(folder, "linear", "--html", old, "--overwrite") == 0
    assert old.read_text().startswith("<!doctype")


# Names


STAGE = Stage(
    kind="hidden",
    name="hidden layer 1",
    node="<script>alert(1)</script>",
    inputs=12_544,
    units=10_240,
    blocks=16,
    function="LeakyRelu",
    circuits=("square tower of depth 3, degree 8", "square tower of depth 2, degree 4"),
    levels=6,
    primes_before=4,
    primes_after=2,
    matrix_primes=1,
    log_scale=65.0,
    packing=MatrixPacking(16, 1024, 65_536, 65_536, paired=False, halved=True),
    milliseconds=12_345.6,
    working_bytes=1 << 40,
    weight_bytes=1 << 40,
)


def test_names_are_text_wherever_they_come_from(plan: Plan) -> None:
    known = msgspec.structs.replace(plan, parameters="n12-q104-v1")
    text = page(PlannedModel('<script src="x">&"', [known], [STAGE], ()))
    assert "<script" not in text
    said = Elements(text).said
    assert STAGE.node in said
    assert '<script src="x">&"' in said


def test_long_names_and_long_models_stay_inside_their_columns() -> None:
    long = "encoder/backbone/stage_four/residual_block_17/activation_last"
    assert len(long) > 60
    stages = [replace(STAGE, name=f"hidden layer {n}", node=long) for n in range(1, 13)]
    picture = plan_drawing.drawing(stages, 39, request="6.4 MiB", response="488.4 KiB", rows=4)
    heights = [float(y) for y in re.findall(r'<text[^>]* y="([\d.]+)"', picture)]
    assert max(heights) < float(re.findall(r'viewBox="0 0 \d+ (\d+)"', picture)[0])
    lines = re.findall(r'<text x="54" y="[\d.]+">([^<]+)</text>', picture)
    assert len([line for line in lines if line.endswith("…")]) >= 12
    # At 13 pixels a letter of a wide face takes about 8: 422 pixels lie before the next column.
    assert all(len(line) <= 52 for line in lines)
    # Nothing is lost: the whole of it is the line's title.
    assert f"<title>{long}</title>" in picture


def test_a_line_is_cut_only_where_it_is_too_long() -> None:
    assert plan_drawing.shortened("x" * 52) == "x" * 52
    assert plan_drawing.shortened("x" * 53) == "x" * 51 + "…"
