"""Graph to ONNX: a model that ONNX Runtime runs, with the numbers of the plain model.

It computes in float32 where the plain model does, and where there are convolutions, which ONNX
Runtime has in nothing else; all others in float64. One input, the features, and one output, the raw
scores: public preprocessing and links stay at the asker.

Rows of a `Graph` are flat. A convolution and what follows it number by number are for images here,
so that ONNX Runtime can make one operation of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.activations import FUNCTIONS, Activation
from strongroom.models.convolutions import Convolution
from strongroom.models.graph import Graph, Node
from strongroom.models.onnx_functions import add_activation
from strongroom.models.onnx_nodes import Nodes
from strongroom.models.trees.onnx_trees import add_trees
from strongroom.models.trees.whole import OPERATOR as TREES

FEATURES: Final = "features"
"""Name of the model's input, shape (rows, width)."""

SCORES: Final = "scores"
"""Name of its output, shape (rows, outputs)."""

_ARITHMETIC: Final = frozenset({"Add", "Sub", "Mul", "Div"})


@dataclass(frozen=True, slots=True)
class _Written:
    """A table of the graph as it was written.

    Attributes:
        name: of the tensor.
        image: shape of a row of the tensor, (channels, *size); None if rows are flat.
    """

    name: str
    image: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class WrittenModel:
    """A graph as ONNX.

    Attributes:
        model: an `onnx.ModelProto`, weights included.
        dtype: of features and scores.
    """

    model: Any
    dtype: str


def write_onnx(graph: Graph) -> WrittenModel:
    """Write a graph, trees whole (`import_model(..., whole_trees=True)`).

    Raises:
        ModelError: SR-MODEL-EXTRA if the library `onnx` is not installed.
        ValueError: the graph has an operator that is none of those of a `Graph`.
    """
    convolved = any(node.operator == "Conv" for node in graph.nodes)
    trees = any(node.operator == TREES for node in graph.nodes)
    narrow = (graph.input.dtype == "float32" or convolved) and not trees
    writer = _Writer(graph, Nodes("float32" if narrow else "float64"))
    nodes = writer.nodes
    # A node of its own, since the graph's last one need not be what makes the scores.
    nodes.rename(nodes.add("Identity", writer.flat(writer.written(graph.scores))), SCORES)
    model = nodes.model(
        {FEATURES: (nodes.dtype, graph.features.width)},
        {SCORES: (nodes.dtype, graph.output.outputs)},
    )
    return WrittenModel(model, nodes.dtype)


class _Writer:
    """Writes the nodes of a graph in their order."""

    def __init__(self, graph: Graph, nodes: Nodes) -> None:
        self.nodes = nodes
        self._constants: Mapping[str, NDArray[Any]] = graph.constants
        (tensor,) = graph.tensors
        self._written = {tensor.name: _Written(FEATURES)}
        for node in graph.nodes:
            self._written[node.outputs[0]] = self._write(node)

    def written(self, name: str) -> _Written:
        """What a tensor of the graph was written as."""
        return self._written[name]

    def flat(self, table: _Written) -> str:
        """The tensor of a table with flat rows."""
        if table.image is None:
            return table.name
        return self._reshaped(table.name, (math.prod(table.image),))

    def _write(self, node: Node) -> _Written:
        if node.operator == "Conv":
            return self._convolution(node)
        if node.operator in _ARITHMETIC:
            return self._arithmetic(node)
        tables = [self._written[name] for name in node.inputs if name in self._written]
        if node.operator in FUNCTIONS:
            activation = Activation.of(node.operator, node.attributes)
            (table,) = tables
            return _Written(add_activation(self.nodes, activation, table.name), table.image)
        flat = [self.flat(table) for table in tables]
        if node.operator == "MatMul":
            weights = self.nodes.numbers(self._constants[node.inputs[1]])
            return _Written(self.nodes.add("MatMul", *flat, weights))
        if node.operator == "Gather":
            places = self.nodes.constant(self._constants[node.inputs[1]].astype(np.int64))
            return _Written(self.nodes.add("Gather", *flat, places, axis=1))
        if node.operator == "Concat":
            return _Written(self.nodes.add("Concat", *flat, axis=1))
        if node.operator == TREES:
            return _Written(add_trees(self.nodes, flat[0], node.attributes, self._constants))
        raise ValueError(f"{node.operator} is no operator of a graph")

    def _convolution(self, node: Node) -> _Written:
        weights = self._constants[node.inputs[1]]
        geometry = Convolution.of(node.attributes, weights.shape)
        image = (geometry.channels, *geometry.size)
        made = self.nodes.add(
            "Conv",
            self._as_image(self._written[node.inputs[0]], image),
            self.nodes.numbers(weights),
            group=geometry.groups,
            kernel_shape=geometry.kernel,
            strides=geometry.strides,
            dilations=geometry.dilations,
            pads=(*geometry.before, *geometry.after),
        )
        return _Written(made, (geometry.outputs, *geometry.made))

    def _arithmetic(self, node: Node) -> _Written:
        """Of two tables, or of a table and a constant row, in either order."""
        tables = [self._written.get(name) for name in node.inputs]
        images = {table.image for table in tables if table is not None}
        image = images.pop() if len(images) == 1 else None
        arguments = []
        for name, table in zip(node.inputs, tables, strict=True):
            if table is None:
                arguments.append(self.nodes.numbers(_row(self._constants[name], image)))
            else:
                arguments.append(table.name if image is not None else self.flat(table))
        return _Written(self.nodes.add(node.operator, *arguments), image)

    def _as_image(self, table: _Written, image: tuple[int, ...]) -> str:
        if table.image == image:
            return table.name
        return self._reshaped(self.flat(table), image)

    def _reshaped(self, name: str, row: tuple[int, ...]) -> str:
        # 0 keeps the number of rows
        shape = self.nodes.constant(np.array((0, *row), dtype=np.int64))
        return self.nodes.add("Reshape", name, shape)


def _row(constant: NDArray[Any], image: tuple[int, ...] | None) -> NDArray[Any]:
    """A constant row as it is added to tables of that form; one number a channel, where the row
    says no more than that."""
    if image is None or constant.size == 1:
        return constant.reshape(1, -1)
    shaped = constant.reshape(1, *image)
    channels = shaped.reshape(image[0], -1)
    if (channels == channels[:, :1]).all():
        return channels[:, :1].reshape(1, image[0], *(1 for _ in image[1:]))
    return shaped
