"""The arguments that activations get in a sample, and where a fit to them is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError

Array = NDArray[np.float64]

QUANTILES: Final = 128
"""Of a unit's arguments that a fit is made at."""

GRID: Final = 129
"""Points of the whole interval that a fit is made at, so that it does not leave the function where
nothing was seen."""

GRID_WEIGHT: Final = 0.1
"""Of all points of the grid together, in a fit's mean square error; the quantiles have the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class Arguments:
    """What was seen, shape (n, units); one unit where all share a fit.

    Attributes:
        seen: the arguments.
        low, high: least and largest that was seen in a unit, shape (units,).
        guard: how far beyond that a fit reaches on either side, as a share of the width.
        shared: whether there is one fit, whose arrays have no axis of units.
    """

    seen: Array
    low: Array
    high: Array
    guard: float
    shared: bool

    @classmethod
    def of(cls, arguments: Array, guard: float) -> Arguments:
        """Of a sample, shape (n,) for a fit that all units share, or (n, units) for one each.

        Raises:
            ModelError: SR-MODEL-VALUES if there are none, or some are not finite.
            ValueError: a negative guard.
        """
        seen = np.asarray(arguments, dtype=np.float64)
        if not (np.isfinite(guard) and guard >= 0):
            raise ValueError("a guard range is not negative")
        if seen.ndim not in (1, 2) or seen.size == 0 or not np.isfinite(seen).all():
            raise ModelError(
                "SR-MODEL-VALUES",
                "the sample gives an activation no arguments, or infinite ones",
                "Check the model's weights and give a sample of ordinary rows",
            )
        shared = seen.ndim == 1
        seen = seen.reshape(len(seen), -1)
        low, high = seen.min(axis=0), seen.max(axis=0)
        # A unit that hardly varies is given a width, so that its fit is not arbitrary beside it.
        scale = np.maximum(np.abs(low), np.abs(high))
        least = 1e-3 * np.where(scale > 0, scale, scale.max() or 1.0)
        missing = np.maximum(least - (high - low), 0.0) / 2
        return cls(seen, low - missing, high + missing, guard, shared)

    @property
    def centre(self) -> Array:
        """Of the interval, shape (units,)."""
        return (self.low + self.high) / 2

    @property
    def radius(self) -> Array:
        """Of the interval, the guard included, shape (units,)."""
        return (self.high - self.low) * (0.5 + self.guard)

    @property
    def interval(self) -> Array:
        """With the guard, shape (2, units)."""
        return np.stack([self.centre - self.radius, self.centre + self.radius])

    def part(self, units: NDArray[np.bool_]) -> Arguments:
        """Some of the units."""
        seen, low, high = self.seen[:, units], self.low[units], self.high[units]
        return Arguments(seen, low, high, self.guard, self.shared)

    def pooled(self) -> Arguments:
        """All units as one."""
        return Arguments.of(self.seen.reshape(-1), self.guard)

    def points(self) -> tuple[Array, Array]:
        """(x, w): arguments to fit at, shape (n, units), and their weights, shape (n,)."""
        quantiles, grid = self.quantiles(), self.grid(self.interval)
        weights = [np.full(len(x), 1 / len(x)) for x in (quantiles, grid)]
        shares = (1 - GRID_WEIGHT) * weights[0], GRID_WEIGHT * weights[1]
        return np.vstack([quantiles, grid]), np.concatenate(shares)

    def quantiles(self) -> Array:
        """Of each unit, shape (n, units), from the least to the largest."""
        count = min(len(self.seen), QUANTILES)
        return np.quantile(self.seen, (np.arange(count) + 0.5) / count, axis=0)

    def inside(self) -> Array:
        """Points of the range that was seen, shape (n, units), and zero, where functions bend."""
        return self._dense(np.stack([self.low, self.high]))

    def everywhere(self) -> Array:
        """Points of the whole interval, shape (n, units)."""
        return self._dense(self.interval)

    def _dense(self, interval: Array) -> Array:
        return np.vstack([self.grid(interval, 8 * GRID), np.clip(0.0, *interval)])

    @staticmethod
    def grid(interval: Array, count: int = GRID) -> Array:
        """Chebyshev extrema of intervals, shape (count, units)."""
        t = np.cos(np.pi * np.arange(count) / (count - 1))
        low, high = interval
        return np.asarray((low + high) / 2 + (high - low) / 2 * t[:, None])
