"""Links: from raw scores to probabilities, as scikit-learn computes them.

Sources: `scikit-learn/linear_model/_base.py` (`_predict_proba_lr`), `_logistic.py`,
`_stochastic_gradient.py` (Zhang 2002, appendix B, for modified Huber) and `multiclass.py`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal[
    "identity", "logistic", "softmax", "ovr_logistic", "ovr_logistic_or_zero", "modified_huber"
]
"""identity: no probabilities. logistic: one score, two classes. softmax: one score a class.
ovr_logistic: one logistic a class, divided by their sum; where all are zero every class gets the
same. ovr_logistic_or_zero: the same, but zeros stay zeros (OneVsRestClassifier, ONNX Normalizer).
modified_huber: clipped scores, one or one a class."""


def probabilities(link: Link, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities, shape (n, classes), from scores of shape (n, outputs).

    Raises:
        ValueError: the link is "identity", which has no probabilities.
    """
    match link:
        case "logistic":
            return _two_classes(_logistic(scores[:, 0]))
        case "softmax":
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            return np.asarray(powers / powers.sum(axis=1, keepdims=True))
        case "ovr_logistic":
            return _normalised(_logistic(scores), fill_zeros=True)
        case "ovr_logistic_or_zero":
            return _normalised(_logistic(scores), fill_zeros=False)
        case "modified_huber":
            clipped = (np.clip(scores, -1.0, 1.0) + 1.0) / 2.0
            if scores.shape[1] == 1:
                return _two_classes(clipped[:, 0])
            return _normalised(clipped, fill_zeros=True)
        case _:
            raise ValueError(f"the link {link!r} has no probabilities")


def _logistic(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    # exp of a negative number never overflows; both branches share it
    power = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1.0, power) / (1.0 + power))


def _two_classes(positive: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([1.0 - positive, positive], axis=1)


def _normalised(values: NDArray[np.float64], fill_zeros: bool) -> NDArray[np.float64]:
    sums = values.sum(axis=1, keepdims=True)
    zero = sums == 0
    if fill_zeros:
        values = np.where(zero, 1.0, values)
        sums = np.where(zero, float(values.shape[1]), sums)
    else:
        sums = np.where(zero, 1.0, sums)
    return np.asarray(values / sums)
