"""Folding a linear model into one matrix and one vector.

Backwards, as reverse-mode differentiation does it: how the scores depend on a tensor is a matrix
of shape (outputs, width of the tensor); each node turns that of its output into those of its
inputs. No matrix of columns × columns is ever made, so wide inputs cost nothing extra.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.sparse_matrices import (
    Matrix,
    Sparse,
    as_dense,
    columns_between,
    divided_columns,
    moved_columns,
    negative,
    scaled_columns,
    times,
)
from strongroom.errors import ModelError
from strongroom.models.convolutions import Convolution
from strongroom.models.graph import Graph, Node

MAXIMUM_WEIGHTS = 2**28
"""Of outputs × width, at any tensor of the graph."""


@dataclass(frozen=True, slots=True, eq=False)
class Affine:
    """scores = rows @ weights.T + bias.

    Attributes:
        weights: shape (outputs, columns), float64.
        bias: shape (outputs,), float64.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


def fold_affine(graph: Graph) -> Affine:
    """Fold a graph of affine operators.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming operator and node if one is not affine;
            SR-MODEL-VALUES if a weight is missing or infinite; SR-MODEL-FILE if shapes don't
            fit.
    """
    if len(graph.tensors) != 1 or len(graph.tensors[0].shape) != 2:
        raise ModelError("SR-MODEL-UNSUPPORTED", "the model's input is not one table of columns")
    rows = graph.tensors[0].name
    widths = {rows: graph.features.width}
    for node in graph.nodes:
        widths[node.outputs[0]] = affine_width(node, widths, graph)
    if graph.scores not in widths or widths[graph.scores] != graph.output.outputs:
        raise ModelError("SR-MODEL-FILE", "the graph does not make the scores that it declares")
    outputs = graph.output.outputs
    if outputs * max(widths.values()) > MAXIMUM_WEIGHTS:
        raise ModelError("SR-MODEL-UNSUPPORTED", f"the model has over {MAXIMUM_WEIGHTS} weights")

    bias = np.zeros(outputs)
    sensitivities = {graph.scores: np.eye(outputs)}
    with np.errstate(all="ignore"):  # whatever overflows is refused below
        for node in reversed(graph.nodes):
            sensitivity = sensitivities.pop(node.outputs[0], None)
            if sensitivity is None:
                continue
            parts, constant = pull_back(node, sensitivity, widths, graph)
            bias += constant
            for name, found in parts:
                part = as_dense(found)
                # a tensor that has width 1 and was spread over columns collects all of them
                part = part if part.shape[1] == widths[name] else part.sum(axis=1, keepdims=True)
                sensitivities[name] = sensitivities[name] + part if name in sensitivities else part
    weights = sensitivities.get(rows, np.zeros((outputs, widths[rows])))
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ModelError(
            "SR-MODEL-VALUES",
            "a weight of the model is missing or infinite",
            "Fit the model again on data without missing values and constant columns",
        )
    return Affine(np.ascontiguousarray(weights, dtype=np.float64), bias)


def affine_width(node: Node, widths: dict[str, int], graph: Graph) -> int:
    """Numbers a row of an affine node's output; checks that its inputs fit.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if it is not affine; SR-MODEL-FILE if shapes don't fit.
    """
    tables = [widths[name] for name in node.inputs if name in widths]
    constants = [graph.constants[name] for name in node.inputs if name in graph.constants]
    if len(tables) + len(constants) != len(node.inputs) or not tables:
        raise misfit(node)
    match node.operator:
        case "MatMul" if len(tables) == 1 and node.inputs[0] in widths and constants:
            if constants[0].ndim != 2 or constants[0].shape[0] != tables[0]:
                raise misfit(node)
            return int(constants[0].shape[1])
        case "Conv" if len(tables) == 1 and node.inputs[0] in widths and constants:
            geometry = convolution(node, graph)
            if geometry.inputs_width != tables[0]:
                raise misfit(node)
            return geometry.outputs_width
        case "Add" | "Sub" | "Mul" | "Div" if len(node.inputs) == 2:
            if node.operator == "Mul" and not constants:
                raise _not_affine(node)
            if node.operator == "Div" and node.inputs[1] in widths:
                raise _not_affine(node)
            sizes = [*tables, *(constant.size for constant in constants)]
            if any(size not in (1, max(sizes)) for size in sizes):
                raise misfit(node)
            return max(sizes)
        case "Concat" if not constants:
            return sum(tables)
        case "Gather" if len(tables) == 1 and len(constants) == 1:
            if not np.isin(constants[0], np.arange(tables[0])).all():
                raise misfit(node)
            return int(constants[0].size)
        case _:
            raise _not_affine(node)


def pull_back(
    node: Node, sensitivity: Matrix, widths: dict[str, int], graph: Graph
) -> tuple[list[tuple[str, Matrix]], NDArray[np.float64] | float]:
    """How the scores depend on the tables that a node takes, and what its constants add to
    the scores. `sensitivity` has shape (outputs, width of the node's output).

    Raises:
        TooLarge: a sparse matrix would have too many entries.
    """

    def constant(name: str) -> NDArray[np.float64]:
        return np.asarray(graph.constants[name], dtype=np.float64)

    def spread(name: str) -> NDArray[np.float64]:
        return np.broadcast_to(constant(name).reshape(-1), sensitivity.shape[1:])

    first, second = node.inputs[0], node.inputs[-1]
    match node.operator:
        case "MatMul":
            return [(first, times(sensitivity, constant(second).T))], 0.0
        case "Conv":
            return [(first, _through_convolution(node, sensitivity, graph))], 0.0
        case "Mul" if first in widths:
            return [(first, scaled_columns(sensitivity, spread(second)))], 0.0
        case "Mul":
            return [(second, scaled_columns(sensitivity, spread(first)))], 0.0
        case "Div":
            return [(first, divided_columns(sensitivity, spread(second)))], 0.0
        case "Add" | "Sub":
            other = sensitivity if node.operator == "Add" else negative(sensitivity)
            parts: list[tuple[str, Matrix]] = []
            added: NDArray[np.float64] | float = 0.0
            for name, part in ((first, sensitivity), (second, other)):
                if name in widths:
                    parts.append((name, part))
                else:
                    added = times(part, spread(name))
            return parts, added
        case "Concat":
            cuts = np.cumsum([0, *(widths[name] for name in node.inputs)]).tolist()
            return [
                (name, columns_between(sensitivity, low, high))
                for name, (low, high) in zip(node.inputs, pairwise(cuts), strict=True)
            ], 0.0
        case _:
            places = np.asarray(graph.constants[second], dtype=np.intp).reshape(-1)
            return [(first, moved_columns(sensitivity, places, widths[first]))], 0.0


def _through_convolution(node: Node, sensitivity: Matrix, graph: Graph) -> Matrix:
    geometry = convolution(node, graph)
    weights = np.asarray(graph.constants[node.inputs[1]], dtype=np.float64)
    if not isinstance(sensitivity, Sparse):
        return geometry.pull_back(sensitivity, weights)
    return sensitivity.of_sparse(Sparse.of_convolution(geometry, weights))


def convolution(node: Node, graph: Graph) -> Convolution:
    """The geometry of a node `Conv`.

    Raises:
        ModelError: SR-MODEL-FILE if its numbers contradict each other.
    """
    try:
        geometry = Convolution.of(node.attributes, graph.constants[node.inputs[1]].shape)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise misfit(node) from error
    if geometry.weights_shape != graph.constants[node.inputs[1]].shape:
        raise misfit(node)
    return geometry


def _not_affine(node: Node) -> ModelError:
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"operator {node.operator} (node {node.name!r}) is not affine, the model is not linear",
        "Use a linear model, with scaling or PCA before it at most",
    )


def misfit(node: Node) -> ModelError:
    """The error for a node whose inputs have other shapes than it takes."""
    return ModelError(
        "SR-MODEL-FILE", f"shapes don't fit at operator {node.operator} (node {node.name!r})"
    )
