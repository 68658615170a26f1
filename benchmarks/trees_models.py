"""The two boosted models of the benchmark, and the rows around them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import trees_card_fraud
import xgboost
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split


@dataclass(frozen=True)
class Boosted:
    """A trained classifier.

    Attributes:
        model: with `predict` and `predict_proba`.
        training_rows, test_rows: float64, shape (n, columns).
        training_labels, test_labels: 0 or 1.
    """

    model: Any
    training_rows: NDArray[np.float64]
    training_labels: NDArray[np.int64]
    test_rows: NDArray[np.float64]
    test_labels: NDArray[np.int64]

    def drawn(self, rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """As many test rows, seeded, with their labels."""
        chosen = np.random.default_rng(0).choice(len(self.test_rows), rows, replace=False)
        return self.test_rows[chosen], self.test_labels[chosen]

    def balanced(self, rows: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The same, half of them of each label."""
        random = np.random.default_rng(0)
        chosen = [
            random.choice(np.flatnonzero(self.test_labels == label), rows // 2, replace=False)
            for label in (0, 1)
        ]
        mixed = random.permutation(np.concatenate(chosen))
        return self.test_rows[mixed], self.test_labels[mixed]

    def save_rows(self, path: Path) -> None:
        """For a peer that trains on them itself."""
        np.savez(
            path,
            training_rows=self.training_rows,
            training_labels=self.training_labels,
            test_rows=self.test_rows,
            test_labels=self.test_labels,
        )


def xgboost_breast_cancer() -> Boosted:
    """XGBoost, 50 trees of depth 4; 171 of 569 rows are held out."""
    rows, labels = load_breast_cancer(return_X_y=True)
    training_rows, test_rows, training_labels, test_labels = train_test_split(
        rows, labels, test_size=171, stratify=labels, random_state=0
    )
    model = xgboost.XGBClassifier(n_estimators=50, max_depth=4, random_state=0, n_jobs=2)
    model.fit(training_rows, training_labels)
    return Boosted(model, training_rows, training_labels, test_rows, test_labels)


def lightgbm_card_fraud() -> Boosted:
    """LightGBM, 100 trees of 31 leaves on 120 columns; trained in some seconds, split by time.

    No path is longer than eight: a usual limit beside 31 leaves, and the area under the curve stays
    within what another seed would change.
    """
    data = trees_card_fraud.load()
    model = lightgbm.LGBMClassifier(
        n_estimators=100,
        num_leaves=31,
        max_depth=8,
        learning_rate=0.1,
        min_child_samples=100,
        random_state=0,
        deterministic=True,
        force_row_wise=True,
        n_jobs=2,
        verbose=-1,
    )
    model.fit(data.training_rows, data.training_labels)
    return Boosted(
        model, data.training_rows, data.training_labels, data.test_rows, data.test_labels
    )
