"""Operators that sum columns with constant weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_values import Table, Value

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

MAXIMUM_VECTORS = 4096
"""A row of shape (vectors, k) times a matrix is as many products."""

MAXIMUM_SUMMED = 2**24
"""Columns times sums of a reduction, which is a matrix of zeros and ones."""


def dense_operator(
    lowering: Lowering, node: OnnxNode, table: Table, arguments: list[Value | None]
) -> Table | None:
    """What the node makes of a table; None if it is another operator, or sums over rows.

    Args:
        arguments: what the node takes besides the table, None where an input is left out.
    """
    constants = [value for value in arguments if isinstance(value, np.ndarray)]
    if len(constants) != sum(value is not None for value in arguments):
        return None
    match node.operator:
        case "MatMul" if constants and not table.flat:
            return _product(lowering, node, table, constants[0])
        case "Gemm" if constants and not node.attributes.get("transA", 0):
            weights = constants[0].T if node.attributes.get("transB", 0) else constants[0]
            bias = node.attributes.get("beta", 1.0) * constants[1] if constants[1:] else None
            return lowering.dense(node, table, node.attributes.get("alpha", 1.0) * weights, bias)
        case "BatchNormalization" if len(constants) == 4:
            return _normalised(lowering, node, table, constants)
        case "ReduceSum" | "ReduceMean":
            return _reduced(lowering, node, table, axes_of(node, constants))
        case _:
            return None


def _product(
    lowering: Lowering, node: OnnxNode, table: Table, weights: NDArray[np.generic]
) -> Table | None:
    """A row of shape (..., k) times a matrix (k, m), or a vector (k,)."""
    matrix = weights[:, None] if weights.ndim == 1 else weights
    *before, last = table.shape
    vectors = math.prod(before)
    if matrix.ndim != 2 or vectors > MAXIMUM_VECTORS:
        return None
    if matrix.shape[0] != last:
        raise malformed(f"has weights that don't fit: {node.label}")
    if vectors == 1:
        result = lowering.dense(node, table, matrix, None)
    else:
        places = np.arange(table.width, dtype=np.int64).reshape(vectors, last)
        parts = [
            lowering.dense(node, lowering.gather(node, table, row[None]), matrix, None)
            for row in places
        ]
        result = lowering.table("Concat", node, [*parts], (vectors * matrix.shape[1],))
    shape = tuple(before) if weights.ndim == 1 else (*before, matrix.shape[1])
    return Table(result.name, shape)


def _normalised(
    lowering: Lowering, node: OnnxNode, table: Table, constants: list[NDArray[np.generic]]
) -> Table | None:
    """BatchNormalization of a trained model: a factor and a summand a channel, the first axis."""
    if (
        table.flat
        or node.attributes.get("training_mode", 0)
        or not node.attributes.get("spatial", 1)
    ):
        return None
    scale, bias, mean, variance = (constant.astype(np.float64) for constant in constants)
    if any(constant.shape != table.shape[:1] for constant in constants):
        raise malformed(f"has statistics that don't fit: {node.label}")
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    along = (-1, *(1 for _ in table.shape[1:]))
    scaled = lowering.elementwise(node, "Mul", table, factor.reshape(along))
    return lowering.elementwise(node, "Add", scaled, (bias - mean * factor).reshape(along))


def _reduced(
    lowering: Lowering, node: OnnxNode, table: Table, axes: list[int] | None
) -> Table | None:
    """A sum or mean over axes of a row, as a product with a matrix of equal weights."""
    rank = 1 + len(table.shape)
    if not axes or any(axis % rank == 0 or not -rank <= axis < rank for axis in axes):
        return None
    over = sorted({axis % rank - 1 for axis in axes})
    summed = math.prod(table.shape[axis] for axis in over)
    kept = [axis for axis in range(rank - 1) if axis not in over]
    sums = table.width // summed
    if table.width * sums > MAXIMUM_SUMMED:
        return None
    places = np.arange(table.width).reshape(table.shape).transpose(*kept, *over).reshape(sums, -1)
    weights = np.zeros((table.width, sums))
    weights[places, np.arange(sums)[:, None]] = 1.0 if node.operator == "ReduceSum" else 1 / summed
    result = lowering.dense(node, table, weights, None)
    keep = node.attributes.get("keepdims", 1)
    shape = tuple(
        1 if axis in over else table.shape[axis]
        for axis in range(rank - 1)
        if keep or axis not in over
    )
    return Table(result.name, shape)
