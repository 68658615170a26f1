"""Card fraud: LightGBM on transactions in time order, and the threshold of an alert.

The model learns from the first 400,000 transactions of IEEE-CIS (100 trees of 31 leaves, 120
columns). The threshold is chosen on the weeks after: so many of those transactions would have been
alerts as a bank's analysts can look at. The last 100,000 transactions are the bank's; neither model
nor threshold has seen them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from examples.public_data import existing_file, loader
from strongroom import Package, Policy, TreeOptions, protect

NAME = "card-fraud"
MODEL = "model.txt"
SAMPLE_ROWS = 1000
TABLE = "train.csv"

POLICY = Policy(objective="throughput", query_budget=2**24, decryption_queries=2**24)
"""Several transactions share a ciphertext. A stream is never over: what the statement promises
shall hold for sixteen million queries. A ciphertext counts as many as it has room for."""

TREES = TreeOptions(trees_per_group=1)
"""Which cut points a tree uses together is no secret here; answers come several times sooner."""


def transactions(data: Path | None) -> Any:
    """The table in three parts, `trees_card_fraud.CardFraud`: fetched, or train.csv of a folder.

    Raises:
        InputError: SR-INPUT-FILE if the folder holds no such table.
    """
    return loader("trees_card_fraud").load(None if data is None else existing_file(data, TABLE))


def train(rows: NDArray[np.float64], labels: NDArray[np.int64], seed: int, threads: int) -> Any:
    """A boosted model; no path is longer than eight, which spares the server two levels."""
    return lightgbm.LGBMClassifier(
        n_estimators=100,
        num_leaves=31,
        max_depth=8,
        learning_rate=0.1,
        min_child_samples=100,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=threads,
        verbose=-1,
    ).fit(rows, labels)


def threshold(probabilities: NDArray[np.float64], alert_share: float) -> float:
    """The probability of fraud that this share of the transactions reaches.

    Args:
        probabilities: of transactions that the model was not trained on, shape (n,).
        alert_share: above 0 and below 1.
    """
    return float(np.quantile(probabilities, 1.0 - alert_share))


def protected(model: Any, rows: NDArray[np.float64]) -> Package:
    """The package; its ranges are those of a sample of rows, shape (n, columns)."""
    return protect(model, sample=rows[:SAMPLE_ROWS], policy=POLICY, trees=TREES, name=NAME)


def fraud_probabilities(file: Path, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """What the plain model says, read from its own file, shape (n,)."""
    return np.asarray(lightgbm.Booster(model_file=file).predict(rows), np.float64)
