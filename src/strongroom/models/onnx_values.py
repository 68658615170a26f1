"""What an ONNX tensor can be while a graph is imported: constant, table or call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from strongroom.models.onnx_file import OnnxNode


@dataclass(frozen=True, slots=True)
class Table:
    """An affine function of the rows, shape (n, width), made by nodes of the `Graph`.

    Attributes:
        name: of the tensor in the `Graph`.
        width: numbers a row.
        flat: whether the ONNX tensor has shape (n,) instead; then the width is 1.
        negation_of: the table that this one is minus of, where that is known.
    """

    name: str
    width: int
    flat: bool = False
    negation_of: Table | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What a node makes that is not affine: part of a link, or not supported at all.

    Attributes:
        operator: the ONNX name, or "Binary" for [1 - p, p] and "Labels" for the labels of a
            LinearClassifier, which ONNX computes inside other operators.
        node: where it comes from.
        arguments: its inputs.
        attributes: of the node.
    """

    operator: str
    node: OnnxNode
    arguments: tuple[Value, ...]
    attributes: Mapping[str, Any]


Value = NDArray[Any] | Table | Call
