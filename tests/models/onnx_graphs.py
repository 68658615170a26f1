"""Small ONNX graphs, what ONNX Runtime makes of them, and what our import does."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from written_models import assert_written_alike

from strongroom.compiler.layering import layered
from strongroom.errors import ModelError
from strongroom.models.graph import Graph
from strongroom.models.onnx_import import import_onnx

ROWS = np.random.default_rng(0).normal(size=(20, 3))
WEIGHTS = np.array([[1.0, -2.0], [0.5, 3.0], [-1.5, 0.25]])


def node(operator: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    """Inputs by name, "-" for one that is left out."""
    domain, _, name = operator.rpartition(".")
    names = [name.strip("-") for name in inputs.split()]
    label = f"{name} to {outputs}"
    return helper.make_node(name, names, outputs.split(), name=label, domain=domain, **attributes)


def model(
    nodes: list[onnx.NodeProto],
    constants: dict[str, Any] | None = None,
    outputs: dict[str, int] | None = None,
    shape: tuple[Any, ...] = (None, 3),
    kind: int = TensorProto.FLOAT,
    opset: int = 20,
) -> onnx.ModelProto:
    """A model of one input "x", with output "y" unless said otherwise."""
    narrow = kind == TensorProto.FLOAT
    tensors = []
    for name, value in (constants or {}).items():
        array = np.asarray(value)
        array = array.astype(np.float32) if narrow and array.dtype == np.float64 else array
        tensors.append(numpy_helper.from_array(array, name))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", kind, list(shape))],
        [
            helper.make_tensor_value_info(name, of, None)
            for name, of in (outputs or {"y": kind}).items()
        ],
        tensors,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def plain(proto: onnx.ModelProto, X: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    (taken,) = session.get_inputs()
    dtype = np.float32 if taken.type == "tensor(float)" else np.float64
    return list(session.run(None, {"x": X.astype(dtype)}))


def scored(proto: Any, X: np.ndarray) -> tuple[Graph, np.ndarray]:
    """The graph, and its scores by the layered form; rows of X are flattened."""
    graph = import_onnx(proto)
    rows = graph.input.rows(X.reshape(len(X), -1))
    features = graph.features.encode(rows)
    scores = layered(graph).arguments(features)[-1]
    assert_written_alike(graph, features, scores)
    return graph, scores


def functions(proto: Any) -> set[str]:
    """The activations that the layered form has, but for those that pass a value."""
    layers = layered(import_onnx(proto)).layers
    return {function.name for layer in layers for function in layer.functions} - {"Identity"}


def refusal(proto: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        import_onnx(proto)
    assert "\n" not in str(caught.value)
    return caught.value


def assert_agrees(proto: onnx.ModelProto, X: np.ndarray) -> None:
    (theirs,) = plain(proto, X)
    graph, scores = scored(proto, X)
    ours = graph.output.predict(scores)
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    limit = 2e-5 if theirs.dtype == np.float32 else 1e-9
    assert np.abs(ours - theirs).max() <= limit * max(1.0, float(np.abs(theirs).max()))
