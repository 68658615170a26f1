"""Refusing scikit-learn estimators: one line that names step and class and says what to use."""

from __future__ import annotations

from typing import Any

from strongroom.errors import ModelError
from strongroom.models.rows import shown

ENCODE_BEFORE = "Do this step before asking, and train the model on its results as columns"
REPLACEMENTS = {
    "PolynomialFeatures": ENCODE_BEFORE,
    "SplineTransformer": ENCODE_BEFORE,
    "OneHotEncoder": ENCODE_BEFORE,
    "OrdinalEncoder": ENCODE_BEFORE,
    "TargetEncoder": ENCODE_BEFORE,
    "KBinsDiscretizer": ENCODE_BEFORE,
    "Binarizer": ENCODE_BEFORE,
    "Normalizer": "It divides by the length of each row; use StandardScaler",
    "PowerTransformer": "Use RobustScaler",
    "QuantileTransformer": "Use RobustScaler",
    "KernelPCA": "Use PCA",
    "FastICA": "Use PCA",
    "KNNImputer": "Fill in missing values before asking",
    "IterativeImputer": "Fill in missing values before asking",
    "CalibratedClassifierCV": "Protect the classifier inside it",
    "TransformedTargetRegressor": "Protect the regressor inside it",
    "RANSACRegressor": "Protect its estimator_",
    "SVC": "Use LinearSVC, or LogisticRegression for probabilities",
    "SVR": "Use LinearSVR",
}
"""What could stand in an unsupported estimator's place, where there is more to say than that
a linear model or an affine step could."""


def class_name(estimator: Any) -> str:
    """The class of an estimator, as far as it is scikit-learn's own; a subclass elsewhere may
    compute anything, so it never counts as the class that it extends."""
    kind = type(estimator)
    return kind.__name__ if kind.__module__.partition(".")[0] == "sklearn" else ""


def placed(step: str, estimator: Any, how: str = "") -> str:
    """How a message names an estimator: "step 'clf': RandomForestClassifier"."""
    name = type(estimator).__name__[:60]
    return f"step {shown(step)}: {name}{how}" if step else f"{name}{how}"


def refused(step: str, estimator: Any, how: str = "", remedy: str = "") -> ModelError:
    """The error for an estimator that a linear model can't hold.

    Args:
        step: names of the pipeline's steps down to it, joined by slashes; empty at the top.
        estimator: the estimator.
        how: the option that is the reason, "(clip=True)".
        remedy: what to do, where the table of replacements doesn't say it.
    """
    transformer = hasattr(estimator, "transform") and not hasattr(estimator, "predict")
    usual = (
        "Use StandardScaler, PCA or another affine step instead"
        if transformer
        else "Use a linear model such as LogisticRegression or Ridge"
    )
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"{placed(step, estimator, how)} can't be run encrypted",
        remedy or REPLACEMENTS.get(type(estimator).__name__, usual),
    )
