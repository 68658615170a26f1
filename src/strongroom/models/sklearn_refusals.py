"""Refusing scikit-learn estimators: one line that names step and class and says what to use."""

from __future__ import annotations

from typing import Any

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.rows import shown

REPLACEMENTS = {
    "AgglomerativeClustering": "Use a classifier",
    "BernoulliRBM": "Use PCA",
    "CalibratedClassifierCV": "Protect the classifier inside it",
    "GaussianProcessClassifier": "Use SVC with the kernel 'rbf'",
    "IterativeImputer": "Use SimpleImputer",
    "KNNImputer": "Use SimpleImputer",
    "KNeighborsClassifier": "Use SVC with the kernel 'rbf', or a forest",
    "KNeighborsRegressor": "Use SVR with the kernel 'rbf', or a forest",
    "KernelCenterer": "Use a linear model without it",
    "LabelEncoder": "Use OrdinalEncoder: LabelEncoder is for targets",
    "MultiOutputClassifier": "Protect one classifier a target",
    "NMF": "Use PCA",
    "QuantileTransformer": "Use PowerTransformer or KBinsDiscretizer",
    "RANSACRegressor": "Protect its estimator_",
    "RBFSampler": "Use Nystroem",
    "SVC": "Use the kernel 'rbf', 'poly', 'sigmoid' or 'linear'",
    "SVR": "Use the kernel 'rbf', 'poly', 'sigmoid' or 'linear'",
    "SplineTransformer": "Use PolynomialFeatures or KBinsDiscretizer",
    "StackingClassifier": "Protect one of the classifiers inside it",
    "StackingRegressor": "Protect one of the regressors inside it",
    "TransformedTargetRegressor": "Protect the regressor inside it",
    "VotingClassifier": "Protect one of the classifiers inside it",
}
"""What could stand in an unsupported estimator's place, where there is more to say than that
a linear model or an affine step could."""


def class_name(estimator: Any) -> str:
    """The class of an estimator, as far as it is scikit-learn's own; a subclass elsewhere may
    compute anything, so it never counts as the class that it extends."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def below(step: str, name: str) -> str:
    """Where a step inside a step is, for messages."""
    return f"{step}/{name}" if step else str(name)


def check_fitted(step: str, estimator: Any) -> None:
    """Raise ModelError SR-MODEL-UNFITTED unless the estimator has been fitted."""
    not_fitted = extra("sklearn.exceptions").NotFittedError
    try:
        extra("sklearn.utils.validation").check_is_fitted(estimator)
    except not_fitted as error:
        raise ModelError(
            "SR-MODEL-UNFITTED",
            f"{placed(step, estimator)} has not been fitted",
            "Call fit before protecting the model",
        ) from error


def check_width(step: str, estimator: Any, columns: int) -> None:
    """Raise ModelError SR-MODEL-VALUES unless the estimator was fitted on so many columns."""
    check_columns(step, estimator, getattr(estimator, "n_features_in_", columns), columns)


def check_columns(step: str, estimator: Any, expected: int, columns: int) -> None:
    """Raise ModelError SR-MODEL-VALUES unless the estimator gets the columns that it expects."""
    if expected != columns:
        raise ModelError(
            "SR-MODEL-VALUES",
            f"{placed(step, estimator)} takes {expected} columns, but gets {columns}",
            "Fit the whole model again",
        )


def placed(step: str, estimator: Any, how: str = "") -> str:
    """How a message names an estimator: "step 'clf': RandomForestClassifier"."""
    name = type(estimator).__name__[:60]
    return f"step {shown(step)}: {name}{how}" if step else f"{name}{how}"


def refused(step: str, estimator: Any, how: str = "", remedy: str = "") -> ModelError:
    """The error for an estimator that can't run protected.

    Args:
        step: names of the pipeline's steps down to it, joined by slashes; empty at the top.
        estimator: the estimator.
        how: the option that is the reason, "(clip=True)".
        remedy: what to do, where the table of replacements doesn't say it.
    """
    transformer = hasattr(estimator, "transform") and not hasattr(estimator, "predict")
    usual = (
        "Use a scaler, an encoder, PCA or PolynomialFeatures instead"
        if transformer
        else "Use a linear model, a forest or boosted trees, an SVM or an MLP"
    )
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"{placed(step, estimator, how)} can't be run encrypted",
        remedy or REPLACEMENTS.get(type(estimator).__name__, usual),
    )
