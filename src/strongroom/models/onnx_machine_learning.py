"""Operators of the domain ai.onnx.ml: scaling and linear models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_refusals import unsupported
from strongroom.models.onnx_values import Call, Table, Value

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering


def preprocessed(lowering: Lowering, node: OnnxNode, table: Table) -> Table | None:
    """What Scaler or LinearRegressor make of a table; None if the node is neither."""
    match node.operator:
        case "ai.onnx.ml.Scaler":
            offset = node.attributes.get("offset", np.zeros(1))
            centred = lowering.elementwise(node, "Sub", table, offset)
            return lowering.elementwise(
                node, "Mul", centred, node.attributes.get("scale", np.ones(1))
            )
        case "ai.onnx.ml.LinearRegressor" if (
            node.attributes.get("post_transform", "NONE") == "NONE"
        ):
            return _linear(lowering, node, table, int(node.attributes.get("targets", 1)))
        case _:
            return None


def linear_classifier(lowering: Lowering, node: OnnxNode, rows: Table | None) -> dict[str, Value]:
    """Labels and transformed scores, by the names of the node's outputs: a table of raw scores,
    and calls for the rest.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED.
    """
    labels = node.attributes.get("classlabels_ints")
    if labels is None or not len(labels):
        labels = np.array(node.attributes.get("classlabels_strings", ()), dtype=object)
    weights = np.asarray(node.attributes.get("coefficients", ()))
    if rows is None or len(node.outputs) != 2 or not len(labels):
        raise unsupported(node, "in this place")
    outputs = weights.size // rows.width
    scores = _linear(lowering, node, rows, outputs)
    transform = node.attributes.get("post_transform", "NONE")
    binary = outputs == 1 and len(labels) == 2
    if outputs != len(labels) and not binary:
        raise malformed(f"has another number of labels than of scores: {node.label}")
    # skl2onnx writes a binary classifier with scores -s and s
    positive = scores if binary else _positive(lowering, node, scores)
    transformed: Value = scores
    if transform == "LOGISTIC":
        transformed = Call("Sigmoid", node, (positive or scores,), {})
        if positive is not None:
            transformed = Call("Binary", node, (transformed,), {})
    elif transform == "SOFTMAX" and not binary:
        transformed = Call("Softmax", node, (scores,), {"axis": 1})
    elif transform != "NONE":
        raise unsupported(node, f"with post_transform {transform[:20]!r}")
    compared = (scores,) if positive is None else (scores, positive)
    return {
        node.outputs[0]: Call("Labels", node, (labels, *compared), {}),
        node.outputs[1]: transformed,
    }


def _linear(lowering: Lowering, node: OnnxNode, table: Table, outputs: int) -> Table:
    """LinearRegressor and LinearClassifier: coefficients of shape (outputs, columns)."""
    weights = np.asarray(node.attributes.get("coefficients", ()))
    bias = np.asarray(node.attributes.get("intercepts", ()))
    if outputs < 1 or weights.size != outputs * table.width:
        raise malformed(f"has weights that don't fit: {node.label}")
    if bias.size not in (0, outputs):
        raise malformed(f"has intercepts that don't fit: {node.label}")
    stacked = weights.reshape(outputs, table.width).T
    return lowering.dense(node, table, stacked, bias if bias.size else None)


def _positive(lowering: Lowering, node: OnnxNode, scores: Table) -> Table | None:
    """The second of two scores, if the first is always minus the second."""
    weights = np.asarray(node.attributes["coefficients"]).reshape(scores.width, -1)
    bias = np.asarray(node.attributes.get("intercepts", ()))
    if scores.width != 2 or (weights[0] != -weights[1]).any():
        return None
    if bias.size == 2 and bias[0] != -bias[1]:
        return None
    return lowering.gather(node, scores, np.array([[1]]))
