"""Sensor windows: seven shoulder exercises, as a smartwatch on the wrist felt them.

Ten people did physiotherapy exercises, each some twenty repetitions on either side; 140 recordings
at 50 Hz of three accelerations (in g) and three angular velocities (rad/s). From Burns et al.,
"Shoulder physiotherapy exercise recognition" (arXiv 1802.01489), as the package `seglearn` 1.2.5
(BSD-3-Clause) brings it, fetched on request and kept in the benchmarks' cache folder.

The split is by person: who is tested on was never seen in training.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
from downloads import from_pypi
from numpy.typing import NDArray

SOURCE = "seglearn==1.2.5"
MEMBER = "seglearn/data/watch_dataset.npy"

STEPS = 128
"""Of a window, 2.56 seconds."""

STRIDE = 32
"""Steps from one window to the next."""

CHANNELS = 6
TEST_PEOPLE = (4, 9)


@dataclass(frozen=True)
class Windows:
    """Windows, float32, shape (n, 768): channel by channel, 128 steps each; each channel scaled by
    mean and deviation of the training windows. The exercises are numbered from 0 to 6."""

    training_windows: NDArray[np.float32]
    training_labels: NDArray[np.int64]
    test_windows: NDArray[np.float32]
    test_labels: NDArray[np.int64]
    exercises: tuple[str, ...]


class _Arrays(pickle.Unpickler):
    """Unpickles arrays and what Python is made of: the file is somebody else's."""

    ALLOWED = frozenset(
        {
            ("_codecs", "encode"),
            ("numpy", "dtype"),
            ("numpy", "ndarray"),
            ("numpy.core.multiarray", "_reconstruct"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        """What a pickle may call."""
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{SOURCE} holds a {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def load() -> Windows:
    """The windows, in the order of the recordings."""
    with from_pypi(SOURCE, MEMBER, size="11.3 MB").open("rb") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        recordings: dict[str, Any] = _Arrays(file).load().item()
    windows, labels, people = [], [], []
    for recording, exercise, person in zip(
        recordings["X"], recordings["y"], recordings["subject"], strict=True
    ):
        for start in range(0, len(recording) - STEPS + 1, STRIDE):
            windows.append(recording[start : start + STEPS].T)
            labels.append(int(exercise))
            people.append(int(person))
    table = np.array(windows)
    test = np.isin(people, TEST_PEOPLE)
    centre = table[~test].mean(axis=(0, 2), keepdims=True)
    deviation = table[~test].std(axis=(0, 2), keepdims=True)
    rows = ((table - centre) / deviation).reshape(len(table), -1).astype(np.float32)
    classes = np.array(labels, dtype=np.int64)
    return Windows(
        rows[~test], classes[~test], rows[test], classes[test], tuple(recordings["y_labels"])
    )
