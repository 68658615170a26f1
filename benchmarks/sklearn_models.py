"""One of each supported estimator, on a data set of scikit-learn, with its training and held-out
rows: linear models and trees here, the others in the rooms beside. Sizes are those of a first
model, not of a record."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from catboost import CatBoostClassifier, CatBoostRanker, CatBoostRegressor
from lightgbm import LGBMClassifier, LGBMRanker, LGBMRegressor
from sklearn import (
    cross_decomposition,
    discriminant_analysis,
    ensemble,
    linear_model,
    multiclass,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from sklearn_data import SEED, Split
from xgboost import XGBClassifier, XGBRanker, XGBRegressor, XGBRFClassifier, XGBRFRegressor


@dataclass(frozen=True)
class Case:
    """An estimator to train on a data set.

    Attributes:
        family: cases of one family are served together.
        name: of the row in the table.
        data: name of the data set, one of `DATA`.
        estimator: unfitted.
        minimum_agreement: that the policy demands; not every network of ReLUs reaches the default.
    """

    family: str
    name: str
    data: str
    estimator: Any
    minimum_agreement: float = 0.999

    @property
    def classifies(self) -> bool:
        """Whether predictions are labels."""
        return "diabetes" not in self.data

    def fit(self, split: Split) -> Any:
        """The estimator, fitted."""
        rows, targets = split.training_rows, split.training_targets
        options: dict[str, Any] = {}
        if isinstance(self.estimator, XGBRanker | LGBMRanker):
            options = {"group": [len(rows)]}
        elif isinstance(self.estimator, CatBoostRanker):
            options = {"group_id": np.zeros(len(rows), dtype=np.int64)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of few iterations, and of what will be deprecated
            return self.estimator.fit(rows, targets, **options)


def scaled(estimator: Any) -> Any:
    """A pipeline that scales before the estimator."""
    return pipeline.make_pipeline(preprocessing.StandardScaler(), estimator)


def linear_cases() -> Iterator[Case]:
    """Linear models."""
    by_data = {
        "diabetes": [
            linear_model.ARDRegression(),
            linear_model.BayesianRidge(),
            linear_model.ElasticNet(),
            linear_model.ElasticNetCV(),
            linear_model.GammaRegressor(),
            linear_model.HuberRegressor(),
            linear_model.Lars(),
            linear_model.LarsCV(),
            linear_model.Lasso(),
            linear_model.LassoCV(),
            linear_model.LassoLars(),
            linear_model.LassoLarsCV(),
            linear_model.LassoLarsIC(),
            linear_model.LinearRegression(),
            linear_model.OrthogonalMatchingPursuit(),
            linear_model.OrthogonalMatchingPursuitCV(),
            linear_model.PassiveAggressiveRegressor(random_state=SEED),
            linear_model.PoissonRegressor(),
            linear_model.QuantileRegressor(alpha=0.01),
            linear_model.Ridge(),
            linear_model.RidgeCV(),
            linear_model.SGDRegressor(random_state=SEED),
            linear_model.TheilSenRegressor(random_state=SEED),
            linear_model.TweedieRegressor(power=1.5),
            svm.LinearSVR(random_state=SEED),
        ],
        "two of diabetes": [
            cross_decomposition.CCA(),
            cross_decomposition.PLSCanonical(),
            cross_decomposition.PLSRegression(),
            linear_model.MultiTaskElasticNet(),
            linear_model.MultiTaskElasticNetCV(),
            linear_model.MultiTaskLasso(),
            linear_model.MultiTaskLassoCV(),
        ],
        "breast cancer": [
            discriminant_analysis.LinearDiscriminantAnalysis(),
            linear_model.LogisticRegression(),
            linear_model.LogisticRegressionCV(),
            linear_model.PassiveAggressiveClassifier(random_state=SEED),
            linear_model.Perceptron(random_state=SEED),
            linear_model.RidgeClassifier(),
            linear_model.RidgeClassifierCV(),
            linear_model.SGDClassifier(random_state=SEED),
            linear_model.SGDOneClassSVM(random_state=SEED),
            svm.LinearSVC(random_state=SEED),
        ],
        "wine": [
            multiclass.OneVsOneClassifier(linear_model.LogisticRegression()),
            multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
        ],
    }
    for data, estimators in by_data.items():
        for estimator in estimators:
            yield Case("linear", type(estimator).__name__, data, scaled(estimator))


def tree_cases() -> Iterator[Case]:
    """Single trees, and ensembles of trees that do not know of each other."""
    one = {"max_depth": 5, "random_state": SEED}
    many = {"n_estimators": 20, **one}
    for data, estimator in [
        ("wine", tree.DecisionTreeClassifier(**one)),
        ("diabetes", tree.DecisionTreeRegressor(**one)),
        ("wine", tree.ExtraTreeClassifier(**one)),
        ("diabetes", tree.ExtraTreeRegressor(**one)),
        ("breast cancer", ensemble.RandomForestClassifier(**many)),
        ("diabetes", ensemble.RandomForestRegressor(**many)),
        ("breast cancer", ensemble.ExtraTreesClassifier(**many)),
        ("diabetes", ensemble.ExtraTreesRegressor(**many)),
        (
            "breast cancer",
            ensemble.BaggingClassifier(tree.DecisionTreeClassifier(max_depth=5), random_state=SEED),
        ),
        (
            "diabetes",
            ensemble.BaggingRegressor(tree.DecisionTreeRegressor(max_depth=5), random_state=SEED),
        ),
        (
            "breast cancer",
            ensemble.IsolationForest(n_estimators=20, max_samples=64, random_state=SEED),
        ),
        ("wine", XGBRFClassifier(**many)),
        ("diabetes", XGBRFRegressor(**many)),
    ]:
        yield Case("trees", type(estimator).__name__, data, estimator)


def boosted_cases() -> Iterator[Case]:
    """Trees that mend each other."""
    few: dict[str, Any] = {"n_estimators": 20, "max_depth": 4, "random_state": SEED}
    bins: dict[str, Any] = {"max_iter": 20, "max_leaf_nodes": 15, "random_state": SEED}
    cat: dict[str, Any] = {**few, "verbose": False, "allow_writing_files": False}
    quiet: dict[str, Any] = {**few, "verbose": -1}
    for data, estimator in [
        ("breast cancer", ensemble.GradientBoostingClassifier(n_estimators=30, random_state=SEED)),
        ("diabetes", ensemble.GradientBoostingRegressor(n_estimators=30, random_state=SEED)),
        ("wine", ensemble.HistGradientBoostingClassifier(**bins)),
        ("diabetes", ensemble.HistGradientBoostingRegressor(**bins)),
        ("breast cancer", ensemble.AdaBoostClassifier(n_estimators=20, random_state=SEED)),
        ("wine", XGBClassifier(**few)),
        ("diabetes", XGBRegressor(**few)),
        ("ranked diabetes", XGBRanker(**few)),
        ("wine", LGBMClassifier(**quiet)),
        ("diabetes", LGBMRegressor(**quiet)),
        ("ranked diabetes", LGBMRanker(**quiet)),
        ("breast cancer", CatBoostClassifier(**cat)),
        ("diabetes", CatBoostRegressor(**cat)),
        ("ranked diabetes", CatBoostRanker(**cat)),
    ]:
        yield Case("boosted", type(estimator).__name__, data, estimator)
