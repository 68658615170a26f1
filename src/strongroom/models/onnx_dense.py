"""Operators that sum columns with constant weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_convolutions import averaged, geometry_of, sliding
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_values import Table, Value

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering


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
    if matrix.ndim != 2:
        return None
    if matrix.shape[0] != last or not matrix.size:
        raise malformed(f"has weights that don't fit: {node.label}")
    if vectors == 1:
        result = lowering.dense(node, table, matrix, None)
    else:  # every column of the matrix is a channel, that of all vectors
        image = Table(table.name, (1, vectors, last))
        channels = matrix.T[:, None, None, :]
        geometry = geometry_of(node, image, (1, last), (1, 1), (0, 0), outputs=len(channels))
        made = sliding(lowering, node, image, geometry, channels)
        order = np.arange(made.width, dtype=np.int64).reshape(1, len(channels), vectors)
        result = lowering.gather(node, made, order.swapaxes(1, 2))
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
    """A sum or mean over axes of a row."""
    rank = 1 + len(table.shape)
    if not axes or any(axis % rank == 0 or not -rank <= axis < rank for axis in axes):
        return None
    over = {axis % rank - 1 for axis in axes}
    keep = node.attributes.get("keepdims", 1)
    shape = tuple(
        1 if axis in over else size
        for axis, size in enumerate(table.shape)
        if keep or axis not in over
    )
    # channels by themselves, or rows as images of one channel
    image = Table(table.name, (1, *table.shape) if 0 in over else table.shape)
    kernel = tuple(size if axis in over else 1 for axis, size in enumerate(table.shape))
    total = node.operator == "ReduceSum"
    found = averaged(lowering, node, image, kernel if 0 in over else kernel[1:], total)
    return Table(found.name, shape)
