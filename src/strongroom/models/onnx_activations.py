"""Functions of one number: ONNX's activations as those of `models.activations`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from strongroom.models.graph import Attribute
from strongroom.models.onnx_file import OnnxNode, malformed
from strongroom.models.onnx_values import Call, Gate, Table, Value, as_table, monomial

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

PLAIN = ("Relu", "Abs", "Sigmoid", "Tanh", "Softplus", "Exp")
"""Activations that need no attribute."""

DEFAULTS = {
    "LeakyRelu": {"alpha": 0.01},
    "Elu": {"alpha": 1.0},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
}
"""Activations with attributes, and what ONNX says of one that is left out."""

MAXIMUM_EXPONENT = 64

SOFTPLUS_THRESHOLD = 15.0
"""From here on softplus(x) is x to 3e-7: PyTorch writes it as a choice at 20."""


def activated(
    lowering: Lowering, node: OnnxNode, table: Table, arguments: list[Value | None]
) -> Table | None:
    """What an activation makes of a table; None if the node is none that is known.

    Args:
        arguments: all inputs of the node, None where one is left out.
    """
    attributes = node.attributes
    match node.operator:
        case operator if operator in PLAIN:
            made = function(lowering, node, operator, table)
            if operator in ("Sigmoid", "Tanh", "Softplus"):
                return replace(made, gate=Gate(operator, replace(table, gate=None)))
            return made
        case operator if operator in DEFAULTS:
            given = {k: float(attributes.get(k, v)) for k, v in DEFAULTS[operator].items()}
            return function(lowering, node, operator, table, **given)
        case "Gelu":
            approximate = attributes.get("approximate", "none")
            return function(lowering, node, "GeluTanh" if approximate == "tanh" else "Gelu", table)
        case "Swish":  # x sigmoid(alpha x)
            alpha = float(attributes.get("alpha", 1.0))
            if not alpha:
                return times(lowering, node, table, 0.5)
            made = function(lowering, node, "Silu", times(lowering, node, table, alpha))
            return times(lowering, node, made, 1.0 / alpha)
        case "HardSwish":  # x hard_sigmoid(x) with alpha = 1/6 and beta = 1/2
            gate = function(lowering, node, "HardSigmoid", table, alpha=1 / 6, beta=0.5)
            return lowering.elementwise(node, "Mul", table, gate)
        case "Selu":
            alpha = float(attributes.get("alpha", 1.6732632))
            made = function(lowering, node, "Elu", table, alpha=alpha)
            return times(lowering, node, made, float(attributes.get("gamma", 1.0507010)))
        case "Celu":  # alpha elu(x / alpha)
            alpha = float(attributes.get("alpha", 1.0))
            inner = times(lowering, node, table, 1.0 / alpha)
            return times(lowering, node, function(lowering, node, "Elu", inner, alpha=1.0), alpha)
        case "PRelu" if isinstance(arguments[1], np.ndarray):
            return _with_slopes(lowering, node, table, arguments[1])
        case "Pow" if isinstance(arguments[1], np.ndarray) and arguments[1].size == 1:
            exponent = float(arguments[1].reshape(()))
            if exponent != round(exponent) or not 1 <= exponent <= MAXIMUM_EXPONENT:
                return None
            return power(lowering, node, table, int(exponent))
        case _:
            return None


def function(
    lowering: Lowering, node: OnnxNode, operator: str, table: Table, **attributes: Attribute
) -> Table:
    """A node of one of the functions of `models.activations`."""
    return lowering.table(operator, node, [table], table.shape, attributes)


def times(lowering: Lowering, node: OnnxNode, table: Table, factor: float) -> Table:
    """A table times a number, which remembers what it is a multiple of."""
    if factor == 1.0:
        return table
    made = lowering.elementwise(node, "Mul", table, np.array(factor))
    scaled = tuple(factor * coefficient for coefficient in table.polynomial)
    return replace(made, base=table.root, polynomial=scaled)


def power(lowering: Lowering, node: OnnxNode, table: Table, exponent: int) -> Table:
    """table ** exponent, of the table's root if it is a power of that."""
    if exponent == 1:
        return table
    known = monomial(table.polynomial)
    if known is None or known * exponent > MAXIMUM_EXPONENT:
        table, known = Table(table.name, table.shape), 1
    factor = table.polynomial[known] ** exponent
    return of_root(lowering, node, table, (0.0,) * (known * exponent) + (factor,))


def of_root(
    lowering: Lowering, node: OnnxNode, table: Table, polynomial: tuple[float, ...]
) -> Table:
    """A polynomial of a table's root; the last coefficient is not zero."""
    root = replace(table.root, shape=table.shape)
    exponent = monomial(polynomial)
    if exponent == 1:
        return times(lowering, node, root, polynomial[1])
    if exponent is None or exponent == 0:
        made = function(lowering, node, "Polynomial", root, coefficients=polynomial)
        return replace(made, base=root, polynomial=polynomial)
    if exponent == 2:
        made = function(lowering, node, "Square", root)
    else:
        made = function(lowering, node, "Power", root, exponent=exponent)
    unit = (0.0,) * exponent + (1.0,)
    return times(lowering, node, replace(made, base=root, polynomial=unit), polynomial[exponent])


def chosen_softplus(arguments: list[Value | None]) -> Table | None:
    """The softplus in Where(x > threshold, x, softplus(x)); None if it is another choice."""
    condition, above, below = [*arguments, None, None, None][:3]
    if not isinstance(below, Table) or below.gate is None or below.gate.function != "Softplus":
        return None
    if not isinstance(condition, Call) or condition.operator != "Greater":
        return None
    gate = below.gate
    compared, threshold = condition.arguments
    one, other = as_table(compared), as_table(above)
    if one is None or other is None:
        return None
    if not isinstance(threshold, np.ndarray) or threshold.size != 1:
        return None
    slope = gate.argument.multiple
    compared_slope, slope_above = one.multiple, other.multiple
    same = {gate.argument.root.name, one.root.name, other.root.name}
    if len(same) > 1 or not slope or not compared_slope or slope_above is None:
        return None
    reached = slope * float(threshold.reshape(())) / compared_slope
    fits = abs(slope_above - gate.factor * slope) <= 1e-6 * abs(slope_above) and not gate.offset
    return below if fits and compared_slope > 0 and reached >= SOFTPLUS_THRESHOLD else None


def _with_slopes(lowering: Lowering, node: OnnxNode, table: Table, slopes: np.ndarray) -> Table:
    """PRelu: one slope for all, or slope x + (1 - slope) relu(x)."""
    if slopes.size == 1:
        return function(lowering, node, "LeakyRelu", table, alpha=float(slopes.reshape(())))
    if slopes.ndim > len(table.shape):
        raise malformed(f"has slopes that don't fit: {node.label}")
    slopes = slopes.astype(np.float64)
    above = function(lowering, node, "Relu", table)
    return lowering.elementwise(
        node,
        "Add",
        lowering.elementwise(node, "Mul", table, slopes),
        lowering.elementwise(node, "Mul", above, 1.0 - slopes),
    )
