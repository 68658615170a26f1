"""The plain model's own answers, to compare protected ones with.

Parity is measured against what the user has, an object of a framework, a model file or an ONNX
graph, and not against our import of it: a fault of an importer must show. ONNX Runtime runs a graph
if it is installed, ONNX's slow reference evaluator otherwise. Only a file of trees whose framework
is not installed is answered by its import.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.categories import UNKNOWN
from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.load import load_estimator
from strongroom.models.onnx_file import OnnxModel, read_onnx
from strongroom.models.torch_import import evaluating, is_torch_module, tensor_of
from strongroom.models.trees.importing import read_model
from strongroom.models.trees.plain import plain_tree_predictions


def plain_predictions(
    model: Any, graph: Graph, rows: NDArray[np.float64]
) -> NDArray[np.generic[Any]]:
    """What the plain model predicts: labels, shape (n,), or values, shape (n,) or (n, outputs).

    Args:
        model: as given to `import_model`.
        graph: what that made of it.
        rows: shape (n, columns), checked.
    """
    if is_torch_module(model):
        shaped = rows.reshape(len(rows), *(graph.input.shape or rows.shape[1:]))
        with evaluating(model), extra("torch").no_grad():
            made = model(tensor_of(model, shaped)).detach().cpu().numpy()
        return _read([made], graph, len(rows))
    trees = _tree_predictions(model, graph, rows)
    if trees is not None:
        return trees
    estimator = load_estimator(model)
    if estimator is not None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*feature names.*")
            return np.asarray(estimator.predict(_as_fitted(graph, rows)))
    return _run_onnx(model, graph, rows)


def _tree_predictions(
    model: Any, graph: Graph, rows: NDArray[np.float64]
) -> NDArray[np.generic[Any]] | None:
    """Of a model of XGBoost, LightGBM or CatBoost; None for others."""
    try:
        return plain_tree_predictions(model, graph, rows)
    except ModelError as error:
        if error.code != "SR-MODEL-EXTRA":
            raise
    return graph.output.predict(read_model(Path(model)).ensemble.scores(rows))


def _as_fitted(graph: Graph, rows: NDArray[np.float64]) -> Any:
    """Rows as the estimator was fitted: a frame where it knows column names, since a step that
    picks columns by name takes nothing else. Without pandas nobody can have fitted such a step
    here, and an array in the same order does. Codes of categories become labels again."""
    spec = graph.input
    known = bool(spec.names) and importlib.util.find_spec("pandas") is not None
    if not spec.categories:
        return _frame(rows, spec.names) if known else rows
    columns = spec.labelled(rows)
    if not known:
        return np.column_stack([column.astype(object) for column in columns])
    pandas = importlib.import_module("pandas")
    cells: dict[int, Any] = dict(enumerate(columns))
    for categories in spec.categories:
        values = columns[categories.column]
        unknown = values[rows[:, categories.column] == UNKNOWN]
        labels = list(dict.fromkeys([*categories.labels, *unknown]))
        cells[categories.column] = pandas.Categorical(values, categories=labels)
    return _frame(cells, spec.names)


def _frame(cells: Any, names: tuple[str, ...]) -> Any:
    frame = importlib.import_module("pandas").DataFrame(cells)
    frame.columns = list(names)
    return frame


def _run_onnx(model: Any, graph: Graph, rows: NDArray[np.float64]) -> NDArray[np.generic[Any]]:
    """What an ONNX model predicts; one that is exported for a number of rows gets as many."""
    checked = read_onnx(model)
    inputs = {}
    start = 0
    for value in checked.inputs:
        shape = [size or 1 for size in value.shape[1:]]
        columns = rows[:, start : start + math.prod(shape)]
        inputs[value.name] = columns.reshape(-1, *shape).astype(value.dtype)
        start += math.prod(shape)
    fixed = [value.shape[0] for value in checked.inputs if value.shape[0]]
    size = min(fixed, default=len(rows)) or len(rows)
    parts = []
    run = _runner(model, checked)
    for first in range(0, len(rows), size):
        # the last part is filled up with rows that are there anyway
        places = np.arange(first, first + size) % len(rows)
        parts.append(run({name: table[places] for name, table in inputs.items()}))
    arrays = [np.concatenate(arrays)[: len(rows)] for arrays in zip(*parts, strict=True)]
    return _read(arrays, graph, len(rows))


Run = Callable[[dict[str, NDArray[Any]]], list[NDArray[Any]]]


def _runner(model: Any, checked: OnnxModel) -> Run:
    """What runs an ONNX model: from its inputs to its outputs, by name."""
    serialised = model.SerializeToString() if hasattr(model, "SerializeToString") else model
    evaluator = extra("onnx.reference").ReferenceEvaluator(
        str(model) if isinstance(model, Path) else model, new_ops=[_zip_map()]
    )

    def referred(inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
        try:
            return [np.asarray(output) for output in evaluator.run(None, inputs)]
        except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                "the plain ONNX model can't be run here, so there is nothing to compare with",
                "Pass the scikit-learn object, or export the model with other options",
            ) from error

    # ONNX Runtime takes ArrayFeatureExtractor, which skl2onnx writes, for a row at most
    learned = any(node.operator.startswith("ai.onnx.ml.") for node in checked.nodes)
    if learned or importlib.util.find_spec("onnxruntime") is None:
        return referred
    runtime = extra("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(
            str(model) if isinstance(model, str | Path) else serialised, options
        )
    except Exception:  # it lacks float64 kernels of some operators, and says so in its own classes
        return referred
    return lambda inputs: [np.asarray(output) for output in session.run(None, inputs)]


def _read(arrays: list[NDArray[Any]], graph: Graph, count: int) -> NDArray[np.generic[Any]]:
    """The labels of a classifier, wherever it returns them; else what its one table says."""
    output = graph.output
    if output.task == "regression":
        return arrays[0].reshape(count, -1)[:, 0] if output.flat else arrays[0]
    for labels in arrays:
        if labels.dtype.kind in "iuUSO" and labels.size == count:
            return labels.reshape(-1)
    table = arrays[0].reshape(count, -1)
    # One column is the probability of the second class, or its score.
    middle = 0.5 if "predict_proba" in output.methods else 0.0
    chosen = table[:, 0] > middle if table.shape[1] == 1 else table.argmax(axis=1)
    return output.labels()[chosen.astype(np.intp)]


def _zip_map() -> Any:
    """ZipMap, which skl2onnx puts behind classifiers and which the reference evaluator lacks: from
    a table of probabilities to a dictionary a row. Here the table passes as it is; only labels
    are compared."""
    kernel = extra("onnx.reference.op_run").OpRun

    def run(self: Any, table: Any, **attributes: Any) -> tuple[Any]:
        return (table,)

    return type("ZipMap", (kernel,), {"op_domain": "ai.onnx.ml", "_run": run})
