"""Each supported transformer of scikit-learn before a linear model, and whole pipelines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn import (
    compose,
    decomposition,
    discriminant_analysis,
    feature_selection,
    impute,
    kernel_approximation,
    linear_model,
    model_selection,
    pipeline,
    preprocessing,
    random_projection,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  makes two classes known
from sklearn_data import SEED
from sklearn_models import Case, scaled
from xgboost import XGBClassifier


def _linear() -> Any:
    return linear_model.LogisticRegression(max_iter=1000)


def step_cases() -> Iterator[Case]:
    """Transformers of tables of numbers, each before a logistic regression."""
    transformers = [
        decomposition.FactorAnalysis(5, random_state=SEED),
        decomposition.FastICA(5, random_state=SEED),
        decomposition.IncrementalPCA(5),
        decomposition.PCA(5, whiten=True),
        decomposition.TruncatedSVD(5, random_state=SEED),
        discriminant_analysis.LinearDiscriminantAnalysis(),
        feature_selection.GenericUnivariateSelect(mode="k_best", param=5),
        feature_selection.RFE(_linear(), n_features_to_select=5),
        feature_selection.RFECV(_linear(), min_features_to_select=5),
        feature_selection.SelectFdr(),
        feature_selection.SelectFpr(),
        feature_selection.SelectFromModel(_linear()),
        feature_selection.SelectFwe(),
        feature_selection.SelectKBest(k=5),
        feature_selection.SelectPercentile(percentile=50),
        feature_selection.SequentialFeatureSelector(_linear(), n_features_to_select=3),
        feature_selection.VarianceThreshold(),
        preprocessing.Binarizer(),
        preprocessing.FunctionTransformer(np.exp),
        preprocessing.KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
        preprocessing.MaxAbsScaler(),
        preprocessing.MinMaxScaler(),
        preprocessing.Normalizer(),
        preprocessing.PolynomialFeatures(2),
        preprocessing.PowerTransformer(),
        preprocessing.RobustScaler(),
        random_projection.GaussianRandomProjection(5, random_state=SEED),
        random_projection.SparseRandomProjection(8, dense_output=True, random_state=SEED),
    ]
    for transformer in transformers:
        name = type(transformer).__name__
        yield Case("steps", name, "wine", scaled(pipeline.make_pipeline(transformer, _linear())))
    for transformer in [
        decomposition.KernelPCA(5, kernel="rbf", gamma=0.02),
        kernel_approximation.Nystroem(gamma=0.02, n_components=40, random_state=SEED),
    ]:
        name = type(transformer).__name__
        yield Case("steps", name, "wine", scaled(pipeline.make_pipeline(transformer, _linear())))


def pipeline_cases() -> Iterator[Case]:
    """Searches, and whole pipelines on a table with text and holes."""
    grid = {"C": [0.1, 1.0]}
    for search in [
        model_selection.GridSearchCV(_linear(), grid),
        model_selection.RandomizedSearchCV(_linear(), grid, n_iter=2, random_state=SEED),
        model_selection.HalvingGridSearchCV(_linear(), grid, random_state=SEED),
        model_selection.HalvingRandomSearchCV(_linear(), grid, random_state=SEED),
    ]:
        yield Case("pipelines", type(search).__name__, "wine", scaled(search))
    one_hot = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    boosted = XGBClassifier(n_estimators=20, max_depth=4, random_state=SEED)
    union = pipeline.FeatureUnion(
        [("targets", preprocessing.TargetEncoder(random_state=SEED)), ("bits", one_hot)]
    )
    for name, kinds, last in [
        ("OneHotEncoder, linear", one_hot, _linear()),
        ("OneHotEncoder, XGBClassifier", one_hot, boosted),
        ("OrdinalEncoder, linear", preprocessing.OrdinalEncoder(), _linear()),
        ("FeatureUnion, TargetEncoder", union, _linear()),
    ]:
        whole = pipeline.make_pipeline(_columns(kinds), last)
        yield Case("pipelines", name, "mixed wine", whole)


def _columns(kinds: Any) -> Any:
    """Numbers are imputed and scaled, texts encoded, and what was missing is told."""
    numbers = compose.make_column_selector(dtype_include=np.number)
    texts = compose.make_column_selector(dtype_exclude=np.number)
    filled = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler()
    )
    return compose.ColumnTransformer(
        [
            ("numbers", filled, numbers),
            ("missing", impute.MissingIndicator(features="all"), numbers),
            ("kinds", kinds, texts),
        ]
    )
