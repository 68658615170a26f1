"""Alerts: decided where the answers are decrypted, judged by what turned out to be fraud."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score


def alerts(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    """Which transactions an analyst shall look at, shape (n,)."""
    return np.asarray(probabilities >= threshold)


def figures(
    labels: NDArray[Any], probabilities: NDArray[np.float64], threshold: float
) -> dict[str, float | None]:
    """What a fraud team judges by.

    Args:
        labels: 1 for fraud, shape (n,).
        probabilities: of fraud, shape (n,).
        threshold: of an alert.
    """
    fraud, called = labels == 1, alerts(probabilities, threshold)
    both = 0 < fraud.sum() < len(fraud)
    return {
        "share of transactions with an alert": float(np.mean(called)),
        "precision (alerts that were fraud)": float(fraud[called].mean()) if called.any() else None,
        "recall (fraud with an alert)": float(called[fraud].mean()) if fraud.any() else None,
        "area under the ROC curve": float(roc_auc_score(fraud, probabilities)) if both else None,
        "average precision": (
            float(average_precision_score(fraud, probabilities)) if both else None
        ),
    }
