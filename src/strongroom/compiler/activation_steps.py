"""Step: a comparison of hidden numbers, by a composition of polynomials.

Odd polynomials in turn bring every number of absolute value from a gap to 1 nearer to its sign, far
cheaper than one polynomial could (Cheon, Kim, Kim, "Efficient homomorphic comparison methods with
optimal complexity", ASIACRYPT 2020). If each of them is the nearest one for what the last has left,
no other composition of these degrees is better (Lee, Lee, No, Kim, "Minimax approximation of sign
function by composite polynomial for homomorphic comparison", IEEE TDSC 2021). Which degrees: for
each number of levels the best that there is, by dynamic programming over levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.minimax import nearest_to_sign
from strongroom.engine.polynomials import Polynomial
from strongroom.errors import PolicyError
from strongroom.models.activations import Activation

MOST_LEVELS: Final = 15
"""Of a composition."""

_STAGES: Final = {3: (2, 2), 5: (3, 3), 7: (3, 4), 15: (4, 7), 31: (5, 10), 63: (6, 13)}
"""Levels and products of a stage, by its degree."""

_KEPT: Final = 3
_JUDGED_AT: Final = 1024
_GAPS: Final = tuple(2.0**-bits for bits in (2, 3, 4, 5, 6, 8, 10, 12))


@dataclass(frozen=True, slots=True, eq=False)
class SignComposition:
    """Polynomials applied one after the other, each of values from -1 to 1.

    Attributes:
        stages: the polynomials.
        products: how many products of ciphertexts they take together.
        least: what absolute values from the gap to 1 become at least; 1 at most.
    """

    stages: tuple[Polynomial, ...]
    products: int
    least: float

    @property
    def error(self) -> float:
        """The largest distance of a value from its sign."""
        return (1 - self.least) / (1 + self.least)


def step_within(arguments: Arguments, gap: float, error: float) -> ActivationFit:
    """The composition of fewest levels, then products, of a stated precision.

    Args:
        arguments: of the sample, for their range.
        gap: relative to the largest argument: smaller ones may come out between 0 and 1.
        error: of all others, at most.

    Raises:
        PolicyError: SR-POLICY-PRECISION if none within `MOST_LEVELS` does it.
    """
    if not (0 < gap < 1 and 0 < error < 0.5):
        raise ValueError("a gap lies between 0 and 1, an error between 0 and 1/2")
    for found in _compositions(gap):
        good = [composition for composition in found if composition.error <= 2 * error]
        if good:
            return _as_fit(arguments, min(good, key=lambda composition: composition.products))
    raise PolicyError(
        "SR-POLICY-PRECISION",
        f"a hidden comparison within {error:g} beyond {gap:g} of the range takes over "
        f"{MOST_LEVELS} levels",
        "Allow a larger gap or error, or reveal the cut points",
    )


def fit_step(arguments: Arguments, levels: int) -> ActivationFit | None:
    """The composition of at most so many levels that errs least on a sample; None if none is.

    Args:
        arguments: of the sample. The gap around zero, in which a comparison may come out between
            0 and 1, is chosen by how many of them would lie in it.
        levels: how many there may be.

    Returns:
        With the error beyond the gap.
    """
    step = Activation("Step")
    largest = np.abs(arguments.interval).max(axis=0)
    t = np.sort((arguments.quantiles() / largest).reshape(-1))
    t = t[:: -(-t.size // _JUDGED_AT)]
    best: tuple[float, SignComposition] | None = None
    for gap in _GAPS:
        for found in _compositions(gap)[levels]:
            value = t
            for stage in found.stages:
                value = stage(value)
            missed = float(np.mean((value / (1 + found.least) + 0.5 - step(t)) ** 2))
            if best is None or missed < best[0]:
                best = missed, found
    if best is None:
        return None
    return _as_fit(arguments, best[1])


def _as_fit(arguments: Arguments, composition: SignComposition) -> ActivationFit:
    largest = np.abs(arguments.interval).max(axis=0)
    fit = ActivationFit.judged(
        Activation("Step"),
        arguments,
        composition.stages,
        (1 / largest, np.zeros_like(largest)),
        (np.asarray(1 / (1 + composition.least)), np.asarray(0.5)),
    )
    return replace(fit, error=composition.error / 2)


@lru_cache(maxsize=64)
def _compositions(gap: float) -> tuple[tuple[SignComposition, ...], ...]:
    """For each number of levels the best compositions: nearer ones take more products."""
    found: list[tuple[SignComposition, ...]] = []
    for levels in range(MOST_LEVELS + 1):
        tried = [SignComposition((), 0, gap)] if levels == 0 else []
        for degree, (more, products) in _STAGES.items():
            for before in found[levels - more] if more <= levels else ():
                tried.append(_extended(before, degree, products))
        tried.sort(key=lambda c: (c.products, -c.least))
        kept: list[SignComposition] = []
        for candidate in tried:
            if not kept or candidate.least > kept[-1].least:
                kept.append(candidate)
        found.append(tuple(kept[-_KEPT:]))
    return tuple(found)


def _extended(before: SignComposition, degree: int, products: int) -> SignComposition:
    """By the nearest polynomial, scaled so that its values end at one."""
    if 1 - before.least < 1e-9:
        return before
    polynomial, error = nearest_to_sign(before.least, degree)
    if error >= 1:
        return before
    stage = Polynomial(polynomial.coefficients / (1 + error))
    least = (1 - error) / (1 + error)
    return SignComposition((*before.stages, stage), before.products + products, least)
