"""What the activations of a graph take: affine functions of the tables that others make.

A graph's tables are of two kinds: those that affine operators make, and *blocks*, which an
activation or a product of two tables makes. What a block takes is an affine function of the
features and of other blocks. It is found backwards, as in `compiler.affine`, from the block to
the blocks before it, so that no matrix is larger than those that the layers need.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from strongroom.compiler.affine import MAXIMUM_WEIGHTS, affine_width, misfit, pull_back
from strongroom.compiler.sparse_matrices import (
    MAXIMUM_ENTRIES,
    Dense,
    Matrix,
    Sparse,
    TooLarge,
    summed_columns,
    total,
)
from strongroom.errors import ModelError
from strongroom.models.activations import FUNCTIONS, IDENTITY, Activation
from strongroom.models.graph import Graph, Node

MAXIMUM_STEPS = 2**20
"""Nodes passed on the way back from blocks: a bound on the time that a strange graph can take."""


@dataclass(frozen=True, slots=True, eq=False)
class Sum:
    """bias + the sum of parts[t] @ t over tables t.

    Attributes:
        parts: a matrix (width of the sum, width of t) for each table t: blocks and features.
        bias: shape (width of the sum,).
    """

    parts: Mapping[str, Matrix]
    bias: Dense


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A table that an activation makes, or a product of two tables.

    Attributes:
        node: where it comes from; its output is the table.
        function: the activation; None for a product.
        arguments: what it takes: one sum, or the two factors.
        level: the layer whose activations make it, counted from 1.
    """

    node: Node
    function: Activation | None
    arguments: tuple[Sum, ...]
    level: int


def is_product(node: Node, graph: Graph) -> bool:
    """Whether a node multiplies two tables."""
    return node.operator == "Mul" and not any(name in graph.constants for name in node.inputs)


def activation(node: Node) -> Activation | None:
    """The activation that a node is, in its simplest form; None if it is affine, or a product.

    Raises:
        ModelError: SR-MODEL-FILE if its parameters make no sense.
    """
    if node.operator not in FUNCTIONS:
        return None
    try:
        function = Activation.of(node.operator, node.attributes)
    except (TypeError, ValueError) as error:
        raise ModelError(
            "SR-MODEL-FILE",
            f"the parameters of operator {node.operator} (node {node.name!r}) make no sense",
        ) from error
    if function.name == "Power":
        (exponent,) = function.parameters
        if not 1 <= exponent <= 64 or exponent != int(exponent):
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"operator Power (node {node.name!r}) has the exponent {exponent}",
                "Use an integer from 1 to 64",
            )
        if exponent <= 2:
            return IDENTITY if exponent == 1 else Activation("Square")
    return function


def blocks_of(graph: Graph) -> tuple[list[Block], Sum]:
    """The blocks on which the scores depend, in an order in which each follows those that it
    takes, and the scores as a sum over them.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming operator and node if one can't be run, or if the
            model is too large; SR-MODEL-FILE if shapes don't fit.
    """
    return _Search(graph).found()


class _Search:
    def __init__(self, graph: Graph) -> None:
        if len(graph.tensors) != 1 or len(graph.tensors[0].shape) != 2:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED", "the model's input is not one table of columns"
            )
        self._graph = graph
        self._rows = graph.tensors[0].name
        self._places: dict[str, int] = {}
        self._functions: dict[int, Activation | None] = {}
        self._widths = {self._rows: graph.features.width}
        self._sums: dict[str, Sum] = {}
        self._steps = 0
        self._entries = 0
        for place, node in enumerate(graph.nodes):
            self._widths[node.outputs[0]] = self._width(place, node)
            self._places[node.outputs[0]] = place
        if self._widths.get(graph.scores) != graph.output.outputs:
            raise ModelError("SR-MODEL-FILE", "the graph does not make the scores that it declares")

    def found(self) -> tuple[list[Block], Sum]:
        scores = self._sum(self._graph.scores)
        sums: dict[str, tuple[Sum, ...]] = {}
        waiting = list(scores.parts)
        while waiting:
            table = waiting.pop()
            if table in sums or table == self._rows:
                continue
            node = self._graph.nodes[self._places[table]]
            sums[table] = tuple(self._sum(name) for name in node.inputs)
            waiting.extend(name for part in sums[table] for name in part.parts)
        levels = {self._rows: 0}
        blocks = []
        for table in sorted(sums, key=self._places.__getitem__):
            taken = [levels[name] for part in sums[table] for name in part.parts]
            levels[table] = 1 + max(taken, default=0)
            place = self._places[table]
            blocks.append(
                Block(self._graph.nodes[place], self._functions[place], sums[table], levels[table])
            )
        return blocks, scores

    def _width(self, place: int, node: Node) -> int:
        product = is_product(node, self._graph)
        function = activation(node)
        if function is None and not product:
            return affine_width(node, self._widths, self._graph)
        if len(node.inputs) != (2 if product else 1):
            raise misfit(node)
        if any(name not in self._widths for name in node.inputs):
            raise misfit(node)
        self._functions[place] = function
        widths = [self._widths[name] for name in node.inputs]
        if any(width not in (1, max(widths)) for width in widths):
            raise misfit(node)
        return max(widths)

    def _sum(self, table: str) -> Sum:
        """How a table depends on the features and on the blocks nearest to it."""
        if table in self._sums:
            return self._sums[table]
        width = self._widths[table]
        bias = np.zeros(width)
        parts: dict[str, Matrix] = {}
        sensitivities: dict[str, Matrix] = {}
        # latest first: when a node's turn comes, all that use its output have had theirs
        places: list[int] = []

        def collect(name: str, part: Matrix) -> None:
            found = parts if self._is_start(name) else sensitivities
            if name in found:
                found[name] = total(found[name], part)
                return
            found[name] = part
            if found is sensitivities:
                heapq.heappush(places, -self._places[name])

        collect(table, Sparse.identity(width))
        while places:
            node = self._graph.nodes[-heapq.heappop(places)]
            try:
                taken, constant = self._pulled_back(node, sensitivities.pop(node.outputs[0]))
                for name, part in taken:
                    collect(name, part)
            except TooLarge:
                raise self._too_large(node.outputs[0]) from None
            bias = bias + constant
        parts = {
            name: part
            for name, part in parts.items()
            if (part.size if isinstance(part, Sparse) else part.any())
        }
        self._entries += sum(part.size for part in parts.values())
        self._check_size(self._entries, table)
        self._sums[table] = Sum(parts, bias)
        return self._sums[table]

    def _pulled_back(
        self, node: Node, sensitivity: Matrix
    ) -> tuple[list[tuple[str, Matrix]], Dense | float]:
        self._steps += 1
        if self._steps > MAXIMUM_STEPS:
            raise ModelError("SR-MODEL-UNSUPPORTED", f"the model takes over {MAXIMUM_STEPS} steps")
        if not isinstance(sensitivity, Sparse) or node.operator == "MatMul":
            for name in node.inputs:
                width = self._widths.get(name, 0)
                self._check_size(sensitivity.shape[0] * width, node.outputs[0])
        if node.operator in FUNCTIONS:  # an identity: others are where a sum ends
            return [(node.inputs[0], sensitivity)], 0.0
        taken, constant = pull_back(node, sensitivity, self._widths, self._graph)
        # a table of width 1 that was spread over columns collects all of them
        return [
            (
                name,
                part if part.shape[1] == self._widths[name] else summed_columns(part),
            )
            for name, part in taken
        ], constant

    def _is_start(self, table: str) -> bool:
        """Whether sums end at the table: the features, or a block."""
        if table == self._rows:
            return True
        place = self._places[table]
        return place in self._functions and self._functions[place] != IDENTITY

    def _check_size(self, entries: int, table: str) -> None:
        if entries > MAXIMUM_WEIGHTS:
            raise self._too_large(table)

    def _too_large(self, table: str) -> ModelError:
        node = self._graph.nodes[self._places.get(table, 0)]
        return ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the model has over {MAXIMUM_WEIGHTS} weights, or {MAXIMUM_ENTRIES} that are not zero "
            f"in a convolution, counted to operator {node.operator} (node {node.name!r})",
            "Use fewer channels or units, smaller kernels, strides earlier, or fewer columns "
            "before the first activation",
        )
