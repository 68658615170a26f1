"""Diagnosis by a small network: is a breast tumour malignant, by thirty numbers of its cell nuclei?

The Wisconsin diagnostic data (569 patients) comes with scikit-learn. The vendor trains on 299 of
them; 135 are patients of the hospital North, 135 of the hospital South. The network has 64 and 32
units; means and scales of the columns are public, its weights are what is protected.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

Hospital = Literal["north", "south"]

NAME = "tumour"
PATIENTS = 135
"""Of each hospital."""


def train(seed: int) -> Pipeline:
    """The vendor's model."""
    rows, _, labels, _ = _parts(seed)
    network = MLPClassifier((64, 32), max_iter=300, early_stopping=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(StandardScaler(), network).fit(rows, labels)


def training_rows(seed: int) -> NDArray[np.float64]:
    """What the vendor trained on."""
    return _parts(seed)[0]


def patients(hospital: Hospital, rows: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of a hospital, shape (n, 30), and what was found later; nobody else has them."""
    _, held_out, _, labels = _parts(seed)
    first = 0 if hospital == "north" else PATIENTS
    part = slice(first, first + rows)
    return held_out[part], labels[part]


def weights(model: Pipeline) -> list[NDArray[np.float64]]:
    """What nobody but the vendor and the serving process may read: matrices, (inputs, units)."""
    network: Any = model[-1]
    return [np.asarray(matrix, np.float64) for matrix in network.coefs_]


def _parts(seed: int) -> list[NDArray[Any]]:
    """Training rows, held-out rows, training labels, held-out labels; a label is 1 if malignant."""
    rows, benign = load_breast_cancer(return_X_y=True)
    parts: list[NDArray[Any]] = train_test_split(
        rows, 1 - benign, test_size=2 * PATIENTS, stratify=benign, random_state=seed
    )
    return parts
