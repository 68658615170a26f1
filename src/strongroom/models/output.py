"""OutputSpec: how raw scores become what the plain model would have returned.

The last link (sigmoid, softmax, argmax, label lookup) runs at the client, after decryption.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

Link = Literal["identity", "logistic", "softmax", "ovr_logistic", "modified_huber"]
Method = Literal["predict", "predict_proba", "decision_function"]


class OutputSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the plain model returns, and how to compute it from raw scores.

    Attributes:
        task: classification or regression.
        link: from scores to probabilities; "identity" where there is none.
        outputs: number m of score columns; a binary classifier has one.
        classes: labels in the order of the scores; empty for regression.
        label_dtype: NumPy dtype of the labels, as `np.dtype(...).str` says it.
        flat: regression only: whether `predict` returns shape (n,) rather than (n, outputs).
        methods: those that the plain model has.
    """

    task: Literal["classification", "regression"]
    link: Link
    outputs: int
    classes: tuple[bool | int | float | str, ...]
    label_dtype: str
    flat: bool
    methods: tuple[Method, ...]

    def predict(self, scores: NDArray[np.float64]) -> NDArray[np.generic]:
        """Labels, shape (n,), or values, shape (n,) or (n, outputs), from scores (n, outputs)."""
        raise NotImplementedError

    def predict_proba(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities, shape (n, classes). Raises ModelError SR-MODEL-METHOD if the plain
        model has none."""
        raise NotImplementedError

    def decision_function(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores as scikit-learn shapes them: (n,) for binary, (n, classes) otherwise."""
        raise NotImplementedError
