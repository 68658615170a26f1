"""What an ONNX tensor can be while a graph is imported: constant, table, call or sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from strongroom.models.onnx_file import OnnxNode


@dataclass(frozen=True, slots=True)
class Table:
    """A tensor of numbers a row, made by nodes of the `Graph`.

    In the `Graph` every row is flat, in C order: the last axis runs fastest. So a row of shape
    (channels, height, width) has the columns of its first channel's first line first.

    Attributes:
        name: of the tensor in the `Graph`.
        shape: of a row: () where the ONNX tensor has shape (n,), (width,) where it has shape
            (n, width), and more axes for images.
        base: the table of which this one is a polynomial, element by element, if that is known.
        polynomial: its coefficients, of base^0, base^1 and so on.
        gate: what this table is of a function's value, if that is known.
    """

    name: str
    shape: tuple[int, ...]
    base: Table | None = None
    polynomial: tuple[float, ...] = (0.0, 1.0)
    gate: Gate | None = None

    @property
    def width(self) -> int:
        """Numbers a row."""
        return math.prod(self.shape)

    @property
    def flat(self) -> bool:
        """Whether the ONNX tensor has shape (n,)."""
        return not self.shape

    @property
    def root(self) -> Table:
        """The base, or the table itself where it has none."""
        return self.base or replace(self, gate=None)

    @property
    def multiple(self) -> float | None:
        """The number that the table is times its root; None if it is another polynomial."""
        return self.polynomial[1] if monomial(self.polynomial) == 1 else None

    @property
    def negation_of(self) -> Table | None:
        """The table that this one is minus of, where that is known."""
        return self.base if self.multiple == -1.0 else None


@dataclass(frozen=True, slots=True)
class Gate:
    """factor * function(argument) + offset: what exporters make Gelu and Silu of.

    Attributes:
        function: "Erf", "Tanh", "Sigmoid" or "Softplus".
    """

    function: str
    argument: Table
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What a node makes that may be part of a link, or is not supported at all.

    Attributes:
        operator: the ONNX name, or "Binary" for [1 - p, p] and "Labels" for the labels of a
            LinearClassifier, which ONNX computes inside other operators.
        node: where it comes from.
        arguments: its inputs.
        attributes: of the node.
        table: the same as a table, where a `Graph` can compute it: a Sigmoid is a link at the end
            of a model and an activation before.
        gate: what this is of a function's value, if that is known.
    """

    operator: str
    node: OnnxNode
    arguments: tuple[Value, ...]
    attributes: Mapping[str, Any]
    table: Table | None = None
    gate: Gate | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """Integers computed from a table's shape, of which some are the number of rows.

    Attributes:
        entries: None for the number of rows.
        scalar: whether it has no axis; then there is one entry.
    """

    entries: tuple[int | None, ...]
    scalar: bool = False


Value = NDArray[Any] | Table | Call | Sizes


def as_table(value: Value | None) -> Table | None:
    """The table that a value is, or can be computed as."""
    if isinstance(value, Call):
        return value.table
    return value if isinstance(value, Table) else None


def monomial(polynomial: tuple[float, ...]) -> int | None:
    """The exponent of a polynomial with one term; None if it has several, or none."""
    exponents = [exponent for exponent, factor in enumerate(polynomial) if factor]
    return exponents[0] if len(exponents) == 1 else None
