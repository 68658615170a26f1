"""One of each supported estimator, on a data set of scikit-learn, with its training and held-out
rows. Sizes are those of a first model, not of a record."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from catboost import CatBoostClassifier, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn import (
    compose,
    discriminant_analysis,
    ensemble,
    impute,
    linear_model,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn_data import SEED, Split
from xgboost import XGBClassifier, XGBRegressor


@dataclass(frozen=True)
class Case:
    """An estimator to train on a data set.

    Attributes:
        family: cases of one family are served together.
        name: of the row in the table.
        data: name of the data set, one of `DATA`.
        build: makes the estimator, unfitted.
    """

    family: str
    name: str
    data: str
    build: Callable[[], Any]

    @property
    def classifies(self) -> bool:
        """Whether predictions are labels."""
        return self.data not in ("diabetes", "diabetes2")

    def fit(self, split: Split) -> Any:
        """The estimator, fitted."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few iterations, and of what will be deprecated
            return self.build().fit(split.training_rows, split.training_targets)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _linear()
    yield from _trees()
    yield from _boosted()
    yield from _networks()
    yield from _kernels()
    yield from _bayes()
    yield from _pipelines()


def _scaled(estimator: Any) -> Any:
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


def _linear() -> Iterator[Case]:
    regressors: list[Callable[[], Any]] = [
        linear_model.ARDRegression,
        linear_model.BayesianRidge,
        linear_model.ElasticNet,
        linear_model.ElasticNetCV,
        linear_model.HuberRegressor,
        linear_model.Lars,
        linear_model.LarsCV,
        linear_model.Lasso,
        linear_model.LassoCV,
        linear_model.LassoLars,
        linear_model.LassoLarsCV,
        linear_model.LassoLarsIC,
        linear_model.LinearRegression,
        linear_model.OrthogonalMatchingPursuit,
        linear_model.OrthogonalMatchingPursuitCV,
        linear_model.Ridge,
        linear_model.RidgeCV,
        linear_model.SGDRegressor,
        linear_model.TheilSenRegressor,
        svm.LinearSVR,
    ]
    for kind in regressors:
        yield Case("linear", kind.__name__, "diabetes", lambda kind=kind: _scaled(kind()))
    yield Case(
        "linear",
        "QuantileRegressor",
        "diabetes",
        lambda: _scaled(linear_model.QuantileRegressor(alpha=0.01)),
    )
    several: list[Callable[[], Any]] = [
        linear_model.MultiTaskElasticNet,
        linear_model.MultiTaskElasticNetCV,
        linear_model.MultiTaskLasso,
        linear_model.MultiTaskLassoCV,
    ]
    for kind in several:
        yield Case("linear", kind.__name__, "diabetes2", lambda kind=kind: _scaled(kind()))
    classifiers: list[Callable[[], Any]] = [
        discriminant_analysis.LinearDiscriminantAnalysis,
        linear_model.LogisticRegression,
        linear_model.LogisticRegressionCV,
        linear_model.Perceptron,
        linear_model.RidgeClassifier,
        linear_model.RidgeClassifierCV,
        linear_model.SGDClassifier,
        svm.LinearSVC,
    ]
    for kind in classifiers:
        yield Case("linear", kind.__name__, "breast cancer", lambda kind=kind: _scaled(kind()))
    yield Case(
        "linear",
        "OneVsRestClassifier",
        "wine",
        lambda: _scaled(multiclass.OneVsRestClassifier(linear_model.LogisticRegression())),
    )


def _trees() -> Iterator[Case]:
    for kind, data in [
        (tree.DecisionTreeClassifier, "wine"),
        (tree.DecisionTreeRegressor, "diabetes"),
        (tree.ExtraTreeClassifier, "wine"),
        (tree.ExtraTreeRegressor, "diabetes"),
    ]:
        yield Case(
            "trees",
            kind.__name__,
            data,
            lambda kind=kind: kind(max_depth=5, random_state=SEED),
        )
    for kind, data in [
        (ensemble.RandomForestClassifier, "breast cancer"),
        (ensemble.RandomForestRegressor, "diabetes"),
        (ensemble.ExtraTreesClassifier, "breast cancer"),
        (ensemble.ExtraTreesRegressor, "diabetes"),
    ]:
        yield Case(
            "trees",
            kind.__name__,
            data,
            lambda kind=kind: kind(n_estimators=20, max_depth=5, random_state=SEED),
        )
    yield Case(
        "trees",
        "IsolationForest",
        "breast cancer",
        lambda: ensemble.IsolationForest(n_estimators=20, max_samples=64, random_state=SEED),
    )


def _boosted() -> Iterator[Case]:
    for kind, data in [
        (ensemble.GradientBoostingClassifier, "breast cancer"),
        (ensemble.GradientBoostingRegressor, "diabetes"),
    ]:
        yield Case(
            "boosted",
            kind.__name__,
            data,
            lambda kind=kind: kind(n_estimators=30, random_state=SEED),
        )
    for kind, data in [
        (ensemble.HistGradientBoostingClassifier, "wine"),
        (ensemble.HistGradientBoostingRegressor, "diabetes"),
    ]:
        yield Case(
            "boosted",
            kind.__name__,
            data,
            lambda kind=kind: kind(max_iter=20, max_leaf_nodes=15, random_state=SEED),
        )
    for kind, data in [
        (ensemble.AdaBoostClassifier, "breast cancer"),
        (XGBClassifier, "wine"),
        (XGBRegressor, "diabetes"),
        (LGBMClassifier, "wine"),
        (LGBMRegressor, "diabetes"),
        (CatBoostClassifier, "breast cancer"),
        (CatBoostRegressor, "diabetes"),
    ]:
        yield Case("boosted", kind.__name__, data, lambda kind=kind: _boosted_model(kind))


def _boosted_model(kind: Any) -> Any:
    options: dict[str, Any] = {"n_estimators": 20, "random_state": SEED}
    if kind is not ensemble.AdaBoostClassifier:
        options["max_depth"] = 4
    if kind in (LGBMClassifier, LGBMRegressor):
        options["verbose"] = -1
    if kind in (CatBoostClassifier, CatBoostRegressor):
        options |= {"verbose": False, "allow_writing_files": False}
    return kind(**options)


def _networks() -> Iterator[Case]:
    for activation in ("relu", "tanh", "logistic"):
        yield Case(
            "networks",
            f"MLPClassifier {activation}",
            "digits",
            lambda activation=activation: _scaled(
                neural_network.MLPClassifier(
                    (32,), activation=activation, max_iter=100, random_state=SEED
                )
            ),
        )
    yield Case(
        "networks",
        "MLPRegressor",
        "diabetes",
        lambda: _scaled(
            neural_network.MLPRegressor(
                hidden_layer_sizes=(16, 16), max_iter=300, alpha=1.0, random_state=SEED
            )
        ),
    )


def _kernels() -> Iterator[Case]:
    for kernel in ("linear", "poly", "rbf"):
        for kind, data in [
            (svm.SVC, "breast cancer"),
            (svm.NuSVC, "wine"),
            (svm.SVR, "diabetes"),
            (svm.NuSVR, "diabetes"),
        ]:
            yield Case(
                "kernels",
                f"{kind.__name__} {kernel}",
                data,
                lambda kind=kind, kernel=kernel: _scaled(_machine(kind, kernel)),
            )


def _machine(kind: Any, kernel: str) -> Any:
    machine = kind(kernel=kernel, degree=2)
    return machine.set_params(C=100.0) if kind in (svm.SVR, svm.NuSVR) else machine


def _bayes() -> Iterator[Case]:
    yield Case("bayes", "GaussianNB", "wine", naive_bayes.GaussianNB)
    yield Case("bayes", "BernoulliNB", "digits", lambda: naive_bayes.BernoulliNB(binarize=8.0))
    yield Case("bayes", "MultinomialNB", "digits", naive_bayes.MultinomialNB)
    yield Case("bayes", "ComplementNB", "digits", naive_bayes.ComplementNB)
    yield Case(
        "bayes", "CategoricalNB", "digits", lambda: naive_bayes.CategoricalNB(min_categories=17)
    )
    yield Case("bayes", "NearestCentroid", "wine", lambda: _scaled(neighbors.NearestCentroid()))
    yield Case(
        "bayes",
        "QuadraticDiscriminantAnalysis",
        "wine",
        lambda: _scaled(
            discriminant_analysis.QuadraticDiscriminantAnalysis(
                reg_param=0.1, store_covariance=True
            )
        ),
    )


def _pipelines() -> Iterator[Case]:
    yield Case(
        "pipelines",
        "PolynomialFeatures",
        "diabetes",
        lambda: pipeline.make_pipeline(
            preprocessing.StandardScaler(),
            preprocessing.PolynomialFeatures(2),
            linear_model.Ridge(10.0),
        ),
    )
    for last in (linear_model.LogisticRegression(max_iter=1000), _boosted_model(XGBClassifier)):
        yield Case(
            "pipelines",
            f"ColumnTransformer, {type(last).__name__}",
            "mixed wine",
            lambda last=last: pipeline.make_pipeline(_columns(), last),
        )


def _columns() -> Any:
    """Numbers are imputed and scaled, text is encoded."""
    numbers = pipeline.make_pipeline(
        impute.SimpleImputer(strategy="median", add_indicator=True), preprocessing.StandardScaler()
    )
    kinds = preprocessing.OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return compose.ColumnTransformer(
        [
            ("numbers", numbers, compose.make_column_selector(dtype_include=np.number)),
            ("kinds", kinds, compose.make_column_selector(dtype_exclude=np.number)),
        ]
    )
