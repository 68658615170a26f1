"""Linear models at the end of a scikit-learn model."""

from __future__ import annotations

from typing import Any

import numpy as np

from strongroom.models.links import Link
from strongroom.models.sklearn_outputs import (
    Predictor,
    Scores,
    classification,
    linear,
    matrix,
    regression,
)
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import class_name, refused
from strongroom.models.sklearn_tables import Projected, Scaled, Table, joined, width

REGRESSORS = frozenset(
    {
        "ARDRegression",
        "BayesianRidge",
        "CCA",
        "ElasticNet",
        "ElasticNetCV",
        "GammaRegressor",
        "HuberRegressor",
        "Lars",
        "LarsCV",
        "Lasso",
        "LassoCV",
        "LassoLars",
        "LassoLarsCV",
        "LassoLarsIC",
        "LinearRegression",
        "LinearSVR",
        "MultiTaskElasticNet",
        "MultiTaskElasticNetCV",
        "MultiTaskLasso",
        "MultiTaskLassoCV",
        "OrthogonalMatchingPursuit",
        "OrthogonalMatchingPursuitCV",
        "PLSCanonical",
        "PLSRegression",
        "PassiveAggressiveRegressor",
        "PoissonRegressor",
        "QuantileRegressor",
        "Ridge",
        "RidgeCV",
        "SGDRegressor",
        "TheilSenRegressor",
        "TweedieRegressor",
    }
)
CLASSIFIERS = frozenset(
    {
        "LinearDiscriminantAnalysis",
        "LinearSVC",
        "LogisticRegression",
        "LogisticRegressionCV",
        "PassiveAggressiveClassifier",
        "Perceptron",
        "RidgeClassifier",
        "RidgeClassifierCV",
        "SGDClassifier",
    }
)


def _regressor(step: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    name = class_name(estimator)
    coefficients = matrix(step, estimator, estimator.coef_)
    scores: Table = linear(step, estimator, table, coefficients, estimator.intercept_)
    if name in ("CCA", "PLSCanonical", "PLSRegression"):
        # their coefficients are of centred columns
        centred = Scaled(table, subtract=np.asarray(estimator._x_mean, dtype=np.float64))
        scores = linear(step, estimator, centred, coefficients, estimator.intercept_)
        flat = bool(getattr(estimator, "_predict_1d", False))
    else:
        flat = np.ndim(estimator.coef_) == 1
    link: Link = "identity"
    if name in ("GammaRegressor", "PoissonRegressor") or (
        name == "TweedieRegressor"
        and (estimator.link == "log" or (estimator.link == "auto" and estimator.power > 0))
    ):
        link = "exp"
    return Scores(scores, regression(len(coefficients), flat=flat, link=link))


def _classifier(step: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    coefficients = matrix(step, estimator, estimator.coef_)
    output = classification(step, estimator, len(coefficients), _link(step, estimator))
    return Scores(linear(step, estimator, table, coefficients, estimator.intercept_), output)


def _link(step: str, estimator: Any) -> Link:
    """The link behind the classifier's `predict_proba`; "identity" where it has none."""
    binary = len(estimator.classes_) == 2
    name = class_name(estimator)
    if name in ("LogisticRegression", "LogisticRegressionCV"):
        # scikit-learn before 1.8 could be told to combine binary models instead
        if getattr(estimator, "multi_class", "deprecated") not in ("auto", "deprecated"):
            raise refused(step, estimator, " with multi_class", "Use OneVsRestClassifier")
        if estimator.solver == "liblinear" and not binary:
            raise refused(
                step, estimator, "(solver='liblinear') of several classes", "Use another solver"
            )
        return "logistic" if binary else "softmax"
    if name == "LinearDiscriminantAnalysis":
        return "logistic" if binary else "softmax"
    if name == "SGDClassifier" and estimator.loss == "log_loss":
        return "logistic" if binary else "ovr_logistic"
    if name == "SGDClassifier" and estimator.loss == "modified_huber":
        return "modified_huber"
    if name.startswith("RidgeClassifier") and np.ndim(estimator.coef_) == 2:
        kind = estimator._label_binarizer.y_type_
        if kind.startswith("multilabel"):
            raise refused(step, estimator, " with several labels a row", "Train one model a label")
    return "identity"


def _one_class(step: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    """SGDOneClassSVM: whether a row is like those in training, 1, or not, -1."""
    scores = linear(
        step, estimator, table, matrix(step, estimator, estimator.coef_), -estimator.offset_
    )
    classes = np.array([-1, 1], dtype=np.int32)
    return Scores(scores, classification(step, estimator, 1, "identity", classes=classes))


def one_vs_rest(step: str, estimator: Any, table: Table, inner: list[Scores]) -> Scores:
    """OneVsRestClassifier: its estimators' scores side by side.

    Args:
        inner: what each of its binary classifiers makes of the table.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    if estimator.multilabel_:
        raise refused(step, estimator, " with several labels a row", "Train one model a label")
    if any(len(one.output.classes) != 2 or one.output.outputs != 1 for one in inner):
        raise refused(step, estimator, " of classifiers with a score a class")
    links = {one.output.link for one in inner}
    link: Link
    if links == {"identity"}:
        link = "identity"
    elif links == {"logistic"}:
        link = "logistic" if len(inner) == 1 else "ovr_logistic_or_zero"
    else:
        raise refused(step, estimator, " of estimators with modified Huber loss", "Use log_loss")
    output = classification(
        step,
        estimator,
        len(inner),
        link,
        decision_function=all("decision_function" in one.output.methods for one in inner),
    )
    return Scores(side_by_side([one.table for one in inner]), output)


def one_vs_one(step: str, estimator: Any, table: Table, inner: list[Scores]) -> Scores:
    """OneVsOneClassifier: its estimators' scores side by side.

    Args:
        inner: as in `one_vs_rest`; they are positive for the second class of their pair.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    if len(estimator.classes_) < 3:
        raise refused(step, estimator, " of two classes", "Protect the classifier inside it")
    if any("decision_function" not in one.output.methods for one in inner):
        raise refused(step, estimator, " of classifiers without decision_function")
    scores = Scaled(side_by_side([one.table for one in inner]), multiply=np.full(len(inner), -1.0))
    output = classification(step, estimator, len(inner), "identity", pairs="ovr_break_ties")
    return Scores(scores, output)


def side_by_side(tables: list[Table]) -> Table:
    """Tables side by side; as one matrix where all are linear in one table."""
    first = tables[0]
    same = [
        one
        for one in tables
        if isinstance(one, Projected) and isinstance(first, Projected) and one.inner is first.inner
    ]
    if len(same) != len(tables) or not isinstance(first, Projected):
        return joined(tables)
    offsets = [np.zeros(width(one)) if one.offset is None else one.offset for one in same]
    return Projected(first.inner, np.hstack([one.matrix for one in same]), np.concatenate(offsets))


LINEAR: dict[str, Predictor] = {
    **dict.fromkeys(REGRESSORS, _regressor),
    **dict.fromkeys(CLASSIFIERS, _classifier),
    "SGDOneClassSVM": _one_class,
}
"""Linear predictors by class."""
