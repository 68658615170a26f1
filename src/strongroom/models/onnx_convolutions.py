"""Convolutions and pools by averages: nodes `Conv` of the `Graph`.

A pool by averages is a convolution of each channel by itself with equal weights, then divided,
place by place, by how many numbers the window holds there.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.convolutions import Convolution
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_values import Table, Value

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

OPERATORS = ("Conv", "AveragePool", "GlobalAveragePool")


def convolved(
    lowering: Lowering, node: OnnxNode, table: Table, arguments: list[Value | None]
) -> Table | None:
    """What a node makes of a table of images; None if it is another operator.

    Args:
        arguments: what the node takes besides the table, None where an input is left out.
    """
    constants = [value for value in arguments if isinstance(value, np.ndarray)]
    if node.operator not in OPERATORS or len(constants) != sum(v is not None for v in arguments):
        return None
    if len(table.shape) < 2:
        raise malformed(f"takes images of {1 + len(table.shape)} axes: {node.label}")
    if node.operator == "Conv" and constants:
        return _convolution(lowering, node, table, constants)
    if node.operator == "AveragePool":
        return _average_pool(lowering, node, table)
    return averaged(lowering, node, table, table.shape[1:]) if not constants else None


def averaged(
    lowering: Lowering, node: OnnxNode, table: Table, kernel: tuple[int, ...], total: bool = False
) -> Table:
    """The averages, or with `total` the sums, of windows of each channel that stand side by side.

    Args:
        kernel: a divisor of the size of a channel, along each of its axes.
    """
    still = (0,) * len(kernel)
    geometry = geometry_of(node, table, kernel, kernel, still)
    weight = 1.0 if total else 1.0 / math.prod(kernel)
    return sliding(lowering, node, table, geometry, np.full(geometry.weights_shape, weight))


def sliding(
    lowering: Lowering,
    node: OnnxNode,
    table: Table,
    geometry: Convolution,
    weights: NDArray[Any],
) -> Table:
    """The convolution of a table, flat as it is, with constant weights."""
    lowering.count_products(node, geometry.products)
    shape = (geometry.outputs, *geometry.made)
    taken: list[Table | NDArray[Any]] = [table, weights.astype(np.float64)]
    return lowering.table("Conv", node, taken, shape, geometry.attributes())


def geometry_of(
    node: OnnxNode,
    table: Table,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    before: tuple[int, ...],
    after: tuple[int, ...] | None = None,
    dilations: tuple[int, ...] | None = None,
    outputs: int | None = None,
    groups: int | None = None,
) -> Convolution:
    """A geometry; each channel by itself unless said otherwise."""
    channels, *size = table.shape
    try:
        return Convolution(
            channels=channels,
            outputs=channels if outputs is None else outputs,
            groups=channels if groups is None else groups,
            size=tuple(size),
            kernel=kernel,
            strides=strides,
            dilations=(1,) * len(size) if dilations is None else dilations,
            before=before,
            after=before if after is None else after,
        )
    except ValueError as error:
        raise malformed(f"{error}: {node.label}") from error


def _convolution(
    lowering: Lowering, node: OnnxNode, table: Table, constants: list[NDArray[Any]]
) -> Table:
    weights, bias = constants[0], constants[1] if len(constants) > 1 else None
    if weights.dtype.kind != "f" or weights.ndim != 1 + len(table.shape):
        raise malformed(
            f"has a kernel of {weights.ndim} axes for images of {1 + len(table.shape)}: "
            f"{node.label}"
        )
    kernel = weights.shape[2:]
    if _numbers(node, "kernel_shape", kernel) != kernel:
        raise malformed(f"has a kernel of another size than it states: {node.label}")
    groups = int(node.attributes.get("group", 1))
    if weights.shape[1] * groups != table.shape[0]:
        raise malformed(
            f"has a kernel for {weights.shape[1] * groups} channels, the images have "
            f"{table.shape[0]}: {node.label}"
        )
    strides, dilations = _steps(node, table)
    before, after = _pads(node, table, kernel, strides, dilations)
    geometry = geometry_of(
        node, table, kernel, strides, before, after, dilations, weights.shape[0], groups
    )
    made = sliding(lowering, node, table, geometry, weights)
    if bias is None:
        return made
    if bias.shape != weights.shape[:1]:
        raise malformed(f"has a bias that does not fit: {node.label}")
    return lowering.elementwise(node, "Add", made, bias.reshape(-1, *(1 for _ in kernel)))


def _average_pool(lowering: Lowering, node: OnnxNode, table: Table) -> Table:
    size = table.shape[1:]
    kernel = _numbers(node, "kernel_shape", ())
    strides, dilations = _steps(node, table)
    before, after = _pads(node, table, kernel, strides, dilations)
    whole = geometry_of(node, table, kernel, strides, before, after, dilations)
    stated = whole.padded
    if node.attributes.get("ceil_mode", 0):
        # a last window that begins in the image or before it may reach beyond the padding
        steps = [
            min(-(-(padded - window) // stride), (width + first - 1) // stride)
            for padded, window, stride, width, first in zip(
                stated, whole.window, strides, size, before, strict=True
            )
        ]
        reached = zip(steps, strides, whole.window, stated, strict=True)
        missing = [max(step * stride + window - end, 0) for step, stride, window, end in reached]
        after = tuple(map(sum, zip(after, missing, strict=True)))
        whole = geometry_of(node, table, kernel, strides, before, after, dilations)
    padded = bool(node.attributes.get("count_include_pad", 0))
    counts = []
    for axis in range(len(size)):
        starts = np.arange(whole.made[axis]) * strides[axis]
        places = starts[:, None] + np.arange(kernel[axis]) * dilations[axis]
        low, high = (0, stated[axis]) if padded else (before[axis], before[axis] + size[axis])
        counts.append(((places >= low) & (places < high)).sum(axis=1))
    count = reduce(np.multiply.outer, counts)
    if not count.all():
        raise malformed(f"has windows outside of the image: {node.label}")
    weights = np.full(whole.weights_shape, 1.0 / math.prod(kernel))
    pooled = sliding(lowering, node, table, whole, weights)
    if (count == math.prod(kernel)).all():
        return pooled
    return lowering.elementwise(node, "Mul", pooled, math.prod(kernel) / count[None])


def _steps(node: OnnxNode, table: Table) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Strides and dilations."""
    ones = (1,) * (len(table.shape) - 1)
    return _numbers(node, "strides", ones), _numbers(node, "dilations", ones)


def _pads(
    node: OnnxNode,
    table: Table,
    kernel: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros before and behind each axis: as stated, or so that the size follows from strides."""
    size = table.shape[1:]
    automatic = node.attributes.get("auto_pad", "NOTSET")
    if automatic in ("NOTSET", "VALID"):
        pads = _numbers(node, "pads", (0,) * (2 * len(size)))
        if automatic == "VALID":
            pads = (0,) * (2 * len(size))
        return pads[: len(pads) // 2], pads[len(pads) // 2 :]
    if automatic not in ("SAME_UPPER", "SAME_LOWER") or min(strides, default=0) < 1:
        raise malformed(f"has a padding or strides that make no sense: {node.label}")
    before, after = [], []
    for width, taps, stride, dilation in zip(size, kernel, strides, dilations, strict=False):
        missing = max((-(-width // stride) - 1) * stride + 1 + (taps - 1) * dilation - width, 0)
        less, more = missing // 2, missing - missing // 2
        before.append(less if automatic == "SAME_UPPER" else more)
        after.append(more if automatic == "SAME_UPPER" else less)
    return tuple(before), tuple(after)


def _numbers(node: OnnxNode, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    value = node.attributes.get(name)
    return tuple(default) if value is None else tuple(int(number) for number in np.ravel(value))
