"""From a graph to its layered form.

Every activation, and every product of two tables, belongs to the first layer that can make it.
Between layers pass the values that later layers need: either the units as they are, or the sums
that those layers take of them, whichever are fewer. So a skip connection from many columns to a few
outputs costs as many units as outputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from strongroom.compiler.affine import MAXIMUM_WEIGHTS
from strongroom.compiler.layer_sums import Block, Sum, activation, blocks_of, is_product
from strongroom.compiler.layer_units import Rows, Terms, Units, digests
from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.compiler.sparse_matrices import (
    MAXIMUM_ENTRIES,
    Dense,
    Matrix,
    Sparse,
    TooLarge,
    as_dense,
    chosen_columns,
    total,
)
from strongroom.compiler.tree_layers import is_tree_ensemble, tree_layers
from strongroom.errors import ModelError
from strongroom.models.activations import IDENTITY
from strongroom.models.graph import Graph

MAXIMUM_LAYERS = 64
"""More than any ciphertext has levels for."""

MAXIMUM_LAYER_WEIGHTS = 2**27
"""Of all layers together, zeros included: a gibibyte, of which planning makes copies."""


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
        try:
            units, sums = _units(blocks, scores, graph)
        except TooLarge:
            raise _too_large(f"{MAXIMUM_ENTRIES} that are not zero") from None
        layers = _layers(units, sums, graph.features.width)
    if not all(
        np.isfinite(layer.weights).all() and np.isfinite(layer.bias).all() for layer in layers
    ):
        raise ModelError(
            "SR-MODEL-VALUES",
            "a weight of the model is missing or infinite",
            "Fit the model again on data without missing values and constant columns",
        )
    return LayeredModel(tuple(layers))


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
    bias: Dense

    @property
    def takes_arrays(self) -> bool:
        """Whether a part of it is no sparse matrix."""
        return any(isinstance(part, np.ndarray) for part in (self.now, *self.parts.values()))

    def rows(self, units: int) -> Rows:
        now = Sparse.nothing((len(self.bias), units)) if self.now is None else self.now
        return Rows(now, self.bias)


def _units(blocks: list[Block], scores: Sum, graph: Graph) -> tuple[list[Units], Rows]:
    """The units of each layer but the last, and the scores as functions of the last units."""
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
    layers: list[Units] = []
    for level in range(1, depth + 1):
        of_level = [block for block in blocks if block.level == level]
        units = Units(len(layers[-1]) if layers else columns, of_level[0].node.name)
        made = _tables(of_level, needed, units)
        wanted = {id(part) for block in blocks if block.level > level for part in block.arguments}
        later = [needed[key] for key in needed if key in wanted or key == id(scores)]
        _pass_on(later, made, units)
        layers.append(units)
    return layers, needed[id(scores)].rows(len(layers[-1]) if layers else columns)


def _layers(units: list[Units], scores: Rows, columns: int) -> list[Layer]:
    """All layers as arrays, without units that nothing takes; all columns of the features.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming a layer if they would be too large together.
    """
    taken = [np.flatnonzero(scores.used())]
    for layer in reversed(units):
        taken.insert(0, layer.used(taken[0]))
    taken[0] = np.arange(columns)
    if not all(map(len, taken[1:])):  # nothing depends on the features
        nothing = np.zeros((len(scores.bias), columns))
        return [Layer.uniform(nothing, scores.bias, IDENTITY)]
    sizes = [(layer.name, len(kept)) for layer, kept in zip(units, taken[1:], strict=True)]
    entries = 0
    for (name, made), inputs in zip([*sizes, ("the scores", len(scores.bias))], taken, strict=True):
        entries += made * len(inputs)
        if entries > MAXIMUM_LAYER_WEIGHTS:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"the layer of node {name!r} takes {len(inputs)} numbers and makes {made}, so that "
                f"the model has over {MAXIMUM_LAYER_WEIGHTS} weights",
                "Use fewer channels or units; convolve or pool with strides earlier; or have fewer "
                "columns before the first activation",
            )
    layers = [
        replace(layer.layer(kept, inputs), numbers=kept, made=len(layer))
        for layer, kept, inputs in zip(units, taken[1:], taken[:-1], strict=True)
    ]
    weights = as_dense(chosen_columns(scores.weights, taken[-1]))
    return [*layers, Layer.uniform(weights, scores.bias, IDENTITY)]


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
        used |= rows.used()
        sums.update(digests(rows, np.flatnonzero(rows.varies())))
    columns = np.flatnonzero(used)
    passed: list[tuple[_Needed, Matrix, Terms]] = []
    if len(columns) <= len(sums):
        chosen = Sparse.identity(units.inputs).chosen(columns)
        terms = units.activated(IDENTITY, Rows(chosen, np.zeros(len(columns))))
        for need, rows in passing:
            passed.append((need, chosen_columns(rows.weights, columns), terms))
    else:
        passed = [
            (need, Sparse.identity(len(rows.bias)), units.activated(IDENTITY, rows))
            for need, rows in passing
        ]
    _check_size(sum(len(need.bias) for need in later if need.takes_arrays) * len(units))
    for need, matrix, terms in passed:
        need.now, _ = terms.through(matrix, len(units))
    for need in later:
        for table in [table for table in need.parts if table in made]:
            part, constant = made[table].through(need.parts.pop(table), len(units))
            need.now = part if need.now is None else total(need.now, part)
            need.bias = need.bias + constant


def _check_size(entries: int) -> None:
    if entries > MAXIMUM_WEIGHTS:
        raise _too_large(str(MAXIMUM_WEIGHTS))


def _too_large(allowed: str) -> ModelError:
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"a layer of the model has more weights than {allowed}",
        "Use narrower layers, or fewer columns before the first activation",
    )
