"""Random convolutional networks, imported and layered, agree with ONNX Runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_graphs import model, node, plain, scored

from strongroom.compiler.layering import is_affine


class RandomNetwork:
    """A chain of convolutions, pools, norms, activations and paddings, with residual sums."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        axes = int(self.random.integers(1, 3))
        size = self.random.integers(4, 10 if axes == 2 else 24, axes)
        self.shape = (int(self.random.integers(1, 4)), *map(int, size))
        self.input = self.shape
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Any] = {}
        self.name, self.depth = "x", 0
        self.kinds: list[str] = []
        for _ in range(int(self.random.integers(1, 6))):
            self._grow()
        if not {"conv", "pool"} & {*self.kinds}:
            self._convolution(np.ones(len(self.shape) - 1, dtype=int))
        self._end()

    def proto(self) -> onnx.ModelProto:
        return model(self.nodes, self.constants, None, (None, *self.input))

    def _grow(self) -> None:
        kinds = ["conv", "conv", "conv", "pool", "norm", "square", "relu", "residual", "pad",
                 "concat", "transpose", "dropout"]  # fmt: skip
        kind = str(self.random.choice(kinds))
        self.kinds.append(kind)
        axes = len(self.shape) - 1
        match kind:
            case "conv":
                self._convolution(self.random.integers(1, 3, axes))
            case "pool":
                self._pool()
            case "norm":
                self._norm()
            case "square" | "relu" if self.depth < 3:
                self.depth += 1
                if kind == "relu":
                    self._add("Relu", self.name)
                else:
                    self._add("Mul", f"{self.name} {self.name}")
            case "residual" if self.depth < 3:
                # x + conv(square(x)), of one size
                before, shape = self.name, self.shape
                self.depth += 1
                self._add("Mul", f"{before} {before}")
                self._convolution(np.ones(axes, dtype=int), same=shape[0])
                self._add("Add", f"{self.name} {before}")
            case "pad":
                self._pad()
            case "concat":
                self._add("Concat", f"{self.name} {self.name}", axis=1)
                self.shape = (2 * self.shape[0], *self.shape[1:])
            case "transpose" if axes == 2:
                self._add("Transpose", self.name, perm=[0, 1, 3, 2])
                self.shape = (self.shape[0], self.shape[2], self.shape[1])
            case _:
                self._add("Dropout", self.name)

    def _end(self) -> None:
        random = self.random
        axes = len(self.shape) - 1
        end = str(random.choice(["flatten", "global", "mean", "reshape"]))
        self.kinds.append(end)
        if end == "global":
            self._add("GlobalAveragePool", self.name)
            self._add("Flatten", self.name)
            width = self.shape[0]
        elif end == "mean":
            over = self._constant(np.arange(2, 2 + axes))
            self._add("ReduceMean", f"{self.name} {over}", keepdims=0)
            width = self.shape[0]
        elif end == "reshape":
            width = math.prod(self.shape)
            self._add("Reshape", f"{self.name} {self._constant(np.array([0, -1]))}")
        else:
            width = math.prod(self.shape)
            self._add("Flatten", self.name)
        weights = self._constant(random.normal(size=(width, 3)) / math.sqrt(width))
        self.nodes.append(node("Gemm", f"{self.name} {weights}", "y"))

    def _convolution(self, strides: np.ndarray, same: int = 0) -> None:
        random, axes = self.random, len(self.shape) - 1
        channels, size = self.shape[0], np.array(self.shape[1:])
        groups = int(random.choice([g for g in range(1, channels + 1) if channels % g == 0]))
        outputs = same or groups * int(random.integers(1, 4))
        groups = groups if outputs % groups == 0 else 1
        kernel = random.integers(1, np.minimum(size, 4) + 1)
        dilations = np.where((kernel - 1) * 2 < size, random.integers(1, 3, axes), 1)
        padding = str(random.choice(["none", "some", "SAME_UPPER", "SAME_LOWER", "VALID"]))
        if same:
            padding, dilations = "SAME_UPPER", np.ones(axes, dtype=int)
        attributes: dict[str, Any] = {"group": groups, "strides": strides.tolist()}
        if padding in ("SAME_UPPER", "SAME_LOWER"):
            # ONNX Runtime takes no dilations there
            dilations = np.ones(axes, dtype=int)
            made = -(-size // strides)
        else:
            pads = random.integers(0, 3, (2, axes)) * (padding == "some")
            made = (size + pads.sum(axis=0) - (kernel - 1) * dilations - 1) // strides + 1
            attributes["dilations"] = dilations.tolist()
            if padding == "some":
                attributes["pads"] = pads.reshape(-1).tolist()
        if padding not in ("none", "some"):
            attributes["auto_pad"] = padding
        if random.random() < 0.5:
            attributes["kernel_shape"] = kernel.tolist()
        summed = channels // groups * math.prod(kernel)
        weights = random.normal(size=(outputs, channels // groups, *kernel)) / math.sqrt(summed)
        inputs = f"{self.name} {self._constant(weights)}"
        if random.random() < 0.6:
            inputs += f" {self._constant(random.normal(size=outputs) / 2)}"
        self._add("Conv", inputs, **attributes)
        self.shape = (outputs, *map(int, made))

    def _pool(self) -> None:
        random, axes = self.random, len(self.shape) - 1
        size = np.array(self.shape[1:])
        kernel = random.integers(1, np.minimum(size, 4) + 1)
        strides = random.integers(1, 4, axes)
        pads = np.minimum(random.integers(0, 3, (2, axes)), kernel - 1)
        pads *= random.random() < 0.6
        over = size + pads.sum(axis=0) - kernel
        # ONNX infers another shape than ONNX Runtime makes where a window begins in the padding
        plain_sizes = bool((-(-over // strides) <= (size + pads[0] - 1) // strides).all())
        up = plain_sizes and bool(random.integers(2))
        attributes = {
            "kernel_shape": kernel.tolist(), "strides": strides.tolist(),
            "pads": pads.reshape(-1).tolist(), "ceil_mode": int(up),
            "count_include_pad": int(random.integers(2)),
        }  # fmt: skip
        made = -(-over // strides) if up else over // strides
        self._add("AveragePool", self.name, **attributes)
        self.shape = (self.shape[0], *(int(number) + 1 for number in made))

    def _norm(self) -> None:
        statistics = [self._constant(self.random.uniform(0.5, 1.5, self.shape[0])) for _ in "abcd"]
        self._add("BatchNormalization", " ".join([self.name, *statistics]))

    def _pad(self) -> None:
        random, axes = self.random, len(self.shape) - 1
        modes = ["constant", "constant", "edge", "reflect"]
        mode = str(random.choice(modes[: 4 if min(self.shape[1:]) > 2 else 3]))
        pads = random.integers(0, 3, (2, axes + 2))
        pads[:, 0] = 0
        if mode != "constant":
            pads[:, 1] = 0
        elif random.random() < 0.5:
            pads[:, 2:] = random.integers(-1, 2, (2, axes)) * (min(self.shape[1:]) > 2)
        inputs = f"{self.name} {self._constant(pads.reshape(-1))}"
        if mode == "constant" and random.random() < 0.5:
            inputs += f" {self._constant(np.array(0.75))}"
        self._add("Pad", inputs, mode=mode)
        changed = np.array(self.shape) + pads.sum(axis=0)[1:]
        self.shape = tuple(map(int, changed))

    def _constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def _add(self, operator: str, inputs: str, **attributes: Any) -> None:
        self.name = f"t{len(self.nodes)}"
        self.nodes.append(node(operator, inputs, self.name, **attributes))


@pytest.mark.parametrize("start", range(0, 320, 40))
def test_random_convolutional_networks_agree_with_onnx_runtime(start: int) -> None:
    networks = 0
    for seed in range(start, start + 40):
        grown = RandomNetwork(seed)
        proto = grown.proto()
        X = np.random.default_rng(seed).normal(size=(4, *grown.input)).astype(np.float32)
        (theirs,) = plain(proto, X)
        graph, scores = scored(proto, X)
        assert graph.input.shape == grown.input
        assert scores.shape == theirs.shape
        error = np.abs(scores - theirs).max()
        assert error <= 1e-5 * max(1.0, np.abs(theirs).max()), (seed, error, grown.kinds)
        networks += not is_affine(graph)
    assert networks >= 10
