"""Convolutional layers, arranged so that few diagonals make them.

A diagonal of a matrix serves all units at once if what they take lies equally far from them. So all
images of a network lie on one grid, that of its last convolution: an image that is p times as large
is p * p images of that size, one for each place modulo p (its phases), and a unit's place is

    (channel * phases + phase) * places + place in the grid

with places a power of two. What a convolution takes then lies at as many distances as its kernel
has offsets on the grid, for each distance of two channels (multiplexed packing: Lee and others,
ICML 2022, eprint 2021/1688). The first convolution costs less still: the asker lays out the windows
of all its places side by side, so that it is one small matrix in every place.

Units that fill a grid up to a power of two take nothing and are taken by none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.layer_sums import activation, is_product
from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.models.activations import FUNCTIONS, IDENTITY
from strongroom.models.convolutions import Convolution
from strongroom.models.feature_blocks import Numbers
from strongroom.models.features import MAXIMUM_WIDTH, Features
from strongroom.models.graph import Graph

_KEEPING = frozenset({"Add", "Sub", "Mul", "Div", "Neg", *FUNCTIONS})
"""Operators whose results lie as what they take."""

MOST_UNITS = 2**14
"""Of a layer that is arranged: matrices are written out."""


@dataclass(frozen=True, slots=True)
class Image:
    """The units of a layer, channel by channel, line by line.

    Attributes:
        channels, height, width: how many there are.
    """

    channels: int
    height: int
    width: int

    @property
    def units(self) -> int:
        """Of the layer."""
        return self.channels * self.height * self.width


@dataclass(frozen=True, slots=True)
class Grid:
    """The places of a network's smallest image, filled up to powers of two.

    Attributes:
        height, width: of that image.
    """

    height: int
    width: int

    @property
    def places(self) -> int:
        """How many there are, a power of two."""
        return _power_of_two(self.height) * self.pitch

    @property
    def pitch(self) -> int:
        """Places from one line to the next, a power of two."""
        return _power_of_two(self.width)

    def phases(self, image: Image) -> tuple[int, int]:
        """Into how many images of the grid's size another is cut, along each axis."""
        return -(-image.height // self.height), -(-image.width // self.width)

    def positions(self, image: Image) -> NDArray[np.intp]:
        """Where each of an image's units lies, shape (units,)."""
        across, along = self.phases(image)
        channel, y, x = np.unravel_index(
            np.arange(image.units), (image.channels, image.height, image.width)
        )
        phase = (channel * across + y % across) * along + x % along
        return np.asarray(phase * self.places + y // across * self.pitch + x // along)

    def size(self, image: Image) -> int:
        """Places of all an image's channels and phases."""
        across, along = self.phases(image)
        return image.channels * across * along * self.places


def arranged(graph: Graph, layered: LayeredModel) -> tuple[Graph, LayeredModel]:
    """A graph and its layered form, with the layers of convolutions on a grid; as they are where
    there are none, or where that would take too much room.

    Features become the windows of the first convolution.
    """
    images = _leading_images(graph, layered)
    if not images:
        return graph, layered
    grid = Grid(images[-1].height, images[-1].width)
    if any(
        image.height < grid.height or image.width < grid.width or grid.size(image) > MOST_UNITS
        for image in images
    ):
        return graph, layered
    windows = _windows(layered.layers[0], grid, images[0])
    if windows is None:
        return graph, layered
    features, first = windows
    layers = [first]
    # Where the units that a layer takes lie among those that the layer before makes now.
    phases = math.prod(grid.phases(images[0])) * grid.places
    channel, block = np.divmod(_positions(layered.layers[0], grid, images[0]), phases)
    taken, width = block * images[0].channels + channel, first.units
    for layer, image in zip(layered.layers[1:], [*images[1:], None], strict=False):
        if image is None:
            made, units = np.arange(layer.units), layer.units
        else:
            made, units = _positions(layer, grid, image), grid.size(image)
        layers.append(_moved(layer, made, units, taken, width, convolution=image is not None))
        taken, width = made, units
    layers += layered.layers[len(layers) :]
    return replace(graph, features=_gathered(graph.features, features)), LayeredModel(tuple(layers))


def _leading_images(graph: Graph, layered: LayeredModel) -> list[Image]:
    """Of the layers up to the last that is an image; none if a chain of layers is not what the
    graph is."""
    shapes: dict[str, tuple[int, ...]] = {}
    found: list[tuple[int, ...] | None] = []
    for node in graph.nodes:
        shape = None
        if node.operator == "Conv":
            geometry = Convolution.of(node.attributes, graph.constants[node.inputs[1]].shape)
            shape = (geometry.outputs, *geometry.made)
        elif node.operator in _KEEPING:
            taken = {shapes[name] for name in node.inputs if name in shapes}
            shape = taken.pop() if len(taken) == 1 else None
        if shape is not None:
            shapes[node.outputs[0]] = shape
        if activation(node) not in (None, IDENTITY) or is_product(node, graph):
            found.append(shape)
    if len(found) != len(layered.layers) - 1:
        return []
    images: list[Image] = []
    for shape, layer in zip(found, layered.layers, strict=False):
        if shape is None or len(shape) not in (2, 3):
            break
        image = Image(shape[0], shape[1] if len(shape) == 3 else 1, shape[-1])
        if image.units != layer.made or layer.numbers is None:
            break
        images.append(image)
    return images


def _positions(layer: Layer, grid: Grid, image: Image) -> NDArray[np.intp]:
    """Where a layer's units lie, shape (units,): those of the image that are there."""
    return np.asarray(grid.positions(image)[layer.numbers])


def _windows(layer: Layer, grid: Grid, image: Image) -> tuple[NDArray[np.intp], Layer] | None:
    """The first convolution as a block for each place and phase, and which feature each input of
    the blocks is, shape (blocks * inputs,)."""
    blocks = math.prod(grid.phases(image)) * grid.places
    channel, block = np.divmod(_positions(layer, grid, image), blocks)
    weights = np.zeros((blocks, image.channels, layer.weights.shape[1]))
    weights[block, channel] = layer.weights
    used = weights.any(axis=1)
    inputs = max(1, int(used.sum(axis=1).max()))
    if blocks * inputs > MAXIMUM_WIDTH:
        return None
    # Those that a block takes come first; others fill up, with weights of zero.
    features = np.argsort(~used, axis=1, kind="stable")[:, :inputs]
    bias = np.zeros((blocks, image.channels))
    bias[block, channel] = layer.bias
    choice = np.zeros(bias.shape, dtype=np.intp)
    choice[block, channel] = layer.choice
    chosen = np.take_along_axis(weights, features[:, None, :], axis=2)
    return features.reshape(-1), Layer(chosen, bias, layer.functions, choice)


def _moved(
    layer: Layer,
    made: NDArray[np.intp],
    units: int,
    taken: NDArray[np.intp],
    width: int,
    *,
    convolution: bool,
) -> Layer:
    """A layer whose units lie at `made` of so many places, and what it takes at `taken`."""
    weights = np.zeros((units, width))
    weights[np.ix_(made, taken)] = layer.weights
    bias = np.zeros(units)
    bias[made] = layer.bias
    choice = np.zeros(units, dtype=np.intp)
    choice[made] = layer.choice
    return Layer(weights, bias, layer.functions, choice, convolution)


def _gathered(features: Features, chosen: NDArray[np.intp]) -> Features:
    """Some of what features make, in an order, and some more than once."""
    blocks = (*features.derived, *features.blocks)
    made = np.arange(features.columns, features.columns + sum(b.width for b in blocks))
    made = made[len(made) - features.width :]
    return Features(features.columns, (Numbers(tuple(made[chosen].tolist())),), blocks)


def _power_of_two(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 1 << (x - 1).bit_length()
