"""AllOf: from a number of conditions that hold, whether all of them do.

A polynomial that is 1 at D and 0 at 0, 1, ... D - 1; between integers it is never looked at. The
least degree has the binomial coefficient u (u - 1) ... (u - D + 1) / D!, which magnifies an error
of u at most H_D = 1 + 1/2 + ... + 1/D times. About the middle of its zeros it is even or odd, and
an even polynomial of degree 2^k is a square tower for k <= 3 if all its zeros can be chosen in
pairs: up to eight conditions take ceil(log2 D) levels and as many products. Zeros that are not
needed lie where the noise of the tower counts least.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.polynomial import polynomial

from strongroom.compiler.activation_circuits import ActivationFit, Array, Circuit
from strongroom.compiler.activation_towers import normalised, tower_parts
from strongroom.engine.polynomials import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import ModelError

MOST_CONDITIONS: Final = 127
"""That one unit may wait for; a polynomial of that degree takes seven levels."""

_MOST_BY_TOWER: Final = 8
_FREE: Final = tuple(float(square) for square in np.linspace(-16.0, 64.0, 321))
"""Where the square of a zero that is not needed may lie."""


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    """factor * circuit(slope * (u - centre)) + offset is 1 at all conditions, and 0 below."""

    slope: float
    centre: float
    circuits: tuple[Circuit, ...]
    factor: float
    offset: float


def fit_conditions(conditions: float, offsets: Array | None = None) -> list[ActivationFit]:
    """Circuits for AllOf, fewest levels first; exact at integers.

    Args:
        conditions: how many there are, D.
        offsets: what is added to each unit's argument first, shape (units,): a unit of d < D
            conditions has D - d.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED for a number that is not an integer from 1 to
            `MOST_CONDITIONS`.
    """
    if not 1 <= conditions <= MOST_CONDITIONS or conditions != int(conditions):
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"a unit waits for {conditions:g} conditions, where 1 to {MOST_CONDITIONS} can be",
            "Train trees that are less deep",
        )
    count = int(conditions)
    shift = np.zeros(()) if offsets is None else np.asarray(offsets, dtype=np.float64)
    found = [_Counted(1.0, 0.0, (), 1.0, 0.0)] if count == 1 else [_binomial(count)]
    if 1 < count <= _MOST_BY_TOWER:
        found.insert(0, _tower(count))
    return [
        ActivationFit(
            np.asarray(counted.slope),
            np.asarray(counted.slope * (shift - counted.centre)),
            counted.circuits,
            np.asarray(counted.factor),
            np.asarray(counted.offset),
            np.stack([-shift, count - shift]),
            *[_error(counted, count)] * 2,
        )
        for counted in found
    ]


def _error(counted: _Counted, count: int) -> float:
    """At integers."""
    u = np.arange(count + 1.0)
    value = counted.slope * (u - counted.centre)
    for circuit in counted.circuits:
        value = circuit(value)
    return float(np.abs(counted.factor * value + counted.offset - (u == count)).max())


@cache
def _tower(count: int) -> _Counted:
    """The tower that adds least noise."""
    return min(_towers(count), key=lambda counted: _noise(counted, count))


def _towers(count: int) -> Iterator[_Counted]:
    depth = (count - 1).bit_length()
    pairs = 1 << (depth - 1)
    for centre in ((count - 2) / 2, (count - 1) / 2):
        needed = sorted({(zero - centre) ** 2 for zero in range(count)})
        if len(needed) > pairs:
            continue
        for free in _FREE if len(needed) < pairs else (0.0,):
            squares = [*needed, *[free] * (pairs - len(needed))]
            top = float(np.prod([(count - centre) ** 2 - square for square in squares]))
            if abs(top) > 1e-6:
                yield _from_squares(count, depth, centre, squares, top)


def _from_squares(
    count: int, depth: int, centre: float, squares: list[float], top: float
) -> _Counted:
    """The product of all x^2 - square, which is `top` at x = count - centre."""
    coefficients = polynomial.polyfromroots(squares)
    powers = {2 * i: np.asarray(float(c)) for i, c in enumerate(coefficients)}
    interval = np.array([-centre, count - centre])
    tower = SquareTower(*tower_parts(depth, powers), interval)
    offset = -float(tower(np.asarray(-centre))) / top
    scaled, slope = normalised(tower)
    factor = float(slope) ** -scaled.degree / top
    return _Counted(float(slope), centre, (scaled,), factor, offset)


def _noise(counted: _Counted, count: int) -> float:
    """What noise of one in every value of a tower becomes, at the worst integer."""
    t = counted.slope * (np.arange(count + 1.0) - counted.centre)
    slopes = [
        np.square(circuit.derivatives(t)).sum(axis=0)
        for circuit in counted.circuits
        if isinstance(circuit, SquareTower)
    ]
    return float(abs(counted.factor) * np.sqrt(np.max(slopes)))


@cache
def _binomial(count: int) -> _Counted:
    """The binomial coefficient, in the Chebyshev basis about the middle of its zeros.

    An odd number of zeros gets one more, at -1, where that takes no level: even polynomials take
    fewer products.
    """
    more = count % 2 if (count + 1).bit_length() == count.bit_length() else 0
    degree = count + more
    centre, radius = (count - 1 - more) / 2, (degree + 1) / 2
    zeros = (np.arange(-more, count) - centre) / radius

    def value(t: Array) -> Array:
        return np.asarray(np.prod((t[..., None] - zeros) / (1.0 - zeros), axis=-1))

    coefficients = Polynomial.chebyshev_fit(value, degree).coefficients.copy()
    coefficients[1 - degree % 2 :: 2] = 0.0
    offset = float(coefficients[0])
    coefficients[0] = 0.0
    return _Counted(1 / radius, centre, (Polynomial(coefficients),), 1.0, offset)
