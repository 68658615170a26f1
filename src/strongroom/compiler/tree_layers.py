"""From a tree ensemble's node to layers.

Bits: [units count the conditions that hold -> AllOf] -> leaf values. Hidden cut points have one
more layer before: [number - cut point -> Step]. A unit with fewer conditions than the most of all
gets the difference as a constant, so that one activation serves all units.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.models.activations import IDENTITY, Activation
from strongroom.models.graph import Graph


def is_tree_ensemble(graph: Graph) -> bool:
    """Whether a graph is one `TreeEnsemble` node (see `models.trees.graphs`)."""
    return len(graph.nodes) == 1 and graph.nodes[0].operator == "TreeEnsemble"


def tree_layers(graph: Graph) -> LayeredModel:
    """The layered form of a graph for which `is_tree_ensemble` holds.

    Block-diagonal where trees are grouped. Empty units, which fill up smaller groups, never hold.
    """
    sizes = {
        name: value for name, value in graph.nodes[0].attributes.items() if isinstance(value, int)
    }
    groups, units, inputs = sizes["groups"], sizes["units"], sizes["inputs"]
    constants = graph.constants
    unit, feature = constants["unit"].astype(np.intp), constants["feature"].astype(np.intp)
    sign = constants["sign"].astype(np.float64)
    conditions = constants["conditions"].astype(np.int64)
    selected = np.zeros((groups * units, inputs))
    selected[unit, feature] = sign
    bias = constants["constant"].astype(np.float64)
    layers: list[Layer] = []
    if sizes["hidden"]:
        layers.append(_steps(graph, groups * inputs))
        # a step is 1 above the cut point, where the bit of a grid is 0
        bias = bias + selected.sum(axis=1)
        selected = -selected
    bias = np.where(conditions > 0, bias + sizes["degree"] - conditions, 0.0)
    layers.append(_counts(selected, bias, groups, Activation("AllOf", (float(sizes["degree"]),))))
    values = np.ascontiguousarray(constants["values"].astype(np.float64).T)
    base = constants["base"].astype(np.float64)
    layers.append(Layer.uniform(values, base, IDENTITY))
    return LayeredModel(tuple(layers))


def _counts(
    selected: NDArray[np.float64], bias: NDArray[np.float64], groups: int, function: Activation
) -> Layer:
    if groups == 1:
        return Layer.uniform(selected, bias, function)
    blocks = selected.reshape(groups, -1, selected.shape[1])
    return Layer.uniform(blocks, bias.reshape(groups, -1), function)


def _steps(graph: Graph, comparisons: int) -> Layer:
    """All hidden comparisons; those that only fill up a group are 0."""
    columns = graph.constants["step_column"].astype(np.intp)
    cuts = graph.constants["step_cut"].astype(np.float64)
    used = columns >= 0
    weights = np.zeros((comparisons, graph.features.width))
    weights[np.flatnonzero(used), columns[used]] = 1.0
    return Layer.uniform(weights, np.where(used, -cuts, -1.0), Activation("Step"))
