"""Decoys: cut points that no tree uses, drawn to look like those that trees use.

A decoy lies where the model's own cut points lie (in a gap between two neighbours, or as far beyond
the outermost), with as many decimals and as many bits as one of them. Somebody who knows what
values the training data can take may still tell some apart. Two protections of one model have
different decoys and the same cut points: who sees both sees which are which.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from strongroom.models.trees.reading import Dtype

_ATTEMPTS = 100
_COARSE = 2**8
_LONG = 9
"""Up to this denominator a number is a fraction of two; else, up to so many decimals, a decimal."""


def draw_decoys(points: Sequence[float], number: int, dtype: Dtype) -> list[float]:
    """Numbers that are none of the points, each once; fewer where there is no room.

    Args:
        points: a column's cut points, ascending, finite, at least one.
        number: of decoys.
        dtype: of comparisons, which a decoy has to fit as well.
    """
    spread = points[-1] - points[0]
    beyond = spread / (len(points) - 1) if len(points) > 1 else max(abs(points[0]), 1.0)
    ends = [points[0] - beyond, *points, points[-1] + beyond]
    random = secrets.SystemRandom()
    found: list[float] = []
    taken = set(points)
    for _ in range(number):
        for _ in range(_ATTEMPTS):
            gap = random.randrange(len(ends) - 1)
            drawn = random.uniform(ends[gap], ends[gap + 1])
            decoy = _like(drawn, random.choice(points), dtype)
            if np.isfinite(decoy) and decoy not in taken:
                taken.add(decoy)
                found.append(decoy)
                break
    return found


def _like(number: float, model: float, dtype: Dtype) -> float:
    """A number with as many bits behind the point as the model where these are few, with as many
    decimals where these are few, and else with as many bits."""
    narrow = np.dtype(dtype).type
    kind = narrow if float(narrow(model)) == model else np.float64
    denominator = Fraction(model).denominator
    _, _, decimals = np.format_float_positional(kind(model), trim="-").partition(".")
    if denominator > _COARSE and len(decimals) <= _LONG:
        like = round(number, len(decimals))
    else:
        like = float(Fraction(round(Fraction(number) * denominator), denominator))
    with np.errstate(over="ignore"):
        return float(kind(like)) + 0.0
