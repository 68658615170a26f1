"""Small ONNX models of named tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HEADS, WIDTH, LAYERS, WORDS = 2, 16, 2, 50


def model(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, np.ndarray]
) -> onnx.ModelProto:
    """A model of these parts."""
    graph = helper.make_graph(
        nodes,
        "model",
        inputs,
        outputs,
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def value(name: str, kind: int, shape: list[Any]) -> Any:
    """An input or output."""
    return helper.make_tensor_value_info(name, kind, shape)


def transformer(seed: int = 0) -> onnx.ModelProto:
    """Words and a mask in, a vector a sentence out: embeddings, attention, layer norms, Gelu."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "words": random.normal(size=(WORDS, WIDTH)).astype("f4"),
        "heads": np.array([0, 0, HEADS, WIDTH // HEADS], dtype=np.int64),
        "joined": np.array([0, 0, WIDTH], dtype=np.int64),
        "scale": np.array((WIDTH // HEADS) ** -0.5, dtype="f4"),
        "one": np.array(1.0, dtype="f4"),
        "low": np.array(-1e4, dtype="f4"),
        "axes": np.array([1, 2], dtype=np.int64),
        "axis": np.array([1], dtype=np.int64),
    }
    nodes: list[Any] = []

    def add(operator: str, inputs: str, output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs.split(), [output], **attributes))
        return output

    def weight(name: str, *shape: int) -> str:
        weights[name] = (random.normal(size=shape) / np.sqrt(shape[0])).astype("f4")
        return name

    add("Cast", "mask", "seen", to=TensorProto.FLOAT)
    add("Unsqueeze", "seen axes", "seen4")
    add("Mul", add("Sub", "one seen4", "unseen") + " low", "bias")
    table = add("Gather", "words ids", "embedded", axis=0)
    for layer in range(LAYERS):
        parts = {}
        for part in "qkv":
            made = add(
                "MatMul", f"{table} {weight(f'{part}{layer}', WIDTH, WIDTH)}", f"m{part}{layer}"
            )
            made = add("Reshape", f"{made} heads", f"r{part}{layer}")
            order = [0, 2, 3, 1] if part == "k" else [0, 2, 1, 3]
            parts[part] = add("Transpose", made, f"t{part}{layer}", perm=order)
        scores = add(
            "Mul", add("MatMul", f"{parts['q']} {parts['k']}", f"s{layer}") + " scale", f"c{layer}"
        )
        shares = add("Softmax", add("Add", f"{scores} bias", f"b{layer}"), f"p{layer}", axis=-1)
        mixed = add("MatMul", f"{shares} {parts['v']}", f"x{layer}")
        mixed = add("Transpose", mixed, f"y{layer}", perm=[0, 2, 1, 3])
        mixed = add("Reshape", f"{mixed} joined", f"z{layer}")
        table = add("Add", f"{table} {mixed}", f"a{layer}")
        norm = f"{table} {weight(f'g{layer}', WIDTH)} {weight(f'h{layer}', WIDTH)}"
        table = add("LayerNormalization", norm, f"n{layer}")
        hidden = add("MatMul", f"{table} {weight(f'u{layer}', WIDTH, 4 * WIDTH)}", f"d{layer}")
        hidden = add("Gelu", hidden, f"e{layer}")
        hidden = add("MatMul", f"{hidden} {weight(f'w{layer}', 4 * WIDTH, WIDTH)}", f"f{layer}")
        table = add("Add", f"{table} {hidden}", f"o{layer}")
    nodes.append(helper.make_node("ReduceMean", [table, "axis"], ["sentence"], keepdims=0))
    return model(
        nodes,
        [
            value("ids", TensorProto.INT64, ["batch", "length"]),
            value("mask", TensorProto.INT64, ["batch", "length"]),
        ],
        [value("sentence", TensorProto.FLOAT, ["batch", WIDTH])],
        weights,
    )


def sentences(count: int, length: int) -> dict[str, np.ndarray]:
    """Inputs of the transformer."""
    random = np.random.default_rng(count)
    mask = np.arange(length) < random.integers(1, length + 1, size=(count, 1))
    return {"ids": random.integers(0, WORDS, (count, length)), "mask": mask.astype(np.int64)}


def in_the_clear(source: Any, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime gives for a model or the path of one."""
    source = source.SerializeToString() if hasattr(source, "graph") else str(source)
    session = onnxruntime.InferenceSession(source)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def saved_with_external_data(proto: onnx.ModelProto, folder: Path) -> Path:
    """The path of the model in a file, its weights in another."""
    path = folder / "model.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    onnx.save_model(
        copy, path, save_as_external_data=True, location="model.weights", size_threshold=512
    )
    return path
