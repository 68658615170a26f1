"""The three dense networks on MNIST, trained here from a seed in a minute each, then cached.

Pixels from 0 to 1 go in, scores of the ten digits come out. A network with squares has no bound on
what its units reach, so it is trained with weight decay and with a small learning rate at the end.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from downloads import cache_folder, written_whole
from mlp_mnist import Mnist
from numpy.typing import NDArray
from torch import nn


class Square(nn.Module):
    """x * x."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Element by element."""
        return x * x


@dataclass(frozen=True)
class Recipe:
    """How a network is made.

    Attributes:
        name: of its file in the cache.
        widths: pixels, hidden units, digits.
        activation: between the layers.
        epochs, learning_rate, weight_decay: AdamW under a one-cycle schedule.
    """

    name: str
    widths: tuple[int, ...]
    activation: type[nn.Module]
    epochs: int = 15
    learning_rate: float = 3e-3
    weight_decay: float = 0.5

    def build(self) -> nn.Sequential:
        """The network before training."""
        torch.manual_seed(0)
        parts: list[nn.Module] = []
        for inputs, units in zip(self.widths, self.widths[1:], strict=False):
            parts += [nn.Linear(inputs, units), self.activation()]
        return nn.Sequential(*parts[:-1])


SQUARE = Recipe("mlp-784-128-10-square", (784, 128, 10), Square)
RELU = Recipe("mlp-784-128-64-10-relu", (784, 128, 64, 10), nn.ReLU)
ORION = Recipe("mlp-784-128-128-10-square", (784, 128, 128, 10), Square)
"""The architecture of Orion's example."""

BATCH = 128


def trained(recipe: Recipe, data: Mnist) -> nn.Sequential:
    """The network, from the cache if it has been trained before."""
    network = recipe.build()
    path = cache_folder() / f"{recipe.name}.npz"
    if not path.exists():
        print(f"training {recipe.name}", file=sys.stderr, flush=True)
        _train(network, recipe, data)
        with written_whole(path) as unfinished:
            np.savez(unfinished, **{k: v.numpy() for k, v in network.state_dict().items()})
    with np.load(path) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored})
    return network.eval()


def scores(network: nn.Sequential, images: NDArray[np.float32]) -> NDArray[np.float64]:
    """Shape (n, 10)."""
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(np.array(images))).double().numpy())


def _train(network: nn.Sequential, recipe: Recipe, data: Mnist) -> None:
    images, labels = (
        torch.from_numpy(data.training_images.copy()),
        torch.from_numpy(data.training_labels),
    )
    order = torch.Generator().manual_seed(0)
    steps = recipe.epochs * (len(images) // BATCH)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=steps
    )
    network.train()
    for _ in range(recipe.epochs):
        shuffled = torch.randperm(len(images), generator=order)
        for step in range(len(images) // BATCH):
            batch = shuffled[step * BATCH : (step + 1) * BATCH]
            loss = nn.functional.cross_entropy(network(images[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
