"""Activations as ONNX operators, with the numbers of `models.activations`.

ONNX Runtime has most functions in float32 only: in float64 they are put together from those few
operators that it has in both. The error function is the exception, float32 always, so that a Gelu
in float64 is right to about 1e-7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from strongroom.models.activations import PARAMETERS, Activation
from strongroom.models.onnx_nodes import Nodes

NATIVE: Final = frozenset({"Relu", "Abs", "Sigmoid", "Tanh", "Exp", "Identity"})
"""Operators that ONNX Runtime has in float32 and float64."""

_FLOAT32: Final = frozenset({"LeakyRelu", "Elu", "Softplus", "HardSigmoid"})


def add_activation(nodes: Nodes, activation: Activation, x: str) -> str:
    """Add what computes an activation of a tensor; its name."""
    if activation.name in NATIVE:
        return nodes.add(activation.name, x)
    if nodes.dtype == "float32":
        if activation.name in _FLOAT32:
            names = PARAMETERS.get(activation.name, ())
            attributes: dict[str, Any] = dict(zip(names, activation.parameters, strict=True))
            return nodes.add(activation.name, x, **attributes)
        if activation.name in ("Gelu", "GeluTanh"):
            kind = "tanh" if activation.name == "GeluTanh" else "none"
            return nodes.add("Gelu", x, approximate=kind)
    return _COMPOSED[activation.name](nodes, x, *activation.parameters)


def _power(nodes: Nodes, x: str, exponent: float) -> str:
    return nodes.add("Pow", x, nodes.number(exponent))


def _polynomial(nodes: Nodes, x: str, *coefficients: float) -> str:
    value = nodes.add("Mul", x, nodes.number(0.0))
    value = nodes.add("Add", value, nodes.number(coefficients[-1]))
    for coefficient in reversed(coefficients[:-1]):
        value = nodes.add("Add", nodes.add("Mul", value, x), nodes.number(coefficient))
    return value


def _leaky_relu(nodes: Nodes, x: str, alpha: float) -> str:
    positive = nodes.add("GreaterOrEqual", x, nodes.number(0.0))
    return nodes.add("Where", positive, x, nodes.add("Mul", x, nodes.number(alpha)))


def _gelu(nodes: Nodes, x: str) -> str:
    narrow = nodes.cast(nodes.add("Mul", x, nodes.number(1 / math.sqrt(2.0))), "float32")
    both = nodes.cast(nodes.add("Erf", narrow), nodes.dtype)
    return nodes.add("Mul", nodes.add("Mul", x, nodes.number(0.5)), _one_more(nodes, both))


def _gelu_tanh(nodes: Nodes, x: str) -> str:
    cube = nodes.add("Mul", nodes.add("Mul", x, x), nodes.add("Mul", x, nodes.number(0.044715)))
    argument = nodes.add("Mul", nodes.add("Add", x, cube), nodes.number(math.sqrt(2 / math.pi)))
    both = _one_more(nodes, nodes.add("Tanh", argument))
    return nodes.add("Mul", nodes.add("Mul", x, nodes.number(0.5)), both)


def _silu(nodes: Nodes, x: str) -> str:
    return nodes.add("Mul", x, nodes.add("Sigmoid", x))


def _elu(nodes: Nodes, x: str, alpha: float) -> str:
    low = nodes.add("Exp", nodes.add("Min", x, nodes.number(0.0)))
    low = nodes.add("Mul", nodes.add("Sub", low, nodes.number(1.0)), nodes.number(alpha))
    return nodes.add("Where", nodes.add("GreaterOrEqual", x, nodes.number(0.0)), x, low)


def _softplus(nodes: Nodes, x: str) -> str:
    # the exponential never overflows
    small = nodes.add("Exp", nodes.add("Neg", nodes.add("Abs", x)))
    return nodes.add("Add", nodes.add("Relu", x), nodes.add("Log", _one_more(nodes, small)))


def _hard_sigmoid(nodes: Nodes, x: str, alpha: float, beta: float) -> str:
    line = nodes.add("Add", nodes.add("Mul", x, nodes.number(alpha)), nodes.number(beta))
    return nodes.add("Min", nodes.add("Max", line, nodes.number(0.0)), nodes.number(1.0))


def _all_of(nodes: Nodes, x: str, conditions: float) -> str:
    holds = nodes.add("GreaterOrEqual", nodes.add("Round", x), nodes.number(conditions))
    return nodes.cast(holds, nodes.dtype)


def _step(nodes: Nodes, x: str) -> str:
    half = nodes.add("Mul", nodes.add("Sign", x), nodes.number(0.5))
    return nodes.add("Add", half, nodes.number(0.5))


def _one_more(nodes: Nodes, x: str) -> str:
    return nodes.add("Add", x, nodes.number(1.0))


_COMPOSED: Final[dict[str, Callable[..., str]]] = {
    "Square": lambda nodes, x: nodes.add("Mul", x, x),
    "Power": _power,
    "Polynomial": _polynomial,
    "LeakyRelu": _leaky_relu,
    "Gelu": _gelu,
    "GeluTanh": _gelu_tanh,
    "Silu": _silu,
    "Elu": _elu,
    "Softplus": _softplus,
    "HardSigmoid": _hard_sigmoid,
    "AllOf": _all_of,
    "Step": _step,
}
"""By name, from x and the parameters in the order of `models.activations.PARAMETERS`."""
