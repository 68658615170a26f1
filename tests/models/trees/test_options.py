"""The dials: what a grid reveals, and what hidden cut points refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tree_cases import CASES

from strongroom.compiler.tree_layers import tree_layers
from strongroom.errors import ModelError, PolicyError
from strongroom.models.trees.decoys import draw_decoys
from strongroom.models.trees.grid import CutPoints, Grid
from strongroom.models.trees.importing import import_trees
from strongroom.models.trees.options import TreeOptions


def grid(model: Any, options: TreeOptions) -> Grid:
    graph = import_trees(model, options)
    assert graph is not None
    (block,) = graph.features.blocks
    assert isinstance(block, Grid)
    return block


def points(found: Grid) -> set[tuple[int, float]]:
    return {
        (entry.column, point)
        for entry in found.entries
        if isinstance(entry, CutPoints)
        for point in entry.points
    }


@pytest.mark.parametrize("decoys", [1, 3])
def test_decoys_stand_among_the_models_own_cut_points(decoys: int) -> None:
    model = CASES["sklearn gradient"]().model
    own = points(grid(model, TreeOptions()))
    padded = grid(model, TreeOptions(grid="padded", decoys=decoys))
    assert own < points(padded)
    assert len(points(padded)) == padded.cut_points == padded.decoys + len(own)
    # where cut points are whole numbers there may be no room for as many decoys
    assert 0.6 * decoys * len(own) < padded.decoys <= decoys * len(own)
    assert points(grid(model, TreeOptions(grid="padded", decoys=decoys))) != points(padded)


def test_a_decoy_is_in_the_groups_of_a_cut_point() -> None:
    """As many groups take a decoy as take the cut point that it stands beside."""
    model = CASES["sklearn extra forest, regression"]().model
    plain = grid(model, TreeOptions(trees_per_group=1))
    padded = grid(model, TreeOptions(grid="padded", trees_per_group=1))

    def uses(found: Grid) -> list[int]:
        counts = np.bincount(np.array(found.places) + 1)[1:]
        is_cut_point = [
            number < len(entry.points)
            for entry in found.entries
            if isinstance(entry, CutPoints)
            for number in range(entry.width)
        ]
        return sorted(counts[is_cut_point].tolist())

    assert uses(padded) == sorted(2 * uses(plain))


def test_decoys_look_like_cut_points() -> None:
    assert all(decoy * 4 == int(decoy * 4) for decoy in draw_decoys([0.25, 7.5], 20, "float64"))
    assert all(decoy == round(decoy, 1) for decoy in draw_decoys([0.1, 0.7, 55.3], 20, "float64"))
    narrow = [float(np.float32(value)) for value in (0.1234567, 0.7654321)]
    assert all(decoy == float(np.float32(decoy)) for decoy in draw_decoys(narrow, 20, "float32"))


@pytest.mark.parametrize(
    "own", [[0.5], [0.0], [-1e300, 1e300], [5e-324], [1.0, 2.0], [-3.5, -3.25, 1e-9]]
)
def test_decoys_are_new_finite_and_distinct(own: list[float]) -> None:
    found = draw_decoys(own, 8, "float64")
    assert len(set(found)) == len(found)
    assert not set(found) & set(own)
    assert np.isfinite(found).all()


def test_where_there_is_no_room_there_are_fewer_decoys() -> None:
    # whole numbers between 0 and 3, and as far beyond: four are left
    assert len(draw_decoys([0.0, 1.0, 2.0, 3.0], 50, "float64")) <= 4


def test_groups_have_blocks_of_their_own() -> None:
    model = CASES["sklearn gradient"]().model
    one = import_trees(model)
    six = import_trees(model, TreeOptions(trees_per_group=1))
    assert one is not None
    assert six is not None
    first, last = tree_layers(six).layers
    assert first.weights.ndim == 3
    assert first.blocks == 6
    assert first.inputs == six.features.width
    assert last.weights.shape == (1, first.units)
    assert tree_layers(one).layers[0].weights.size > first.weights.size
    assert {function.name for function in first.functions} == {"AllOf"}


def test_few_conditions_get_a_constant_instead() -> None:
    graph = import_trees(CASES["sklearn tree, pruned"]().model)
    assert graph is not None
    degree = graph.nodes[0].attributes["degree"]
    rows = graph.input.rows(CASES["sklearn tree, pruned"]().X)
    counts = tree_layers(graph).arguments(graph.features.encode(rows))[0]
    assert counts.max() == degree
    assert counts.min() >= 0
    assert np.array_equal(counts, np.round(counts))
    assert (np.sum(counts == degree, axis=1) <= 1).all()


@pytest.mark.parametrize("name", ["lightgbm categories", "xgboost categories, one hot"])
def test_hidden_cut_points_refuse_categories(name: str) -> None:
    with pytest.raises(ModelError, match="splits on categories") as caught:
        import_trees(CASES[name]().model, TreeOptions(grid="hidden"))
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"


def test_hidden_cut_points_refuse_numbers_that_are_missing() -> None:
    with pytest.raises(ModelError, match="for missing ones"):
        import_trees(CASES["lightgbm zero is missing"]().model, TreeOptions(grid="hidden"))


def test_hidden_cut_points_take_complete_rows_only() -> None:
    graph = import_trees(CASES["lightgbm regression"]().model, TreeOptions(grid="hidden"))
    assert graph is not None
    assert graph.input.missing == ()
    assert not any(isinstance(block, Grid) for block in graph.features.blocks)


def test_a_matrix_beyond_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.models.trees.graphs.MAXIMUM_WEIGHTS", 100)
    with pytest.raises(ModelError, match="trees_per_group") as caught:
        import_trees(CASES["sklearn gradient"]().model)
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"


@pytest.mark.parametrize(
    "wrong", [{"grid": "secret"}, {"trees_per_group": 0}, {"decoys": 0}, {"decoys": 101}]
)
def test_impossible_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PolicyError, match=next(iter(wrong))) as caught:
        TreeOptions(**wrong)
    assert caught.value.code == "SR-POLICY-VALUE"
