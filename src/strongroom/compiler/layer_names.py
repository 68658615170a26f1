"""What messages and pictures call the layers of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from strongroom.compiler.layer_sums import activation, is_product
from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.models.activations import IDENTITY
from strongroom.models.graph import Graph

_WORDS: Final = {"AllOf": "conditions of leaves", "Step": "comparisons with cut points"}


@dataclass(frozen=True, slots=True)
class LayerName:
    """A hidden layer in the plain model's words.

    Attributes:
        function: of its units: "Relu", or "Identity, Square" where they differ.
        node: of the graph that it comes from; empty where layers and nodes are not one to one.
    """

    function: str
    node: str


def layer_names(graph: Graph, layered: LayeredModel) -> tuple[LayerName, ...]:
    """Of all layers but the last.

    Args:
        graph: of the same model.
    """
    hidden = layered.layers[:-1]
    nodes = [
        node.name
        for node in graph.nodes
        if is_product(node, graph) or activation(node) not in (None, IDENTITY)
    ]
    if len(nodes) != len(hidden):
        nodes = [""] * len(hidden)
    return tuple(
        LayerName(_function(layer), node) for layer, node in zip(hidden, nodes, strict=True)
    )


def _function(layer: Layer) -> str:
    return ", ".join(sorted({_WORDS.get(f.name, f.name) for f in layer.functions}))
