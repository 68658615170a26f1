"""The plain model's own answers, to compare protected ones with.

Parity is measured against what the user has, a scikit-learn object or an ONNX graph run by ONNX's
reference evaluator, and not against our import of it: a fault of an importer must show.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.load import load_estimator


def plain_predictions(
    model: Any, graph: Graph, rows: NDArray[np.float64]
) -> NDArray[np.generic[Any]]:
    """What the plain model predicts: labels, shape (n,), or values, shape (n,) or (n, outputs).

    Args:
        model: as given to `import_model`.
        graph: what that made of it.
        rows: shape (n, columns), checked.
    """
    estimator = load_estimator(model)
    if estimator is not None:
        with warnings.catch_warnings():
            # The rows are known to have the model's columns in its order, without their names.
            warnings.filterwarnings("ignore", message=".*feature names.*")
            return np.asarray(estimator.predict(rows))
    return _run_onnx(model, graph, rows)


def _run_onnx(model: Any, graph: Graph, rows: NDArray[np.float64]) -> NDArray[np.generic[Any]]:
    """The labels of an ONNX classifier, wherever it returns them; else what its one table says."""
    reference = extra("onnx.reference")
    evaluator = reference.ReferenceEvaluator(str(model) if isinstance(model, Path) else model)
    dtype = np.float32 if graph.input.dtype == "float32" else np.float64
    outputs = evaluator.run(None, {evaluator.input_names[0]: rows.astype(dtype)})
    arrays = [np.asarray(output) for output in outputs]
    if graph.output.task == "regression":
        return arrays[0].reshape(len(rows), -1)[:, 0] if graph.output.flat else arrays[0]
    for labels in arrays:
        if labels.dtype.kind in "iuUSO" and labels.size == len(rows) and not _maps(labels):
            return labels.reshape(-1)
    table = arrays[0].reshape(len(rows), -1)
    classes = np.array(graph.output.classes)
    # One column is the probability of the second class.
    chosen = table[:, 0] > 0.5 if table.shape[1] == 1 else table.argmax(axis=1)
    return np.asarray(classes[chosen.astype(np.intp)])


def _maps(output: NDArray[np.generic[Any]]) -> bool:
    """Whether an output is a sequence of maps from labels to probabilities (ZipMap)."""
    return output.size > 0 and isinstance(output.flat[0], dict)
