"""Ensemble: trees whose leaves add up to scores, whatever framework grew them.

Importers produce it from each framework's own dump; `scores` is the reference that the encrypted
form is checked against.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.models.trees.reading import Reading
from strongroom.models.trees.tree import MAXIMUM_NODES, Tree, not_a_tree

MAXIMUM_VALUES: Final = 2**26
"""Most numbers that nodes add to scores, were each to add to all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """scores = base + the sum of what the reached leaves add.

    Attributes:
        columns: of the table.
        trees: in the framework's order.
        base: shape (outputs,), float64.
        reading: how trees look at rows.
    """

    columns: int
    trees: tuple[Tree, ...]
    base: NDArray[np.float64]
    reading: Reading

    def largest_score(self) -> float:
        """What no score exceeds in absolute value: the base and, of each tree, its largest leaf."""
        total = np.abs(self.base)
        for tree in self.trees:
            leaves = np.abs(np.nan_to_num(tree.values[tree.columns < 0]))
            np.add.at(total, list(tree.outputs), leaves.max(axis=0))
        return float(total.max())

    @classmethod
    def checked(
        cls, columns: int, trees: list[Tree], base: NDArray[np.float64], reading: Reading
    ) -> Ensemble:
        """An ensemble of trees from a file or object that nobody vouches for.

        Raises:
            ModelError: SR-MODEL-FILE, -VALUES.
        """
        nodes = sum(len(tree.columns) for tree in trees)
        if nodes > MAXIMUM_NODES or nodes * len(base) > MAXIMUM_VALUES:
            raise ModelError(
                "SR-MODEL-FILE",
                f"the trees have {nodes} nodes for {len(base)} scores, allowed are "
                f"{MAXIMUM_NODES} nodes, or {MAXIMUM_VALUES} values of nodes",
                "Train fewer or smaller trees",
            )
        if not np.isfinite(base).all():
            raise ModelError("SR-MODEL-VALUES", "the model's base score is not a finite number")
        for number, tree in enumerate(trees):
            tree.check(f"tree {number}", columns)
            if not all(0 <= output < len(base) for output in tree.outputs):
                raise not_a_tree(f"tree {number}", "adds to a score that the model does not have")
            asks_members = np.isin(np.arange(len(tree.columns)), list(tree.members))
            has_categories = np.isin(tree.columns, list(reading.categories))
            if (asks_members != has_categories)[tree.columns >= 0].any():
                raise not_a_tree(f"tree {number}", "takes a column for numbers and for categories")
        return cls(columns, tuple(trees), base, reading)

    def scores(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """The framework's raw scores, shape (n, outputs), added up in float64.

        Args:
            rows: shape (n, columns), checked.
        """
        table = self.reading.read(rows)
        strict = self.reading.comparison == "<"
        scores = np.tile(self.base, (len(rows), 1))
        for tree in self.trees:
            scores[:, list(tree.outputs)] += tree.values[tree.leaves(table, strict)]
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class TreeModel:
    """An imported tree model.

    Attributes:
        name: for people.
        ensemble: the trees.
        input: what rows the plain model takes.
        output: how scores become predictions.
    """

    name: str
    ensemble: Ensemble
    input: InputSpec
    output: OutputSpec
