"""The layered form: what every model but a linear one is compiled from.

    x -> weights x + bias -> an activation in each unit -> ... -> weights x + bias

A graph without loops is a chain of such layers: a value that a later layer needs passes those in
between unchanged, and a product of two values is ((a + b)^2 - (a - b)^2) / 4. What a unit computes
may differ from its neighbours'; most layers have one function for all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.models.activations import IDENTITY, Activation


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """An affine map and what follows it in each unit.

    Attributes:
        weights: float64, shape (units, inputs); or (blocks, units, inputs) for a block-diagonal
            map, of which block b takes inputs b * inputs to (b + 1) * inputs - 1 of the layer
            before, and makes units b * units to (b + 1) * units - 1.
        bias: shape (units,) or (blocks, units).
        functions: the activations that occur.
        choice: which of them a unit has: indices into `functions`, shape as `bias`.
        convolution: whether which weights are zero follows from shapes alone, which are public.
        numbers: which of the units that the graph makes these are, ascending: a unit that nothing
            takes is left out. None where that is not known.
        made: how many units the graph makes; 0 where that is not known.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    functions: tuple[Activation, ...]
    choice: NDArray[np.intp]
    convolution: bool = False
    numbers: NDArray[np.intp] | None = None
    made: int = 0

    @classmethod
    def uniform(
        cls, weights: NDArray[np.float64], bias: NDArray[np.float64], function: Activation
    ) -> Layer:
        """A layer whose units all have the same function."""
        return cls(weights, bias, (function,), np.zeros(bias.shape, dtype=np.intp))

    @property
    def blocks(self) -> int:
        """How many blocks the map has."""
        return self.weights.shape[0] if self.weights.ndim == 3 else 1

    @property
    def inputs(self) -> int:
        """How many numbers it takes, of all blocks."""
        return self.blocks * int(self.weights.shape[-1])

    @property
    def units(self) -> int:
        """How many numbers it makes, of all blocks."""
        return self.blocks * int(self.weights.shape[-2])

    def affine(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Arguments of the activations, shape (n, units), for x of shape (n, inputs)."""
        if self.weights.ndim == 2:
            return np.asarray(x @ self.weights.T + self.bias)
        parts = x.reshape(len(x), self.blocks, -1)
        return np.asarray(np.einsum("nbi,bui->nbu", parts, self.weights) + self.bias).reshape(
            len(x), -1
        )

    def activate(self, arguments: NDArray[np.float64]) -> NDArray[np.float64]:
        """The activations of their arguments, shape (n, units)."""
        result = np.empty_like(arguments)
        choice = self.choice.reshape(-1)
        for index, function in enumerate(self.functions):
            units = choice == index
            result[:, units] = function(arguments[:, units])
        return result


@dataclass(frozen=True, slots=True, eq=False)
class LayeredModel:
    """Layers, of which the last has no activation (`IDENTITY`): its units are the scores."""

    layers: tuple[Layer, ...]

    def folded(self) -> LayeredModel:
        """The same with layers whose activations are affine folded into those behind them."""
        layers: list[Layer] = []
        for layer in self.layers:
            if layers and layer.blocks == 1 and all(map(_is_affine, layers[-1].functions)):
                layer = _joined(layers.pop(), layer)
            layers.append(layer)
        return LayeredModel(tuple(layers))

    def arguments(self, features: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """What each layer's activations get, shape (n, units) each; the last are the scores.

        Args:
            features: shape (n, inputs of the first layer).
        """
        found, x = [], features
        for layer in self.layers:
            found.append(layer.affine(x))
            x = layer.activate(found[-1])
        return found


def _is_affine(function: Activation) -> bool:
    # A single condition is its own indicator.
    return function == IDENTITY or function == Activation("AllOf", (1.0,))


def _joined(first: Layer, second: Layer) -> Layer:
    """The map of the second layer, which takes all blocks of the first, behind that."""
    weights = second.weights.reshape(second.units, first.blocks, -1)
    blocks = first.weights.reshape(first.blocks, -1, first.inputs // first.blocks)
    joined = np.einsum("obu,bui->obi", weights, blocks).reshape(second.units, -1)
    bias = second.bias.reshape(-1) + weights.reshape(second.units, -1) @ first.bias.reshape(-1)
    return Layer(joined, bias, second.functions, second.choice.reshape(-1))
