"""Shapes as values: what exporters write for `x.view(x.size(0), -1)`.

Only the number of rows is unknown. What is computed from the rest is a constant; what holds the
number of rows may be cut and joined, and say how a table is reshaped, but not be computed with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_file import DTYPES, OnnxNode
from strongroom.models.onnx_values import Sizes, Table, Value


def shape_of(node: OnnxNode, table: Table) -> Sizes | NDArray[Any]:
    """What Shape makes of a table."""
    entries = (None, *table.shape)
    return _settled(entries[node.attributes.get("start", 0) : node.attributes.get("end")])


def sized(node: OnnxNode, arguments: list[Value | None]) -> Sizes | NDArray[Any] | None:
    """What a node makes of sizes and constants; None if it computes with the number of rows."""
    first = arguments[0]
    constants = [value for value in arguments[1:] if isinstance(value, np.ndarray)]
    if node.operator == "Concat":
        joined: list[int | None] = []
        for value in arguments:
            if not isinstance(value, Sizes | np.ndarray):
                return None
            joined.extend(entries_of(value))
        return _settled(tuple(joined))
    if not isinstance(first, Sizes) or len(constants) != sum(v is not None for v in arguments[1:]):
        return None
    entries = np.array(first.entries, dtype=object)
    match node.operator:
        case "Identity":
            return first
        case "Cast" if DTYPES.get(node.attributes.get("to", 0)) in ("int64", "int32"):
            return first
        case "Gather" if not first.scalar and node.attributes.get("axis", 0) == 0:
            places = np.ravel(constants[0])
            return _settled(tuple(entries[places]), scalar=constants[0].ndim == 0)
        case "Slice" if not first.scalar and len(constants) in (2, 3):
            start, end = (int(np.ravel(bound)[0]) for bound in constants[:2])
            return _settled(tuple(entries[start:end]))
        case "Unsqueeze" if first.scalar and axes_of(node, constants) in ([0], [-1]):
            return Sizes(first.entries)
        case "Squeeze" if len(entries) == 1:
            return Sizes(first.entries, scalar=True)
        case "Reshape" if constants[0].tolist() in ([-1], [1]):
            return Sizes(first.entries)
        case _:
            return None


def entries_of(value: Sizes | NDArray[Any]) -> list[int | None]:
    """The integers of a shape that is known but for the number of rows."""
    if isinstance(value, Sizes):
        return list(value.entries)
    return [int(size) for size in np.ravel(value)]


def _settled(entries: tuple[int | None, ...], scalar: bool = False) -> Sizes | NDArray[Any]:
    """A constant where no entry is the number of rows."""
    if any(entry is None for entry in entries):
        return Sizes(entries, scalar)
    numbers = np.array(entries, dtype=np.int64)
    return numbers.reshape(()) if scalar else numbers
