"""Tree: one decision tree of any framework, checked once.

Model files come from anywhere: a tree is a tree only after every node was found to be reached once
and every number to be one that can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError

MAXIMUM_DEPTH: Final = 512
"""Deepest tree that is read."""

MAXIMUM_NODES: Final = 2**20
"""Most nodes of an ensemble, of all its trees together."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A tree of nodes; node 0 is the root.

    A node of a column of numbers sends a value to the left if it compares with the threshold
    (`Reading.comparison`), one of a column of categories if being in `members` says so.

    Attributes:
        columns: the column that a node asks about, -1 at a leaf; shape (nodes,).
        thresholds: shape (nodes,), float64; may be infinite, which separates what is missing.
        left, right: children, shape (nodes,).
        missing_left: whether a missing value goes left, shape (nodes,).
        members: the categories that a node asks for, by node; others have a threshold.
        members_left: whether members go left and others right, or the other way; shape (nodes,).
        values: what leaves add to the scores, shape (nodes, len(outputs)).
        outputs: the scores that the tree adds to.
    """

    columns: NDArray[np.intp]
    thresholds: NDArray[np.float64]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    missing_left: NDArray[np.bool_]
    members: Mapping[int, frozenset[int]]
    members_left: NDArray[np.bool_]
    values: NDArray[np.float64]
    outputs: tuple[int, ...]

    def check(self, place: str, columns: int) -> int:
        """Refuse what is not a tree.

        Args:
            place: how a message names it.
            columns: of the table.

        Returns:
            Its depth.

        Raises:
            ModelError: SR-MODEL-FILE; SR-MODEL-VALUES for a leaf that is not finite.
        """
        nodes = len(self.columns)
        if not nodes or len(self.values) != nodes:
            raise not_a_tree(place, "has no nodes, or not as many values")
        level = np.zeros(1, dtype=np.intp)
        reached = np.zeros(nodes, dtype=bool)
        reached[0] = True
        for depth in range(MAXIMUM_DEPTH + 1):
            leaves = level[self.columns[level] < 0]
            if not np.isfinite(self.values[leaves]).all():
                raise ModelError(
                    "SR-MODEL-VALUES", f"{place} has a leaf that is not a finite number"
                )
            splits = level[self.columns[level] >= 0]
            if not len(splits):
                return depth
            if (self.columns[splits] >= columns).any():
                raise not_a_tree(place, f"asks about a column beyond the {columns} of the table")
            if np.isnan(self.thresholds[splits]).any():
                raise not_a_tree(place, "has a threshold that is not a number")
            level = np.concatenate([self.left[splits], self.right[splits]])
            if level.min() < 0 or level.max() >= nodes:
                raise not_a_tree(place, "has a child that is not there")
            if reached[level].any() or len(np.unique(level)) != len(level):
                raise not_a_tree(place, "reaches a node twice")
            reached[level] = True
        raise not_a_tree(place, f"is deeper than {MAXIMUM_DEPTH}")

    def leaves(self, table: NDArray[np.float64], strict: bool) -> NDArray[np.intp]:
        """The leaf of each row, shape (n,).

        Args:
            table: rows as `Reading.read` gives them.
            strict: whether a number goes left below the threshold only, not at it.
        """
        places = np.zeros(len(table), dtype=np.intp)
        while True:
            rows = np.flatnonzero(self.columns[places] >= 0)
            if not len(rows):
                return places
            nodes = places[rows]
            values = table[rows, self.columns[nodes]]
            thresholds = self.thresholds[nodes]
            goes_left = values < thresholds if strict else values <= thresholds
            for node in set(nodes.tolist()) & self.members.keys():
                here = nodes == node
                is_member = np.isin(values[here], list(self.members[node]))
                goes_left[here] = is_member == self.members_left[node]
            missing = np.isnan(values)
            goes_left[missing] = self.missing_left[nodes[missing]]
            places[rows] = np.where(goes_left, self.left[nodes], self.right[nodes])


def not_a_tree(place: str, problem: str) -> ModelError:
    """The error for nodes that are no tree."""
    return ModelError("SR-MODEL-FILE", f"{place} {problem}", "Export the model again")
