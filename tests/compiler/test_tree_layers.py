"""A tree ensemble's node becomes layers: bits are counted, all of them decide, values add up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from strongroom.compiler.tree_layers import is_tree_ensemble, tree_layers
from strongroom.models.activations import IDENTITY, Activation
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec


def graph(groups: int, hidden: bool = False) -> Graph:
    """Two units over two bits: a and not b; not a. Grouped, each unit has a group of its own, of
    two units and two bits, of which the second unit is empty."""
    attributes = {
        "degree": 2,
        "groups": groups,
        "inputs": 2,
        "units": 2,
        "hidden": int(hidden),
    }
    units = 2 * groups
    second = units - groups  # where the second condition set is counted
    constant, conditions, values = np.zeros(units), np.zeros(units, dtype=int), np.zeros((units, 1))
    constant[[0, second]] = 1.0
    conditions[[0, second]] = [2, 1]
    values[[0, second], 0] = [10.0, -3.0]
    constants: dict[str, Any] = {
        "unit": np.array([0, 0, second]),
        "feature": np.array([0, 1, 0]),
        "sign": np.array([1, -1, -1]),
        "constant": constant,
        "conditions": conditions,
        "values": values,
        "base": np.array([0.5]),
    }
    if hidden:
        constants["step_column"] = np.array([1, 0] * groups)
        constants["step_cut"] = np.array([4.0, -1.0] * groups)
    width = 2 if hidden else 2 * groups
    return Graph(
        name="two units",
        tensors=(Tensor("features", "float64", (None, width)),),
        nodes=(Node("TreeEnsemble", "trees", ("features",), ("scores",), attributes),),
        constants=constants,
        scores="scores",
        input=InputSpec(width, (), "float64"),
        features=Features.plain(width),
        output=OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",)),
    )


BITS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
SCORES = [-2.5, -2.5, 10.5, 0.5]


def test_bits_to_scores() -> None:
    model = tree_layers(graph(1))
    counts, scores = model.arguments(BITS)
    assert scores[:, 0].tolist() == SCORES
    # the unit of one condition gets 1 more, so that both hold at 2
    assert counts.tolist() == [[1.0, 2.0], [0.0, 2.0], [2.0, 1.0], [1.0, 1.0]]
    assert model.layers[0].functions == (Activation("AllOf", (2.0,)),)
    assert model.layers[1].functions == (IDENTITY,)


def test_groups_are_blocks_and_empty_units_never_hold() -> None:
    model = tree_layers(graph(2))
    assert model.layers[0].weights.shape == (2, 2, 2)
    counts, scores = model.arguments(np.hstack([BITS, BITS]))
    assert scores[:, 0].tolist() == SCORES
    assert counts.shape == (4, 4)
    assert (counts[:, [1, 3]] == 0).all()


@pytest.mark.parametrize("groups", [1, 2])
def test_hidden_cut_points_are_compared_first(groups: int) -> None:
    model = tree_layers(graph(groups, hidden=True))
    assert [layer.functions[0].name for layer in model.layers] == ["Step", "AllOf", "Identity"]
    # a bit is 1 below its cut point: bit 0 asks column 1 about 4, bit 1 asks column 0 about -1
    rows = np.array([[column, value] for value in (5.0, 3.0) for column in (0.0, -2.0)])
    assert model.arguments(rows)[-1][:, 0].tolist() == SCORES


def test_other_graphs_are_no_tree_ensemble() -> None:
    assert is_tree_ensemble(graph(1))
    node = graph(1).nodes[0]
    assert not is_tree_ensemble(replace(graph(1), nodes=(node, node)))
    assert not is_tree_ensemble(replace(graph(1), nodes=(replace(node, operator="MatMul"),)))
