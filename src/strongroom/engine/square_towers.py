"""Square towers: polynomials of degree 2^k that take k levels and k products.

    s_0 = x,   s_i = s_(i-1)^2 + sum over j < i of f_ij s_j + c_i,   and the value is s_k.

A general polynomial of degree 2^k needs k + 1 levels, because its coefficients take one. A tower is
monic and its coefficients are where none is needed: linear terms are multiplied by integers up to
the product's scale, and join it before it is rescaled. What stands before and behind an activation
are linear maps, and those can scale and shift argument and value for nothing. So a parabola costs
one level, every quartic two (completing squares: Knuth, TAOCP volume 2, section 4.6.4, adapts
coefficients likewise), and of octics a family with two parameters fewer than there are
coefficients.

No ciphertext here: `square_tower_plans` decides levels and scales, `square_tower_evaluation` does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SquareTower:
    """s_k of the recurrence above, for all slots or one for each.

    Attributes:
        factors: f_ij at [i - 1, j], float64, shape (k, k), or (k, k, slots) for a tower of its own
            in every slot; zero for j >= i. A copy is kept, read-only.
        constants: c_i at [i - 1], shape (k,) or (k, slots).
        interval: least and largest argument, shape (2,), or (2, slots).

    Raises:
        ValueError: no levels, shapes that differ, a factor at j >= i, numbers that are not finite,
            or an empty interval.
    """

    factors: Array
    constants: Array
    interval: Array

    def __post_init__(self) -> None:
        for name in ("factors", "constants", "interval"):
            array = np.array(getattr(self, name), dtype=np.float64)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of a tower are not all finite")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        depth, slots = self.constants.shape[:1], self.constants.shape[1:]
        if not depth or depth == (0,) or len(slots) > 1:
            raise ValueError(f"constants have shape (k,) or (k, slots), not {self.constants.shape}")
        if self.factors.shape != (*depth, *depth, *slots):
            raise ValueError(
                f"constants of shape {self.constants.shape} go with factors of shape "
                f"{(*depth, *depth, *slots)}, not {self.factors.shape}"
            )
        if self.factors[np.triu_indices(depth[0], 1)].any():
            raise ValueError("a level of a tower has factors of the levels below it only")
        if self.interval.shape not in ((2,), (2, *slots)):
            raise ValueError(f"an interval has shape (2,) or (2, slots), not {self.interval.shape}")
        if not (self.interval[0] < self.interval[1]).all():
            raise ValueError("the interval of a tower is empty")

    @classmethod
    def plain(cls, depth: int, interval: tuple[float, float] = (-1.0, 1.0)) -> SquareTower:
        """Nothing but squarings: x^(2^depth)."""
        return cls(np.zeros((depth, depth)), np.zeros(depth), np.array(interval))

    @property
    def depth(self) -> int:
        """How many levels and products it takes."""
        return len(self.constants)

    @property
    def degree(self) -> int:
        """2^depth."""
        return 1 << self.depth

    @property
    def slots(self) -> int | None:
        """How many slots have a tower of their own, or None if all have the same."""
        return self.constants.shape[1] if self.constants.ndim == 2 else None

    def values(self, x: Array) -> list[Array]:
        """s_0 to s_k at x, shape (...), or (..., slots) if slots have their own towers."""
        found = [np.asarray(x, dtype=np.float64)]
        for factors, constant in zip(self.factors, self.constants, strict=True):
            value = found[-1] ** 2 + constant
            for factor, term in zip(factors, found, strict=False):
                value = value + factor * term
            found.append(value)
        return found

    def __call__(self, x: Array) -> Array:
        """The values at x."""
        return self.values(x)[-1]

    def derivatives(self, x: Array) -> list[Array]:
        """Of the value at x by s_0 to s_k, each taken as independent of those before: how much an
        error of each counts."""
        values = self.values(x)
        found = [np.ones_like(values[-1])]
        for j in range(self.depth - 1, -1, -1):
            total = 2.0 * values[j] * found[0]
            for i in range(j, self.depth):
                total = total + self.factors[i, j] * found[i - j]
            found.insert(0, total)
        return found

    def points(self, count: int) -> Array:
        """Chebyshev extrema of the interval, shape (count,) or (count, slots)."""
        low, high = self.interval
        t = np.cos(np.pi * np.arange(count) / (count - 1))
        if self.interval.ndim == 2 or self.slots is not None:
            t = t[:, None] * np.ones(self.slots or 1)
        return np.asarray((low + high) / 2 + (high - low) / 2 * t)

    def largest_values(self) -> list[Array]:
        """The largest absolute values of s_0 to s_k on the interval, shape () or (slots,)."""
        points = self.points(8 * self.degree + 1)
        return [np.asarray(np.abs(value).max(axis=0)) for value in self.values(points)]

    def scaled(self, factor: float | Array) -> SquareTower:
        """The tower that has factor^(2^k) times the value at `factor` times the argument.

        Args:
            factor: positive, shape () or (slots,); every s_i grows by factor^(2^i).
        """
        factor = np.asarray(factor, dtype=np.float64)
        powers = [factor ** (1 << i) for i in range(self.depth + 1)]
        slots = factor.shape or self.constants.shape[1:]
        factors = np.zeros((self.depth, self.depth, *slots))
        constants = np.zeros((self.depth, *slots))
        for i in range(self.depth):
            constants[i] = self.constants[i] * powers[i + 1]
            for j in range(i + 1):
                factors[i, j] = self.factors[i, j] * (powers[i + 1] / powers[j])
        low, high = self.interval
        return SquareTower(factors, constants, np.stack([low * factor, high * factor]))

    def placed(self, units: NDArray[np.intp]) -> SquareTower:
        """With the tower of slot units[j] in slot j, shape (slots,); itself if all are alike."""
        if self.slots is None:
            return self
        interval = self.interval if self.interval.ndim == 1 else self.interval[:, units]
        return SquareTower(self.factors[:, :, units], self.constants[:, units], interval)
