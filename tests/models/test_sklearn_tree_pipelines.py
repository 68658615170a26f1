"""Trees behind other steps: all of these run at the asker, to the last bit."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pytest
import xgboost
from plain_answers import fitted, outcome, patients, scores_of, table
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from strongroom.errors import InputError, ModelError
from strongroom.models.sklearn_import import import_sklearn
from strongroom.models.trees.options import TreeOptions

TREES = [
    DecisionTreeClassifier(max_depth=5, random_state=0),
    RandomForestClassifier(8, max_depth=5, random_state=0),
    GradientBoostingClassifier(n_estimators=4, random_state=0),
    HistGradientBoostingClassifier(max_iter=4),
    xgboost.XGBClassifier(n_estimators=4, n_jobs=1),
    lightgbm.LGBMClassifier(n_estimators=4, n_jobs=1, verbose=-1),
    RandomForestRegressor(8, max_depth=5, random_state=0),
    HistGradientBoostingRegressor(max_iter=4),
]


def assert_equal_labels(model: Any, X: Any, options: TreeOptions | None = None) -> Any:
    graph = import_sklearn(model, options)
    ours, theirs = graph.output.predict(scores_of(graph, X)), model.predict(X)
    assert ours.shape == theirs.shape
    if graph.output.task == "regression":
        assert np.allclose(ours, theirs, rtol=1e-12, atol=0)
    else:
        assert ours.tolist() == theirs.tolist()
    return graph


@pytest.mark.parametrize("codes", ["bits", "codes", "missing codes"])
@pytest.mark.parametrize("tree", TREES, ids=lambda tree: type(tree).__name__)
def test_whole_pipelines(tree: Any, codes: str) -> None:
    frame = patients()
    encoder = {
        "bits": OneHotEncoder(handle_unknown="ignore"),
        "codes": OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        ),
        "missing codes": OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
    }[codes]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "dose"]),
            ("texts", encoder, ["job", "city"]),
            ("few", MinMaxScaler(), ["kids"]),
        ]
    )
    model = Pipeline([("columns", columns), ("trees", tree)])
    if codes == "missing codes" and isinstance(tree, GradientBoostingClassifier):
        with pytest.raises(ValueError, match="NaN"):
            fitted(model, frame, outcome(frame))
        return
    graph = assert_equal_labels(fitted(model, frame, outcome(frame)), frame)
    assert graph.input.ignored == (0, 5)
    other = frame.assign(job=frame.job.where(frame.index % 3 > 0, "ghost"))
    model = fitted(model, frame, outcome(frame))
    assert_equal_labels(model, other)


@pytest.mark.parametrize(
    "step",
    [
        StandardScaler(),
        MinMaxScaler(feature_range=(-1, 3)),
        MinMaxScaler(clip=True),
        RobustScaler(unit_variance=True),
        make_pipeline(StandardScaler(), MinMaxScaler()),
        PCA(4),
        PCA(4, whiten=True),
        PowerTransformer(),
        Normalizer(),
        FunctionTransformer(np.log1p),
        make_pipeline(StandardScaler(), PolynomialFeatures(2), SelectKBest(k=25)),
        SelectKBest(k=5),
        "passthrough",
    ],
    ids=lambda step: repr(step)[:60],
)
def test_every_row_takes_the_side_of_the_plain_tree(step: Any) -> None:
    X, y = table("breast_cancer")
    model = Pipeline([("step", step), ("trees", RandomForestClassifier(10, random_state=0))])
    assert_equal_labels(fitted(model, X, y), X)


def test_rows_on_the_cut_points_of_scaled_columns() -> None:
    X, y = table("wine")
    model = fitted(make_pipeline(StandardScaler(), DecisionTreeClassifier()), X, y)
    tree, scaler = model[1].tree_, model[0]
    rows = []
    for column, threshold in zip(tree.feature, tree.threshold, strict=True):
        if column < 0:
            continue
        at = threshold * scaler.scale_[column] + scaler.mean_[column]
        for cell in (at, np.nextafter(at, -np.inf), np.nextafter(at, np.inf)):
            row = X[len(rows) % len(X)].copy()
            row[column] = cell
            rows.append(row)
    assert_equal_labels(model, np.array(rows))


def test_hidden_cut_points_and_groups_behind_other_steps() -> None:
    X, y = table("wine")
    forest = RandomForestClassifier(6, max_depth=3, random_state=0)
    model = fitted(make_pipeline(StandardScaler(), forest), X, y)
    assert_equal_labels(model, X, TreeOptions(grid="hidden"))
    assert_equal_labels(model, X, TreeOptions(trees_per_group=2))
    assert_equal_labels(model, X, TreeOptions(grid="padded"))


def test_missing_numbers_reach_trees_that_know_them() -> None:
    X, y = table("iris")
    holes = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
    model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=3))
    graph = assert_equal_labels(fitted(model, holes, y), holes)
    assert graph.input.missing == (0, 1, 2, 3)
    strict = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=2))
    graph = assert_equal_labels(fitted(strict, X, y), X)
    with pytest.raises(InputError) as caught:
        graph.input.rows(holes)
    assert caught.value.code == "SR-INPUT-MISSING"


def test_categories_by_number_behind_an_encoder() -> None:
    frame = patients()[["job", "city", "dose"]]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = ColumnTransformer([("codes", encoder, ["job", "city"])], remainder="passthrough")
    boosting = HistGradientBoostingClassifier(max_iter=5, categorical_features=[0, 1])
    model = fitted(make_pipeline(columns, boosting), frame, frame.job.isin(["cook", "pilot"]))
    graph = assert_equal_labels(model, frame)
    assert [column.labels for column in graph.input.categories][1] == ("Oslo", "Rome")


def test_what_trees_need_of_other_steps_is_named() -> None:
    X, y = table("iris")
    model = fitted(make_pipeline(StandardScaler(), DecisionTreeClassifier()), X, y)
    graph = import_sklearn(model)
    told = graph.features.sentences(graph.input.column_labels())
    assert told[0].startswith("How column 0, column 1, column 2, column 3 is centred and scaled")
    assert any("cut point" in line for line in told)


def test_a_search_over_trees_stands_for_its_best() -> None:
    X, y = table("iris")
    search = GridSearchCV(RandomForestClassifier(3, random_state=0), {"max_depth": [1, 3]}, cv=2)
    assert_equal_labels(fitted(search, X, y), X)


def test_trees_that_get_other_columns_than_they_know_are_refused() -> None:
    X, y = table("iris")
    model = Pipeline([("pca", PCA(2).fit(X)), ("trees", DecisionTreeClassifier().fit(X, y))])
    with pytest.raises(ModelError) as caught:
        import_sklearn(model)
    assert "step 'trees': DecisionTreeClassifier takes 4 columns, but gets 2" in str(caught.value)
