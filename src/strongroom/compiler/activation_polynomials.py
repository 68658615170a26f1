"""General polynomials fitted to activations by least squares, in the Chebyshev basis.

They take a level more than square towers of about the same degree, but have all coefficients.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.polynomial import chebyshev

from strongroom.compiler.activation_circuits import ActivationFit, Array, Function
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.least_squares import least_squares
from strongroom.engine.polynomials import Polynomial

DEGREES: Final = (3, 5, 7, 11, 15, 31, 63)
"""Those that are tried: the largest for 2 to 6 levels, and some that take fewer products."""


def fit_polynomial(function: Function, arguments: Arguments, degree: int) -> ActivationFit:
    """One polynomial for all units, over the range of all of them.

    Args:
        function: of an array, element by element.
        arguments: of the sample.
        degree: of the polynomial.
    """
    every = arguments.pooled()
    centre, radius = every.centre, every.radius
    coefficients, offset, scale = _fitted(function, every, degree)
    return ActivationFit.judged(
        function,
        arguments,
        (Polynomial(coefficients[:, 0]),),
        (1 / radius[0], -centre[0] / radius[0]),
        (scale[0], offset[0]),
    )


def fit_homogeneous(function: Function, arguments: Arguments, degree: int) -> ActivationFit:
    """One polynomial for all units, each over its own range, of a function that has
    f(c x) = c f(x) for all c > 0."""
    largest = np.abs(arguments.interval).max(axis=0)
    one = Arguments.of((arguments.seen / largest).reshape(-1), 0.0)
    # The guard is in `largest` already.
    reach = Arguments(one.seen, np.full(1, -1.0), np.ones(1), 0.0, True)
    coefficients, offset, scale = _fitted(function, reach, degree)
    return ActivationFit.judged(
        function,
        arguments,
        (Polynomial(coefficients[:, 0]),),
        (1 / largest, np.zeros_like(largest)),
        (scale * largest, offset * largest),
    )


def fit_polynomials(function: Function, arguments: Arguments, degree: int) -> ActivationFit:
    """A polynomial for each unit over its own range.

    Args:
        function: of an array of shape (n, units), where units may have different functions.
        arguments: of the sample.
        degree: of the polynomials.
    """
    centre, radius = arguments.centre, arguments.radius
    coefficients, offset, scale = _fitted(function, arguments, degree)
    return ActivationFit.judged(
        function,
        arguments,
        (Polynomial(coefficients[:, 0] if arguments.shared else coefficients),),
        (1 / radius, -centre / radius),
        (scale, offset),
    )


def _fitted(function: Function, arguments: Arguments, degree: int) -> tuple[Array, Array, Array]:
    """(c, o, s) with f(x) ~ s p(t) + o, |p| of about one and without a constant coefficient."""
    x, weights = arguments.points()
    t = (x - arguments.centre) / arguments.radius
    values = function(x)
    matrix = np.asarray(chebyshev.chebvander(t, degree), dtype=np.float64)
    coefficients = least_squares(matrix, values, weights)
    offset = coefficients[0].copy()
    coefficients[0] = 0.0
    scale = np.abs(coefficients).max(axis=0)
    scale[scale == 0] = 1.0
    return coefficients / scale, offset, scale
