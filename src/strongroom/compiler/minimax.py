"""Odd polynomials that come nearest to the sign, by Remez' exchange.

On [a, 1] an odd polynomial of degree 2n - 1 has n coefficients, and is nearest to one where its
error takes its largest value n + 1 times with alternating signs. Solve for these values at n + 1
points, move the points to where the error is largest between its zeros, and again.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from strongroom.engine.polynomials import Polynomial

_EXCHANGES: Final = 60
_CLOSE: Final = 1e-6
_ROUNDING: Final = 1e-13
_POINTS_EACH: Final = 64


@lru_cache(maxsize=4096)
def nearest_to_sign(least: float, degree: int) -> tuple[Polynomial, float]:
    """(p, e): the odd p with |p(x) - 1| <= e for x from `least` to 1 and the smallest e.

    Args:
        least: above 0, below 1.
        degree: odd.
    """
    if not 0 < least < 1 or degree < 1 or degree % 2 == 0:
        raise ValueError("an odd degree, and an interval from above 0 to 1")
    count = (degree + 1) // 2
    grid = _grid(least, count)
    odd = chebyshev.chebvander(grid, degree)[:, 1::2]
    # First those of Chebyshev's polynomials in x^2.
    squares = (1 + least**2) / 2 - (1 - least**2) / 2 * np.cos(np.pi * np.arange(count + 1) / count)
    reference = np.searchsorted(grid, np.sqrt(squares).clip(least, 1.0))
    signs = (-1.0) ** np.arange(count + 1)
    solved = np.zeros(count)
    for _ in range(_EXCHANGES):
        system = np.column_stack([odd[reference], signs])
        # Not a plain solution: what is nearer than doubles can tell has no single one.
        solved, level = np.split(np.linalg.lstsq(system, np.ones(count + 1))[0], [count])
        error = odd @ solved - 1.0
        if np.abs(error).max() <= (1 + _CLOSE) * abs(level[0]) + _ROUNDING:
            break
        reference = _alternating(error, count + 1, reference)
    found = np.zeros(degree + 1)
    found[1::2] = solved
    polynomial = Polynomial(found)
    # Between the points of the grid it is a little larger.
    between = polynomial(_grid(least, 3 * count)) - 1.0
    return polynomial, (1 + _CLOSE) * float(np.abs(between).max())


def _grid(least: float, count: int) -> NDArray[np.float64]:
    """Dense at both ends, and relative to x at the lower one, where the error varies fastest."""
    points = _POINTS_EACH * (count + 1)
    t = (1 - np.cos(np.pi * np.arange(points) / (points - 1))) / 2
    return np.unique(np.concatenate([least + (1 - least) * t, least ** (1 - t)]).clip(least, 1.0))


def _alternating(
    error: NDArray[np.float64], count: int, before: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Where the error is largest between its zeros: `count` neighbours with the largest ends."""
    starts = np.flatnonzero(np.diff(np.sign(error))) + 1
    pieces = np.split(np.arange(len(error)), starts)
    peaks = [int(piece[np.argmax(np.abs(error[piece]))]) for piece in pieces]
    while len(peaks) > count:
        peaks.pop(0 if abs(error[peaks[0]]) < abs(error[peaks[-1]]) else -1)
    return np.array(peaks) if len(peaks) == count else before
