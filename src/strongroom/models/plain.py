"""The plain model's own answers, to compare protected ones with.

Parity is measured against what the user has, a scikit-learn object or an ONNX graph run by ONNX's
reference evaluator, and not against our import of it: a fault of an importer must show.
"""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
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
            warnings.filterwarnings("ignore", message=".*feature names.*")
            return np.asarray(estimator.predict(_as_fitted(graph, rows)))
    return _run_onnx(model, graph, rows)


def _as_fitted(graph: Graph, rows: NDArray[np.float64]) -> Any:
    """Rows as the estimator was fitted: a frame where it knows column names, since a step that
    picks columns by name takes nothing else. Without pandas nobody can have fitted such a step
    here, and an array in the same order does."""
    if not graph.input.names or importlib.util.find_spec("pandas") is None:
        return rows
    return importlib.import_module("pandas").DataFrame(rows, columns=list(graph.input.names))


def _run_onnx(model: Any, graph: Graph, rows: NDArray[np.float64]) -> NDArray[np.generic[Any]]:
    """The labels of an ONNX classifier, wherever it returns them; else what its one table says."""
    evaluator = extra("onnx.reference").ReferenceEvaluator(
        str(model) if isinstance(model, Path) else model, new_ops=[_zip_map()]
    )
    dtype = np.float32 if graph.input.dtype == "float32" else np.float64
    try:
        outputs = evaluator.run(None, {evaluator.input_names[0]: rows.astype(dtype)})
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "the plain ONNX model can't be run here, so there is nothing to compare with",
            "Pass the scikit-learn object, or export the model with other options",
        ) from error
    arrays = [np.asarray(output) for output in outputs]
    if graph.output.task == "regression":
        return arrays[0].reshape(len(rows), -1)[:, 0] if graph.output.flat else arrays[0]
    for labels in arrays:
        if labels.dtype.kind in "iuUSO" and labels.size == len(rows):
            return labels.reshape(-1)
    table = arrays[0].reshape(len(rows), -1)
    classes = np.array(graph.output.classes)
    # One column is the probability of the second class.
    chosen = table[:, 0] > 0.5 if table.shape[1] == 1 else table.argmax(axis=1)
    return np.asarray(classes[chosen.astype(np.intp)])


def _zip_map() -> Any:
    """ZipMap, which skl2onnx puts behind classifiers and which the reference evaluator lacks: from
    a table of probabilities to a dictionary a row. Here the table passes as it is; only labels
    are compared."""
    kernel = extra("onnx.reference.op_run").OpRun

    def run(self: Any, table: Any, **attributes: Any) -> tuple[Any]:
        return (table,)

    return type("ZipMap", (kernel,), {"op_domain": "ai.onnx.ml", "_run": run})
