"""Square towers fitted to activations by least squares, for each unit its own.

A unit's argument is first mapped to [-1, 1]. About a point o, with x = t - o, the values of towers
are spanned by

    1 level:   x^2, 1
    2 levels:  x^4, x^2, x, 1
    3 levels:  x^8, x^6, x^5 + (a6 / 2 a8) x^3, x^4, x^2, x, 1

so for a given o (and a6 / a8, by iteration) the best tower is a linear least squares problem. That
span has what activations need: an even function plus a linear one (x + |x|, x + x erf(x / sqrt 2))
lies in it about 0. A few o are tried. All units are fitted at once.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from strongroom.compiler.activation_circuits import ActivationFit, Array, Function
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.least_squares import least_squares
from strongroom.engine.square_towers import SquareTower

DEPTHS: Final = (1, 2, 3)
"""Of towers that can be fitted."""

LEAST_LEAD: Final = 2.0**-8
"""Of the leading coefficient, relative to those beside which it makes intermediate values large. A
tower is monic: a function that needs no leading term gets a small one, and pays with noise."""

LEAST_LEAD_LAST: Final = 2.0**-20
"""The same relative to coefficients that are merely factors of a term of the last level."""

LEVEL_NOISE: Final = 2.0**-22
"""What a level is taken to add to values of at most one, so that fits do not trade an error against
more noise than that error is worth."""

_SHIFTS: Final = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
_ROUNDS: Final = 3
_UNITS_AT_ONCE: Final = 64

_POWERS: Final = {2: (4, 2, 1, 0), 3: (8, 6, 4, 2, 1, 0)}
_INNER: Final = {2: (1,), 3: (1, 2)}
"""Which columns are coefficients that `LEAST_LEAD` is relative to."""


def fit_tower(function: Function, arguments: Arguments, depth: int) -> ActivationFit:
    """The tower of a depth, 1 to 3, that comes nearest to a function in each unit.

    Args:
        function: of arguments of shape (n, units).
        arguments: of the sample.
        depth: how many levels.
    """
    x, weights = arguments.points()
    values = function(x)
    found = []
    for begin in range(0, x.shape[1], _UNITS_AT_ONCE):
        part = slice(begin, begin + _UNITS_AT_ONCE)
        centre, radius = arguments.centre[part], arguments.radius[part]
        fitting = _Fitting((x[:, part] - centre) / radius, values[:, part], weights, depth)
        for shift in fitting.shifts(-centre / radius):
            fitting.try_at(shift)
        found.append(fitting.best())
    shift, lead, offset, factors, constants = (
        np.concatenate(arrays, axis=-1) for arrays in zip(*found, strict=True)
    )
    interval = np.stack([-1.0 - shift, 1.0 - shift])
    tower, scale = normalised(SquareTower(factors, constants, interval))
    return _as_fit(function, arguments, tower, scale, shift, lead, offset)


def normalised(tower: SquareTower) -> tuple[SquareTower, Array]:
    """(tower, f), scaled by f as far as no value on its interval exceeds one."""
    largest = tower.largest_values()
    factor = np.min([value ** -(0.5**i) for i, value in enumerate(largest)], axis=0)
    return tower.scaled(factor), factor


def tower_parts(depth: int, powers: dict[int, Array]) -> tuple[Array, Array]:
    """Completes squares: factors and constants of the tower that is a monic polynomial but for its
    constant coefficient.

    Args:
        depth: 1 to 3.
        powers: coefficients by exponent, shape () or (units,), that lie in the span above; missing
            ones are zero, and the leading one and those of x^0 and x^3 are not looked at.

    Returns:
        Arrays of shape (k, k, ...) and (k, ...).
    """
    zero = np.zeros(np.broadcast_shapes(*(np.shape(c) for c in powers.values())))
    a1, a2, a4, a5, a6 = (powers.get(i, zero) for i in (1, 2, 4, 5, 6))
    factors = np.zeros((depth, depth, *zero.shape))
    constants = np.zeros((depth, *zero.shape))
    if depth == 2:
        constants[0] = a2 / 2
        factors[1, 0] = a1
    elif depth == 3:
        constants[0] = a = a6 / 4
        factors[1, 0] = f = a5 / 2
        constants[1] = c = (a4 - 6 * a**2) / 2
        factors[2, 1] = a2 - (4 * a**3 + 4 * a * c + f**2)
        factors[2, 0] = a1 - 2 * f * (a**2 + c)
    return factors, constants


class _Fitting:
    """The best towers so far of some units, in t: shift, lead, offset, factors, constants."""

    def __init__(self, t: Array, values: Array, weights: Array, depth: int) -> None:
        largest = np.abs(values).max(axis=0)
        self._scale = np.where(largest > 0, largest, 1e-30)
        self._t, self._values = t, values / self._scale
        self._weights, self._depth = weights, depth
        self._objective = np.full(t.shape[1], np.inf)
        units = t.shape[1]
        self._best = [
            *(np.zeros(units) for _ in range(3)),
            np.zeros((depth, depth, units)),
            np.zeros((depth, units)),
        ]

    def best(self) -> list[Array]:
        """The parts, as arrays whose last axis is that of units."""
        shift, lead, offset, factors, constants = self._best
        return [shift, lead * self._scale, offset * self._scale, factors, constants]

    def shifts(self, origin: Array) -> list[Array]:
        """Where to try, each for all units: what completes the square of a parabola; fixed points,
        x = 0, and what depresses the best quartic."""
        t = self._t
        if self._depth == 1:
            lead, linear, _ = self._solve([t**2, t, np.ones_like(t)], (1,))
            return [-linear / (2 * lead)]
        tried = [np.full_like(origin, shift) for shift in _SHIFTS]
        tried.append(np.clip(origin, -1.5, 1.5))
        if self._depth == 2:
            lead, cubic, *_ = self._solve([t**n for n in (4, 3, 2, 1, 0)], (1, 2))
            tried.append(np.clip(-cubic / (4 * lead), -3.0, 3.0))
        return tried

    def try_at(self, shift: Array) -> None:
        """Fit about a shift, and keep what is better."""
        x = self._t - shift
        if self._depth == 1:
            lead, _ = self._solve([x**2, np.ones_like(x)], ())
            self._keep(shift, lead, {0: np.zeros_like(lead)})
            return
        exponents = _POWERS[self._depth]
        columns = [x**n for n in exponents]
        inner = _INNER[self._depth]
        solved = self._solve(columns, inner)
        self._keep(shift, solved[0], dict(zip(exponents[1:], solved[1:] / solved[0], strict=True)))
        if self._depth == 3:
            for _ in range(_ROUNDS):
                ratio = solved[1] / solved[0]
                fifth = x**5 + ratio / 2 * x**3
                solved = self._solve([*columns, fifth], (*inner, len(columns)))
                relative = solved[1:] / solved[0]
                powers = dict(zip((*exponents[1:], 5), relative, strict=True))
                self._keep(shift, solved[0], powers)

    def _solve(self, columns: list[Array], inner: tuple[int, ...]) -> Array:
        """Coefficients, shape (columns, units), of which the first is not too small."""
        matrix = np.stack(columns, axis=-1)
        solved = least_squares(matrix, self._values, self._weights)
        least = LEAST_LEAD_LAST * np.maximum(np.abs(solved[1:]).max(axis=0), 1.0)
        if inner:
            least = np.maximum(least, LEAST_LEAD * np.abs(solved[list(inner)]).max(axis=0))
        small = np.abs(solved[0]) < least
        if small.any():
            lead = np.where(solved[0] < 0, -least, least)
            rest = least_squares(matrix[..., 1:], self._values - lead * columns[0], self._weights)
            solved = np.where(small, np.vstack([lead[None], rest]), solved)
        return solved

    def _keep(self, shift: Array, lead: Array, powers: dict[int, Array]) -> None:
        factors, constants = tower_parts(self._depth, powers)
        interval = np.stack([-1.0 - shift, 1.0 - shift])
        tower = SquareTower(factors, constants, interval)
        residual = self._values - lead * tower(self._t - shift)
        offset = self._weights @ residual
        scaled, scale = normalised(tower)
        slopes = np.square(scaled.derivatives(scale * (self._t - shift))).sum(axis=0)
        noise = LEVEL_NOISE * lead * scale**-scaled.degree
        objective = self._weights @ ((residual - offset) ** 2 + noise**2 * slopes)
        better = objective < self._objective
        self._objective = np.where(better, objective, self._objective)
        new = (shift, lead, offset, factors, constants)
        self._best = [np.where(better, a, b) for a, b in zip(new, self._best, strict=True)]


def _as_fit(
    function: Function,
    arguments: Arguments,
    tower: SquareTower,
    scale: Array,
    shift: Array,
    lead: Array,
    offset: Array,
) -> ActivationFit:
    if not tower.factors.any() and not tower.constants.any():
        # Squarings alone are the same in every unit.
        low, high = tower.interval
        tower = SquareTower.plain(tower.depth, (float(low.min()), float(high.max())))
    elif arguments.shared:
        tower = SquareTower(tower.factors[..., 0], tower.constants[..., 0], tower.interval[..., 0])
    factor = scale / arguments.radius
    return ActivationFit.judged(
        function,
        arguments,
        (tower,),
        (factor, -factor * arguments.centre - scale * shift),
        (lead * scale**-tower.degree, offset),
    )
