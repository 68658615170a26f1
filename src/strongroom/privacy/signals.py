"""Signals: what a membership attack looks at in an answer.

With labels a falling function of the loss, without them of the uncertainty. Log-odds and margins
stand for losses: they have the same order, and they don't saturate where a probability rounds to 1.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import InputError
from strongroom.models.output import OutputSpec

_LARGEST_LOG_ODDS: Final = 40.0


def signal(
    output: OutputSpec, scores: NDArray[np.float64], labels: Any, what: str
) -> NDArray[np.float64]:
    """What the attack compares with its threshold, shape (n,): larger for a better answer.

    Args:
        scores: raw, shape (n, outputs).
        labels: the true answers, or None.
        what: how messages name the labels.

    Raises:
        InputError: SR-INPUT-MEMBERS if the labels can't be used, or lack where they are needed.
    """
    if output.task == "regression":
        if labels is None:
            raise unusable(
                "a regressor's answers say nothing without the true values",
                "Give member_labels and nonmember_labels, or leave members and nonmembers out",
            )
        found = output.predict(scores).astype(np.float64).reshape(scores.shape)
        return -np.asarray(((found - _values(labels, scores.shape, what)) ** 2).sum(axis=1))
    log_odds = _log_odds(output, scores)
    if labels is None:
        return np.asarray(log_odds.max(axis=1))
    return log_odds[np.arange(len(scores)), _classes(output, labels, len(scores), what)]


def _log_odds(output: OutputSpec, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """log(p / (1 - p)) for each class, shape (n, classes); margins where the model has no
    probabilities."""
    if output.pairs != "none":
        return _against_rivals(scores, len(output.classes))
    match output.link:
        case "logistic":
            return np.hstack([-scores, scores])
        case "identity" if output.outputs == 1:
            return np.hstack([-scores, scores])
        case "identity":
            return _against_others(scores, soft=False)
        case "softmax":
            return _against_others(scores * output.link_scale, soft=True)
        case "logistic_each":
            return scores
    with np.errstate(divide="ignore"):
        p = output.predict_proba(scores)
        log_odds = np.log(p) - np.log1p(-p)
    return np.asarray(np.clip(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))


def _against_others(scores: NDArray[np.float64], *, soft: bool) -> NDArray[np.float64]:
    """Each score minus the largest of the others, or minus the log of the sum of their powers."""
    rows, top = np.arange(len(scores)), scores.argmax(axis=1)
    without_top = scores.copy()
    without_top[rows, top] = -np.inf
    second = without_top.max(axis=1)
    largest = scores[rows, top]
    if not soft:
        result = scores - largest[:, None]
        result[rows, top] = largest - second
        return np.asarray(result)
    # The top class is in every other sum, so that nothing cancels in the subtraction.
    powers = np.exp(scores - largest[:, None])
    others = np.maximum(powers.sum(axis=1, keepdims=True) - powers, 1.0)
    result = scores - largest[:, None] - np.log(others)
    spread = np.exp(without_top - second[:, None]).sum(axis=1)
    result[rows, top] = largest - second - np.log(spread)
    return np.asarray(result)


def _against_rivals(scores: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """By how much each class wins against the strongest of the others, shape (n, classes), from
    scores of pairs (`models.links.Pairs`)."""
    first, second = np.triu_indices(classes, 1)
    wins = np.empty((len(scores), classes))
    for place in range(classes):
        by = np.hstack([scores[:, first == place], -scores[:, second == place]])
        wins[:, place] = by.min(axis=1)
    return wins


def _classes(output: OutputSpec, labels: Any, rows: int, what: str) -> NDArray[np.intp]:
    """The place of each label among the classes, shape (n,)."""
    given = np.asarray(labels).reshape(-1)
    _require_rows(len(given), rows, what)
    places = {label: place for place, label in enumerate(output.classes)}
    found = [places.get(label, -1) for label in given.tolist()]
    if -1 in found:
        raise unusable(
            f"{what} of row {found.index(-1)} is none of the model's classes",
            "Give the labels as the model was trained on them",
        )
    return np.array(found, dtype=np.intp)


def _values(labels: Any, shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    """True values, of the same shape as the scores."""
    try:
        values = np.asarray(labels, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise unusable(f"{what} are not numbers", "Give the true values") from error
    _require_rows(len(values) if values.ndim else 0, shape[0], what)
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise unusable(f"{what} are not {shape[1]} finite number(s) a row", "Give the true values")
    return values.reshape(shape)


def _require_rows(found: int, rows: int, what: str) -> None:
    if found != rows:
        raise unusable(f"{what} has {found} entries for {rows} rows", "Give one label a row")


def unusable(problem: str, remedy: str) -> InputError:
    """The error for rows or labels that nothing can be measured with."""
    return InputError("SR-INPUT-MEMBERS", problem, remedy)
