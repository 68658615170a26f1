"""Diagnosis by boosted trees: is a breast tumour malignant, by thirty numbers of its cell nuclei?

The Wisconsin diagnostic data (569 patients) comes with scikit-learn. The vendor trains on 299 of
them; the others are the hospital's. Cut points are public under `fhe`, since an asker compares
with them; what the leaves say is what is hidden.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

from strongroom.package.build import candidates

NAME: Final = "tumour"
PATIENTS: Final = 270
"""Of the hospital."""

COLUMNS: Final = 30
_DEPTH: Final = 4


def train(trees: int, seed: int) -> XGBClassifier:
    """The vendor's model."""
    rows, _, labels, _ = _parts(seed)
    model = XGBClassifier(n_estimators=trees, max_depth=_DEPTH, n_jobs=1, random_state=seed)
    return model.fit(rows, labels)


def training_rows(seed: int) -> NDArray[np.float64]:
    """What the vendor trained on."""
    return _parts(seed)[0]


def patients(rows: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Rows of the hospital, shape (n, 30), and what was found later; nobody else has them.

    Each number gets further digits, a ten-millionth of it, so that it occurs nowhere by chance.
    """
    _, held_out, _, labels = _parts(seed)
    digits = np.random.default_rng(seed).uniform(0.0, 1e-7, held_out[:rows].shape)
    return held_out[:rows] * (1.0 + digits), labels[:rows]


def leaf_values(file: Path) -> list[bytes]:
    """What nobody but the vendor may read, as it is looked for: values of neighbouring leaves of
    some trees, as numbers of four and of eight bytes, and as the text of the model's file.

    Args:
        file: as XGBoost saved the model, JSON.
    """
    found = []
    for leaves in _leaves(file):
        text = ",".join(leaves)
        values = np.array([float(leaf) for leaf in leaves], np.float32)
        found += [text.encode(), values.tobytes(), values.astype(np.float64).tobytes()]
    return found


def computed_with(file: Path, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same as a server computes with them, shape (1, units): what `fhe` without `hide` gives
    it, and what is encrypted with it.

    Args:
        file: as XGBoost saved the model.
        rows: typical ones.
    """
    # No interface hands this out; only a demonstration may look.
    candidate: Any = candidates(file, sample=rows)[0]
    weights: NDArray[np.float64] = candidate.choice.model.weights
    return weights


def _leaves(file: Path) -> Iterator[list[str]]:
    """The last two leaves of a few trees, each as the file writes it.

    A number of four bytes is no canary, two of them are.
    """
    # Numbers as they are written: a canary is the text itself.
    content: Any = json.loads(file.read_text(), parse_float=str, parse_int=str)
    trees = content["learner"]["gradient_booster"]["model"]["trees"]
    for tree in trees[:: -(-len(trees) // 2)]:
        values = tree["split_conditions"]
        last = [n for n, child in enumerate(tree["left_children"]) if child == "-1"][-2:]
        if len(last) == 2 and last[1] == last[0] + 1:
            yield [values[place] for place in last]


def _parts(seed: int) -> list[NDArray[Any]]:
    """Training rows, held-out rows, training labels, held-out labels; a label is 1 if malignant."""
    rows, benign = load_breast_cancer(return_X_y=True)
    parts: list[NDArray[Any]] = train_test_split(
        rows, 1 - benign, test_size=PATIENTS, stratify=benign, random_state=seed
    )
    return parts
