"""Least-squares fits of a function by a polynomial that is written about an extremum of its own.

    p(t) = a (y^2 + u y^3 + v y^4) + k,  y = t + s

Every parabola and every quartic that has an extremum with curvature can be written so (u = v = 0
for a parabola). As a model's operators it is one square, or one polynomial without a constant and a
linear term, between two affine maps: a x^2 + b x + c as it stands would be two functions of x, the
square and x itself. And it never divides by a coefficient while it is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.polynomial import polynomial
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUANTILES: Final = 1024
"""Of the arguments that were seen, that a fit is made at."""

GRID: Final = 129
"""Points of the whole interval that a fit is made at, so that it does not leave the function where
little was seen."""

GRID_WEIGHT: Final = 0.1
"""Of these points together, in the mean square error; those that were seen have the rest."""

FURTHEST_VERTEX: Final = 4.0
"""An extremum is at most so many half widths from the middle of the interval. A function without
curvature has its own at infinity, where the digits of p would cancel."""

LEAST_CURVATURE: Final = 1e-2
"""Of p at its extremum, beside its largest coefficient: u and v are ratios to it."""


@dataclass(frozen=True, slots=True)
class VertexForm:
    """The numbers of p.

    Attributes:
        scale, shift, offset: a, s and k.
        cubic, quartic: u and v.
    """

    scale: float
    shift: float
    offset: float
    cubic: float = 0.0
    quartic: float = 0.0

    def __call__(self, t: Array) -> Array:
        """p(t)."""
        y = t + self.shift
        return self.scale * y * y * (1.0 + y * (self.cubic + y * self.quartic)) + self.offset


def points_of(seen: Array) -> Array:
    """Where a fit is made: quantiles of arguments that were seen, and then the grid.

    Args:
        seen: shape (n, ...), scaled to -1 to 1; each column by itself.

    Returns:
        shape (QUANTILES + GRID, ...).
    """
    places = np.linspace(0.0, len(seen) - 1.0, QUANTILES).round().astype(np.intp)
    grid = np.linspace(-1.0, 1.0, GRID).reshape(-1, *[1] * (seen.ndim - 1))
    spread = np.broadcast_to(grid, (GRID, *seen.shape[1:]))
    return np.concatenate([np.sort(seen, axis=0)[places], spread])


def fitted(points: Array, values: Array, degree: int) -> VertexForm:
    """The polynomial nearest to a function, in the mean square.

    Args:
        points: as `points_of` makes them of one column, shape (QUANTILES + GRID,).
        values: of the function there.
        degree: 2 or 4.
    """
    roots = np.sqrt(
        np.concatenate(
            [
                np.full(QUANTILES, (1.0 - GRID_WEIGHT) / QUANTILES),
                np.full(GRID, GRID_WEIGHT / GRID),
            ]
        )
    )
    if degree == 4:
        coefficients = _least_squares(np.vander(points, 5, increasing=True), values, roots)
        found = _about_extremum(coefficients)
        if found is not None:
            return found
    return _parabola(points, values, roots)


def _parabola(points: Array, values: Array, roots: Array) -> VertexForm:
    coefficients = _least_squares(np.vander(points, 3, increasing=True), values, roots)
    found = _about_extremum(coefficients)
    if found is not None:
        return found
    candidates = []
    for shift in (FURTHEST_VERTEX, -FURTHEST_VERTEX):
        design = np.stack([np.ones_like(points), (points + shift) ** 2], axis=1)
        offset, scale = _least_squares(design, values, roots)
        error = float((roots**2 * (design @ [offset, scale] - values) ** 2).sum())
        candidates.append((error, VertexForm(float(scale), shift, float(offset))))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def _about_extremum(coefficients: Array) -> VertexForm | None:
    """A polynomial of degree 2 to 4 about the one of its extrema where it is curved most; None if
    there is none near the interval."""
    slope = polynomial.polyder(coefficients)
    largest = float(np.abs(coefficients[1:]).max(initial=0.0))
    best = None
    for root in polynomial.polyroots(np.trim_zeros(slope, "b")) if largest else ():
        place = float(np.real(root))
        if abs(np.imag(root)) > 1e-9 or abs(place) > FURTHEST_VERTEX:
            continue
        about = [
            float(polynomial.polyval(place, polynomial.polyder(coefficients, order))) / factorial
            for order, factorial in ((0, 1), (2, 2), (3, 6), (4, 24))
        ]
        constant, curvature, third, fourth = about
        if abs(curvature) < LEAST_CURVATURE * largest:
            continue
        if best is None or abs(curvature) > abs(best.scale):
            best = VertexForm(curvature, -place, constant, third / curvature, fourth / curvature)
    return best


def _least_squares(design: Array, values: Array, roots: Array) -> Array:
    solution, *_ = np.linalg.lstsq(design * roots[:, None], values * roots, rcond=None)
    return np.asarray(solution, dtype=np.float64)
