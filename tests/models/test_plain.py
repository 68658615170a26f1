"""What parity is measured against: the plain model's own answers, in every form it comes in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lightgbm import LGBMRegressor
from skl2onnx import to_onnx
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBClassifier

from strongroom.models.load import import_model
from strongroom.models.plain import plain_predictions


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("labels", ["numbers", "text"])
@pytest.mark.parametrize("load", [load_breast_cancer, load_wine])
def test_onnx_classifiers_as_exported_by_default_give_their_labels(
    load: Any, labels: str, zipmap: bool
) -> None:
    X, y = load(return_X_y=True)
    if labels == "text":
        y = np.array(["first", "second", "third"])[y]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(X, y)
    options = {} if zipmap else {"zipmap": False}
    exported = to_onnx(model, X.astype(np.float32), options=options)
    plain = plain_predictions(exported, import_model(exported), X)
    assert (plain == model.predict(X)).mean() > 0.99


def test_onnx_regressors_give_their_values(tmp_path: Path) -> None:
    X, y = load_diabetes(return_X_y=True)
    model = Ridge().fit(X, y)
    path = tmp_path / "ridge.onnx"
    path.write_bytes(to_onnx(model, X.astype(np.float32)).SerializeToString())
    plain = plain_predictions(path, import_model(path), X)
    assert plain.shape[0] == len(X)
    assert np.allclose(plain.reshape(-1), model.predict(X), rtol=1e-4)


def test_a_pipeline_that_picks_columns_by_name_is_asked_with_a_frame() -> None:
    frame, y = load_wine(return_X_y=True, as_frame=True)
    chosen = ColumnTransformer([("scaled", StandardScaler(), list(frame.columns[:5]))])
    model = make_pipeline(chosen, LogisticRegression()).fit(frame, y)
    plain = plain_predictions(model, import_model(model), frame.to_numpy())
    assert (plain == model.predict(frame)).all()


def saved(kind: str, folder: Path) -> tuple[Path, Any, Any]:
    """A small model's file, rows, and what the model itself says of them."""
    X, y = load_breast_cancer(return_X_y=True)
    if kind == "xgboost":
        model = XGBClassifier(n_estimators=3, max_depth=2).fit(X, y)
        model.save_model(folder / "model.json")
        return folder / "model.json", X, model.predict(X)
    booster = LGBMRegressor(n_estimators=3, num_leaves=4, verbose=-1).fit(X, y).booster_
    booster.save_model(folder / "model.txt")
    return folder / "model.txt", X, booster.predict(X)


@pytest.mark.parametrize("kind", ["xgboost", "lightgbm"])
def test_files_of_trees_are_asked_by_their_own_framework(kind: str, tmp_path: Path) -> None:
    path, X, expected = saved(kind, tmp_path)
    np.testing.assert_array_equal(plain_predictions(path, import_model(path), X), expected)


def test_without_the_framework_a_file_of_trees_is_answered_by_its_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, X, expected = saved("xgboost", tmp_path)
    graph = import_model(path)
    for module in [name for name in sys.modules if name.partition(".")[0] == "xgboost"]:
        monkeypatch.setitem(sys.modules, module, None)
    np.testing.assert_array_equal(plain_predictions(path, graph, X), expected)
