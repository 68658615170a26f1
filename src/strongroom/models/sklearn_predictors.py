"""The last step of a scikit-learn model: its coefficients, and what it makes of scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError, PolicyError
from strongroom.models.links import Link
from strongroom.models.output import Method, OutputSpec
from strongroom.models.sklearn_refusals import class_name, placed, refused

REGRESSORS = frozenset(
    {
        "ARDRegression",
        "BayesianRidge",
        "ElasticNet",
        "ElasticNetCV",
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
        "PassiveAggressiveRegressor",
        "QuantileRegressor",
        "Ridge",
        "RidgeCV",
        "SGDRegressor",
        "SVR",
        "TheilSenRegressor",
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
        "SVC",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """A fitted linear predictor: scores = X @ coefficients.T + intercepts.

    Attributes:
        coefficients: shape (outputs, columns), float64.
        intercepts: shape (outputs,), float64.
        output: how scores become predictions.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    output: OutputSpec


def linear_predictor(step: str, estimator: Any) -> Predictor:
    """Read a fitted scikit-learn regressor or classifier.

    Args:
        step: where it is in the pipeline, for messages.
        estimator: fitted; of a class in `REGRESSORS`, `CLASSIFIERS`, or OneVsRestClassifier.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, SR-MODEL-VALUES.
    """
    name = class_name(estimator)
    if name == "OneVsRestClassifier":
        return _one_vs_rest(step, estimator)
    if name not in REGRESSORS and name not in CLASSIFIERS:
        raise refused(step, estimator)
    if name in ("SVC", "SVR") and estimator.kernel != "linear":
        raise refused(step, estimator, " with a kernel that is not linear")
    coefficients = _matrix(step, estimator, estimator.coef_)
    if name in REGRESSORS:
        flat = name == "SVR" or np.ndim(estimator.coef_) == 1
        return _regressor(step, estimator, coefficients, flat)
    link = _link(step, estimator)
    return _classifier(step, estimator, coefficients, estimator.intercept_, link)


def _regressor(
    step: str, estimator: Any, coefficients: NDArray[np.float64], flat: bool
) -> Predictor:
    output = OutputSpec(
        task="regression",
        link="identity",
        outputs=len(coefficients),
        classes=(),
        label_dtype="<f8",
        flat=flat,
        methods=("predict",),
    )
    return Predictor(
        coefficients, _intercepts(step, estimator, estimator.intercept_, coefficients), output
    )


def _classifier(
    step: str, estimator: Any, coefficients: NDArray[np.float64], intercepts: Any, link: Link
) -> Predictor:
    classes = estimator.classes_
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise refused(step, estimator, " with several targets", "Train one classifier a target")
    methods: tuple[Method, ...] = ("predict", "predict_proba", "decision_function")
    if link == "identity":
        methods = ("predict", "decision_function")
    try:
        output = OutputSpec(
            task="classification",
            link=link,
            outputs=len(coefficients),
            classes=tuple(classes.tolist()),
            label_dtype=classes.dtype.str,
            flat=False,
            methods=methods,
        )
    except PolicyError as error:
        raise refused(
            step,
            estimator,
            f" with {len(classes)} labels of dtype {classes.dtype}",
            "Train with labels that are booleans, numbers or texts, at least two different ones",
        ) from error
    return Predictor(coefficients, _intercepts(step, estimator, intercepts, coefficients), output)


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
    if name == "SVC":
        if not binary:
            raise refused(step, estimator, " with several classes, one against one")
        if estimator.probability not in (False, "deprecated"):
            raise refused(step, estimator, "(probability=True)")
    if name.startswith("RidgeClassifier") and np.ndim(estimator.coef_) == 2:
        kind = estimator._label_binarizer.y_type_
        if kind.startswith("multilabel"):
            raise refused(step, estimator, " with several labels a row", "Train one model a label")
    return "identity"


def _one_vs_rest(step: str, estimator: Any) -> Predictor:
    """OneVsRestClassifier: its estimators' coefficients, one below the other."""
    if estimator.multilabel_:
        raise refused(step, estimator, " with several labels a row", "Train one model a label")
    inner = []
    for one in estimator.estimators_:
        if class_name(one) not in CLASSIFIERS:
            raise refused(f"{step}/estimator".strip("/"), one)
        inner.append(linear_predictor(f"{step}/estimator".strip("/"), one))
    links = {predictor.output.link for predictor in inner}
    link: Link
    if links == {"identity"}:
        link = "identity"
    elif links == {"logistic"}:
        link = "logistic" if len(inner) == 1 else "ovr_logistic_or_zero"
    else:
        raise refused(step, estimator, " of estimators with modified Huber loss", "Use log_loss")
    coefficients = np.concatenate([predictor.coefficients for predictor in inner])
    intercepts = np.concatenate([predictor.intercepts for predictor in inner])
    return _classifier(step, estimator, coefficients, intercepts, link)


def _matrix(step: str, estimator: Any, coefficients: Any) -> NDArray[np.float64]:
    """`coef_`, dense or sparse, as an array of shape (outputs, columns)."""
    dense = coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients
    try:
        matrix = np.atleast_2d(np.asarray(dense, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise _misfit(step, estimator) from error
    if matrix.ndim != 2 or matrix.size == 0:
        raise _misfit(step, estimator)
    return matrix


def _intercepts(
    step: str, estimator: Any, intercepts: Any, coefficients: NDArray[np.float64]
) -> NDArray[np.float64]:
    try:
        row = np.asarray(intercepts, dtype=np.float64).reshape(-1)
        return np.array(np.broadcast_to(row, len(coefficients)))
    except (TypeError, ValueError) as error:
        raise _misfit(step, estimator) from error


def _misfit(step: str, estimator: Any) -> ModelError:
    return ModelError(
        "SR-MODEL-VALUES",
        f"{placed(step, estimator)} has coefficients that don't fit together",
        "Fit the model again",
    )
