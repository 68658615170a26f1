"""The plain answers of ONNX networks, whatever runs them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_graphs import ROWS, WEIGHTS, model, node, plain

from strongroom.compiler.layering import layered
from strongroom.models.onnx_import import import_onnx
from strongroom.models.plain import plain_predictions


def predicted(proto: onnx.ModelProto, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the plain model says, and what our import of it says."""
    graph = import_onnx(proto)
    checked = graph.input.rows(rows)
    scores = layered(graph).arguments(graph.features.encode(checked))[-1]
    return plain_predictions(proto, graph, checked), graph.output.predict(scores)


def test_plain_answers_of_a_model_exported_for_some_rows() -> None:
    nodes = [node("Reshape", "x s", "a"), node("Relu", "a", "b"), node("MatMul", "b w", "y")]
    constants = {"s": np.array([3, 3]), "w": WEIGHTS}
    plainly, ours = predicted(model(nodes, constants, shape=(3, 1, 3)), ROWS)
    assert plainly.shape == (len(ROWS), 2)
    assert np.allclose(plainly, ours, atol=1e-5)


def test_plain_answers_where_onnx_runtime_has_no_kernel() -> None:
    nodes = [node("LeakyRelu", "x", "a"), node("MatMul", "a w", "y")]
    proto = model(nodes, {"w": WEIGHTS}, kind=TensorProto.DOUBLE)
    with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
        plain(proto, ROWS)
    plainly, ours = predicted(proto, ROWS)
    assert np.allclose(plainly, ours, rtol=1e-12)


def test_plain_answers_of_a_model_with_several_inputs() -> None:
    nodes = [node("Relu", "x", "a"), node("Flatten", "z", "b"), node("Concat", "a b", "y", axis=1)]
    proto = model(nodes)
    proto.graph.input.append(
        helper.make_tensor_value_info("z", TensorProto.FLOAT, [None, 2, 2]),
    )
    rows = np.random.default_rng(3).normal(size=(9, 7))
    plainly, ours = predicted(proto, rows)
    assert plainly.shape == (9, 7)
    assert np.allclose(plainly, ours, atol=1e-6)


@pytest.mark.parametrize("end", ["Softmax", "LogSoftmax", "Sigmoid"])
def test_plain_answers_of_classifiers_are_labels(end: str) -> None:
    outputs = 1 if end == "Sigmoid" else 2
    nodes = [node("Tanh", "x", "a"), node("MatMul", "a w", "b"), node(end, "b", "y")]
    plainly, ours = predicted(model(nodes, {"w": WEIGHTS[:, :outputs]}), ROWS)
    assert set(plainly.tolist()) == {0, 1}
    assert plainly.tolist() == ours.tolist()
    assert plainly.dtype == ours.dtype
