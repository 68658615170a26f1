"""An imported model returns what scikit-learn returns: values, labels, dtypes and shapes."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.base import clone
from written_models import assert_written_alike

from strongroom.compiler.layering import layered
from strongroom.models.graph import Graph
from strongroom.models.sklearn_import import import_sklearn

TOLERANCE = 1e-9
"""Of the largest value of a column; scikit-learn's own order of additions differs by as much."""


@cache
def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Columns and targets of a data set of scikit-learn."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return X, y


def patients(rows: int = 240) -> pd.DataFrame:
    """A table with numbers, texts, categories, truth values and missing cells."""
    drawn = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "id": [f"p{number}" for number in range(rows)],
            "age": drawn.normal(50, 10, rows),
            "job": drawn.choice(["cook", "nurse", "pilot", "poet"], rows, p=[0.4, 0.3, 0.25, 0.05]),
            "city": pd.Categorical(drawn.choice(["Rome", "Oslo"], rows)),
            "kids": drawn.integers(0, 5, rows),
            "smoker": drawn.random(rows) < 0.3,
            "dose": drawn.gamma(2, 2, rows),
        }
    )
    frame["job"] = frame["job"].astype(object).where(drawn.random(rows) > 0.1, np.nan)
    frame["age"] = frame["age"].where(drawn.random(rows) > 0.1)
    return frame


def outcome(frame: pd.DataFrame) -> np.ndarray:
    """Three classes that depend on the patients' columns."""
    old = frame.age.fillna(50) > 50
    return (old ^ (frame.job == "nurse")).to_numpy(int) + (frame.kids > 2).to_numpy(int)


def fitted(model: Any, X: Any, y: Any) -> Any:
    """A fitted copy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence on unscaled data is beside the point
        return clone(model).fit(X, y)


def scores_of(graph: Graph, X: Any) -> np.ndarray:
    """Raw scores of rows, by way of the layered form, in float64; what the graph is written as, if
    it has no trees over a grid, has to give the same."""
    features = graph.features.encode(graph.input.rows(X))
    scores = layered(graph).arguments(features)[-1]
    if all(node.operator != "TreeEnsemble" for node in graph.nodes):
        assert_written_alike(graph, features, scores)
    return scores


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float = TOLERANCE) -> bool:
    """Whether shape and dtype are equal, and values nearly."""
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    return bool(np.abs(ours - theirs).max() <= tolerance * max(np.abs(theirs).max(), 1e-300))


def assert_equal_to_plain(
    model: Any, X: Any, tolerance: float = TOLERANCE, without: tuple[str, ...] = ()
) -> Graph:
    """Compare all that a fitted model answers with what its import answers.

    Args:
        tolerance: of values.
        without: methods that the import leaves out.
    """
    graph = import_sklearn(model)
    scores = scores_of(graph, X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown categories
        ours, theirs = graph.output.predict(scores), model.predict(X)
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        if graph.output.task == "regression":
            assert close(ours, theirs, tolerance)
        else:
            assert ours.tolist() == theirs.tolist()
        for method in ("predict_proba", "decision_function"):
            offered = method in graph.output.methods
            assert offered == (hasattr(model, method) and method not in without)
            if offered:
                ours = getattr(graph.output, method)(scores)
                assert close(ours, getattr(model, method)(X), tolerance)
    return graph
