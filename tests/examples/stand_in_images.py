"""Images of digits for tests, in the files of MNIST: nothing is fetched.

They are scikit-learn's 8 x 8 digits, three times as large in each direction, with an empty margin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

TRAINING = 1400


def write_images(folder: Path) -> None:
    """The four IDX files, in a folder that is made."""
    folder.mkdir(parents=True)
    digits = load_digits()
    large = np.kron(digits.images / 16.0 * 255.0, np.ones((3, 3)))
    images = np.pad(large, ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = digits.target.astype(np.uint8)
    for name, part in (("train", slice(TRAINING)), ("t10k", slice(TRAINING, None))):
        _write(folder / f"{name}-images-idx3-ubyte", images[part])
        _write(folder / f"{name}-labels-idx1-ubyte", labels[part])


def _write(path: Path, values: NDArray[Any]) -> None:
    axes = b"".join(length.to_bytes(4, "big") for length in values.shape)
    path.write_bytes(bytes([0, 0, 8, values.ndim]) + axes + values.tobytes())
