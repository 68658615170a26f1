"""Activations: the functions of one number that networks are made of, by their ONNX names.

Exact, in float64: what a protected model approximates, and what parity is measured against.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of one number.

    Attributes:
        name: one of `FUNCTIONS`.
        parameters: numbers that it needs, in the order of `PARAMETERS`.
    """

    name: str
    parameters: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in FUNCTIONS:
            raise ValueError(f"there is no activation {self.name!r}")

    @classmethod
    def of(cls, name: str, attributes: Mapping[str, object]) -> Activation:
        """The activation that a node of a `Graph` stands for; ValueError if it stands for none.

        Args:
            name: the node's operator.
            attributes: those of the node, by the names of `PARAMETERS`; a tuple of numbers where
                there may be any number of them.
        """
        numbers: list[float] = []
        for attribute in PARAMETERS.get(name, ()):
            value = attributes.get(attribute)
            if value is None:
                raise ValueError(f"the activation {name!r} needs {attribute}")
            numbers.extend(np.atleast_1d(np.asarray(value, dtype=np.float64)).tolist())
        return cls(name, tuple(numbers))

    def __call__(self, x: Array) -> Array:
        """Its values, element by element."""
        return np.asarray(FUNCTIONS[self.name](x, *self.parameters), dtype=np.float64)


def _sigmoid(x: Array) -> Array:
    # exp of a negative number never overflows; both branches share it
    power = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, power) / (1.0 + power))


def _normal_cdf(x: Array) -> Array:
    return np.asarray(0.5 * np.vectorize(math.erfc, otypes=[np.float64])(-x / math.sqrt(2.0)))


def _all_of(x: Array, conditions: float) -> Array:
    """1 where x, a number of conditions that hold, is all of them, and 0 where it is fewer."""
    return np.asarray(np.round(x) >= conditions, dtype=np.float64)


FUNCTIONS: Final[dict[str, Callable[..., Array]]] = {
    "Identity": lambda x: x,
    "Square": lambda x: x * x,
    # exponent, a positive integer
    "Power": lambda x, exponent: x ** int(exponent),
    # coefficients of x^0, x^1, ...
    "Polynomial": lambda x, *coefficients: np.polynomial.polynomial.polyval(x, coefficients),
    "Relu": lambda x: np.maximum(x, 0.0),
    # alpha
    "LeakyRelu": lambda x, alpha: np.where(x >= 0, x, alpha * x),
    "Abs": np.abs,
    "Sigmoid": _sigmoid,
    "Tanh": np.tanh,
    "Gelu": lambda x: x * _normal_cdf(x),
    "GeluTanh": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "Silu": lambda x: x * _sigmoid(x),
    # alpha
    "Elu": lambda x, alpha: np.where(x >= 0, x, alpha * np.expm1(np.minimum(x, 0.0))),
    "Softplus": lambda x: np.logaddexp(x, 0.0),
    # alpha, beta
    "HardSigmoid": lambda x, alpha, beta: np.clip(alpha * x + beta, 0.0, 1.0),
    "Exp": np.exp,
    # number of conditions: x counts those that hold, so it is an integer from 0 to that number
    "AllOf": _all_of,
    # 1 where x > 0, 0 where x < 0: what a hidden comparison computes
    "Step": lambda x: np.heaviside(x, 0.5),
}
"""By name; what follows x are the parameters."""

PARAMETERS: Final[dict[str, tuple[str, ...]]] = {
    "Power": ("exponent",),
    "Polynomial": ("coefficients",),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "HardSigmoid": ("alpha", "beta"),
    "AllOf": ("conditions",),
}
"""What the parameters are called as attributes of a node of a `Graph`."""

IDENTITY: Final = Activation("Identity")
