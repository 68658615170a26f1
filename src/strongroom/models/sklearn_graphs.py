"""From the formula of a scikit-learn model's scores to a `Graph`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_blocks import Flagged, Numbers
from strongroom.models.graph import Attribute, Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.models.sklearn_labels import not_encoded
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_tables import (
    Activated,
    Joined,
    Picked,
    Projected,
    Public,
    Scaled,
    Table,
    Text,
)
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.graphs import tree_graph
from strongroom.models.trees.grid import Grid
from strongroom.models.trees.options import TreeOptions
from strongroom.models.trees.whole import whole_graph

ROWS = "rows"
"""Name of a graph's one input."""


def graph_of(
    name: str,
    scores: Table,
    preprocessing: Preprocessing,
    names: tuple[str, ...],
    output: OutputSpec,
) -> Graph:
    """The graph of a model.

    Args:
        name: of the model, for people.
        scores: raw scores, as a formula.
        preprocessing: in which the formula's public places are.
        names: of the columns, or none.
        output: how scores become predictions.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED if a column of text reaches the model.
    """
    used = _public_places(scores)
    if not used:
        raise not_encoded()
    features, spec, places = preprocessing.finish(used, names)
    drawn = _Drawing(name, places, features.width)
    last = drawn.draw(scores)
    return Graph(
        name=name,
        tensors=(Tensor(ROWS, spec.dtype, (None, features.width)),),
        nodes=tuple(drawn.nodes),
        constants=drawn.constants,
        scores=last,
        input=spec,
        features=features,
        output=output,
    )


def tree_graph_of(
    name: str,
    ensemble: Ensemble,
    table: Table,
    preprocessing: Preprocessing,
    names: tuple[str, ...],
    output: OutputSpec,
    options: TreeOptions | None,
) -> Graph:
    """The graph of trees behind other steps, all of which run at the asker.

    Args:
        name, preprocessing, names, output: as in `graph_of`.
        ensemble: the trees.
        table: what the steps before them make.
        options: the dials of the trees; None where they stay as they are.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    own = InputSpec(ensemble.columns, (), "float64")
    if options is None:
        graph = whole_graph(ensemble, name, own, output)
    else:
        graph = tree_graph(ensemble, name, own, output, options)
    places = preprocessing.publish(table).places
    (block,) = graph.features.blocks
    if isinstance(block, Grid):
        moved: Grid | Flagged | Numbers = block.moved(places)
    else:
        moved = Flagged(places) if isinstance(block, Flagged) else Numbers(places)
    features, spec, _ = preprocessing.finish(
        places,
        names,
        last=moved,
        missing=ensemble.reading.missing and not isinstance(block, Numbers),
    )
    return replace(graph, features=features, input=spec)


class _Drawing:
    """Nodes and constants so far."""

    def __init__(self, name: str, places: Mapping[int, int], width: int) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._name = name
        self._places = places
        self._width = width
        self._drawn: dict[int, str] = {}

    def draw(self, table: Table) -> str:
        """The tensor that holds a table."""
        key = id(table)
        if key not in self._drawn:
            self._drawn[key] = self._draw(table)
        return self._drawn[key]

    def _draw(self, table: Table) -> str:
        match table:
            case Public():
                features = [self._places[place] for place in table.places]
                return self._gathered(ROWS, features, self._width)
            case Picked():
                return self._gathered(self.draw(table.inner), list(table.places), None)
            case Scaled():
                drawn = self.draw(table.inner)
                for operator, row in (
                    ("Sub", table.subtract),
                    ("Div", table.divide),
                    ("Mul", table.multiply),
                    ("Add", table.add),
                ):
                    if row is not None:
                        drawn = self._node(operator, (drawn, row))
                return drawn
            case Projected():
                drawn = self._node("MatMul", (self.draw(table.inner), table.matrix))
                return drawn if table.offset is None else self._node("Add", (drawn, table.offset))
            case Joined():
                return self._node("Concat", tuple(map(self.draw, table.parts)), {"axis": 1})
            case Activated():
                return self._node(table.function, (self.draw(table.inner),), table.attributes)
            case Text():
                raise not_encoded()

    def _gathered(self, tensor: str, places: list[int], width: int | None) -> str:
        if width is not None and places == list(range(width)):
            return tensor
        return self._node("Gather", (tensor, np.array(places, dtype=np.int64)), {"axis": 1})

    def _node(
        self,
        operator: str,
        inputs: tuple[str | NDArray[Any], ...],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        number = len(self.nodes)
        names = []
        for place, value in enumerate(inputs):
            if isinstance(value, str):
                names.append(value)
                continue
            names.append(f"constant_{number}_{place}")
            gathered = operator == "Gather"
            self.constants[names[-1]] = np.ascontiguousarray(
                value, dtype=np.int64 if gathered else np.float64
            )
        output = f"table_{number}"
        self.nodes.append(
            Node(operator, f"{self._name} {number}", tuple(names), (output,), attributes or {})
        )
        return output


def _public_places(table: Table) -> set[int]:
    """Places that a formula takes."""
    found: set[int] = set()
    seen: set[int] = set()
    waiting: list[Table] = [table]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Public):
            found.update(part.places)
        elif isinstance(part, Joined):
            waiting.extend(part.parts)
        elif not isinstance(part, Text):
            waiting.append(part.inner)
    return found
