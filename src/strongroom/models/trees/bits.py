"""Bits: which features a condition counts, so that each condition adds exactly 0 or 1.

With b(c) = 1 where x lies below c (the grid's comparison), an interval holds where
b(high) - b(low) = 1; without an upper bound 1 - b(low), without a lower one b(high). One bit a
category makes a set a sum, and its complement 1 minus that sum. A missing number has the bits of
some place (`MissingPlace`), a missing category those of a category in no list; where it must fare
otherwise, its own bit is added or subtracted. No row lies between: 0 and 1 are the only values.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from strongroom.models.trees.conditions import Condition, Conditions, Interval
from strongroom.models.trees.grid import MissingPlace
from strongroom.models.trees.reading import Reading

Key = tuple[int, Literal["cut", "category", "missing"], float]
"""A bit: column, what it says, and of which cut point or category (0 for "missing")."""

_PLACES: tuple[MissingPlace, ...] = ("above", "below", "zero")


@dataclass(frozen=True, slots=True)
class Count:
    """A sum of bits that counts how many conditions hold.

    Attributes:
        signs: 1 or -1 by bit.
        constant: what is added.
        conditions: the count where all hold.
    """

    signs: dict[Key, int]
    constant: int
    conditions: int


def missing_places(sets: Iterable[Conditions], reading: Reading) -> dict[int, MissingPlace]:
    """For each column of numbers the place at which missing values need no bit of their own; above
    all cut points where there is none.

    Args:
        sets: all conditions of the ensemble.
        reading: how it looks at rows.
    """
    places: dict[int, list[MissingPlace]] = {}
    for conditions in sets:
        for column, condition in conditions:
            if isinstance(condition, Interval):
                fitting = places.get(column, list(_PLACES))
                places[column] = [
                    place
                    for place in fitting
                    if not reading.missing
                    or _holds_at(condition, place, reading) == condition.missing
                ]
    return {column: (fitting or ["above"])[0] for column, fitting in places.items()}


def count(conditions: Conditions, places: dict[int, MissingPlace], reading: Reading) -> Count:
    """How a set of conditions is counted.

    Args:
        conditions: what must hold.
        places: of missing numbers, by column.
        reading: how the ensemble looks at rows.
    """
    signs: dict[Key, int] = {}
    constant = 0
    for column, condition in conditions:
        if isinstance(condition, Interval):
            if not condition.empty:
                if condition.high < math.inf:
                    signs[column, "cut", condition.high] = 1
                else:
                    constant += 1
                if condition.low > -math.inf:
                    signs[column, "cut", condition.low] = -1
            holds = _holds_at(condition, places[column], reading)
        else:
            for category in condition.categories:
                signs[column, "category", category] = 1 if condition.inside else -1
            constant += not condition.inside
            holds = not condition.inside
        if reading.missing and holds != condition.missing:
            signs[column, "missing", 0.0] = 1 if condition.missing else -1
    return Count(signs, constant, len(conditions))


def _holds_at(condition: Condition, place: MissingPlace, reading: Reading) -> bool:
    """Whether a number at that place passes."""
    if not isinstance(condition, Interval) or condition.empty:
        return False
    if place == "above":
        return condition.high == math.inf
    if place == "below":
        return condition.low == -math.inf
    if reading.comparison == "<":
        return condition.low <= 0.0 < condition.high
    return condition.low < 0.0 <= condition.high
