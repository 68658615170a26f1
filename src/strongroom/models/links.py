"""Links: from raw scores to probabilities and values, as each framework computes them.

Sources: `scikit-learn/linear_model/_base.py` (`_predict_proba_lr`), `_logistic.py`,
`_stochastic_gradient.py` (Zhang 2002, appendix B, for modified Huber) and `multiclass.py`; of tree
ensembles, the objectives of XGBoost (`src/objective`), LightGBM (`src/objective`) and CatBoost.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

Link = Literal[
    "identity",
    "logistic",
    "softmax",
    "ovr_logistic",
    "ovr_logistic_or_zero",
    "modified_huber",
    "mean_probabilities",
    "logistic_each",
    "exp",
    "softplus",
    "signed_square",
]
"""identity: no probabilities. logistic: one score, two classes. softmax: one score a class.
ovr_logistic: one logistic a class, divided by their sum; where all are zero every class gets the
same. ovr_logistic_or_zero: the same, but zeros stay zeros (OneVsRestClassifier, ONNX Normalizer).
modified_huber: clipped scores, one or one a class. mean_probabilities: the scores are the
probabilities, one a class, or, of two classes, the second's less the first's; clipped to where
probabilities lie, and divided by their sum. logistic_each: one logistic a score, whatever their
sum. exp, softplus, signed_square (x * |x|): of a regressor's scores, one by one."""

Pairs = Literal["none", "ovo", "ovr", "ovr_break_ties"]
"""How scores of pairs of classes decide; pairs are in the order 01, 02, ..., 12, ..., and a
positive score votes for the first of the two. ovo: most votes win, the first class in a tie. ovr:
the same, but `decision_function` shows votes and confidences together, one number a class;
ovr_break_ties: and the largest of these wins (scikit-learn, `_ovr_decision_function`)."""

VALUE_LINKS: Final[frozenset[Link]] = frozenset(
    {"identity", "exp", "softplus", "signed_square", "logistic_each", "softmax"}
)
"""Those that a regressor can have."""

PROBABILITY_LINKS: Final[frozenset[Link]] = frozenset(
    {
        "logistic",
        "softmax",
        "ovr_logistic",
        "ovr_logistic_or_zero",
        "modified_huber",
        "mean_probabilities",
        "logistic_each",
    }
)
"""Those that make probabilities of a classifier's scores."""


def probabilities(link: Link, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities, shape (n, classes), from scores of shape (n, outputs).

    Raises:
        ValueError: the link has no probabilities.
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
        case "mean_probabilities":
            if scores.shape[1] == 1:
                return _two_classes((np.clip(scores[:, 0], -1.0, 1.0) + 1.0) / 2.0)
            return _normalised(np.clip(scores, 0.0, 1.0), fill_zeros=True)
        case "logistic_each":
            return _logistic(scores)
        case _:
            raise ValueError(f"the link {link!r} has no probabilities")


def values(link: Link, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """A regressor's values, shape (n, outputs), from scores of that shape.

    Raises:
        ValueError: the link is none of `VALUE_LINKS`.
    """
    match link:
        case "identity":
            return scores
        case "exp":
            with np.errstate(over="ignore"):
                return np.exp(scores)
        case "softplus":
            return np.logaddexp(scores, 0.0)
        case "signed_square":
            return scores * np.abs(scores)
        case "logistic_each" | "softmax":
            return probabilities(link, scores)
        case _:
            raise ValueError(f"the link {link!r} has no values")


def class_scores(scores: NDArray[np.float64], classes: int, *, sums: bool) -> NDArray[np.float64]:
    """Votes of scores of pairs of classes, shape (n, classes).

    Args:
        scores: shape (n, classes * (classes - 1) / 2), in the order of `Pairs`.
        sums: whether sums of scores, brought below a third of a vote, decide between equal votes.
    """
    first, second = np.triu_indices(classes, 1)
    pairs = np.arange(len(first))
    sides = np.zeros((len(first), classes))
    sides[pairs, first], sides[pairs, second] = 1.0, -1.0
    won = scores > 0
    votes = won @ (sides > 0).astype(np.float64) + ~won @ (sides < 0).astype(np.float64)
    if not sums:
        return np.asarray(votes)
    confidences = scores @ sides
    return np.asarray(votes + confidences / (3 * (np.abs(confidences) + 1)))


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
