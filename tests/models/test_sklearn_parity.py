"""Linear models, and what stays affine before them, answer as scikit-learn does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from plain_answers import assert_equal_to_plain, close, fitted, table
from sklearn import linear_model as lm
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, FactorAnalysis, FastICA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    VarianceThreshold,
)
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)
from sklearn.random_projection import GaussianRandomProjection, SparseRandomProjection
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR

from strongroom.compiler.affine import fold_affine
from strongroom.compiler.layering import is_affine
from strongroom.models.features import Features
from strongroom.models.sklearn_import import import_sklearn

LABELS: dict[str, Callable[[np.ndarray], Any]] = {
    "integers": lambda y: y,
    "small integers": lambda y: y.astype(np.int8) - 2,
    "floats": lambda y: y.astype(np.float32) - 1,
    "texts": lambda y: np.array(["zebra", "a cat", "ox", *"0123456789"])[y],
    "objects": lambda y: np.array(["zebra", "a cat", "ox", *"0123456789"], dtype=object)[y],
    "series": lambda y: pd.Series(np.array(["zebra", "a cat", "ox", *"0123456789"])[y]),
}


CLASSIFIERS = [
    lm.LogisticRegression(max_iter=30),
    lm.LogisticRegression(max_iter=30, fit_intercept=False, C=0.1),
    lm.LogisticRegressionCV(max_iter=20, cv=2, Cs=2),
    lm.SGDClassifier(random_state=0),
    lm.SGDClassifier(loss="log_loss", random_state=0),
    lm.SGDClassifier(loss="modified_huber", random_state=0),
    lm.SGDClassifier(loss="squared_hinge", random_state=0),
    lm.SGDClassifier(loss="perceptron", average=True, random_state=0),
    lm.SGDClassifier(loss="squared_error", alpha=10, learning_rate="optimal", random_state=0),
    lm.SGDClassifier(loss="huber", random_state=0),
    lm.SGDClassifier(loss="epsilon_insensitive", random_state=0),
    lm.Perceptron(random_state=0),
    lm.PassiveAggressiveClassifier(random_state=0),
    lm.RidgeClassifier(),
    lm.RidgeClassifierCV(),
    LinearSVC(max_iter=200),
    LinearSVC(max_iter=20, multi_class="crammer_singer"),
    LinearDiscriminantAnalysis(),
    LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1),
    OneVsRestClassifier(lm.LogisticRegression(max_iter=30)),
    OneVsRestClassifier(lm.SGDClassifier(loss="log_loss", random_state=0)),
    OneVsRestClassifier(LinearSVC(max_iter=200)),
]
REGRESSORS = [
    lm.LinearRegression(),
    lm.LinearRegression(fit_intercept=False),
    lm.Ridge(),
    lm.RidgeCV(),
    lm.Lasso(),
    lm.LassoCV(cv=2),
    lm.ElasticNet(),
    lm.ElasticNetCV(cv=2),
    lm.Lars(),
    lm.LassoLars(),
    lm.LassoLarsIC(),
    lm.OrthogonalMatchingPursuit(),
    lm.BayesianRidge(),
    lm.ARDRegression(max_iter=30),
    lm.HuberRegressor(),
    lm.TheilSenRegressor(max_subpopulation=50, random_state=0),
    lm.QuantileRegressor(),
    lm.SGDRegressor(random_state=0),
    lm.PoissonRegressor(),
    lm.GammaRegressor(),
    lm.TweedieRegressor(power=1.5),
    lm.TweedieRegressor(power=0),
    PLSRegression(2),
    lm.PassiveAggressiveRegressor(random_state=0),
    LinearSVR(),
    SVR(kernel="linear"),
]
TRANSFORMERS = [
    StandardScaler(),
    StandardScaler(with_mean=False),
    StandardScaler(with_std=False),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    MinMaxScaler(feature_range=(-3, 5)),
    MaxAbsScaler(),
    RobustScaler(),
    RobustScaler(with_centering=False),
    RobustScaler(with_scaling=False),
    RobustScaler(unit_variance=True),
    PCA(3),
    PCA(0.9),
    PCA(3, whiten=True),
    IncrementalPCA(3, whiten=True),
    TruncatedSVD(3),
    FactorAnalysis(2),
    FastICA(2, random_state=0),
    LinearDiscriminantAnalysis(),
    GaussianRandomProjection(3, random_state=0),
    SparseRandomProjection(3, random_state=0),
    SimpleImputer(),
    SimpleImputer(strategy="constant", fill_value=0),
    SelectKBest(k=3),
    SelectPercentile(percentile=40),
    SelectFpr(),
    SelectFdr(),
    SelectFwe(),
    GenericUnivariateSelect(mode="k_best", param=2),
    SelectFromModel(lm.Ridge()),
    RFE(lm.Ridge(), n_features_to_select=2),
    RFECV(lm.Ridge(), cv=2),
    VarianceThreshold(),
    FunctionTransformer(),
    "passthrough",
    Pipeline([("scale", StandardScaler()), ("skip", None), ("pca", PCA(2))]),
    FeatureUnion([("pca", PCA(2)), ("same", "passthrough"), ("none", "drop")]),
    ColumnTransformer([("scale", StandardScaler(), [3, 0])], remainder="passthrough"),
    ColumnTransformer([("last", "passthrough", [-1]), ("first", RobustScaler(), slice(0, 2))]),
    ColumnTransformer(
        [
            ("both", make_pipeline(SimpleImputer(), StandardScaler()), [0, 1]),
            ("again", MinMaxScaler(), [True, False, False, True]),
            ("empty", StandardScaler(), []),
            ("none", "drop", [2]),
            ("union", FeatureUnion([("a", PCA(1)), ("b", MaxAbsScaler())]), [1, 2]),
        ],
        remainder=RobustScaler(),
    ),
]


@pytest.mark.parametrize(
    ("data", "scaled"),
    [("breast_cancer", True), ("breast_cancer", False), ("wine", False), ("iris", True)],
)
@pytest.mark.parametrize("model", CLASSIFIERS, ids=repr)
def test_classifiers(model: Any, data: str, scaled: bool) -> None:
    X, y = table(data)
    pipeline = make_pipeline(StandardScaler(), model) if scaled else model
    assert_equal_to_plain(fitted(pipeline, X, y), X)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("data", ["breast_cancer", "wine"])
@pytest.mark.parametrize(
    "model", [lm.LogisticRegression(), LinearSVC(), OneVsRestClassifier(LinearSVC())], ids=repr
)
def test_labels_of_every_kind(model: Any, data: str, labels: str) -> None:
    X, y = table(data)
    X = StandardScaler().fit_transform(X)
    assert_equal_to_plain(fitted(model, X, LABELS[labels](y)), X)


def test_boolean_labels() -> None:
    X, y = table("breast_cancer")
    assert_equal_to_plain(fitted(lm.RidgeClassifier(), X, y.astype(bool)), X)


def test_many_classes_and_constant_columns() -> None:
    X, y = table("digits")
    assert_equal_to_plain(fitted(make_pipeline(StandardScaler(), LinearSVC()), X, y), X)
    whitened = make_pipeline(PCA(40, whiten=True), lm.LogisticRegression())
    assert_equal_to_plain(fitted(whitened, X, y), X)


@pytest.mark.parametrize("targets", ["one", "one column", "three"])
@pytest.mark.parametrize("model", REGRESSORS, ids=repr)
def test_regressors(model: Any, targets: str) -> None:
    X, y = table("diabetes")
    several = {"one": y, "one column": y[:, None], "three": np.c_[y, -y, X[:, 0] + y]}[targets]
    try:
        plain = fitted(model, X, several)
    except ValueError:
        assert targets == "three"  # of those that take one target only
        return
    assert_equal_to_plain(plain, X)


@pytest.mark.parametrize(
    "model",
    [lm.MultiTaskLasso(), lm.MultiTaskElasticNet(), lm.MultiTaskLassoCV(cv=2)],
    ids=repr,
)
def test_regressors_of_several_targets(model: Any) -> None:
    X, y = table("diabetes")
    assert_equal_to_plain(fitted(model, X, np.c_[y, -y]), X)
    assert_equal_to_plain(fitted(model, X, y[:, None]), X)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda step: repr(step)[:60])
def test_transformers_before_a_classifier_and_a_regressor(transformer: Any) -> None:
    X, y = table("iris")
    step = transformer if isinstance(transformer, str) else clone(transformer)
    for last in (lm.LogisticRegression(), lm.Ridge()):
        assert_equal_to_plain(fitted(Pipeline([("step", step), ("last", last)]), X, y), X)


def test_binary_support_vector_machine_with_a_linear_kernel() -> None:
    X, y = table("breast_cancer")
    X = StandardScaler().fit_transform(X)
    assert_equal_to_plain(fitted(SVC(kernel="linear"), X, y), X)


def test_sparse_coefficients() -> None:
    X, y = table("wine")
    model = fitted(make_pipeline(StandardScaler(), lm.SGDClassifier(penalty="l1")), X, y)
    dense = model.decision_function(X)
    model[-1].sparsify()
    assert close(model.decision_function(X), dense)
    assert_equal_to_plain(model, X)


def test_a_model_that_was_fitted_in_float32() -> None:
    X, y = table("wine")
    model = fitted(make_pipeline(StandardScaler(), lm.LogisticRegression()), X.astype("f4"), y)
    assert_equal_to_plain(model, X)


def test_a_search_stands_for_its_best_estimator() -> None:
    X, y = table("wine")
    search = GridSearchCV(lm.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2)
    assert_equal_to_plain(fitted(make_pipeline(StandardScaler(), search), X, y), X)


def test_pipelines_inside_pipelines() -> None:
    X, y = table("wine")
    inner = make_pipeline(PCA(5), lm.LogisticRegression())
    assert_equal_to_plain(fitted(make_pipeline(StandardScaler(), inner), X, y), X)


@pytest.mark.parametrize("columns", [["c", "a"], slice("a", "b"), "numbers"])
def test_columns_by_name(columns: Any) -> None:
    X, y = table("iris")
    frame = pd.DataFrame(X, columns=list("abcd"))
    if columns == "numbers":
        columns = make_column_selector(pattern="[bd]")
    split = ColumnTransformer([("some", StandardScaler(), columns)], remainder=MinMaxScaler())
    model = fitted(make_pipeline(split, lm.LogisticRegression()), frame, y)
    assert import_sklearn(model).input.names == ("a", "b", "c", "d")
    assert_equal_to_plain(model, frame)


@pytest.mark.parametrize("transformer", TRANSFORMERS, ids=lambda step: repr(step)[:60])
def test_what_is_affine_stays_secret(transformer: Any) -> None:
    X, y = table("iris")
    step = transformer if isinstance(transformer, str) else clone(transformer)
    graph = import_sklearn(fitted(Pipeline([("step", step), ("last", lm.Ridge())]), X, y))
    assert is_affine(graph)
    assert fold_affine(graph).weights.shape == (1, graph.features.width)
    told = " ".join(graph.features.sentences(graph.input.column_labels()))
    imputed = "SimpleImputer" in repr(step)
    assert ("public" in told) == (imputed or "does not look at" in told)


def test_a_selection_of_columns_stays_secret() -> None:
    X, y = table("iris")
    graph = import_sklearn(fitted(make_pipeline(SelectKBest(k=1), lm.Ridge()), X, y))
    assert graph.features == Features.plain(4)
