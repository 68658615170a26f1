"""OutputSpec: how raw scores become what the plain model would have returned.

The last link (sigmoid, softmax, argmax, label lookup) runs at the client, after decryption.
"""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError, PolicyError
from strongroom.models.links import (
    PROBABILITY_LINKS,
    VALUE_LINKS,
    Link,
    Pairs,
    class_scores,
    probabilities,
    values,
)

Method = Literal["predict", "predict_proba", "decision_function"]

MAXIMUM_OUTPUTS = 2**20
MAXIMUM_LABEL_LENGTH = 4096
LABEL_DTYPE = re.compile(r"\|b1|\|[iu]1|[<>][iu][248]|[<>]f[248]|\|O|[<>]U[0-9]{1,4}")


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the plain model returns, and how to compute it from raw scores.

    A classifier's label is the class of the largest score, the first of them in a tie; with one
    score column the second class is chosen where the score is above 0, as in scikit-learn.

    Attributes:
        task: classification or regression.
        link: from scores to probabilities or a regressor's values; "identity" where there is none.
        outputs: number m of score columns; a binary classifier of scikit-learn has one, a
            classifier otherwise has one a class.
        classes: labels in the order of the scores; empty for regression.
        label_dtype: NumPy dtype of what `predict` returns, as `np.dtype(...).str` says it.
        flat: regression only: whether `predict` returns shape (n,) rather than (n, outputs).
        methods: those that the plain model has.
        link_scale: what scores are multiplied with before the link.
        tie: scores of classes that differ by at most this count as equal. Forests often have exact
            ties, which the error of an encrypted score would decide at random.
        pairs: where there is one score for each pair of classes instead, how they decide.

    Raises:
        PolicyError: SR-PLAN-INVALID if the fields contradict each other.
    """

    task: Literal["classification", "regression"]
    link: Link
    outputs: int
    classes: tuple[bool | int | float | str, ...]
    label_dtype: str
    flat: bool
    methods: tuple[Method, ...]
    link_scale: float = 1.0
    tie: float = 0.0
    pairs: Pairs = "none"

    def __post_init__(self) -> None:
        problem = self._contradiction()
        if problem:
            raise PolicyError("SR-PLAN-INVALID", f"the plan's output has {problem}")

    def predict(self, scores: NDArray[np.float64]) -> NDArray[np.generic[Any]]:
        """Labels, shape (n,), or values, shape (n,) or (n, outputs), from scores (n, outputs).

        Raises:
            ModelError: SR-MODEL-METHOD if the plain model has no `predict`.
        """
        self._check(scores, "predict")
        if self.task == "regression":
            linked = values(self.link, scores * self.link_scale)
            table = linked.astype(np.dtype(self.label_dtype))
            return table[:, 0] if self.flat else table
        places: NDArray[Any]
        if self.pairs != "none":
            summed = self.pairs == "ovr_break_ties"
            places = class_scores(scores, len(self.classes), sums=summed).argmax(axis=1)
        elif self.outputs == 1:
            places = scores[:, 0] > self.tie
        else:
            # argmax of booleans is the first that holds
            places = (scores >= scores.max(axis=1, keepdims=True) - self.tie).argmax(axis=1)
        return self.labels()[places.astype(np.intp)]

    def predict_proba(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes). Raises ModelError SR-MODEL-METHOD if the plain
        model has none."""
        self._check(scores, "predict_proba")
        return probabilities(self.link, scores * self.link_scale)

    def decision_function(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores as scikit-learn shapes them: (n,) where a row has one score, else (n, outputs).

        Raises:
            ModelError: SR-MODEL-METHOD if the plain model has no `decision_function`.
        """
        self._check(scores, "decision_function")
        if self.pairs in ("ovr", "ovr_break_ties"):
            return class_scores(scores, len(self.classes), sums=True)
        return scores[:, 0] if self.outputs == 1 else scores

    def labels(self) -> NDArray[np.generic[Any]]:
        """The classes as an array of `label_dtype`, scikit-learn's `classes_`."""
        labels = np.empty(len(self.classes), dtype=np.dtype(self.label_dtype))
        labels[:] = self.classes
        return labels

    def _check(self, scores: NDArray[np.float64], method: Method) -> None:
        if method not in self.methods:
            raise ModelError(
                "SR-MODEL-METHOD",
                f"the plain model has no {method}",
                f"Use {' or '.join(self.methods)}",
            )
        if scores.ndim != 2 or scores.shape[1] != self.outputs:
            raise ValueError(f"scores have shape {scores.shape}, expected (n, {self.outputs})")

    def _contradiction(self) -> str:
        """What is wrong with the fields; they may come from a server. Empty if nothing is."""
        if not 1 <= self.outputs <= MAXIMUM_OUTPUTS:
            return f"{self.outputs} score columns, allowed are 1 to {MAXIMUM_OUTPUTS}"
        if not (0.0 < self.link_scale < math.inf and 0.0 <= self.tie < math.inf):
            return "an impossible scale of its link, or distance of a tie"
        if "predict" not in self.methods or len(set(self.methods)) != len(self.methods):
            return "an impossible list of methods"
        if self.task == "regression":
            if self.classes or self.link not in VALUE_LINKS or self.methods != ("predict",):
                return "classes, a link or methods that a regressor can't have"
            if self.label_dtype not in ("<f4", "<f8"):
                return "a dtype of values that is neither float32 nor float64"
            if self.link == "softmax" and self.outputs == 1:
                return "the link softmax for one score column"
            return "one flat value in several columns" if self.flat and self.outputs > 1 else ""
        if self.pairs != "none":
            if self.outputs != math.comb(len(self.classes), 2) or len(self.classes) < 3:
                return f"{self.outputs} score columns for the pairs of {len(self.classes)} classes"
            if self.link != "identity":
                return "a link of scores of pairs"
        elif len(self.classes) != (2 if self.outputs == 1 else self.outputs):
            return f"{len(self.classes)} classes for {self.outputs} score columns"
        if self.link not in PROBABILITY_LINKS | {"identity"} or (
            ("predict_proba" in self.methods) == (self.link == "identity")
        ):
            return "probabilities without a link, or a link without probabilities"
        if self.link not in ("identity", "modified_huber", "mean_probabilities") and (
            (self.link == "logistic") != (self.outputs == 1)
        ):
            return f"the link {self.link} for {self.outputs} score columns"
        if not LABEL_DTYPE.fullmatch(self.label_dtype):
            return "a dtype of labels that is not allowed"
        if not all(_label_fits(label, np.dtype(self.label_dtype)) for label in self.classes):
            return "labels that are not of the dtype of labels"
        return "equal labels" if len(set(self.classes)) != len(self.classes) else ""


def _label_fits(label: bool | int | float | str, dtype: np.dtype[Any]) -> bool:
    """Whether an array of that dtype holds the label unchanged."""
    if dtype.kind == "b":
        return isinstance(label, bool)
    if isinstance(label, bool):
        return False
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        return isinstance(label, int) and bounds.min <= label <= bounds.max
    if dtype.kind == "f":
        return isinstance(label, int | float) and math.isfinite(label)
    if not isinstance(label, str) or len(label) > MAXIMUM_LABEL_LENGTH:
        return False
    return dtype.kind == "O" or len(label) <= dtype.itemsize // 4 <= MAXIMUM_LABEL_LENGTH
