"""Activations that are polynomials already: no approximation, only the cheapest circuit.

x^(2^k) is k squarings. A parabola is one, with its square completed. Every quartic is a tower of
two levels: x -> x - o removes the cubic term, and x^4 + p x^2 + q x + r = (x^2 + p/2)^2 + q x + r'.
An octic is a tower of three if its coefficients obey two equations (`activation_towers`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.polynomial import polynomial

from strongroom.compiler.activation_circuits import ActivationFit, Array, Circuit
from strongroom.compiler.activation_polynomials import fit_polynomial
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.activation_towers import normalised, tower_parts
from strongroom.engine.polynomials import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError
from strongroom.models.activations import Activation

MOST_DEGREE: Final = 127
"""Of a polynomial in a model; it takes seven levels."""

_NEGLIGIBLE: Final = 1e-13


def power_coefficients(activation: Activation) -> Array | None:
    """Of x^0, x^1, ..., the last not zero; None if the function is no polynomial.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED for an exponent or a degree that can't be evaluated.
    """
    match activation.name:
        case "Identity":
            return np.array([0.0, 1.0])
        case "Square":
            return np.array([0.0, 0.0, 1.0])
        case "Power":
            (exponent,) = activation.parameters
            if exponent != int(exponent) or not 1 <= exponent <= MOST_DEGREE:
                raise ModelError(
                    "SR-MODEL-UNSUPPORTED",
                    f"a power has the exponent {exponent:g}, where integers from 1 to "
                    f"{MOST_DEGREE} can be computed",
                    "Use another kernel or activation",
                )
            return np.append(np.zeros(int(exponent)), 1.0)
        case "Polynomial":
            found = np.trim_zeros(np.asarray(activation.parameters, dtype=np.float64), "b")
            if len(found) - 1 > MOST_DEGREE:
                raise ModelError(
                    "SR-MODEL-UNSUPPORTED",
                    f"a polynomial has degree {len(found) - 1}, where {MOST_DEGREE} is the most",
                    "Use another kernel or activation",
                )
            return found if found.size else np.zeros(1)
    return None


def fit_exactly(
    activation: Activation, coefficients: Array, arguments: Arguments
) -> list[ActivationFit]:
    """Circuits for a polynomial, fewest levels first.

    Args:
        activation: the function.
        coefficients: of it (`power_coefficients`).
        arguments: of the sample, for the interval.
    """
    degree = len(coefficients) - 1
    if degree <= 1:
        factor = coefficients[1] if degree else 0.0
        return [
            ActivationFit.judged(
                activation,
                arguments,
                (),
                (_array(1.0), _array(0.0)),
                (_array(factor), _array(coefficients[0])),
            )
        ]
    if not coefficients[:-1].any():
        return [_monomial(activation, degree, float(coefficients[-1]), arguments)]
    found = [fit_polynomial(activation, arguments, degree)]
    if degree in (2, 4, 8):
        found[:0] = _tower(activation, coefficients, arguments)
    return found


def _array(number: float) -> Array:
    return np.asarray(number, dtype=np.float64)


def _monomial(
    activation: Activation, degree: int, factor: float, arguments: Arguments
) -> ActivationFit:
    """A power of the argument, each unit's divided by its largest."""
    largest = np.abs(arguments.interval).max(axis=0)
    circuit: Circuit
    if degree & (degree - 1):
        circuit = Polynomial(np.append(np.zeros(degree), 1.0), "power")
    else:
        circuit = SquareTower.plain(degree.bit_length() - 1)
    return ActivationFit.judged(
        activation,
        arguments,
        (circuit,),
        (1 / largest, np.zeros_like(largest)),
        (factor * largest**degree, np.zeros_like(largest)),
    )


def _tower(
    activation: Activation, coefficients: Array, arguments: Arguments
) -> list[ActivationFit]:
    """The same tower for all units; none if the polynomial is none."""
    degree, lead = len(coefficients) - 1, float(coefficients[-1])
    shift = float(-coefficients[-2] / (degree * lead))
    depth = degree.bit_length() - 1
    shifted = _shifted(coefficients / lead, shift)
    size = np.abs(arguments.interval - shift).max()
    sizes = np.abs(shifted) * size ** np.arange(degree + 1.0)
    if degree == 8:
        wrong = abs(shifted[3] - shifted[5] * shifted[6] / 2) * size**3
        if wrong > _NEGLIGIBLE * sizes.max():
            return []
    factors, constants = tower_parts(depth, {i: _array(c) for i, c in enumerate(shifted)})
    low, high = arguments.interval
    interval = np.array([low.min() - shift, high.max() - shift])
    bare = SquareTower(factors, constants, interval)
    offset = lead * float(shifted[0] - bare(_array(0.0)))
    tower, scale = normalised(bare)
    return [
        ActivationFit.judged(
            activation,
            arguments,
            (tower,),
            (_array(float(scale)), _array(float(-scale * shift))),
            (_array(lead * float(scale) ** -degree), _array(offset)),
        )
    ]


def _shifted(coefficients: Array, shift: float) -> Array:
    """Of p(x + shift)."""
    total = np.zeros(1)
    for coefficient in coefficients[::-1]:
        total = polynomial.polyadd(polynomial.polymul(total, [shift, 1.0]), [coefficient])
    return np.resize(np.append(total, np.zeros(len(coefficients))), len(coefficients))
