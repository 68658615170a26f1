"""Data sets of scikit-learn, split by a seed into training and held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas
from sklearn import datasets, model_selection

HELD_OUT = 0.3
SEED = 0


@dataclass(frozen=True)
class Split:
    """Rows and targets of one data set."""

    training_rows: Any
    held_out_rows: Any
    training_targets: Any
    held_out_targets: Any


def _mixed() -> tuple[Any, Any]:
    """Wine with two columns of text, and holes."""
    data = datasets.load_wine(as_frame=True)
    table, random = data.data.copy(), np.random.default_rng(SEED)
    names = ["low", "middle", "high"]
    for column in ("alcohol", "hue"):
        table[column] = pandas.qcut(table[column], 3, labels=names).astype(str)
    holes = random.random((len(table), 4)) < 0.05
    table[["ash", "malic_acid", "magnesium", "proline"]] = table[
        ["ash", "malic_acid", "magnesium", "proline"]
    ].mask(holes)
    return table, data.target.to_numpy()


def _two_targets() -> tuple[Any, Any]:
    rows, targets = datasets.load_diabetes(return_X_y=True)
    return rows, np.column_stack([targets, 1000.0 * (rows[:, 2] - rows[:, 8])])


def _ranked() -> tuple[Any, Any]:
    """Diabetes with five grades of relevance in place of the targets."""
    rows, targets = datasets.load_diabetes(return_X_y=True)
    return rows, np.digitize(targets, np.quantile(targets, [0.2, 0.4, 0.6, 0.8]))


DATA: dict[str, Callable[[], tuple[Any, Any]]] = {
    "breast cancer": lambda: datasets.load_breast_cancer(return_X_y=True),
    "wine": lambda: datasets.load_wine(return_X_y=True),
    "digits": lambda: datasets.load_digits(return_X_y=True),
    "diabetes": lambda: datasets.load_diabetes(return_X_y=True),
    "two of diabetes": _two_targets,
    "ranked diabetes": _ranked,
    "mixed wine": _mixed,
}


@cache
def split(name: str) -> Split:
    """A data set, split by a seed."""
    rows, targets = DATA[name]()
    stratify = None if "diabetes" in name else targets
    return Split(
        *model_selection.train_test_split(
            rows, targets, test_size=HELD_OUT, random_state=SEED, stratify=stratify
        )
    )
