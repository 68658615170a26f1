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
from strongroom.models.links import Link, probabilities

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
        link: from scores to probabilities; "identity" where there is none.
        outputs: number m of score columns; a binary classifier of scikit-learn has one, a
            classifier otherwise has one a class.
        classes: labels in the order of the scores; empty for regression.
        label_dtype: NumPy dtype of what `predict` returns, as `np.dtype(...).str` says it.
        flat: regression only: whether `predict` returns shape (n,) rather than (n, outputs).
        methods: those that the plain model has.

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
            values = scores.astype(np.dtype(self.label_dtype))
            return values[:, 0] if self.flat else values
        places = scores[:, 0] > 0 if self.outputs == 1 else scores.argmax(axis=1)
        return self.labels()[places.astype(np.intp)]

    def predict_proba(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes). Raises ModelError SR-MODEL-METHOD if the plain
        model has none."""
        self._check(scores, "predict_proba")
        return probabilities(self.link, scores)

    def decision_function(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores as scikit-learn shapes them: (n,) where a row has one score, else (n, outputs).

        Raises:
            ModelError: SR-MODEL-METHOD if the plain model has no `decision_function`.
        """
        self._check(scores, "decision_function")
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
        if "predict" not in self.methods or len(set(self.methods)) != len(self.methods):
            return "an impossible list of methods"
        if self.task == "regression":
            if self.classes or self.link != "identity" or self.methods != ("predict",):
                return "classes, a link or methods that a regressor can't have"
            if self.label_dtype not in ("<f4", "<f8"):
                return "a dtype of values that is neither float32 nor float64"
            return "one flat value in several columns" if self.flat and self.outputs > 1 else ""
        if len(self.classes) != (2 if self.outputs == 1 else self.outputs):
            return f"{len(self.classes)} classes for {self.outputs} score columns"
        if ("predict_proba" in self.methods) == (self.link == "identity"):
            return "probabilities without a link, or a link without probabilities"
        if self.link not in ("identity", "modified_huber") and (
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
