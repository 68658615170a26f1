"""Conditions: from paths in trees to what must hold of each column at a leaf.

All that a path asks of one column merges: of numbers an interval remains, of categories a set, and
in both cases whether a missing value passes. So a leaf has one condition a column at most, and each
is one unit's vote in the encrypted sum.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.reading import CategoryRule, Reading
from strongroom.models.trees.tree import Tree


@dataclass(frozen=True, slots=True)
class Interval:
    """Of a number: low < x <= high where the framework compares by "<=", low <= x < high where it
    compares by "<"; no number passes where low >= high.

    Attributes:
        low, high: bounds, infinite where there is none.
        missing: whether a missing value passes.
    """

    low: float = -math.inf
    high: float = math.inf
    missing: bool = True

    @property
    def empty(self) -> bool:
        """Whether no number passes."""
        return self.low >= self.high

    @property
    def void(self) -> bool:
        """Whether nothing passes."""
        return self.empty and not self.missing

    @property
    def trivial(self) -> bool:
        """Whether everything passes."""
        return self.missing and self.low == -math.inf and self.high == math.inf


@dataclass(frozen=True, slots=True)
class Members:
    """Of a category: to be in a set, or not to be in it.

    Attributes:
        categories: the set.
        inside: whether members pass, rather than all others.
        missing: whether a missing category passes.
    """

    categories: frozenset[int] = frozenset()
    inside: bool = False
    missing: bool = True

    @property
    def void(self) -> bool:
        """Whether nothing passes."""
        return self.inside and not self.categories and not self.missing

    @property
    def trivial(self) -> bool:
        """Whether everything passes."""
        return self.missing and not self.inside and not self.categories


Condition = Interval | Members
Conditions = tuple[tuple[int, Condition], ...]
"""What must hold of columns, ascending; a column occurs once."""


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A leaf that some row can reach.

    Attributes:
        conditions: those of its path, merged.
        values: what it adds, shape (outputs of the tree,).
    """

    conditions: Conditions
    values: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Terms:
    """A sum over sets of conditions: base, plus for each set that holds entirely its values.

    Attributes:
        base: shape (outputs,).
        values: by conditions, shape (outputs,) each; no set is empty.
    """

    base: NDArray[np.float64]
    values: Mapping[Conditions, NDArray[np.float64]]


def leaves(tree: Tree, reading: Reading) -> Iterator[Leaf]:
    """The leaves of a tree that a row can reach, left before right."""
    stack: list[tuple[int, dict[int, Condition]]] = [(0, {})]
    while stack:
        node, path = stack.pop()
        column = int(tree.columns[node])
        if column < 0:
            yield Leaf(_settled(path, reading), tree.values[node])
            continue
        for to_left, child in ((False, tree.right[node]), (True, tree.left[node])):
            if node in tree.members:
                condition: Condition = _members(path.get(column), tree, node, to_left)
            else:
                condition = _interval(path.get(column), tree, node, to_left)
            if not reading.missing:
                condition = replace(condition, missing=False)
            if not (condition.void or _holds_none(condition, reading.categories.get(column))):
                stack.append((int(child), path | {column: condition}))


def merged(ensemble: Ensemble, trees: tuple[Tree, ...]) -> Terms:
    """The sum of trees, equal conditions merged, without base score.

    Of each tree's leaves exactly one is reached, so one of them, with the most conditions, goes
    into the base and is taken from the others: a unit less for each tree.
    """
    base = np.zeros(len(ensemble.base))
    values: dict[Conditions, NDArray[np.float64]] = {}
    for tree in trees:
        found = list(leaves(tree, ensemble.reading))
        last = max(reversed(found), key=lambda leaf: len(leaf.conditions) or math.inf)
        outputs = list(tree.outputs)
        base[outputs] += last.values
        for leaf in found:
            if leaf is not last:
                row = values.setdefault(leaf.conditions, np.zeros(len(base)))
                row[outputs] += leaf.values - last.values
    return Terms(base, {conditions: row for conditions, row in values.items() if row.any()})


def _interval(before: Condition | None, tree: Tree, node: int, to_left: bool) -> Interval:
    found = before if isinstance(before, Interval) else Interval()
    threshold = float(tree.thresholds[node]) + 0.0  # -0.0 is the same cut point as 0.0
    missing = found.missing and bool(tree.missing_left[node]) == to_left
    if to_left:
        return _plain(Interval(found.low, min(found.high, threshold), missing))
    return _plain(Interval(max(found.low, threshold), found.high, missing))


def _plain(interval: Interval) -> Interval:
    """All intervals that no number passes are written alike."""
    return Interval(math.inf, math.inf, interval.missing) if interval.empty else interval


def _members(before: Condition | None, tree: Tree, node: int, to_left: bool) -> Members:
    found = before if isinstance(before, Members) else Members()
    asked = tree.members[node]
    missing = found.missing and bool(tree.missing_left[node]) == to_left
    if bool(tree.members_left[node]) == to_left:  # members go this way
        kept = found.categories & asked if found.inside else asked - found.categories
        return Members(kept, True, missing)
    if found.inside:
        return Members(found.categories - asked, True, missing)
    return Members(found.categories | asked, False, missing)


def _settled(path: Mapping[int, Condition], reading: Reading) -> Conditions:
    """A path's conditions without those that always hold, for comparing."""
    settled = []
    for column in sorted(path):
        condition = path[column]
        if not reading.missing:
            # nothing is missing: whichever is simpler
            condition = replace(condition, missing=_passes_as_others(condition))
        if not (condition.trivial or _all_codes(condition, reading.categories.get(column))):
            settled.append((column, condition))
    return tuple(settled)


def _passes_as_others(condition: Condition) -> bool:
    """Whether a value passes that lies above all cut points, or is in no list."""
    if isinstance(condition, Interval):
        return condition.high == math.inf and not condition.empty
    return not condition.inside


def _all_codes(condition: Condition, rule: CategoryRule | None) -> bool:
    """Whether everything passes since all codes that there are do, and what is missing."""
    return (
        isinstance(condition, Members)
        and condition.inside
        and condition.missing
        and _lists_all(condition, rule)
    )


def _holds_none(condition: Condition, rule: CategoryRule | None) -> bool:
    """Whether nothing passes since no code does that there is, nor what is missing."""
    return (
        isinstance(condition, Members)
        and not condition.inside
        and not condition.missing
        and _lists_all(condition, rule)
    )


def _lists_all(condition: Members, rule: CategoryRule | None) -> bool:
    return rule is not None and rule.kind == "codes" and condition.categories >= rule.codes
