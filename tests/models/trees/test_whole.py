"""Trees as they are, and as ONNX, answer as the plain model on every side of every cut point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor
from test_import_parity import assert_same, edge_rows, given
from tree_cases import CASES
from written_models import assert_written_alike, run_written

from strongroom.errors import ModelError
from strongroom.models.feature_blocks import Flagged, Numbers
from strongroom.models.graph_scores import graph_scores
from strongroom.models.load import import_model
from strongroom.models.trees.importing import import_trees
from strongroom.models.trees.options import TreeOptions
from strongroom.models.trees.whole import OPERATOR


@pytest.mark.parametrize("name", CASES)
def test_whole_trees_answer_as_the_plain_model_at_every_cut_point(name: str) -> None:
    case = CASES[name]()
    cut, graph = import_trees(case.model), import_trees(case.model, whole=True)
    assert cut is not None
    assert graph is not None
    rows = given(case, edge_rows(case, cut), cut)
    features = graph.features.encode(graph.input.rows(rows))
    reference = graph_scores(graph, features)
    assert_same(case, graph, rows, reference)
    made, dtype = run_written(graph, features)
    assert dtype == "float64"
    # not nearly: a row on the other side of a cut point would show
    assert np.abs(made - reference).max() <= 1e-12 * np.abs(reference).max()


def test_nothing_of_whole_trees_is_public() -> None:
    X, y = load_wine(return_X_y=True)
    holes = X.copy()
    holes[::7, 3] = np.nan
    model = HistGradientBoostingClassifier(max_iter=5).fit(holes, y)
    graph = import_model(model, whole_trees=True)
    assert [node.operator for node in graph.nodes] == [OPERATOR]
    assert graph.features.sentences(graph.input.column_labels()) == ()
    (block,) = graph.features.blocks
    assert isinstance(block, Flagged)
    encoded = graph.features.encode(graph.input.rows(holes))
    assert encoded.shape == (len(X), 2 * X.shape[1])
    assert np.array_equal(encoded[:, X.shape[1] :] == 1, np.isnan(holes))


def test_trees_behind_public_steps_stay_whole() -> None:
    X, y = load_wine(return_X_y=True)
    X = np.where(np.arange(X.size).reshape(X.shape) % 11 == 0, np.nan, X)
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=5)).fit(X, y)
    graph = import_model(model, whole_trees=True)
    features = graph.features.encode(graph.input.rows(X))
    made, _ = run_written(graph, features)
    assert np.array_equal(graph.output.predict(made), model.predict(X))


@pytest.mark.parametrize("outputs", [1, 3])
def test_leaves_may_add_to_several_scores(outputs: int) -> None:
    X, y = load_diabetes(return_X_y=True)
    targets = np.column_stack([y * (k + 1) for k in range(outputs)])
    targets = targets[:, 0] if outputs == 1 else targets
    model = RandomForestRegressor(5, random_state=0).fit(X, targets)
    graph = import_model(model, whole_trees=True)
    (block,) = graph.features.blocks
    assert isinstance(block, Numbers | Flagged)
    features = graph.features.encode(graph.input.rows(X))
    assert_written_alike(graph, features, graph_scores(graph, features))
    made, _ = run_written(graph, features)
    assert np.allclose(made, model.predict(X).reshape(len(X), -1), rtol=1e-12)


def test_a_tree_of_one_leaf_stands_beside_others() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = DecisionTreeRegressor(max_depth=1).fit(X, y)
    flat = DecisionTreeRegressor(max_depth=1).fit(X, np.full(len(y), 2.5))
    for one in (model, flat):
        graph = import_model(one, whole_trees=True)
        made, _ = run_written(graph, graph.features.encode(graph.input.rows(X)))
        assert np.allclose(made[:, 0], one.predict(X), rtol=1e-12)


def test_whole_trees_have_no_dials() -> None:
    X, y = load_wine(return_X_y=True)
    model: Any = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
    with pytest.raises(ModelError) as caught:
        import_model(model, trees=TreeOptions(), whole_trees=True)
    assert caught.value.code == "SR-MODEL-TREES"
