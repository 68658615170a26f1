"""Conditions and bits: for any tree, each condition counts exactly 0 or 1, and what units add up to
is what the tree says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.compiler.tree_layers import tree_layers
from strongroom.errors import ModelError
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.models.trees.bits import count, missing_places
from strongroom.models.trees.conditions import Interval, Members, leaves, merged
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.graphs import queries_to_extract, tree_graph
from strongroom.models.trees.options import TreeOptions
from strongroom.models.trees.reading import CategoryRule, Reading
from strongroom.models.trees.tree import Tree

NUMBERS = 2
COLUMNS = 4
RULES = {2: CategoryRule("floored"), 3: CategoryRule("codes", 4)}


def reading(comparison: str = "<=", missing: bool = True) -> Reading:
    if not missing:
        return Reading("float32", comparison, False, {}, {})
    return Reading("float32", comparison, True, {1: (-0.5, 0.5)}, RULES)


@st.composite
def trees(draw: st.DrawFn, columns: int = COLUMNS) -> Tree:
    """Any tree of up to 15 splits over two columns of numbers and some of categories."""
    splits = draw(st.integers(0, 15))
    nodes = 2 * splits + 1
    column = np.full(nodes, -1)
    left, right = np.zeros(nodes, dtype=np.intp), np.zeros(nodes, dtype=np.intp)
    threshold, members = np.zeros(nodes), {}
    open_nodes, following = [0], 1
    for _ in range(splits):
        node = open_nodes.pop(draw(st.integers(0, len(open_nodes) - 1)))
        column[node] = draw(st.integers(0, columns - 1))
        if column[node] >= NUMBERS:
            members[node] = draw(st.frozensets(st.integers(0, 3)))
        else:
            threshold[node] = draw(st.sampled_from([-math.inf, -1, -0.0, 0.0, 1, 2, math.inf]))
        left[node], right[node] = following, following + 1
        open_nodes += [following, following + 1]
        following += 2
    flags = draw(st.lists(st.booleans(), min_size=2 * nodes, max_size=2 * nodes))
    return Tree(
        columns=column.astype(np.intp),
        thresholds=threshold,
        left=left,
        right=right,
        missing_left=np.array(flags[:nodes]),
        members=members,
        members_left=np.array(flags[nodes:]),
        values=np.arange(nodes, dtype=np.float64)[:, None] ** 2,
        outputs=(0,),
    )


def all_rows(columns: int, missing: bool) -> np.ndarray:
    """Every combination of values that a tree above can tell apart."""
    gap = [math.nan] if missing else []
    numbers = [-1.5, -1.0, -0.7, 0.0, 0.7, 1.0, 1.5, 2.0, 2.5, *gap]
    categories = [-1.0, 0.0, 1.0, 2.0, 3.0, 7.0, *gap]
    choices = [numbers] * NUMBERS + [categories] * (columns - NUMBERS)
    return np.stack([axis.ravel() for axis in np.meshgrid(*choices)], axis=1)


@settings(max_examples=60, deadline=None)
@given(trees(), st.sampled_from(["<", "<="]))
def test_a_leaf_is_reached_where_all_its_conditions_count(tree: Tree, comparison: str) -> None:
    look = reading(comparison)
    assert tree.check("the tree", COLUMNS) >= 0
    rows = all_rows(COLUMNS, missing=True)[::3]
    table = look.read(rows)
    reached = tree.values[tree.leaves(table, comparison == "<")][:, 0]
    found = list(leaves(tree, look))
    places = missing_places([leaf.conditions for leaf in found], look)
    total = np.zeros(len(rows))
    for leaf in found:
        holds = np.zeros(len(rows))
        for condition in leaf.conditions:
            one = count((condition,), places, look)
            column = condition[0]
            number = np.where(np.isnan(table[:, column]), np.nan, table[:, column])
            if column < NUMBERS:
                stand_in = {"above": math.inf, "below": -math.inf, "zero": 0.0}[places[column]]
                number = np.where(np.isnan(number), stand_in, number)
            summed = np.full(len(rows), float(one.constant))
            for (_, kind, value), sign in one.signs.items():
                if kind == "missing":
                    bit = np.isnan(table[:, column])
                elif kind == "category":
                    bit = number == value
                else:
                    bit = number < value if comparison == "<" else number <= value
                summed += sign * bit
            assert set(np.unique(summed)) <= {0.0, 1.0}
            holds += summed
        total += (holds == len(leaf.conditions)) * leaf.values[0]
        assert (holds <= len(leaf.conditions)).all()
    assert np.array_equal(total, reached)


@settings(max_examples=40, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4), st.sampled_from([None, 1, 2]))
def test_the_graph_adds_up_what_trees_say(forest: list[Tree], group: int | None) -> None:
    ensemble = Ensemble.checked(COLUMNS, forest, np.array([3.0]), reading())
    spec = InputSpec(COLUMNS, (), "float32", missing=tuple(range(COLUMNS)))
    output = OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",))
    rows = all_rows(COLUMNS, missing=True)[::7]
    plain = ensemble.scores(rows)
    try:
        graph = tree_graph(ensemble, "any", spec, output, TreeOptions(trees_per_group=group))
    except ModelError:
        assert (plain == plain[0]).all()
        return
    features = graph.features.encode(rows)
    assert set(np.unique(features)) <= {0.0, 1.0}
    assert np.allclose(tree_layers(graph).arguments(features)[-1], plain, rtol=0, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(trees(columns=NUMBERS), min_size=1, max_size=3), st.sampled_from([None, 1]))
def test_hidden_cut_points_add_up_the_same(forest: list[Tree], group: int | None) -> None:
    look = reading("<", missing=False)
    ensemble = Ensemble.checked(NUMBERS, forest, np.array([3.0]), look)
    spec = InputSpec(NUMBERS, (), "float32")
    output = OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",))
    rows = all_rows(NUMBERS, missing=False)
    plain = ensemble.scores(rows)
    options = TreeOptions(grid="hidden", trees_per_group=group)
    try:
        graph = tree_graph(ensemble, "any", spec, output, options)
    except ModelError:
        assert (plain == plain[0]).all()
        return
    found = tree_layers(graph).arguments(graph.features.encode(rows))
    assert len(found) == 3
    assert np.allclose(found[-1], plain, rtol=0, atol=1e-9)


def stump(column: int, threshold: float, low: float, high: float) -> Tree:
    return Tree(
        columns=np.array([column, -1, -1]),
        thresholds=np.array([threshold, 0.0, 0.0]),
        left=np.array([1, 0, 0]),
        right=np.array([2, 0, 0]),
        missing_left=np.zeros(3, dtype=bool),
        members={},
        members_left=np.zeros(3, dtype=bool),
        values=np.array([[0.0], [low], [high]]),
        outputs=(0,),
    )


def test_equal_conditions_of_several_trees_are_one_unit() -> None:
    look = Reading("float32", "<=", False, {}, {})
    forest = (stump(0, 1.0, 1.0, 5.0), stump(0, 1.0, 2.0, 3.0), stump(1, 1.0, 4.0, 4.0))
    terms = merged(Ensemble.checked(2, list(forest), np.zeros(1), look), forest)
    assert terms.base.tolist() == [12.0]
    ((conditions, values),) = terms.values.items()
    assert conditions == ((0, Interval(-math.inf, 1.0, False)),)
    assert values.tolist() == [-5.0]


def test_a_zero_with_a_sign_is_no_other_cut_point() -> None:
    look = Reading("float32", "<=", False, {}, {})
    forest = [stump(0, 0.0, 1.0, 5.0), stump(0, -0.0, 2.0, 3.0)]
    assert len(merged(Ensemble.checked(1, forest, np.zeros(1), look), tuple(forest)).values) == 1


def test_answers_that_reveal_a_model_are_counted() -> None:
    look = Reading("float32", "<=", False, {}, {})
    forest = [stump(0, 1.0, 1.0, 5.0), stump(0, 2.0, 2.0, 3.0)]
    output = OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",))
    graph = tree_graph(
        Ensemble.checked(1, forest, np.zeros(1), look),
        "two stumps",
        InputSpec(1, (), "float32"),
        output,
        TreeOptions(),
    )
    assert queries_to_extract(graph) == 3


def test_what_holds_of_everything_is_trivial() -> None:
    assert Interval().trivial
    assert Members().trivial
    assert not Interval(missing=False).trivial
    assert Members(frozenset(), True, False).void
    assert not Members(frozenset(), True, True).void


def test_a_leaf_that_no_code_reaches_is_no_leaf() -> None:
    look = Reading("float64", "<=", True, {}, {0: CategoryRule("codes", 2)})
    tree = replace(stump(0, 0.0, 1.0, 5.0), members={0: frozenset({0, 1, 7})})
    (leaf,) = leaves(tree, look)  # codes go right, and so does what is missing
    assert leaf.conditions == ()
    assert leaf.values.tolist() == [5.0]


def test_a_model_that_never_splits_is_refused() -> None:
    look = Reading("float32", "<=", False, {}, {})
    output = OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",))
    ensemble = Ensemble.checked(1, [stump(0, 1.0, 4.0, 4.0)], np.zeros(1), look)
    with pytest.raises(ModelError, match="same answer"):
        tree_graph(ensemble, "flat", InputSpec(1, (), "float32"), output, TreeOptions())
