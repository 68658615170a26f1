"""Random ONNX graphs, imported and layered, agree with ONNX Runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx_graphs import model, node, plain, scored

from strongroom.compiler.layering import is_affine


class RandomModel:
    """A graph in which every tensor may be used again; values stay small and depth bounded."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.kind = TensorProto.DOUBLE if seed % 2 else TensorProto.FLOAT
        self.widths = {"x": int(self.random.integers(1, 6))}
        self.depths = {"x": 0}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}
        for number in range(int(self.random.integers(3, 16))):
            self._grow(number)
        # last a sum, so that no sigmoid is taken for a link
        end = self.nodes[-1].output[0]
        self.constants["end"] = self.random.normal(size=(self.widths[end], 2))
        self.nodes.append(node("MatMul", f"{end} end", "y"))

    @property
    def proto(self) -> onnx.ModelProto:
        return model(self.nodes, self.constants, None, (None, self.widths["x"]), self.kind)

    def _grow(self, number: int) -> None:
        random = self.random
        table, other = (str(name) for name in random.choice(list(self.widths), 2))
        width, depth = self.widths[table], self.depths[table]
        both = max(depth, self.depths[other])
        fits = 1 in (width, self.widths[other]) or width == self.widths[other]
        out, constant = f"t{number}", f"c{number}"
        kind = str(random.choice(
            ["gemm", "gemm", "matmul", "row", "two", "product", "concat", "gather", "slice",
             "split", "activation", "activation", "silu", "gelu", "square", "mean", "neg", "norm"]
        ))  # fmt: skip
        if kind in ("activation", "silu", "gelu", "square", "product") and both >= 4:
            kind = "gemm"
        if kind in ("two", "product") and not fits:
            kind = "row"

        def add(operator: str, inputs: str, to: str = out, **attributes: Any) -> None:
            self.nodes.append(node(operator, inputs, to, **attributes))

        if kind in ("gemm", "matmul"):
            outputs = int(random.integers(1, 6))
            weights = random.normal(size=(width, outputs)) / (2 * math.sqrt(width))
            transposed = bool(random.integers(2)) and kind == "gemm"
            self.constants[constant] = weights.T.copy() if transposed else weights
            if kind == "gemm":
                self.constants[constant + "b"] = random.normal(size=outputs) / 4
                add("Gemm", f"{table} {constant} {constant}b", alpha=0.5, transB=int(transposed))
            else:
                add("MatMul", f"{table} {constant}")
            width = outputs
        elif kind == "row":
            self.constants[constant] = random.uniform(0.5, 1.0, size=(1, width))
            operator = str(random.choice(["Add", "Sub", "Mul", "Div"]))
            swap = random.random() < 0.3 and operator != "Div"
            add(operator, f"{constant} {table}" if swap else f"{table} {constant}")
        elif kind in ("two", "product"):
            operator = "Mul" if kind == "product" else str(random.choice(["Add", "Sub"]))
            add(operator, f"{table} {other}")
            width, depth = max(width, self.widths[other]), both + (kind == "product")
        elif kind == "concat":
            add("Concat", f"{table} {other} {table}", axis=int(random.choice([1, -1])))
            width, depth = 2 * width + self.widths[other], both
        elif kind == "gather":
            outputs = int(random.integers(1, 6))
            self.constants[constant] = random.integers(-width, width, outputs)
            add("Gather", f"{table} {constant}", axis=1)
            width = outputs
        elif kind == "slice":
            start = int(random.integers(width))
            for letter, value in zip("abc", (start, width, 1), strict=True):
                self.constants[constant + letter] = np.array([value])
            add("Slice", f"{table} {constant}a {constant}b {constant}c")
            width -= start
        elif kind == "split" and width > 1:
            cut = int(random.integers(1, width))
            self.constants[constant] = np.array([cut, width - cut])
            add("Split", f"{table} {constant}", f"{out} {out}rest", axis=1)
            self.widths[f"{out}rest"], self.depths[f"{out}rest"] = width - cut, depth
            width = cut
        elif kind == "activation":
            # of the others ONNX Runtime has no float64 kernels
            chosen = ["Relu", "Sigmoid", "Tanh", "Abs", "LeakyRelu", "Elu", "HardSigmoid"]
            add(str(random.choice(chosen[: 4 if self.kind == TensorProto.DOUBLE else 7])), table)
            depth += 1
        elif kind == "silu":
            add("Sigmoid", table, f"{out}s")
            add("Mul", f"{table} {out}s")
            depth += 2
        elif kind == "gelu" and self.kind == TensorProto.FLOAT:
            add("Gelu", table, approximate=str(random.choice(["none", "tanh"])))
            depth += 1
        elif kind == "square":
            self.constants[constant] = np.array(float(random.integers(2, 4)))
            add("Pow", f"{table} {constant}")
            depth += 1
        elif kind == "mean":
            self.constants[constant] = np.array([1])
            add(str(random.choice(["ReduceMean", "ReduceSum"])), f"{table} {constant}", keepdims=1)
            width = 1
        elif kind == "norm":
            for letter in "abcd":
                self.constants[constant + letter] = random.uniform(0.5, 1.0, width)
            letters = " ".join(constant + letter for letter in "abcd")
            add("BatchNormalization", f"{table} {letters}")
        else:
            add("Neg", table)
        self.widths[out], self.depths[out] = width, depth


@pytest.mark.parametrize("start", range(0, 300, 50))
def test_random_graphs_agree_with_onnx_runtime(start: int) -> None:
    networks = 0
    for seed in range(start, start + 50):
        grown = RandomModel(seed)
        proto = grown.proto
        X = np.random.default_rng(seed).normal(size=(6, grown.widths["x"]))
        (theirs,) = plain(proto, X)
        if seed % 2 == 0:
            X = X.astype(np.float32).astype(np.float64)
        graph, scores = scored(proto, X)
        limit = 1e-9 if seed % 2 else 1e-4  # ONNX Runtime's float32 kernels are approximations
        assert scores.shape == theirs.shape
        assert np.abs(scores - theirs).max() <= limit * max(1.0, np.abs(theirs).max()), seed
        networks += not is_affine(graph)
    assert networks >= 20
