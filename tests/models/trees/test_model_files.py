"""Files and boosters: their framework is found by content, answers are those of its own loader."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tree_cases import CASES, with_missing

from strongroom.compiler.tree_layers import tree_layers
from strongroom.errors import ModelError
from strongroom.models.graph import Graph
from strongroom.models.trees.importing import import_trees
from strongroom.models.trees.plain import plain_tree_predictions


def assert_same(model: Any, rows: np.ndarray) -> Graph:
    graph = import_trees(model)
    assert graph is not None
    checked = graph.input.rows(rows)
    ours = graph.output.predict(tree_layers(graph).arguments(graph.features.encode(checked))[-1])
    theirs = plain_tree_predictions(model, graph, checked)
    assert theirs is not None
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    if ours.dtype.kind == "f":
        assert np.allclose(ours, theirs, rtol=0, atol=1e-5)
    else:
        assert np.array_equal(ours, theirs)
    return graph


OBJECTS = [name for name in CASES if not name.startswith("sklearn") and "pandas" not in name]


@pytest.mark.parametrize("name", OBJECTS)
def test_the_framework_itself_is_what_parity_is_measured_against(name: str) -> None:
    case = CASES[name]()
    if "missing is a number" in name:
        assert_same(case.model, case.X)
    else:
        assert_same(case.model, with_missing() if case.missing else case.X)


@pytest.mark.parametrize("name", ["xgboost pandas categories", "lightgbm pandas categories"])
def test_labels_of_categories_reach_the_plain_model(name: str) -> None:
    case = CASES[name]()
    graph = import_trees(case.model)
    assert graph is not None
    (categories,) = graph.input.categories
    rows = np.nan_to_num(case.X).astype(object)
    rows[:, 3] = np.array(categories.labels, dtype=object)[
        np.nan_to_num(case.X[:, 3]).astype(int) % 9
    ]
    checked = graph.input.rows(rows)
    ours = graph.output.predict(tree_layers(graph).arguments(graph.features.encode(checked))[-1])
    theirs = plain_tree_predictions(case.model, graph, checked)
    assert theirs is not None
    assert np.array_equal(ours, theirs)
    assert len(np.unique(theirs)) == 2


@pytest.mark.parametrize("suffix", [".json", ".ubj"])
@pytest.mark.parametrize(
    "name",
    [
        "xgboost regression",
        "xgboost classes",
        "xgboost two classes",
        "xgboost softmax",
        "xgboost dart",
        "xgboost categories, partitions",
        "xgboost early stopping",
        "xgboost two targets, one tree",
        "xgboost count:poisson",
    ],
)
def test_an_xgboost_file_is_what_saved_it(name: str, suffix: str, tmp_path: Path) -> None:
    case = CASES[name]()
    path = tmp_path / f"model{suffix}"
    case.model.save_model(path)
    graph = assert_same(path, case.X)
    from_object = import_trees(case.model)
    assert from_object is not None
    assert graph.output == from_object.output


@pytest.mark.parametrize(
    "name", ["two classes", "classes", "softmax", "hinge", "early stopping", "reg:gamma"]
)
def test_an_xgboost_booster_returns_values(name: str, tmp_path: Path) -> None:
    case = CASES[f"xgboost {name}"]()
    booster = case.model.get_booster()
    assert_same(booster, case.X)
    booster.save_model(tmp_path / "booster.json")
    assert assert_same(tmp_path / "booster.json", case.X).output.label_dtype == "<f4"


@pytest.mark.parametrize(
    "name",
    [
        "regression",
        "two classes",
        "classes",
        "one against all",
        "sigmoid",
        "categories",
        "forest, classes",
        "square root",
        "zero is missing",
        "pandas categories",
    ],
)
def test_a_lightgbm_booster_and_its_file_return_values(name: str, tmp_path: Path) -> None:
    case = CASES[f"lightgbm {name}"]()
    path = tmp_path / "model.txt"
    case.model.booster_.save_model(path)
    rows = case.X.astype(object)
    if case.frame:
        rows[:, 3] = np.array(["blue", "red", None, "unseen"], dtype=object)[np.arange(240) % 4]
    assert_same(case.model.booster_, rows)
    assert_same(path, rows)


@pytest.mark.parametrize("threshold", ["0", "1e-36", "-1e-36", "-1.0000000180025095e-35", "1e-35"])
def test_lightgbm_takes_tiny_numbers_for_zero(threshold: str, tmp_path: Path) -> None:
    """LightGBM writes no such thresholds but one, and reads them all."""
    text = CASES["lightgbm regression, complete rows"]().model.booster_.model_to_string()
    text = re.sub("tree_sizes=.*\n", "", text)  # they will be others
    start = text.index("\nthreshold=") + 1
    end = text.index("\n", start)
    splits = text[start:end].count(" ") + 1
    path = tmp_path / "model.txt"
    path.write_text(text[:start] + "threshold=" + " ".join([threshold] * splits) + text[end:])
    tiny = float(np.float32(1e-35))
    edges = [0.0, tiny, -tiny, tiny / 2, -tiny / 2, np.nextafter(tiny, 1), np.nextafter(-tiny, -1)]
    rows = np.random.default_rng(0).choice(edges, size=(400, 5))
    assert_same(path, rows)
    rows[::3] = np.nan
    assert_same(path, rows)


@pytest.mark.parametrize(
    "name",
    ["regression", "two classes", "classes", "truth values", "depth-wise", "poisson", "ranking"],
)
def test_a_catboost_file_is_what_saved_it(name: str, tmp_path: Path) -> None:
    case = CASES[f"catboost {name}"]()
    path = tmp_path / "model.json"
    case.model.save_model(str(path), format="json")
    assert_same(path, case.X)


def test_what_is_no_tree_model_is_left_to_others(tmp_path: Path) -> None:
    assert import_trees(object()) is None
    assert import_trees(tmp_path / "model.onnx") is None
    rows = with_missing()
    graph = import_trees(CASES["xgboost regression"]().model)
    assert graph is not None
    assert plain_tree_predictions(object(), graph, rows) is None
    assert plain_tree_predictions(tmp_path / "model.onnx", graph, rows) is None


def test_column_names_are_the_frames(tmp_path: Path) -> None:
    graph = import_trees(CASES["xgboost pandas categories"]().model)
    assert graph is not None
    assert graph.input.names == tuple("abcde")


def test_a_file_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("a forest has many trees")
    with pytest.raises(ModelError, match=r"notes\.txt") as caught:
        import_trees(path)
    assert caught.value.code == "SR-MODEL-FILE"
