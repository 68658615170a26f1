"""The demo's model: a logistic regression on the breast-cancer data of scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError

HELD_OUT_ROWS = 171
_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained pipeline and the rows around it.

    Attributes:
        pipeline: StandardScaler and LogisticRegression, fitted.
        training_rows, held_out_rows: shape (n, 30).
        held_out_labels: shape (n,).
        column_names, class_names: for people.
    """

    pipeline: Any
    training_rows: NDArray[np.float64]
    held_out_rows: NDArray[np.float64]
    held_out_labels: NDArray[np.int64]
    column_names: tuple[str, ...]
    class_names: tuple[str, ...]


def train() -> TrainedModel:
    """Split the 569 rows, stratified and seeded, and fit the pipeline on the larger part.

    Raises:
        ModelError: SR-MODEL-EXTRA if scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_breast_cancer
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
    except ImportError as missing:
        raise ModelError(
            "SR-MODEL-EXTRA", "the demo needs scikit-learn", "pip install 'strongroom[demo]'"
        ) from missing
    data = load_breast_cancer()
    training, held_out, labels, held_out_labels = train_test_split(
        data.data, data.target, test_size=HELD_OUT_ROWS, stratify=data.target, random_state=_SEED
    )
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return TrainedModel(
        pipeline=pipeline.fit(training, labels),
        training_rows=training,
        held_out_rows=held_out,
        held_out_labels=held_out_labels,
        column_names=tuple(str(name) for name in data.feature_names),
        class_names=tuple(str(name) for name in data.target_names),
    )
