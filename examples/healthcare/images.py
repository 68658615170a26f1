"""An image classifier: which digit did somebody write on a form?

MNIST (11.5 MB, fetched once) stands in for a clinic's images; the sizes and the way are the same.
The vendor trains on 60,000 of them; the 10,000 others are the hospital's. The network is
convolutional: 4 kernels of 7 x 7 with stride 3, 64 units, 10 scores, with squares in place of ReLU.
It is trained here from a seed at the first run, in some minutes, and kept beside the images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from examples.public_data import loader
from strongroom import Package, Policy, protect

NAME = "digits"
TITLE = "digits on images, by a convolutional network"
POLICY = Policy()
HELD_OUT = 10_000
MODEL = "network.npz"
SAMPLE_ROWS = 1000


def vendor(folder: Path, seed: int, threads: int) -> Package:
    """Train on the vendor's images, keep the network in the folder, and protect it. The network is
    the same for all seeds."""
    torch.set_num_threads(threads)
    networks = loader("cnn_models")
    images = networks.mnist()
    network = networks.trained(networks.TENSEAL, images)
    np.savez(folder / MODEL, **{k: v.numpy() for k, v in network.state_dict().items()})
    # What a softmax ends in is a classifier; it runs at the client.
    return protect(
        nn.Sequential(network, nn.Softmax(dim=1)),
        sample=images.training_rows[:SAMPLE_ROWS],
        policy=POLICY,
        name=NAME,
    )


def hospital(rows: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Images that the vendor has not seen, pixels from 0 to 1, shape (rows, 784), and digits."""
    images = loader("cnn_models").mnist()
    drawn = np.random.default_rng(seed).permutation(len(images.test_rows))[:rows]
    return images.test_rows[drawn], images.test_labels[drawn]


def plain(folder: Path, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What the vendor's own network says, shape (n, 10)."""
    network = loader("cnn_models").TENSEAL.plain().eval()
    with np.load(folder / MODEL) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored})
    with torch.no_grad():
        scores = network(torch.from_numpy(rows)).double()
    return np.asarray(torch.softmax(scores, dim=1).numpy())


def figures(labels: NDArray[Any], probabilities: NDArray[np.float64]) -> dict[str, float | None]:
    """The share that is right, over all and of the digit that fares worst.

    Args:
        labels: digits, shape (n,).
        probabilities: shape (n, 10).
    """
    right = probabilities.argmax(axis=1) == labels
    return {
        "accuracy": float(np.mean(right)),
        "accuracy of the worst digit": min(
            float(np.mean(right[labels == digit])) for digit in np.unique(labels)
        ),
    }
