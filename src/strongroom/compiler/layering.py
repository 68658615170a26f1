"""From a graph to its layered form.

Every activation, and every product of two tables, belongs to the first layer that can make it.
Between layers pass the values that later layers need: either the units as they are, or the sums
that those layers take of them, whichever are fewer. So a skip connection from many columns to a few
outputs costs as many units as outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongroom.compiler.affine import MAXIMUM_WEIGHTS
from strongroom.compiler.layer_sums import Block, Matrix, Sum, activation, blocks_of, is_product
from strongroom.compiler.layer_units import Rows, Terms, Units, digests
from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.compiler.tree_layers import is_tree_ensemble, tree_layers
from strongroom.errors import ModelError
from strongroom.models.activations import IDENTITY
from strongroom.models.graph import Graph

MAXIMUM_LAYERS = 64
"""More than any ciphertext has levels for."""


def is_affine(graph: Graph) -> bool:
    """Whether a graph is a linear model, which needs no layers: no activation, no product."""
    return not any(
        node.operator == "TreeEnsemble"
        or is_product(node, graph)
        or activation(node) not in (None, IDENTITY)
        for node in graph.nodes
    )


def layered(graph: Graph) -> LayeredModel:
    """The layered form of a graph; an affine graph becomes one layer.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming operator and node if one can't be run, or if the
            model is too large; SR-MODEL-VALUES if a weight is missing or infinite;
            SR-MODEL-FILE if shapes don't fit.
    """
    if is_tree_ensemble(graph):
        return tree_layers(graph)
    with np.errstate(all="ignore"):  # whatever overflows is refused below
        blocks, scores = blocks_of(graph)
        layers = _layers(blocks, scores, graph)
    if not all(
        np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers
    ):
        raise ModelError(
            "SR-MODEL-VALUES",
            "a weight of the model is missing or infinite",
            "Fit the model again on data without missing values and constant columns",
        )
    return LayeredModel(tuple(_without_unused_units(layers)))


@dataclass(slots=True, eq=False)
class _Needed:
    """A sum on its way through the layers.

    Attributes:
        now: the part that is known, over the units of the layer before, shape (width, units);
            None while it depends on none of them.
        parts: the rest, over blocks of this layer and later ones.
        bias: shape (width,).
    """

    now: Matrix | None
    parts: dict[str, Matrix]
    bias: Matrix

    def rows(self, units: int) -> Rows:
        now = np.zeros((len(self.bias), units)) if self.now is None else self.now
        return Rows(now, self.bias)


def _layers(blocks: list[Block], scores: Sum, graph: Graph) -> list[Layer]:
    rows, columns = graph.tensors[0].name, graph.features.width
    needed: dict[int, _Needed] = {}
    for part in [scores, *(part for block in blocks for part in block.arguments)]:
        if id(part) not in needed:
            parts = dict(part.parts)
            needed[id(part)] = _Needed(parts.pop(rows, None), parts, part.bias)
    depth = max((block.level for block in blocks), default=0)
    if depth >= MAXIMUM_LAYERS:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the model has {depth + 1} layers, allowed are {MAXIMUM_LAYERS}",
            "Use fewer activations in a row",
        )
    layers: list[Layer] = []
    for level in range(1, depth + 1):
        units = Units(layers[-1].units if layers else columns)
        made = _tables([block for block in blocks if block.level == level], needed, units)
        wanted = {id(part) for block in blocks if block.level > level for part in block.arguments}
        later = [needed[key] for key in needed if key in wanted or key == id(scores)]
        _pass_on(later, made, units)
        layers.append(units.layer())
    if any(not layer.units for layer in layers):  # nothing depends on the features
        needed[id(scores)].now, layers = None, []
    last = needed[id(scores)].rows(layers[-1].units if layers else columns)
    return [*layers, Layer.uniform(last.weights, last.bias, IDENTITY)]


def _tables(blocks: list[Block], needed: dict[int, _Needed], units: Units) -> dict[str, Terms]:
    """The units of blocks, and each block's table as a sum over them."""
    products, factors = [], []
    made = {}
    for block in blocks:
        rows = [needed[id(part)].rows(units.inputs) for part in block.arguments]
        table = block.node.outputs[0]
        if block.function is not None:
            made[table] = units.activated(block.function, rows[0])
            continue
        width = max(len(row.bias) for row in rows)
        products.append(table)
        factors.append((rows[0].spread(width), rows[1].spread(width)))
    return {**made, **dict(zip(products, units.products(factors), strict=True))}


def _pass_on(later: list[_Needed], made: dict[str, Terms], units: Units) -> None:
    """Let what later layers take pass this one: as units of the layer before, or as sums of
    them, whichever are fewer; and add what this layer has made."""
    passing = [
        (need, Rows(need.now, np.zeros(len(need.bias)))) for need in later if need.now is not None
    ]
    used = np.zeros(units.inputs, dtype=bool)
    sums: set[bytes] = set()
    for _, rows in passing:
        used |= rows.weights.any(axis=0)
        sums.update(digests(rows, np.nonzero(rows.weights.any(axis=1))[0]))
    (columns,) = np.nonzero(used)
    if len(columns) <= len(sums):
        _check_size(len(columns) * units.inputs)
        chosen = np.zeros((len(columns), units.inputs))
        chosen[np.arange(len(columns)), columns] = 1.0
        terms = units.activated(IDENTITY, Rows(chosen, np.zeros(len(columns))))
        passed = [(need, rows.weights[:, columns], terms) for need, rows in passing]
    else:
        passed = [
            (need, np.eye(len(rows.bias)), units.activated(IDENTITY, rows))
            for need, rows in passing
        ]
    _check_size(sum(len(need.bias) for need in later) * len(units))
    for need, matrix, terms in passed:
        need.now, _ = terms.through(matrix, len(units))
    for need in later:
        for table in [table for table in need.parts if table in made]:
            part, constant = made[table].through(need.parts.pop(table), len(units))
            need.now = part if need.now is None else need.now + part
            need.bias = need.bias + constant


def _without_unused_units(layers: list[Layer]) -> list[Layer]:
    """Units that nothing takes are left out, last layer first."""
    kept = [layers[-1]]
    for layer in reversed(layers[:-1]):
        after = kept[0]
        used = after.weights.any(axis=0)
        kept[0] = Layer(after.weights[:, used], after.bias, after.functions, after.choice)
        choice = layer.choice[used]
        places, choice = np.unique(choice, return_inverse=True)
        functions = tuple(layer.functions[place] for place in places)
        kept.insert(0, Layer(layer.weights[used], layer.bias[used], functions, choice))
    return kept


def _check_size(entries: int) -> None:
    if entries > MAXIMUM_WEIGHTS:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"a layer of the model has over {MAXIMUM_WEIGHTS} weights",
            "Use narrower layers, or fewer columns before the first activation",
        )
