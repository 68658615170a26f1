"""ONNX operators that move numbers within a row; images are flattened in C order."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import ROWS, WEIGHTS, assert_agrees, model, node, scored

SHAPES: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "flattened": ([node("Flatten", "x", "y")], {}),
    "flattened by a reshape": ([node("Reshape", "x flat", "y")], {}),
    "flattened by its own shape": (
        [node("Shape", "x", "a"), node("Gather", "a zero", "b"), node("Unsqueeze", "b first", "c"),
         node("Concat", "c rest", "d", axis=0), node("Reshape", "x d", "y")], {},
    ),
    "flattened by parts of its shape": (
        [node("Shape", "x", "a", start=0, end=1), node("Shape", "x", "b", start=1),
         node("Gather", "b zero", "c"), node("Gather", "b one", "d"), node("Mul", "c d", "e"),
         node("Gather", "b two", "f"), node("Mul", "e f", "g"), node("Unsqueeze", "g first", "h"),
         node("Concat", "a h", "s", axis=0), node("Reshape", "x s", "y")], {},
    ),
    "transposed": ([node("Transpose", "x", "a", perm=[0, 2, 3, 1]), node("Flatten", "a", "y")], {}),
    "a channel": ([node("Gather", "x one", "a", axis=1), node("Flatten", "a", "y")], {}),
    "some lines": ([node("Gather", "x lines", "a", axis=2), node("Flatten", "a", "y")], {}),
    "cut": (
        [node("Slice", "x starts ends axes steps", "a"), node("Flatten", "a", "y")], {},
    ),
    "split and joined": (
        [node("Split", "x", "a b", axis=3, num_outputs=2),
         node("Concat", "b a", "c", axis=3), node("Flatten", "c", "y")], {},
    ),
    "split unevenly": (
        [node("Split", "x sizes", "a b c", axis=3), node("Concat", "c a", "d", axis=-1),
         node("Add", "d b", "e"), node("Flatten", "e", "y")], {},
    ),
    "squeezed": (
        [node("Slice", "x zeros ones ones", "a"), node("Squeeze", "a ones", "b"),
         node("Unsqueeze", "b minus", "c"), node("Flatten", "c", "y")], {},
    ),
    "channel by channel": (
        [node("Mul", "x channel", "a"), node("Add", "a column", "b"), node("Flatten", "b", "y")],
        {},
    ),
    "normalised": (
        [node("BatchNormalization", "x pair other mean pair", "a"), node("Flatten", "a", "y")], {},
    ),
    "matrices": (
        [node("MatMul", "x matrix", "a"), node("Flatten", "a", "y")], {},
    ),
    "mean of the image": (
        [node("ReduceMean", "x image", "a", keepdims=1), node("Mul", "x a", "b"),
         node("Flatten", "b", "y")], {},
    ),
    "sum of the channels": (
        [node("ReduceSum", "x ones", "a", keepdims=0), node("Flatten", "a", "y")], {},
    ),
    "expanded": (
        [node("ReduceMean", "x image", "a", keepdims=1), node("Expand", "a expanded", "b"),
         node("Flatten", "b", "y")], {},
    ),
}  # fmt: skip
SHAPE_CONSTANTS: dict[str, Any] = {
    "flat": np.array([-1, 24]), "zero": np.array(0), "one": np.array(1), "two": np.array(2),
    "first": np.array([0]), "rest": np.array([-1]), "lines": np.array([[2, 0], [-1, 0]]),
    "starts": np.array([1, -1, 2**40]), "ends": np.array([2**40, -3, -(2**40)]),
    "axes": np.array([1, -2, 3]), "steps": np.array([1, -1, -2]), "sizes": np.array([1, 2, 1]),
    "zeros": np.array([0]), "ones": np.array([1]), "minus": np.array([-1]),
    "channel": np.array([2.0, 3.0]).reshape(1, 2, 1, 1), "column": np.arange(3.0).reshape(3, 1),
    "pair": np.array([0.5, 2.0]), "other": np.array([1.0, -1.0]), "mean": np.array([0.1, 0.2]),
    "matrix": np.arange(8.0).reshape(4, 2), "image": np.array([2, 3]),
    "expanded": np.array([1, 1, 2, 3]),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
def test_images_are_flattened_in_c_order(name: str) -> None:
    nodes, constants = SHAPES[name]
    proto = model(nodes, {**SHAPE_CONSTANTS, **constants}, shape=(None, 2, 3, 4))
    assert_agrees(proto, np.random.default_rng(1).normal(size=(5, 2, 3, 4)))


def test_a_model_exported_for_one_row_takes_any_number() -> None:
    nodes = [node("Reshape", "x s", "a"), node("Relu", "a", "b"), node("MatMul", "b w", "y")]
    constants = {"s": np.array([1, 3]), "w": WEIGHTS}
    graph, scores = scored(model(nodes, constants, shape=(1, 1, 3)), ROWS[:, None])
    assert np.allclose(scores, np.maximum(ROWS.astype(np.float32), 0) @ WEIGHTS)
    assert graph.input.columns == 3
