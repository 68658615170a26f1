"""Pad: numbers around a row.

Zeros come from a convolution with a kernel of one, another number is added to them, and what
repeats numbers that are there is a choice of columns.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_convolutions import geometry_of, sliding
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_values import Table, Value

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

REPEATING: dict[str, Literal["reflect", "edge", "wrap"]] = {
    "reflect": "reflect",
    "edge": "edge",
    "wrap": "wrap",
}
"""Modes of Pad that repeat what is there, by their NumPy names."""


def padded(
    lowering: Lowering, node: OnnxNode, table: Table, arguments: list[Value | None]
) -> Table | None:
    """What Pad makes of a table; None if it is another operator, or pads the batch axis.

    Args:
        arguments: what the node takes besides the table, None where an input is left out.
    """
    if node.operator != "Pad":
        return None
    given = [*arguments, None, None, None][:3]
    if any(value is not None and not isinstance(value, np.ndarray) for value in given):
        return None
    pads, value, axes = given
    pads = node.attributes.get("pads") if pads is None else pads
    value = node.attributes.get("value", 0.0) if value is None else value
    around = _around(node, table, pads, axes)
    if around[0] != (0, 0):
        return None
    pairs = zip(table.shape, around[1:], strict=True)
    largest = [size + max(low, 0) + max(high, 0) for size, (low, high) in pairs]
    lowering.check_width(node, math.prod(largest))
    places = np.arange(table.width, dtype=np.int64).reshape(table.shape)
    for axis, (low, high) in enumerate(around[1:]):
        kept = range(max(-low, 0), table.shape[axis] + min(high, 0))
        places = np.take(places, kept, axis=axis)
    added = [(max(low, 0), max(high, 0)) for low, high in around[1:]]
    mode = node.attributes.get("mode", "constant")
    if mode != "constant" and mode not in REPEATING:
        return None
    if mode in REPEATING:
        return lowering.gather(node, table, np.pad(places, added, mode=REPEATING[mode])[None])
    return _surrounded(lowering, node, lowering.gather(node, table, places[None]), added, value)


def _around(node: OnnxNode, table: Table, pads: Any, axes: Any) -> list[tuple[int, int]]:
    """How much is put before and behind each axis, the batch axis first."""
    rank = 1 + len(table.shape)
    named = axes_of(node, [] if axes is None else [axes])
    numbers = [int(number) for number in np.ravel(pads)]
    chosen = [axis % rank for axis in (range(rank) if named is None else named)]
    if len(numbers) != 2 * len(chosen) or len(set(chosen)) < len(chosen):
        raise malformed(f"has {len(numbers)} paddings for {len(chosen)} axes: {node.label}")
    around = [(0, 0)] * rank
    for place, axis in enumerate(chosen):
        around[axis] = (numbers[place], numbers[place + len(chosen)])
    pairs = zip(table.shape, around[1:], strict=True)
    kept = [min(size, size + low, size + high, size + low + high) for size, (low, high) in pairs]
    if min(kept, default=1) < 1:
        raise malformed(f"leaves nothing of an image: {node.label}")
    return around


def _surrounded(
    lowering: Lowering, node: OnnxNode, table: Table, added: list[tuple[int, int]], value: Any
) -> Table:
    ones = (1,) * len(table.shape)
    before, after = zip(*added, strict=True)
    image = Table(table.name, (1, *table.shape))
    geometry = geometry_of(node, image, ones, ones, before, after)
    made = sliding(lowering, node, image, geometry, np.ones(geometry.weights_shape))
    made = Table(made.name, geometry.made)
    number = float(np.asarray(value).reshape(()))
    if not number:
        return made
    around = np.pad(np.zeros(table.shape), added, constant_values=number)
    return lowering.elementwise(node, "Add", made, around)
