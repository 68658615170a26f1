"""Operators that only move numbers within a row: reshaping, transposing, choosing columns.

Each is applied to the column numbers of the table, which then say where every number of the result
comes from: a Gather, or nothing at all where the order stays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_sizes import entries_of
from strongroom.models.onnx_values import Sizes, Table, Value
from strongroom.models.rows import MAXIMUM_COLUMNS

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

Places = NDArray[np.int64]


def moved(
    lowering: Lowering, node: OnnxNode, table: Table, arguments: list[Value | None]
) -> Table | tuple[Table, ...] | None:
    """What the node makes of a table; None if it is another operator, or mixes rows.

    Args:
        arguments: what the node takes besides the table, None where an input is left out.
    """
    if any(not isinstance(value, np.ndarray | Sizes | None) for value in arguments):
        return None
    # the batch axis stands first, with one row
    places = np.arange(table.width, dtype=np.int64).reshape(1, *table.shape)
    if node.operator == "Split":
        parts = _split(node, places, arguments)
        return None if parts is None else tuple(lowering.gather(node, table, p) for p in parts)
    found = _moved(lowering, node, places, arguments)
    return None if found is None else lowering.gather(node, table, found)


def joined(lowering: Lowering, node: OnnxNode, tables: list[Table]) -> Table | None:
    """What Concat makes of tables; None if it joins rows."""
    axis = node.attributes.get("axis", 1)
    rank = 1 + len(tables[0].shape)
    axis += rank if axis < 0 else 0
    if any(len(table.shape) != rank - 1 for table in tables) or not 1 <= axis < rank:
        return None
    starts = np.cumsum([0, *(table.width for table in tables)])
    lowering.check_width(node, int(starts[-1]))
    places = [
        start + np.arange(table.width, dtype=np.int64).reshape(1, *table.shape)
        for start, table in zip(starts[:-1], tables, strict=True)
    ]
    side_by_side = lowering.table("Concat", node, [*tables], (int(starts[-1]),))
    return lowering.gather(node, side_by_side, np.concatenate(places, axis=axis))


def _moved(
    lowering: Lowering, node: OnnxNode, places: Places, arguments: list[Value | None]
) -> Places | None:
    """The column numbers after the node, the batch axis first."""
    rank = places.ndim
    first = arguments[0] if arguments else None
    constants = [value for value in arguments if isinstance(value, np.ndarray)]
    match node.operator:
        case "Flatten":
            axis = node.attributes.get("axis", 1)
            return places.reshape(1, -1) if axis in (1, 1 - rank) else None
        case "Reshape" if isinstance(first, Sizes | np.ndarray):
            shape = _target(lowering, node, places.shape[1:], entries_of(first))
            return None if shape is None else places.reshape(1, *shape)
        case "Squeeze":
            axes = axes_of(node, constants)
            if not axes or any(axis % rank == 0 for axis in axes):
                return None
            return np.squeeze(places, tuple(axes))
        case "Unsqueeze":
            axes = axes_of(node, constants) or [0]
            rank += len(axes)
            return None if any(axis % rank == 0 for axis in axes) else np.expand_dims(places, axes)
        case "Transpose":
            order = [int(axis) for axis in node.attributes.get("perm", range(rank)[::-1])]
            return places.transpose(order) if order[0] == 0 else None
        case "Gather" if constants and node.attributes.get("axis", 0) % rank:
            return _chosen(node, places, constants[0], node.attributes["axis"])
        case "ai.onnx.ml.ArrayFeatureExtractor" if constants and rank > 1:
            return _chosen(node, places, constants[0].reshape(-1), -1)
        case "Slice":
            return _cut(node, places, arguments)
        case "Expand" if isinstance(first, Sizes | np.ndarray):
            return _expanded(node, places, entries_of(first))
        case _:
            return None


def _target(
    lowering: Lowering, node: OnnxNode, shape: tuple[int, ...], target: list[int | None]
) -> tuple[int, ...] | None:
    """The shape of a row after Reshape; None if the batch axis would not stay alone."""
    if not node.attributes.get("allowzero", 0):
        before = [None, *shape]
        if any(size == 0 for size in target[len(before) :]):
            raise malformed(f"copies an axis that is not there: {node.label}")
        target = [before[i] if size == 0 else size for i, size in enumerate(target)]
    if not target or target[0] not in (None, -1, lowering.batch):
        return None
    sizes = [size for size in target[1:] if size is not None]
    width, known = math.prod(shape), math.prod(size for size in sizes if size != -1)
    if len(sizes) < len(target) - 1 or (target[0] == -1 and -1 in sizes) or sizes.count(-1) > 1:
        return None
    if -1 in sizes:
        sizes[sizes.index(-1)] = width // max(known, 1)
    return tuple(sizes) if math.prod(sizes) == width and min(sizes, default=1) > 0 else None


def _chosen(node: OnnxNode, places: Places, indices: NDArray[Any], axis: int) -> Places:
    size = places.shape[axis]
    fits = indices.dtype.kind in "iu" and 0 < indices.size * places.size // size <= MAXIMUM_COLUMNS
    if not fits or indices.min() < -size or indices.max() >= size:
        raise malformed(f"has column numbers that don't fit: {node.label}")
    return np.take(places, indices.astype(np.int64), axis=axis)


def _cut(node: OnnxNode, places: Places, arguments: list[Value | None]) -> Places | None:
    """Slice, whose bounds are attributes before opset 10 and inputs since."""
    given = [*arguments, None, None, None, None][:4]
    names = ("starts", "ends", "axes", "steps")
    starts, ends, axes, steps = (
        node.attributes.get(name) if value is None else value
        for name, value in zip(names, given, strict=True)
    )
    if not isinstance(starts, np.ndarray) or not isinstance(ends, np.ndarray):
        return None
    axes = axes if isinstance(axes, np.ndarray) else np.arange(len(starts))
    steps = steps if isinstance(steps, np.ndarray) else np.ones(len(starts), dtype=np.int64)
    cuts = [slice(None)] * places.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if axis % places.ndim == 0:
            if (start, step) == (0, 1) and end >= 2**31 - 1:
                continue
            return None
        cuts[int(axis)] = slice(int(start), int(end), int(step))
    result = places[tuple(cuts)]
    if not result.size:
        raise malformed(f"cuts a table of no columns: {node.label}")
    return result


def _split(node: OnnxNode, places: Places, arguments: list[Value | None]) -> list[Places] | None:
    axis = node.attributes.get("axis", 0)
    if axis % places.ndim == 0:
        return None
    sizes = arguments[0] if arguments else node.attributes.get("split")
    count = len(node.outputs)
    if sizes is None:  # equal parts, of which the last may be smaller
        part = -(-places.shape[axis] // count)
        sizes = np.minimum(part, places.shape[axis] - part * np.arange(count))
    if not isinstance(sizes, np.ndarray) or len(sizes) != count:
        return None
    if sizes.min() < 1 or sizes.sum() != places.shape[axis]:
        raise malformed(f"has sizes that don't fit: {node.label}")
    return np.split(places, np.cumsum(sizes)[:-1], axis=axis)


def _expanded(node: OnnxNode, places: Places, target: list[int | None]) -> Places | None:
    if len(target) != places.ndim or target[0] not in (None, 1):
        return None
    sizes = [1 if size is None else size for size in target]
    if None in target[1:] or min(sizes) < 1:
        return None
    shape = np.broadcast_shapes(places.shape, tuple(sizes))
    if math.prod(shape) > MAXIMUM_COLUMNS:
        raise malformed(f"has a table of more than {MAXIMUM_COLUMNS} columns: {node.label}")
    return np.broadcast_to(places, shape)
