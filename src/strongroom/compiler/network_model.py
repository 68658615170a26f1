"""A network as it runs encrypted: the layered form with polynomials for activations.

    z = (features - centre) / half_width
    values = circuit(weights z + bias), and so on, then scores = weights values + bias

A circuit's argument and value are brought to convenient ranges, and what that takes is folded into
the maps before and behind it, the ranges of the features into the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import ActivationFit, Circuit
from strongroom.compiler.layers import Layer, LayeredModel

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenStep:
    """An affine map, block-diagonal if it has several blocks, and the circuits behind it.

    Attributes:
        weights: shape (blocks, units, inputs); one block but in the first step.
        bias: shape (blocks, units).
        circuits: applied one after the other; of all units, or of each (blocks * units) its own.
            None where the step is affine.
        convolution: as the layer's.
    """

    weights: Array
    bias: Array
    circuits: tuple[Circuit, ...]
    convolution: bool = False

    @property
    def blocks(self) -> int:
        """How many blocks the map has."""
        return int(self.weights.shape[0])

    @property
    def units(self) -> int:
        """Of one block."""
        return int(self.weights.shape[1])

    @property
    def inputs(self) -> int:
        """Of one block."""
        return int(self.weights.shape[2])

    def arguments(self, x: Array) -> Array:
        """What the first circuit gets, shape (n, blocks * units), for x of shape (n, blocks *
        inputs)."""
        parts = x.reshape(len(x), self.blocks, self.inputs)
        products = np.matmul(parts.transpose(1, 0, 2), self.weights.transpose(0, 2, 1))
        arguments = products.transpose(1, 0, 2) + self.bias
        return np.ascontiguousarray(arguments.reshape(len(x), -1))

    def values(self, arguments: Array) -> Array:
        """What the circuits make of them."""
        for circuit in self.circuits:
            arguments = circuit(arguments)
        return arguments


@dataclass(frozen=True, slots=True, eq=False)
class NetworkModel:
    """Hidden steps, then the weighted sums that are the scores.

    Attributes:
        steps: at least one.
        weights: shape (outputs, blocks * units of the last step).
        bias: shape (outputs,).
    """

    steps: tuple[HiddenStep, ...]
    weights: Array
    bias: Array

    def values(self, z: Array, disturbed: Sequence[Array] = ()) -> list[Array]:
        """What each step makes, and last the scores, for rows z, shape (n, features).

        Args:
            disturbed: added to the arguments of each step; for looking at what an error does.
        """
        found: list[Array] = []
        for number, step in enumerate(self.steps):
            arguments = step.arguments(z)
            if disturbed:
                arguments = arguments + disturbed[number]
            z = step.values(arguments)
            found.append(z)
        found.append(z @ self.weights.T + self.bias)
        return found

    def scores(self, z: Array) -> Array:
        """Scores, shape (n, outputs)."""
        return self.values(z)[-1]


def network_model(
    layered: LayeredModel, fits: Sequence[ActivationFit], centre: Array, half_width: Array
) -> NetworkModel:
    """Fold the maps of fits and the ranges of features into a layered model.

    Args:
        layered: of two layers at least.
        fits: one for each layer but the last; a layer's units all have the same function.
        centre, half_width: of the features, shape (features,).
    """
    *hidden, last = layered.layers
    # What a layer takes is factor * value + offset, of each of its inputs.
    factor, offset = half_width, centre
    steps: list[HiddenStep] = []
    for layer, fit in zip(hidden, fits, strict=True):
        weights, bias = _folded(*_blocks(layer), factor=factor, offset=offset)
        if steps and len(weights) > 1:
            weights, bias = _spread(weights), bias.reshape(1, -1)
        before, added, factor, offset = (
            np.broadcast_to(of_unit, layer.units)
            for of_unit in (
                fit.argument_factor,
                fit.argument_offset,
                fit.value_factor,
                fit.value_offset,
            )
        )
        before, added = before.reshape(bias.shape), added.reshape(bias.shape)
        weights, bias = before[..., None] * weights, before * bias + added
        steps.append(HiddenStep(weights, bias, fit.circuits, layer.convolution))
    weights, bias = _folded(*_blocks(last), factor=factor, offset=offset)
    return NetworkModel(tuple(steps), _spread(weights)[0], bias.reshape(-1))


def _blocks(layer: Layer) -> tuple[Array, Array]:
    if layer.weights.ndim == 3:
        return layer.weights, layer.bias
    return layer.weights[None], layer.bias[None]


def _folded(weights: Array, bias: Array, *, factor: Array, offset: Array) -> tuple[Array, Array]:
    """weights (factor * x + offset) + bias as a map of x, of shapes (blocks, units, inputs) and
    (blocks, units)."""
    shape = (weights.shape[0], 1, weights.shape[2])
    added = np.matmul(weights, offset.reshape(shape).transpose(0, 2, 1))[:, :, 0]
    return weights * factor.reshape(shape), bias + added


def _spread(weights: Array) -> Array:
    """A block-diagonal map as one block."""
    blocks, units, inputs = weights.shape
    result = np.zeros((blocks, units, blocks, inputs))
    for block in range(blocks):
        result[block, :, block] = weights[block]
    return result.reshape(1, blocks * units, blocks * inputs)
