"""What a graph computes, in float64, node by node: the reference for what it is written as."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.activations import FUNCTIONS, Activation
from strongroom.models.convolutions import Convolution
from strongroom.models.graph import Graph, Node
from strongroom.models.trees.whole import OPERATOR as TREES
from strongroom.models.trees.whole import whole_scores

_ARITHMETIC: Final = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}


def graph_scores(graph: Graph, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw scores, shape (n, outputs).

    Args:
        features: what `graph.features` makes of rows, shape (n, width).
    """
    (tensor,) = graph.tensors
    values: dict[str, NDArray[Any]] = {**graph.constants, tensor.name: features}
    for node in graph.nodes:
        values[node.outputs[0]] = _computed(node, values)
    return np.asarray(values[graph.scores], dtype=np.float64)


def _computed(node: Node, values: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    if node.operator == TREES:
        return whole_scores(values[node.inputs[0]], node.attributes, values)
    arguments = [values[name] for name in node.inputs]
    if node.operator in FUNCTIONS:
        return Activation.of(node.operator, node.attributes)(arguments[0])
    if node.operator in _ARITHMETIC:
        return np.asarray(_ARITHMETIC[node.operator](*arguments))
    if node.operator == "MatMul":
        return np.asarray(arguments[0] @ arguments[1])
    if node.operator == "Gather":
        return np.asarray(arguments[0][:, arguments[1]])
    if node.operator == "Concat":
        return np.hstack(arguments)
    if node.operator == "Conv":
        return _convolved(arguments[0], arguments[1], node)
    raise ValueError(f"{node.operator} is no operator of a graph")


def _convolved(
    rows: NDArray[np.float64], weights: NDArray[np.float64], node: Node
) -> NDArray[np.float64]:
    geometry = Convolution.of(node.attributes, weights.shape)
    groups, channels = geometry.groups, geometry.channels // geometry.groups
    taken = rows.reshape(len(rows), groups, channels, -1)
    kernels = weights.reshape(groups, -1, channels, int(np.prod(geometry.kernel)))
    made = geometry.outputs_width // geometry.outputs
    found = np.zeros((len(rows), groups, kernels.shape[1], made))
    entries, places, sources = geometry.touched
    for entry in range(kernels.shape[-1]):
        met = entries == entry
        part = np.matmul(kernels[None, ..., entry], taken[..., sources[met]])
        found[..., places[met]] += part
    return found.reshape(len(rows), -1)
