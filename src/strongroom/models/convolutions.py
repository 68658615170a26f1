"""Convolution: which numbers of an image a convolution sums, in one, two or more dimensions.

A row is flat, in C order: the first channel's first line first. A convolution makes, for each of
its output channels and at each place, the sum of a window of its group's input channels, times the
channel's kernel. Pooling by averages is a convolution of each channel by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAXIMUM_PRODUCTS = 2**24
"""Of numbers and weights that a convolution adds up for one row: a bound on memory."""


@dataclass(frozen=True)
class Convolution:
    """The geometry of a convolution.

    Attributes:
        channels, outputs: how many it takes and makes.
        groups: input and output channels are cut into so many; an output channel sees those of its
            own group only.
        size: of an input channel, a number an axis.
        kernel, strides, dilations: a number an axis.
        before, after: how many zeros stand before and behind each axis.

    Raises:
        ValueError: the numbers contradict each other; says how.
    """

    channels: int
    outputs: int
    groups: int
    size: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def __post_init__(self) -> None:
        axes = (self.kernel, self.strides, self.dilations, self.before, self.after)
        if not self.size or any(len(numbers) != len(self.size) for numbers in axes):
            raise ValueError(f"doesn't have a number for each of {len(self.size)} axes")
        if min(self.channels, self.outputs, self.groups, *self.size, *self.kernel) < 1:
            raise ValueError("has a size below 1")
        if min(*self.strides, *self.dilations) < 1:
            raise ValueError("has a stride or dilation below 1")
        if min(*self.before, *self.after) < 0:
            raise ValueError("has a negative padding")
        if self.channels % self.groups or self.outputs % self.groups:
            raise ValueError(
                f"can't cut {self.channels} and {self.outputs} channels into {self.groups} groups"
            )
        if min(self.made) < 1:
            raise ValueError(
                f"has a window of {_shown(self.window)} on images of {_shown(self.padded)}"
            )
        if self.products > MAXIMUM_PRODUCTS:
            raise ValueError(f"adds up more than {MAXIMUM_PRODUCTS} products a row")

    @classmethod
    def of(cls, attributes: Mapping[str, Any], weights: tuple[int, ...]) -> Convolution:
        """From what a node of a `Graph` says.

        Args:
            attributes: see `attributes`.
            weights: shape of its weights, (outputs, channels of a group, *kernel).
        """
        return cls(
            channels=attributes["channels"],
            outputs=weights[0],
            groups=attributes["groups"],
            size=attributes["size"],
            kernel=weights[2:],
            strides=attributes["strides"],
            dilations=attributes["dilations"],
            before=attributes["before"],
            after=attributes["after"],
        )

    def attributes(self) -> dict[str, int | tuple[int, ...]]:
        """What a node of a `Graph` says beside its weights."""
        return {
            "channels": self.channels,
            "groups": self.groups,
            "size": self.size,
            "strides": self.strides,
            "dilations": self.dilations,
            "before": self.before,
            "after": self.after,
        }

    @property
    def padded(self) -> tuple[int, ...]:
        """Size of a channel with the zeros around it."""
        return tuple(map(sum, zip(self.size, self.before, self.after, strict=True)))

    @property
    def window(self) -> tuple[int, ...]:
        """What a dilated kernel covers."""
        return tuple(1 + (k - 1) * d for k, d in zip(self.kernel, self.dilations, strict=True))

    @property
    def made(self) -> tuple[int, ...]:
        """Size of an output channel."""
        axes = zip(self.padded, self.window, self.strides, strict=True)
        return tuple((size - window) // stride + 1 for size, window, stride in axes)

    @property
    def inputs_width(self) -> int:
        """Numbers of a row that it takes."""
        return self.channels * math.prod(self.size)

    @property
    def outputs_width(self) -> int:
        """Numbers of a row that it makes."""
        return self.outputs * math.prod(self.made)

    @property
    def weights_shape(self) -> tuple[int, ...]:
        """(outputs, channels of a group, *kernel)."""
        return (self.outputs, self.channels // self.groups, *self.kernel)

    @property
    def products(self) -> int:
        """Numbers and weights that are multiplied for a row, zeros of the padding included."""
        return math.prod(self.weights_shape) * math.prod(self.made)

    @cached_property
    def touched(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Where windows meet the image: entries of the kernel, places of the output, and places of
        the input, flat within a channel; one of each for every meeting, ordered by entries."""
        places, inside = np.zeros((1, 1), dtype=np.intp), np.ones((1, 1), dtype=bool)
        for axis, size in enumerate(self.size):
            taps = np.arange(self.kernel[axis]) * self.dilations[axis] - self.before[axis]
            along = taps[:, None] + np.arange(self.made[axis]) * self.strides[axis]
            shape = (len(places) * along.shape[0], places.shape[1] * along.shape[1])
            within = (along >= 0) & (along < size)
            places = (places[:, None, :, None] * size + along[None, :, None, :]).reshape(shape)
            inside = (inside[:, None, :, None] & within[None, :, None, :]).reshape(shape)
        entries, made = np.nonzero(inside)
        return entries, made, places[inside]

    def pull_back(
        self, sensitivity: NDArray[np.float64], weights: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """sensitivity @ the convolution as a matrix.

        Args:
            sensitivity: shape (n, outputs_width).
            weights: shape `weights_shape`.

        Returns:
            shape (n, inputs_width).
        """
        count, groups = len(sensitivity), self.groups
        taken = sensitivity.reshape(count, groups, self.outputs // groups, -1)
        kernels = weights.reshape(groups, self.outputs // groups, self.channels // groups, -1)
        found = np.zeros((count, groups, self.channels // groups, math.prod(self.size)))
        entries, made, places = self.touched
        cuts = np.searchsorted(entries, np.arange(kernels.shape[-1] + 1))
        for entry, (first, last) in enumerate(pairwise(cuts)):
            if first == last:
                continue
            part = taken[..., made[first:last]]
            # an entry of the kernel meets each place of the image once
            found[..., places[first:last]] += np.matmul(
                kernels[None, ..., entry].swapaxes(2, 3), part
            )
        return found.reshape(count, -1)


def _shown(sizes: tuple[int, ...]) -> str:
    return " x ".join(map(str, sizes))
