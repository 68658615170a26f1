"""Sums and products: plain ones, powers in disguise, and the Gelu and Silu that exporters take
apart.

    x sigmoid(x) = silu(x)
    x (1 + erf(x / sqrt 2)) = 2 gelu(x)
    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) = 2 gelu(x), by its approximation

These hold for multiples too, wherever the factors stand: a product of a table and a *gate* is
looked at once both are known, and what is multiplied by later is an affine matter.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from strongroom.models.onnx_activations import (
    MAXIMUM_EXPONENT,
    function,
    of_root,
    times,
)
from strongroom.models.onnx_file import OnnxNode
from strongroom.models.onnx_values import Call, Gate, Table, Value, as_table, monomial

if TYPE_CHECKING:
    from strongroom.models.onnx_lowering import Lowering

CLOSE = 1e-5
"""How far an exporter's float32 constants may be from those of the formulas, relatively."""

MAXIMUM_DEGREE = 16
"""Of polynomials of several terms that are kept as one."""


def arithmetic(lowering: Lowering, node: OnnxNode, inputs: list[Value | None]) -> Table | None:
    """The table that Add, Sub, Mul, Div, Sum or Neg makes; None if a `Graph` has none for it."""
    if node.operator == "Neg":
        first = as_table(inputs[0])
        gate = gated(node, inputs)
        return None if first is None else replace(times(lowering, node, first, -1.0), gate=gate)
    if len(inputs) < 2:
        return as_table(inputs[0])
    result: Value | None = inputs[0]
    for value in inputs[1:]:
        result = _pair(lowering, node, result, value)
    return as_table(result)


def gated(node: OnnxNode, inputs: list[Value | None]) -> Gate | None:
    """What a node's output is of a function's value, if that is known."""
    first, second = [*inputs, None][:2]
    if node.operator == "Erf" and (table := as_table(first)) is not None:
        return Gate("Erf", replace(table, gate=None))
    gate = _gate_of(first)
    if node.operator == "Neg":
        return gate and replace(gate, factor=-gate.factor, offset=-gate.offset)
    if gate is None:
        number, gate = _number(first), _gate_of(second)
        swapped = True
    else:
        number, swapped = _number(second), False
    if gate is None or number is None:
        return None
    match node.operator:
        case "Add":
            return replace(gate, offset=gate.offset + number)
        case "Sub":
            sign = -1.0 if swapped else 1.0
            return replace(
                gate,
                factor=sign * gate.factor,
                offset=sign * (gate.offset - number),
            )
        case "Mul":
            return replace(gate, factor=gate.factor * number, offset=gate.offset * number)
        case "Div" if number and not swapped:
            return replace(gate, factor=gate.factor / number, offset=gate.offset / number)
        case _:
            return None


def _pair(
    lowering: Lowering, node: OnnxNode, left: Value | None, right: Value | None
) -> Table | None:
    if node.operator == "Mul":
        for value, opening in ((left, right), (right, left)):
            factor, gate = as_table(value), _gate_of(opening)
            product = factor and gate and _gated_product(lowering, node, factor, gate)
            if product:
                return product
    sides = [side if isinstance(side, np.ndarray) else as_table(side) for side in (left, right)]
    one, two = sides
    if one is None or two is None:
        return None
    operator = "Add" if node.operator == "Sum" else node.operator
    if isinstance(one, Table) and isinstance(two, Table):
        return None if operator == "Div" else _of_tables(lowering, node, operator, one, two)
    table, other = (one, two) if isinstance(one, Table) else (two, one)
    if not isinstance(table, Table) or (operator == "Div" and table is two):
        return None
    result = lowering.elementwise(node, operator, one, two)
    number = _number(other)
    if number is None or result.shape != table.shape:
        return result
    result = replace(result, gate=gated(node, [left, right]))
    if operator in ("Mul", "Div"):
        multiple = number if operator == "Mul" else 1.0 / number if number else math.nan
        scaled = tuple(multiple * coefficient for coefficient in table.polynomial)
        return replace(result, base=table.root, polynomial=scaled)
    return result


def _of_tables(lowering: Lowering, node: OnnxNode, operator: str, one: Table, two: Table) -> Table:
    """A sum, difference or product of two tables; of one base, it is a polynomial of that."""
    related = one.shape == two.shape and one.root.name == two.root.name
    if operator == "Mul":
        if related:
            polynomial = tuple(np.convolve(one.polynomial, two.polynomial).tolist())
            terms = monomial(polynomial)
            most = MAXIMUM_DEGREE if terms is None else MAXIMUM_EXPONENT
            if any(polynomial) and len(polynomial) <= most + 1:
                return of_root(lowering, node, one, polynomial)
        return lowering.elementwise(node, "Mul", one, two)
    made = lowering.elementwise(node, operator, one, two)
    if not related or max(len(one.polynomial), len(two.polynomial)) > MAXIMUM_DEGREE + 1:
        return made
    sign = 1.0 if operator == "Add" else -1.0
    added = np.polynomial.polynomial.polyadd(one.polynomial, sign * np.array(two.polynomial))
    return replace(made, base=one.root, polynomial=tuple(added.tolist()))


def _gated_product(lowering: Lowering, node: OnnxNode, table: Table, gate: Gate) -> Table | None:
    """table * gate as Gelu or Silu of a multiple of the table's root; None if it is neither."""
    root, factor = replace(table.root, shape=table.shape), table.multiple
    same = gate.argument.root.name == root.name and gate.argument.shape == table.shape
    if not factor or not gate.factor or not same:
        return None
    slope = gate.argument.multiple
    level = gate.offset == 0 if gate.function == "Sigmoid" else _close(gate.offset, gate.factor)
    if not level:
        return None
    if gate.function == "Sigmoid" and slope:
        return _scaled(lowering, node, "Silu", root, slope, factor * gate.factor)
    if gate.function == "Erf" and slope:
        return _scaled(
            lowering, node, "Gelu", root, math.sqrt(2.0) * slope, 2 * factor * gate.factor
        )
    if gate.function == "Tanh" and slope:  # 1 + tanh(x) = 2 sigmoid(2 x)
        return _scaled(lowering, node, "Silu", root, 2 * slope, 2 * factor * gate.factor)
    if gate.function == "Tanh":
        coefficients = gate.argument.polynomial + (0.0,) * 4
        linear, cubic = coefficients[1], coefficients[3]
        others = (coefficients[0], coefficients[2], *coefficients[4:])
        slope = linear / math.sqrt(2.0 / math.pi)
        expected = math.sqrt(2.0 / math.pi) * 0.044715 * slope**3
        if not any(others) and slope and _close(cubic, expected):
            return _scaled(lowering, node, "GeluTanh", root, slope, 2 * factor * gate.factor)
    return None


def _scaled(
    lowering: Lowering, node: OnnxNode, operator: str, root: Table, slope: float, factor: float
) -> Table:
    """(factor / slope) * operator(slope * root)."""
    slope = 1.0 if _close(slope, 1.0) else slope
    inner = times(lowering, node, root, slope)
    return times(lowering, node, function(lowering, node, operator, inner), factor / slope)


def _gate_of(value: Value | None) -> Gate | None:
    if isinstance(value, Call):
        return value.gate or (value.table.gate if value.table is not None else None)
    return value.gate if isinstance(value, Table) else None


def _number(value: Value | None) -> float | None:
    """The number that a constant of one element is."""
    if isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "fiu":
        return float(value.reshape(()))
    return None


def _close(value: float, expected: float) -> bool:
    return abs(value - expected) <= CLOSE * abs(expected)
