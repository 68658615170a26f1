"""What can't be run encrypted is refused by name, with what could replace it."""

from __future__ import annotations

from typing import Any

import catboost as cb
import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from sklearn import ensemble
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tree_cases import binary, frame, several, table, target, two_targets

from strongroom.errors import ModelError
from strongroom.models.trees.importing import (
    import_tree_estimator,
    import_trees,
    is_tree_estimator,
)

QUIET = {"verbose": -1, "n_jobs": 1}
CATBOOST = {"iterations": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


def squared(labels: np.ndarray, predictions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return predictions - labels, np.ones_like(labels)


@pytest.mark.parametrize(
    ("model", "y", "named"),
    [
        (ensemble.AdaBoostRegressor(n_estimators=2), target, "weighted median"),
        (ensemble.AdaBoostClassifier(LogisticRegression(), n_estimators=2), binary, "Logistic"),
        (ensemble.BaggingClassifier(LogisticRegression(), 2), binary, "LogisticRegression"),
        (
            ensemble.GradientBoostingRegressor(init=DecisionTreeRegressor(), n_estimators=2),
            target,
            "initial estimator",
        ),
        (DecisionTreeClassifier(), lambda: np.stack([binary(), several()], axis=1), "targets"),
        (DecisionTreeClassifier(), lambda: np.ones(240), "one class"),
        (ensemble.RandomForestClassifier(2), lambda: np.zeros(240), "one class"),
        (ensemble.IsolationForest(n_estimators=2, max_samples=1), lambda: None, "single rows"),
        (xgb.XGBRegressor(booster="gblinear", n_estimators=2), target, "gblinear"),
        (
            xgb.XGBClassifier(objective="binary:logitraw", n_estimators=2),
            binary,
            "binary:logitraw",
        ),
        (lgb.LGBMRegressor(linear_tree=True, n_estimators=2, **QUIET), target, "linear_tree=False"),
        (lgb.LGBMClassifier(objective=squared, n_estimators=2, **QUIET), binary, "none"),
        (cb.CatBoost(CATBOOST), target, "CatBoostRegressor"),
        (
            cb.CatBoostRegressor(loss_function="RMSEWithUncertainty", **CATBOOST),
            target,
            "RMSEWithUncertainty",
        ),
        (
            cb.CatBoostClassifier(loss_function="MultiLogloss", **CATBOOST),
            lambda: np.stack([binary(), binary()], axis=1),
            "MultiLogloss",
        ),
        (
            xgb.XGBClassifier(n_estimators=2),
            lambda: np.stack([binary(), binary()], axis=1),
            "several labels a row",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_kind_that_has_no_encrypted_form(model: Any, y: Any, named: str) -> None:
    model.fit(table(), y())
    with pytest.raises(ModelError, match=named) as caught:
        import_trees(model)
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"
    assert caught.value.remedy


def test_catboost_categories_are_refused() -> None:
    rows = frame(table())
    rows["d"] = rows["d"].astype(str)
    model = cb.CatBoostClassifier(cat_features=["d"], **CATBOOST).fit(rows, binary())
    with pytest.raises(ModelError) as caught:
        import_trees(model)
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"


def test_a_probability_threshold_is_refused() -> None:
    model = cb.CatBoostClassifier(**CATBOOST).fit(table(), binary())
    model.set_probability_threshold(0.3)
    with pytest.raises(ModelError, match="threshold"):
        import_trees(model)


@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(),
        ensemble.RandomForestRegressor(),
        ensemble.HistGradientBoostingClassifier(),
        xgb.XGBClassifier(),
        lgb.LGBMRegressor(),
        cb.CatBoostClassifier(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_a_model_that_was_not_fitted(model: Any) -> None:
    assert is_tree_estimator(model)
    with pytest.raises(ModelError) as caught:
        import_trees(model)
    assert caught.value.code == "SR-MODEL-UNFITTED"


def test_labels_behind_other_steps_are_refused_with_their_place() -> None:
    model = ensemble.HistGradientBoostingClassifier(categorical_features="from_dtype", max_iter=2)
    model.fit(frame(table()), binary())
    with pytest.raises(ModelError, match="clf/trees"):
        import_tree_estimator("clf/trees", model)


def test_the_last_step_of_a_pipeline_gives_trees_and_output() -> None:
    model = ensemble.RandomForestRegressor(3, max_depth=2).fit(table(), two_targets())
    found, output = import_tree_estimator("forest", model)
    assert output.outputs == 2
    assert np.allclose(found.scores(table()), model.predict(table()))


def test_xgboost_labels_beyond_ascii_are_refused() -> None:
    rows = frame(table())
    rows["d"] = rows["d"].cat.rename_categories({"red": "größe"})
    model = xgb.XGBClassifier(n_estimators=2, enable_categorical=True).fit(rows, binary())
    with pytest.raises(ModelError, match="ASCII"):
        import_trees(model)
