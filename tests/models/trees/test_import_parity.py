"""Every framework's model, its layers and its links: the same answers as the framework's own, on
cut points, one unit in the last place beside them, without values and with unseen categories."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tree_cases import CASES, Case, frame

from strongroom.compiler.tree_layers import is_tree_ensemble, tree_layers
from strongroom.models.graph import Graph
from strongroom.models.trees.grid import CutPoints, Grid
from strongroom.models.trees.importing import import_trees
from strongroom.models.trees.options import TreeOptions


def grid_of(graph: Graph) -> Grid:
    (block,) = graph.features.blocks
    assert isinstance(block, Grid)
    return block


def edge_rows(case: Case, graph: Graph) -> np.ndarray:
    """Rows of the table, and copies of them with one value at a cut point, beside it, missing,
    unseen, or at zero and its neighbours."""
    random = np.random.default_rng(1)
    dtype = np.dtype(graph.input.dtype)
    tiny = float(np.float32(1e-35))
    edges: list[tuple[int, float]] = []
    for entry in grid_of(graph).entries:
        if isinstance(entry, CutPoints):
            for point in np.array(entry.points).astype(dtype):
                for other in (point, np.nextafter(point, -np.inf), np.nextafter(point, np.inf)):
                    edges.append((entry.column, float(other)))
    for column in range(case.X.shape[1]):
        if column in case.categories:
            edges += [(column, value) for value in (-1.0, 9.0, 15.0, 70.0)]
            if not case.frame:
                edges += [(column, value) for value in (0.5, 3.7, -0.5, -2.5)]
        else:
            edges += [(column, value) for value in (0.0, -0.0, tiny, -tiny, 2 * tiny, -2 * tiny)]
            edges += [(column, float(np.nextafter(tiny, 1.0))), (column, 1e30), (column, -1e30)]
        if case.missing:
            edges.append((column, np.nan))
    rows = case.X[random.integers(0, len(case.X), len(edges))].copy()
    for number, (column, value) in enumerate(edges):
        rows[number, column] = value
    if not case.missing:
        rows = np.nan_to_num(rows)
    return np.vstack([case.X, rows])


def given(case: Case, rows: np.ndarray, graph: Graph) -> Any:
    """The rows as the plain model takes them."""
    if not case.frame:
        return rows
    column = case.categories[0]
    made = frame(case.X)
    known = made.iloc[:, column].cat.categories
    labels = np.append(np.array(known, dtype=object), ["unseen", None])
    codes = np.where(np.isnan(rows[:, column]), len(known) + 1, rows[:, column])
    codes = np.where((codes < 0) | (codes > len(known) + 1), len(known), codes).astype(int)
    if not graph.input.categories[0].unknown:
        codes = np.where(codes == len(known), 0, codes)
    made = pd.DataFrame(rows, columns=list("abcde"))
    dtype = pd.CategoricalDtype([*known, "unseen"] if graph.input.categories[0].unknown else known)
    made["d"] = pd.Series(labels[codes]).astype(dtype)
    return made


def scores_of(graph: Graph, rows: Any) -> np.ndarray:
    features = graph.features.encode(graph.input.rows(rows))
    return tree_layers(graph).arguments(features)[-1]


def assert_same(case: Case, graph: Graph, rows: Any, scores: np.ndarray) -> None:
    """Predictions and probabilities are the plain model's; labels may differ where the plain model
    itself is decided by the rounding of its sums."""
    theirs = np.asarray(case.model.predict(rows))
    ours = graph.output.predict(scores)
    assert ours.dtype == theirs.dtype
    if graph.output.task == "regression":
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= case.tolerance * max(1.0, np.abs(theirs).max())
        return
    if graph.output.outputs == 1:
        margin = np.abs(scores[:, 0])
    else:
        ordered = np.sort(scores, axis=1)
        margin = ordered[:, -1] - ordered[:, -2]
    decided = margin > case.tolerance
    assert decided.mean() > 0.8
    assert np.array_equal(ours[decided], theirs.reshape(-1)[decided])
    if "predict_proba" in graph.output.methods:
        plain = case.model.predict_proba(rows)
        assert np.abs(graph.output.predict_proba(scores) - plain).max() <= 10 * case.tolerance
    if "decision_function" in graph.output.methods:
        plain = case.model.decision_function(rows)
        assert np.abs(graph.output.decision_function(scores) - plain).max() <= case.tolerance


@pytest.mark.parametrize("name", CASES)
def test_a_tree_model_answers_as_the_plain_one(name: str) -> None:
    case = CASES[name]()
    graph = import_trees(case.model)
    assert graph is not None
    assert is_tree_ensemble(graph)
    rows = given(case, edge_rows(case, graph), graph)
    assert_same(case, graph, rows, scores_of(graph, rows))


SOME = [
    "sklearn forest, missing",
    "sklearn gradient, classes",
    "sklearn histogram, categories and missing",
    "xgboost categories, partitions",
    "xgboost classes",
    "lightgbm zero is missing",
    "lightgbm categories",
    "catboost classes",
]


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize(
    "options",
    [
        TreeOptions(trees_per_group=1),
        TreeOptions(trees_per_group=2),
        TreeOptions(grid="padded", decoys=2),
        TreeOptions(grid="padded", trees_per_group=3),
    ],
    ids=str,
)
def test_dials_change_no_answer(name: str, options: TreeOptions) -> None:
    case = CASES[name]()
    graph = import_trees(case.model, options)
    assert graph is not None
    rows = edge_rows(case, graph)
    assert_same(case, graph, rows, scores_of(graph, rows))


@pytest.mark.parametrize("group", [None, 2])
@pytest.mark.parametrize(
    "name",
    [
        "sklearn forest, classes",
        "sklearn gradient",
        "sklearn histogram, regression",
        "xgboost regression, complete rows",
        "lightgbm regression, complete rows",
        "catboost regression, complete rows",
    ],
)
def test_hidden_cut_points_answer_as_the_plain_model(name: str, group: int | None) -> None:
    case = CASES[name]()
    open_graph = import_trees(case.model)
    graph = import_trees(case.model, TreeOptions(grid="hidden", trees_per_group=group))
    assert open_graph is not None
    assert graph is not None
    assert graph.features.width == case.X.shape[1]
    rows = np.nan_to_num(edge_rows(case, open_graph))
    if graph.input.dtype == "float64":
        # between two neighbours of float64 there is no number to compare with
        rows = rows.astype(np.float32).astype(np.float64)
    assert_same(case, graph, rows, scores_of(graph, rows))
