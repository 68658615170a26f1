"""Small modules as people write them, and rows for them."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional


class Digits(nn.Module):
    """A network with an activation in place that is used twice, functions, methods, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.normalised = nn.BatchNorm2d(6)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3, padding=1)
        self.dropout = nn.Dropout(0.1)
        self.last = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.relu(self.normalised(self.first(x))), 2)
        x = self.relu(self.second(x))
        x = functional.max_pool2d(x, 2)
        return self.last(self.dropout(x.view(x.size(0), -1)))


class Residual(nn.Module):
    """Skip connections and a submodule of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 6))
        self.last = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.inner(x) + x)
        return functional.log_softmax(self.last(functional.gelu(x).relu_()), dim=1)


def dense(activation: nn.Module) -> nn.Sequential:
    """Six columns, three outputs."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), activation, nn.Linear(5, 3))


def rows(count: int = 200) -> np.ndarray:
    """Of six columns, float32."""
    return np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Images of shape (n, 1, 8, 8), and labels."""
    data = load_digits()
    images = (data.data / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    return images, data.target


def trained_digits(images: np.ndarray, labels: np.ndarray) -> Digits:
    """The network, trained for a second."""
    torch.manual_seed(0)
    module = Digits()
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    for _ in range(6):
        for batch in torch.split(torch.randperm(len(x)), 64):
            optimiser.zero_grad()
            functional.cross_entropy(module(x[batch]), y[batch]).backward()
            optimiser.step()
    return module.eval()
