"""Trees as they are, for protections whose server compares numbers itself: one node, `Trees`.

Nothing of the trees becomes public: the features are the columns, and after them, where values may
be missing, a number for each column that says so. The node has that one input, and one output, the
scores. Attributes:

- `columns`, `outputs`: how many.
- `dtype`, `comparison`, `missing` (0 or 1): those of the ensemble's `Reading`.

Constants, nodes counted through all trees:

- `root`: of each tree.
- `column`, `threshold`, `left`, `right`, `missing_left`, `members_left`: of each node, as `Tree`'s.
- `member_node`, `member_category`: each category that a node asks for.
- `leaf_node`, `leaf_output`, `leaf_value`: what a leaf adds to a score.
- `base`: shape (outputs,).
- `missing_low`, `missing_high`: bounds, both included, between which a number of a column counts as
  missing; low above high where there are none; shape (columns,).
- `category_kind`: 0 for a column of numbers, else 1 + the place of its rule in `KINDS`.
- `category_known`: number of codes; both of shape (columns,).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.feature_blocks import Flagged, Numbers
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.reading import CategoryKind, CategoryRule, Reading
from strongroom.models.trees.tree import Tree

OPERATOR: Final = "Trees"

_NONE: Final = -2
"""A category that no row has: what a node asks for that asks for none."""

KINDS: Final[tuple[CategoryKind, ...]] = ("floored", "truncated", "codes")


def whole_graph(
    ensemble: Ensemble, name: str, input_spec: InputSpec, output_spec: OutputSpec
) -> Graph:
    """The graph of an ensemble whose columns are the table's.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if it has no trees.
    """
    if not ensemble.trees:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED", "the model has no trees", "Train the model for a step or more"
        )
    columns = tuple(range(ensemble.columns))
    block = Flagged(columns) if ensemble.reading.missing else Numbers(columns)
    features = Features(ensemble.columns, (block,))
    attributes: dict[str, int | str] = {
        "columns": ensemble.columns,
        "outputs": len(ensemble.base),
        "dtype": ensemble.reading.dtype,
        "comparison": ensemble.reading.comparison,
        "missing": int(ensemble.reading.missing),
    }
    constants = _nodes(ensemble.trees) | _reading(ensemble.columns, ensemble.reading)
    return Graph(
        name=name,
        tensors=(Tensor("features", "float64", (None, features.width)),),
        nodes=(Node(OPERATOR, "trees", ("features",), ("scores",), attributes),),
        constants=constants | {"base": ensemble.base},
        scores="scores",
        input=input_spec,
        features=features,
        output=output_spec,
    )


def whole_scores(
    features: NDArray[np.float64],
    attributes: Mapping[str, Any],
    constants: Mapping[str, NDArray[Any]],
) -> NDArray[np.float64]:
    """What a node `Trees` computes of features, shape (n, outputs)."""
    ensemble = ensemble_of(attributes, constants)
    rows = features[:, : ensemble.columns]
    if ensemble.reading.missing:
        rows = np.where(features[:, ensemble.columns :] > 0, np.nan, rows)
    return ensemble.scores(rows)


def ensemble_of(attributes: Mapping[str, Any], constants: Mapping[str, NDArray[Any]]) -> Ensemble:
    """The ensemble that a node `Trees` stands for; all of its trees add to all scores."""
    roots = [int(root) for root in constants["root"]]
    outputs = int(attributes["outputs"])
    values = np.zeros((len(constants["column"]), outputs))
    values[constants["leaf_node"], constants["leaf_output"]] = constants["leaf_value"]
    trees = []
    for first, last in zip(roots, [*roots[1:], len(values)], strict=True):
        nodes = slice(first, last)
        mine = (constants["member_node"] >= first) & (constants["member_node"] < last)
        members: dict[int, set[int]] = {}
        for node, category in zip(
            constants["member_node"][mine], constants["member_category"][mine], strict=True
        ):
            members.setdefault(int(node) - first, set()).add(int(category))
        trees.append(
            Tree(
                columns=constants["column"][nodes],
                thresholds=constants["threshold"][nodes],
                left=constants["left"][nodes] - first,
                right=constants["right"][nodes] - first,
                missing_left=constants["missing_left"][nodes],
                members={node: frozenset(found) for node, found in members.items()},
                members_left=constants["members_left"][nodes],
                values=values[nodes],
                outputs=tuple(range(outputs)),
            )
        )
    reading = Reading(
        attributes["dtype"],
        attributes["comparison"],
        bool(attributes["missing"]),
        {
            column: (float(low), float(high))
            for column, (low, high) in enumerate(
                zip(constants["missing_low"], constants["missing_high"], strict=True)
            )
            if low <= high
        },
        {
            column: CategoryRule(KINDS[kind - 1], int(known))
            for column, (kind, known) in enumerate(
                zip(constants["category_kind"], constants["category_known"], strict=True)
            )
            if kind > 0
        },
    )
    return Ensemble(int(attributes["columns"]), tuple(trees), constants["base"], reading)


def _nodes(trees: tuple[Tree, ...]) -> dict[str, NDArray[np.generic[Any]]]:
    sizes = [len(tree.columns) for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]])
    members = [
        (int(root) + node, category)
        for root, tree in zip(roots, trees, strict=True)
        for node in sorted(tree.members)
        for category in sorted(tree.members[node]) or (_NONE,)
    ]
    leaves, outputs, values = [], [], []
    for root, tree in zip(roots, trees, strict=True):
        places = np.flatnonzero(tree.columns < 0)
        leaves.append(np.repeat(places + root, len(tree.outputs)))
        outputs.append(np.tile(np.array(tree.outputs, dtype=np.int64), len(places)))
        values.append(tree.values[places].reshape(-1))
    asked = np.array(members, dtype=np.int64).reshape(-1, 2)
    return {
        "root": roots.astype(np.int64),
        "column": np.concatenate([tree.columns for tree in trees]).astype(np.int64),
        "threshold": np.concatenate([tree.thresholds for tree in trees]).astype(np.float64),
        "left": np.concatenate([t.left + r for r, t in zip(roots, trees, strict=True)]),
        "right": np.concatenate([t.right + r for r, t in zip(roots, trees, strict=True)]),
        "missing_left": np.concatenate([tree.missing_left for tree in trees]),
        "members_left": np.concatenate([tree.members_left for tree in trees]),
        "member_node": asked[:, 0],
        "member_category": asked[:, 1],
        "leaf_node": np.concatenate(leaves).astype(np.int64),
        "leaf_output": np.concatenate(outputs),
        "leaf_value": np.concatenate(values).astype(np.float64),
    }


def _reading(columns: int, reading: Reading) -> dict[str, NDArray[np.generic[Any]]]:
    low, high = np.full(columns, math.inf), np.full(columns, -math.inf)
    for column, bounds in reading.missing_numbers.items():
        low[column], high[column] = bounds
    kind = np.zeros(columns, dtype=np.int64)
    known = np.zeros(columns, dtype=np.int64)
    for column, rule in reading.categories.items():
        kind[column], known[column] = 1 + KINDS.index(rule.kind), rule.known
    return {
        "missing_low": low,
        "missing_high": high,
        "category_kind": kind,
        "category_known": known,
    }
