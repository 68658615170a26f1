"""Trees as ONNX: `TreeEnsemble` of ai.onnx.ml, version 5, in float64 throughout.

Before it, ordinary operators look at a row as the framework does (`models.trees.reading`).
A leaf of `TreeEnsemble` adds to one score. Where leaves add to several, trees find the number of
the leaf that each reaches instead, and the leaves' values are looked up and added up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.extras import extra
from strongroom.models.onnx_nodes import MACHINE_LEARNING, Nodes
from strongroom.models.trees.reading import MAXIMUM_CATEGORY, OTHER
from strongroom.models.trees.whole import KINDS

_LESS_OR_EQUAL, _LESS, _MEMBER = 0, 1, 6
_SUM: Final = 1
_AS_THEY_ARE: Final = 0

Constants = Mapping[str, NDArray[Any]]


def add_trees(
    nodes: Nodes, features: str, attributes: Mapping[str, Any], constants: Constants
) -> str:
    """Add what a node `Trees` of a graph computes (`models.trees.whole`); the scores' name."""
    rows = _read(nodes, features, attributes, constants)
    leaf_nodes, counts = np.unique(constants["leaf_node"], return_counts=True)
    base = nodes.numbers(constants["base"].reshape(1, -1))
    if (counts == 1).all():
        scores = _ensemble(
            nodes,
            rows,
            attributes,
            constants,
            targets=int(attributes["outputs"]),
            leaf_target=constants["leaf_output"],
            leaf_value=constants["leaf_value"],
        )
        return nodes.add("Add", scores, base)
    # a leaf's number is exact in float64: there are fewer than 2^53
    table = np.zeros((len(leaf_nodes), int(attributes["outputs"])))
    numbers = np.searchsorted(leaf_nodes, constants["leaf_node"])
    table[numbers, constants["leaf_output"]] = constants["leaf_value"]
    tree = np.searchsorted(constants["root"], leaf_nodes, side="right") - 1
    reached = _ensemble(
        nodes,
        rows,
        attributes,
        constants,
        targets=len(constants["root"]),
        leaf_target=tree,
        leaf_value=np.arange(len(leaf_nodes), dtype=np.float64),
    )
    values = nodes.add("Gather", nodes.numbers(table), nodes.cast(reached, "int64"), axis=0)
    axes = nodes.constant(np.array([1], dtype=np.int64))
    return nodes.add("Add", nodes.add("ReduceSum", values, axes, keepdims=0), base)


def _read(nodes: Nodes, features: str, attributes: Mapping[str, Any], constants: Constants) -> str:
    """The rows as trees see them (`Reading.read`), NaN where something is missing."""
    columns = int(attributes["columns"])
    rows = features
    if attributes["missing"]:
        halves = [np.arange(columns), np.arange(columns, 2 * columns)]
        rows, flags = (
            nodes.add("Gather", features, nodes.constant(half), axis=1) for half in halves
        )
        flagged = nodes.add("Greater", flags, nodes.number(0.0))
        rows = nodes.add("Where", flagged, _nan(nodes), rows)
    if attributes["dtype"] == "float32":
        rows = nodes.cast(nodes.cast(rows, "float32"), "float64")
    if (constants["missing_low"] <= constants["missing_high"]).any():
        above = nodes.add("GreaterOrEqual", rows, _row(nodes, constants["missing_low"]))
        below = nodes.add("LessOrEqual", rows, _row(nodes, constants["missing_high"]))
        rows = nodes.add("Where", nodes.add("And", above, below), _nan(nodes), rows)
    for number, kind in enumerate(KINDS, start=1):
        if (constants["category_kind"] == number).any():
            chosen = nodes.constant((constants["category_kind"] == number).reshape(1, -1))
            categories = _categories(nodes, rows, kind, constants["category_known"])
            rows = nodes.add("Where", chosen, categories, rows)
    return rows


def _categories(nodes: Nodes, rows: str, kind: str, known: NDArray[Any]) -> str:
    """All columns as categories of that kind (`reading.read_categories`)."""
    floor = nodes.add("Floor", rows)
    if kind == "codes":
        listed = nodes.add(
            "And",
            nodes.add("GreaterOrEqual", rows, nodes.number(0.0)),
            nodes.add("Less", rows, _row(nodes, known.astype(np.float64))),
        )
        whole = nodes.add("And", listed, nodes.add("Equal", rows, floor))
        return nodes.add("Where", whole, rows, _nan(nodes))
    if kind == "truncated":
        negative = nodes.add("Less", rows, nodes.number(0.0))
        floor = nodes.add("Where", negative, nodes.add("Ceil", rows), floor)
    # written so that what is missing stays missing
    other = nodes.add(
        "Or",
        nodes.add("Less", floor, nodes.number(0.0)),
        nodes.add("Greater", floor, nodes.number(float(MAXIMUM_CATEGORY))),
    )
    return nodes.add("Where", other, nodes.number(OTHER), floor)


def _ensemble(
    nodes: Nodes,
    rows: str,
    attributes: Mapping[str, Any],
    constants: Constants,
    *,
    targets: int,
    leaf_target: NDArray[Any],
    leaf_value: NDArray[Any],
) -> str:
    """The operator itself. Splits and leaves are counted apart there, and a tree that is one leaf
    needs a split."""
    column = constants["column"]
    is_split = column >= 0
    split_number, leaf_number = np.cumsum(is_split) - 1, np.cumsum(~is_split) - 1
    roots = constants["root"]
    single = roots[~is_split[roots]]
    splits = np.flatnonzero(is_split)
    asks_members = np.isin(splits, constants["member_node"])
    # what is no member goes to the left where members go to the right
    swapped = asks_members & ~constants["members_left"][splits]
    yes = np.where(swapped, constants["right"][splits], constants["left"][splits])
    no = np.where(swapped, constants["left"][splits], constants["right"][splits])
    missing_yes = constants["missing_left"][splits] != swapped
    thresholds = np.where(asks_members, 0.0, constants["threshold"][splits])
    compare = _LESS if attributes["comparison"] == "<" else _LESS_OR_EQUAL
    modes = np.where(asks_members, _MEMBER, compare)

    def child(places: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        ids = np.where(is_split[places], split_number[places], leaf_number[places])
        return np.append(ids, leaf_number[single]), np.append(
            ~is_split[places], np.ones(len(single), dtype=bool)
        )

    yes_ids, yes_leaves = child(yes)
    no_ids, no_leaves = child(no)
    root_ids = split_number[roots].copy()
    root_ids[~is_split[roots]] = len(splits) + np.arange(len(single))
    tensor = extra("onnx.numpy_helper").from_array
    more = np.zeros(len(single))
    members = _member_lists(constants)
    return nodes.add(
        "TreeEnsemble",
        rows,
        domain=MACHINE_LEARNING,
        n_targets=targets,
        aggregate_function=_SUM,
        post_transform=_AS_THEY_ARE,
        tree_roots=root_ids.tolist(),
        nodes_modes=tensor(np.append(modes, more + _LESS_OR_EQUAL).astype(np.uint8), "modes"),
        nodes_featureids=np.append(column[splits], more).astype(np.int64).tolist(),
        nodes_splits=tensor(np.append(thresholds, more), "splits"),
        nodes_truenodeids=yes_ids.tolist(),
        nodes_trueleafs=yes_leaves.astype(np.int64).tolist(),
        nodes_falsenodeids=no_ids.tolist(),
        nodes_falseleafs=no_leaves.astype(np.int64).tolist(),
        nodes_missing_value_tracks_true=np.append(missing_yes, more).astype(np.int64).tolist(),
        leaf_targetids=np.asarray(leaf_target).astype(np.int64).tolist(),
        leaf_weights=tensor(np.asarray(leaf_value, dtype=np.float64), "weights"),
        **({"membership_values": tensor(members, "members")} if len(members) else {}),
    )


def _member_lists(constants: Constants) -> NDArray[np.float64]:
    """The categories of each node that asks for some, a NaN after each list."""
    found: list[float] = []
    for node in np.unique(constants["member_node"]):
        asked = constants["member_category"][constants["member_node"] == node]
        found += [*map(float, asked), np.nan]
    return np.array(found)


def _row(nodes: Nodes, numbers: NDArray[Any]) -> str:
    return nodes.numbers(numbers.reshape(1, -1))


def _nan(nodes: Nodes) -> str:
    return nodes.constant(np.array(np.nan))
