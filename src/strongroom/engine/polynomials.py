"""Real polynomials to evaluate on ciphertexts: coefficients, basis, interval.

No ciphertext here: `polynomial_plans` decides how one is evaluated, `polynomial_evaluation` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from numpy.polynomial import chebyshev, polynomial
from numpy.typing import NDArray

Basis = Literal["power", "chebyshev"]


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """p(x) = sum of coefficient i times t^i, or times T_i(t), with t = (2x - a - b) / (b - a).

    With the default interval, t is x.

    Attributes:
        coefficients: float64, shape (d + 1,), or (d + 1, slots) for a polynomial of its own in
            every slot. A copy is kept, read-only and without leading zeros.
        basis: "power" for t^i, "chebyshev" for the Chebyshev polynomial T_i(t), which loses no
            precision at high degrees.
        interval: (a, b), which is mapped to [-1, 1]; the arguments lie there.

    Raises:
        ValueError: no coefficients or some not finite, another basis, no interval.
    """

    coefficients: NDArray[np.float64]
    basis: Basis = "chebyshev"
    interval: tuple[float, float] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, dtype=np.float64)
        if coefficients.ndim not in (1, 2) or coefficients.size == 0:
            raise ValueError(
                "coefficients have shape (degree + 1,) or (degree + 1, slots), "
                f"not {coefficients.shape}"
            )
        if not np.isfinite(coefficients).all():
            raise ValueError("a coefficient is not finite")
        if self.basis not in ("power", "chebyshev"):
            raise ValueError(f"a basis is 'power' or 'chebyshev', not {self.basis!r}")
        a, b = (float(end) for end in self.interval)
        if not (math.isfinite(a) and math.isfinite(b) and a < b):
            raise ValueError(f"({a}, {b}) is no interval")
        coefficients = trimmed(coefficients)
        coefficients.setflags(write=False)
        object.__setattr__(self, "coefficients", coefficients)
        object.__setattr__(self, "interval", (a, b))

    @classmethod
    def chebyshev_fit(
        cls,
        function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
        degree: int,
        interval: tuple[float, float] = (-1.0, 1.0),
    ) -> Polynomial:
        """Interpolate a function at the Chebyshev points of an interval, close to the best fit.

        Args:
            function: of an array, element by element.
            degree: of the polynomial.
            interval: where the arguments will lie.
        """
        if degree < 0:
            raise ValueError("a degree is not negative")
        a, b = interval
        points = chebyshev.chebpts1(degree + 1)
        values = np.asarray(function((a + b) / 2 + (b - a) / 2 * points), dtype=np.float64)
        # On these points the T_i are orthogonal, so that the inverse is a transpose.
        coefficients = chebyshev.chebvander(points, degree).T @ values * (2 / (degree + 1))
        coefficients[0] /= 2
        return cls(coefficients, "chebyshev", interval)

    @property
    def degree(self) -> int:
        """Of the last coefficient that is not zero everywhere; 0 for zero."""
        return len(self.coefficients) - 1

    @property
    def slots(self) -> int | None:
        """How many slots have a polynomial of their own, or None if all have the same."""
        return self.coefficients.shape[1] if self.coefficients.ndim == 2 else None

    def argument_map(self) -> tuple[Fraction, Fraction]:
        """(f, c) with t = f x + c, exactly."""
        a, b = (Fraction(end) for end in self.interval)
        return 2 / (b - a), -(a + b) / (b - a)

    def __call__(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """The values at x, shape (...), or (..., slots) if slots have their own polynomials."""
        factor, offset = self.argument_map()
        t = float(factor) * np.asarray(x, dtype=np.float64) + float(offset)
        value = chebyshev.chebval if self.basis == "chebyshev" else polynomial.polyval
        return np.asarray(value(t, self.coefficients, tensor=False), dtype=np.float64)

    def largest_value(self) -> float:
        """The largest absolute value on the interval, at the points where T_4d is -1 or 1."""
        a, b = self.interval
        points = 4 * self.degree + 1
        t = np.cos(np.pi * np.arange(points) / max(points - 1, 1))
        x = (a + b) / 2 + (b - a) / 2 * t
        return float(np.abs(self(x if self.slots is None else x[:, None])).max())


def polynomial_depth(degree: int) -> int:
    """The levels that a polynomial of this degree needs, its coefficients included.

    ceil(log2(degree + 1)), which no method of evaluation undercuts.
    """
    if degree < 0:
        raise ValueError("a degree is not negative")
    return degree.bit_length()


def trimmed(coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without leading zeros (rows that are zero in all slots), but with one row at least."""
    nonzero = coefficients.reshape(len(coefficients), -1).any(axis=1)
    last = int(np.flatnonzero(nonzero)[-1]) if nonzero.any() else 0
    return coefficients[: last + 1]


def divided(
    coefficients: NDArray[np.float64], index: int, basis: Basis
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(q, r) with p = q t^index + r, or p = q 2 T_index + r in the Chebyshev basis.

    There, T_(m+j) = 2 T_m T_j - T_|m-j|, so that r is of degree |index - deg q| at least.
    """
    quotient = coefficients[index:].copy()
    if basis == "power":
        return quotient, trimmed(coefficients[:index])
    degree = len(coefficients) - 1
    rest = np.zeros((max(index, degree - 2 * index + 1), *coefficients.shape[1:]))
    rest[:index] = coefficients[:index]
    for j in range(1, len(quotient)):
        rest[abs(index - j)] -= quotient[j]
    quotient[0] /= 2
    return quotient, trimmed(rest)
