"""Diagnosis from a table: is a breast tumour malignant, by thirty numbers of its cell nuclei?

The Wisconsin diagnostic data (569 patients) comes with scikit-learn. 171 patients are held out:
the vendor never sees them. Of its own 398 the vendor trains on 298; the other 100 tell, beside as
many that were trained on, how well answers give away whether somebody was in the training data. The
model is XGBoost, 50 trees of depth 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from strongroom import Package, Policy, protect

NAME = "tumour"
TITLE = "breast tumours, by XGBoost"
POLICY = Policy()
HELD_OUT = 171
JUDGED = 100
MODEL = "model.ubj"


def _parts(seed: int) -> list[NDArray[Any]]:
    """Training rows, held-out rows, training labels, held-out labels; a label is 1 if malignant."""
    rows, benign = load_breast_cancer(return_X_y=True)
    parts: list[NDArray[Any]] = train_test_split(
        rows, 1 - benign, test_size=HELD_OUT, stratify=benign, random_state=seed
    )
    return parts


def vendor(folder: Path, seed: int, threads: int) -> Package:
    """Train on the vendor's patients, keep the model in the folder, and protect it."""
    all_rows, _, all_labels, _ = _parts(seed)
    others, rows = np.split(all_rows, [JUDGED])
    other_labels, labels = np.split(all_labels, [JUDGED])
    model = xgboost.XGBClassifier(n_estimators=50, max_depth=4, random_state=seed, n_jobs=threads)
    model.fit(rows, labels)
    model.save_model(folder / MODEL)
    return protect(
        model,
        sample=rows,
        members=rows[:JUDGED],
        nonmembers=others,
        member_labels=labels[:JUDGED],
        nonmember_labels=other_labels,
        policy=POLICY,
        name=NAME,
    )


def hospital(rows: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The hospital's patients and what was found later, as many as are asked about."""
    _, held_out, _, labels = _parts(seed)
    return held_out[:rows], labels[:rows]


def plain(folder: Path, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What the vendor's own model says, shape (n, 2)."""
    model = xgboost.XGBClassifier()
    model.load_model(folder / MODEL)
    return np.asarray(model.predict_proba(rows), np.float64)


def figures(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> dict[str, float | None]:
    """What a clinic asks of a test: which share of the ill it finds, and of the others it spares.

    Args:
        labels: 1 if malignant, shape (n,).
        probabilities: shape (n, 2).
    """
    ill, called = labels == 1, probabilities.argmax(axis=1) == 1
    return {
        "accuracy": float(np.mean(ill == called)),
        "sensitivity": float(np.mean(called[ill])) if ill.any() else None,
        "specificity": float(np.mean(~called[~ill])) if (~ill).any() else None,
        "area under the ROC curve": (
            float(roc_auc_score(ill, probabilities[:, 1])) if 0 < ill.sum() < len(ill) else None
        ),
    }
