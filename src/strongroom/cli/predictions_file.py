"""CSV text of predictions: one line a row, in the order of the rows that were asked about.

The rows themselves are not repeated: they are what the whole exchange keeps secret, and a second
copy of them on disk is one more to lose.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.output import Method, OutputSpec

_COLUMN: dict[Method, str] = {
    "predict": "prediction",
    "predict_proba": "probability",
    "decision_function": "score",
}


def column_names(method: Method, output: OutputSpec, predictions: NDArray[Any]) -> tuple[str, ...]:
    """Names of the columns of predictions, shape (rows,) or (rows, columns).

    One column is called `prediction` or `score`; several end in the class that they are of, or
    in their number.
    """
    stem = _COLUMN[method]
    if predictions.ndim == 1:
        return (stem,)
    columns = predictions.shape[1]
    if method != "predict" and len(output.classes) == columns:
        return tuple(f"{stem}_{label}" for label in output.classes)
    return tuple(f"{stem}_{column}" for column in range(columns))


def prediction_text(names: tuple[str, ...], predictions: NDArray[Any]) -> str:
    """CSV text of predictions, shape (rows,) or (rows, columns); numbers read back exactly."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(np.atleast_2d(predictions.T).T.tolist())
    return text.getvalue()
