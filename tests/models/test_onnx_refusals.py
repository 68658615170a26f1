"""ONNX networks that can't be run, and files that would blow up, are refused at once."""

from __future__ import annotations

import contextlib
import time
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_graphs import WEIGHTS, model, node, refusal

from strongroom.compiler.layering import layered
from strongroom.errors import ModelError
from strongroom.models.onnx_import import import_onnx

REFUSED = [
    ([node("Clip", "x low high", "a"), node("Relu", "a", "y")], "operator Clip (node 'Clip to a')",
     "Relu"),
    ([node("LayerNormalization", "x w3", "y")], "operator LayerNormalization",
     "BatchNormalization"),
    ([node("Softmax", "x", "a"), node("MatMul", "a w", "y")], "operator Softmax", "end"),
    ([node("LogSoftmax", "x", "a"), node("Relu", "a", "y")], "operator LogSoftmax", "end"),
    ([node("Relu", "x", "a"), node("Div", "x a", "y")], "operator Div (node 'Div to y')",
     "Multiply"),
    ([node("Erf", "x", "a"), node("MatMul", "a w", "y")], "operator Erf", "Gelu"),
    ([node("Mish", "x", "y")], "operator Mish", "Silu"),
    ([node("Pow", "x half", "y")], "operator Pow", "integer"),
    ([node("Pow", "x x", "y")], "operator Pow", "integer"),
    ([node("ReduceSum", "x zero", "y")], "operator ReduceSum", ""),
    ([node("Transpose", "x", "y")], "operator Transpose", "batch"),
    ([node("Max", "x w3", "y")], "operator Max", "Relu"),
    ([node("Greater", "x w3", "a"), node("Where", "a x w3", "y")], "operator Greater", "relu"),
    ([node("Relu", "x", "a"), node("Shape", "a", "b"), node("Cast", "b", "c", to=1),
      node("Gather", "c zero", "d"), node("Mul", "a d", "y")], "operator Cast", ""),
    ([node("BatchNormalization", "x w3 w3 w3 w3", "y", training_mode=1)],
     "operator BatchNormalization", ""),
    ([node("Dropout", "x half true", "y")], "operator Dropout", ""),
    ([node("Relu", "x", "a"), node("Unsqueeze", "a one", "y")], "rows of 2 axes", "Flatten"),
    ([node("Gelu", "x", "a"), node("Einsum", "a w", "b", equation="ij,jk->ik"),
      node("Erf", "b", "y")], "operator Einsum", "Gemm"),
    ([node("Softplus", "x", "a"), node("Greater", "x half", "b"), node("Where", "b x a", "y")],
     "operator Greater", ""),
]  # fmt: skip


@pytest.mark.parametrize(("nodes", "words", "remedy"), REFUSED)
def test_operators_without_an_encrypted_form_are_named(nodes: Any, words: str, remedy: str) -> None:
    constants = {
        "w": WEIGHTS, "w3": np.ones(3), "low": np.array(0.0), "high": np.array(6.0),
        "half": np.array(0.5), "zero": np.array([0]), "one": np.array([1]), "true": np.array(True),
    }  # fmt: skip
    error = refusal(model(nodes, constants))
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(error)
    assert remedy in str(error)


def many(count: int) -> dict[str, list[onnx.NodeProto]]:
    """Small files that would grow large or take long."""
    return {
        "wide tables": [
            node("Gather", "x wide", "t0", axis=1),
            *[node("Neg", f"t{i}", f"t{i + 1}") for i in range(count)],
            node("Identity", f"t{count}", "y"),
        ],
        "shared weights": [
            node("MatMul", "x tall", "t0"),
            *[node("MatMul", f"t{i} square", f"t{i + 1}") for i in range(count)],
            node("Identity", f"t{count}", "y"),
        ],
        "reshapes": [
            node("Gather", "x wide", "t0", axis=1),
            *[node("Flatten", f"t{i}", f"t{i + 1}") for i in range(count)],
            node("Identity", f"t{count}", "y"),
        ],
        "sizes that explode": [
            node("ConstantOfShape", "huge", "c"),
            node("Add", "x c", "y"),
        ],
        "expanded constants": [node("Expand", "tall huge", "c"), node("MatMul", "x c", "y")],
        "expanded tables": [node("Expand", "x huge3", "a"), node("Flatten", "a", "y")],
        "high powers": [
            node("Mul", "x x", "t0"),
            *[node("Mul", f"t{i} t{i}", f"t{i + 1}") for i in range(count)],
            node("Reshape", f"t{count} nonsense", "y"),
        ],
        "convolutions": [
            node("Reshape", "x signal", "s"),
            node("Pad", "s around", "t0"),
            *[node("Conv", f"t{i} kernel", f"t{i + 1}", pads=[256, 255]) for i in range(count)],
            node("Flatten", f"t{count}", "y"),
        ],
        "a cycle": [node("Relu", "b", "a"), node("Relu", "a", "b"), node("Add", "b x", "y")],
    }


@pytest.mark.parametrize("name", many(1))
def test_files_that_would_blow_up_are_refused_at_once(name: str) -> None:
    constants = {
        "wide": np.zeros(2**20, dtype=np.int64), "tall": np.ones((3, 1000)),
        "square": np.ones((1000, 1000)), "huge": np.array([2**30, 2**30]),
        "huge3": np.array([1, 2**30, 3]), "nonsense": np.array([7, -1]),
        "signal": np.array([0, 1, 3]), "around": np.array([0, 0, 0, 0, 0, 2**14]),
        "kernel": np.ones((1, 1, 512)),
    }  # fmt: skip
    proto = model(many(2000)[name], constants)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        error = refusal(proto)
    assert name != "convolutions" or "too large to run encrypted" in str(error)
    assert time.perf_counter() - start < 4  # promised is one; others use this machine too


def test_a_long_chain_of_activations_is_read_and_then_refused_by_depth() -> None:
    nodes = [node("Relu", "x", "t0")]
    nodes += [node("Relu", f"t{i}", f"t{i + 1}") for i in range(5000)]
    graph = import_onnx(model([*nodes, node("MatMul", "t5000 w", "y")], {"w": WEIGHTS}))
    with pytest.raises(ModelError) as caught:
        layered(graph)
    assert "layers" in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_damaged_networks_are_refused_or_read_but_never_crash(data: st.DataObject) -> None:
    nodes = [
        node("Flatten", "x", "a"), node("Gemm", "a w b", "h"), node("Sigmoid", "h", "g"),
        node("Mul", "h g", "s"), node("Split", "s cut", "l r", axis=1), node("Mul", "l r", "m"),
        node("Concat", "m r", "c", axis=1), node("Pow", "c two", "p"), node("Elu", "p", "e"),
        node("LogSoftmax", "e", "y", axis=-1),
    ]  # fmt: skip
    constants = {"w": WEIGHTS, "b": np.ones(2), "cut": np.array([1, 1]), "two": np.array(2.0)}
    content = bytearray(model(nodes, constants, shape=(None, 1, 3)).SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(0, len(content)))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ModelError):
            layered(import_onnx(bytes(content)))
