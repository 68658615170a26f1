"""Levels and scales of a square tower, decided from primes, scales and coefficients.

Scales come from the bottom: a square has the square of the scale, divided by the primes that are
dropped. A tower's result can't be asked for at another scale; the linear map behind it makes up for
that, since its own factors are encoded at any scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from strongroom.engine.parameters import Parameters
from strongroom.engine.square_towers import SquareTower


@dataclass(frozen=True, slots=True, eq=False)
class SquareTowerPlan:
    """What an evaluation does and what it consumes.

    Attributes:
        tower: what is evaluated.
        levels: how many primes each level drops.
        every_limbs, every_scale: of s_0 to s_k.
    """

    tower: SquareTower
    levels: tuple[int, ...]
    every_limbs: tuple[int, ...]
    every_scale: tuple[Fraction, ...]

    @property
    def input_limbs(self) -> int:
        """Of the argument."""
        return self.every_limbs[0]

    @property
    def input_scale(self) -> Fraction:
        """Of the argument."""
        return self.every_scale[0]

    @property
    def limbs(self) -> int:
        """Of the result."""
        return self.every_limbs[-1]

    @property
    def scale(self) -> Fraction:
        """Of the result."""
        return self.every_scale[-1]

    @property
    def lowest_scale(self) -> Fraction:
        """Of all ciphertexts on the way, which bounds the precision."""
        return min(self.every_scale)

    @property
    def products(self) -> int:
        """How many relinearisations: what the time goes into."""
        return self.tower.depth

    @property
    def primes(self) -> int:
        """How many primes the evaluation consumes."""
        return self.input_limbs - self.limbs

    def terms(self, level: int) -> list[int]:
        """Which s_j join the square that makes s_level."""
        rows = self.tower.factors[level - 1, :level]
        return [j for j in range(level) if rows[j].any()]

    def has_constant(self, level: int) -> bool:
        """Whether s_level has a constant of its own."""
        return bool(self.tower.constants[level - 1].any())

    def by_slots(self, level: int) -> bool:
        """Whether slots have coefficients of their own there: plaintexts, and no integers."""
        if self.tower.slots is None:
            return False
        rows = np.vstack([self.tower.factors[level - 1, :level], self.tower.constants[level - 1]])
        return bool((rows != rows[:, :1]).any())


def plan_square_tower(
    parameters: Parameters,
    tower: SquareTower,
    limbs: int,
    scale: Fraction,
    *,
    levels: Sequence[int] | None = None,
) -> SquareTowerPlan:
    """Decide how to evaluate a tower on ciphertexts of a level and scale.

    Args:
        parameters: primes and special primes.
        tower: of any depth.
        limbs, scale: of the ciphertext.
        levels: how many primes each level drops; by default those that keep the scale nearest to
            the argument's.

    Raises:
        ValueError: too few primes, a scale that is not positive, or a value that doesn't fit the
            modulus left.
    """
    if scale <= 0:
        raise ValueError("a scale is positive")
    if not 1 <= limbs <= parameters.limbs:
        raise ValueError(f"a ciphertext has 1 to {parameters.limbs} primes, not {limbs}")
    if tower.slots is not None and tower.slots > parameters.ring_degree // 2:
        raise ValueError(f"{tower.slots} towers for {parameters.ring_degree // 2} slots")
    if levels is not None and len(levels) != tower.depth:
        raise ValueError(f"a tower of {tower.depth} levels is not evaluated in {len(levels)}")
    every_limbs, every_scale, drops = [limbs], [scale], list[int]()
    largest = [float(value.max()) for value in tower.largest_values()]
    _require_room(parameters, scale, limbs, largest[0])
    for level in range(tower.depth):
        left, last = every_limbs[-1], every_scale[-1]
        drop = levels[level] if levels else _nearest(parameters, left, last**2, scale)
        if not 1 <= drop < left:
            raise ValueError(
                f"{tower.depth} levels of a tower do not fit a ciphertext of {limbs} primes, "
                "of which one at least is left"
            )
        below = left - drop
        squared = last**2 / math.prod(parameters.primes[below:left])
        _require_room(parameters, squared, below, largest[level + 1])
        drops.append(drop)
        every_limbs.append(below)
        every_scale.append(squared)
    return SquareTowerPlan(tower, tuple(drops), tuple(every_limbs), tuple(every_scale))


def _nearest(parameters: Parameters, limbs: int, scale: Fraction, wanted: Fraction) -> int:
    """How many primes to drop to come nearest to a scale; 0 if there are none."""
    best, distance = 0, math.inf
    log = math.log2(scale) - math.log2(wanted)
    for drop in range(1, limbs):
        log -= math.log2(parameters.primes[limbs - drop])
        if abs(log) < distance:
            best, distance = drop, abs(log)
    return best


def _require_room(parameters: Parameters, scale: Fraction, limbs: int, largest: float) -> None:
    if 2 * max(largest, 1.0) * scale >= parameters.modulus(limbs):
        raise ValueError(
            f"values up to {largest:.3g} at a scale of 2^{math.log2(scale):.1f} do not fit "
            f"{limbs} primes: start with more primes or a smaller scale"
        )
