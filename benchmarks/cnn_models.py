"""The convolutional networks of the benchmarks, trained here from a seed in a minute or two each.

    python benchmarks/cnn_models.py [NAME ...]     # lenet, tenseal, watch; all without names

trains what is not in the cache yet and prints each network's accuracy on held-out data, which is
also in NAME.json beside the weights, NAME.npz. All activations are squares. Normalisation helps in
training and is folded into the convolution or the dense layer before it afterwards, so the weights
are those of the plain architecture.

lenet      conv 32 x 5x5 stride 2 padding 2, conv 64 x 5x5 stride 2 padding 2, dense 512, dense 10:
           the LeNet of Orion
tenseal    conv 4 x 7x7 stride 3, dense 64, dense 10: the network of TenSEAL's tutorial
watch      1-D: conv 16 x 15 stride 2 padding 7, conv 32 x 9 stride 2 padding 4, average over time,
           dense 7, on windows of 6 channels and 128 steps (`cnn_watch`)
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cnn_watch
import mlp_mnist
import numpy as np
import torch
from downloads import cache_folder, written_whole
from mlp_models import Square
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

BATCH = 128
PIXELS = (1, 28, 28)
WINDOW = (cnn_watch.CHANNELS, cnn_watch.STEPS)


@dataclass(frozen=True)
class Split:
    """Flat rows, float32, shape (n, columns), and classes."""

    training_rows: NDArray[np.float32]
    training_labels: NDArray[np.int64]
    test_rows: NDArray[np.float32]
    test_labels: NDArray[np.int64]


def mnist() -> Split:
    """Digits, pixels from 0 to 1."""
    data = mlp_mnist.load()
    return Split(data.training_images, data.training_labels, data.test_images, data.test_labels)


def watch() -> Split:
    """Shoulder exercises; the test rows are of people who are not in the training rows."""
    data = cnn_watch.load()
    return Split(data.training_windows, data.training_labels, data.test_windows, data.test_labels)


def _lenet() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, PIXELS),
        nn.Conv2d(1, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), Square(),
        nn.Conv2d(32, 64, 5, stride=2, padding=2), nn.BatchNorm2d(64), Square(),
        nn.Flatten(),
        nn.Linear(7 * 7 * 64, 512), nn.BatchNorm1d(512), Square(),
        nn.Linear(512, 10),
    )  # fmt: skip


def _tenseal() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, PIXELS),
        nn.Conv2d(1, 4, 7, stride=3), nn.BatchNorm2d(4), Square(),
        nn.Flatten(),
        nn.Linear(8 * 8 * 4, 64), nn.BatchNorm1d(64), Square(),
        nn.Linear(64, 10),
    )  # fmt: skip


def _watch() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, WINDOW),
        nn.Conv1d(cnn_watch.CHANNELS, 16, 15, stride=2, padding=7), nn.BatchNorm1d(16), Square(),
        nn.Conv1d(16, 32, 9, stride=2, padding=4), nn.BatchNorm1d(32), Square(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(32, 7),
    )  # fmt: skip


def _worn_otherwise(windows: torch.Tensor) -> torch.Tensor:
    """Windows as they might come from another wrist: louder or softer in each channel, with noise.
    Ten people are few to learn from."""
    channels = windows.reshape(-1, *WINDOW)
    louder = 1.0 + 0.2 * torch.randn(len(windows), cnn_watch.CHANNELS, 1)
    return (channels * louder + 0.2 * torch.randn_like(channels)).flatten(1)


@dataclass(frozen=True)
class Recipe:
    """How a network is made.

    Attributes:
        name: of its files in the cache.
        layers: the network before training, with normalisation.
        load: the data.
        epochs, learning_rate, weight_decay: AdamW under a one-cycle schedule.
        varied: what a batch of training rows becomes each time; as it is without.
    """

    name: str
    layers: Callable[[], nn.Sequential]
    load: Callable[[], Split]
    epochs: int
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    varied: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def weights(self) -> Path:
        """The file of the weights, by the names of the plain architecture's state dict."""
        return cache_folder() / f"{self.name}.npz"

    @property
    def record(self) -> Path:
        """How they came about, and how good they are."""
        return self.weights.with_suffix(".json")

    def plain(self) -> nn.Sequential:
        """The network without normalisation, in eval mode; its weights are arbitrary."""
        return _folded(self.layers().eval())


LENET = Recipe("cnn-lenet", _lenet, mnist, epochs=4)
TENSEAL = Recipe("cnn-tenseal", _tenseal, mnist, epochs=15)
WATCH = Recipe("cnn-watch", _watch, watch, epochs=12, varied=_worn_otherwise)
RECIPES = {"lenet": LENET, "tenseal": TENSEAL, "watch": WATCH}


def trained(recipe: Recipe, data: Split | None = None) -> nn.Sequential:
    """The network, of flat rows, from the cache if it has been trained before.

    Args:
        data: the recipe's, if it is loaded already.
    """
    if not recipe.weights.exists():
        _make(recipe, data or recipe.load())
    network = recipe.plain()
    with np.load(recipe.weights) as stored:
        network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored})
    return network.eval()


def accuracy(network: nn.Module, rows: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The share of rows that are labelled right."""
    with torch.no_grad():
        scores = [network(part) for part in torch.from_numpy(np.array(rows)).split(1024)]
    return float((torch.cat(scores).argmax(dim=1).numpy() == labels).mean())


def _make(recipe: Recipe, data: Split) -> None:
    print(f"training {recipe.name}", file=sys.stderr, flush=True)
    start = time.perf_counter()
    torch.manual_seed(0)
    network = recipe.layers()
    _train(network, recipe, data)
    seconds = time.perf_counter() - start
    network = _folded(network.eval())
    record = {
        "command": f"python benchmarks/{Path(__file__).name} {recipe.name.removeprefix('cnn-')}",
        "accuracy": accuracy(network, data.test_rows, data.test_labels),
        "test_rows": len(data.test_rows),
        "training_rows": len(data.training_rows),
        "parameters": sum(part.numel() for part in network.parameters()),
        "seed": 0,
        "epochs": recipe.epochs,
        "seconds": round(seconds),
        "torch": str(torch.__version__),
    }
    with written_whole(recipe.record) as unfinished:
        unfinished.write_text(json.dumps(record, indent=2) + "\n")
    with written_whole(recipe.weights) as unfinished:
        np.savez(unfinished, **{k: v.numpy() for k, v in network.state_dict().items()})


def _train(network: nn.Sequential, recipe: Recipe, data: Split) -> None:
    rows = torch.from_numpy(np.array(data.training_rows))
    labels = torch.from_numpy(data.training_labels)
    order = torch.Generator().manual_seed(0)
    batches = len(rows) // BATCH
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=recipe.learning_rate, total_steps=recipe.epochs * batches
    )
    network.train()
    for epoch in range(recipe.epochs):
        shuffled = torch.randperm(len(rows), generator=order)
        total = 0.0
        for batch in shuffled[: batches * BATCH].split(BATCH):
            given = recipe.varied(rows[batch]) if recipe.varied else rows[batch]
            loss = nn.functional.cross_entropy(network(given), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
        print(
            f"  epoch {epoch + 1} of {recipe.epochs}: loss {total / batches:.4f}",
            file=sys.stderr,
            flush=True,
        )


def _folded(network: nn.Sequential) -> nn.Sequential:
    """Without normalisation, which scales and moves what the layer before it makes."""
    parts: list[nn.Module] = []
    for part in network:
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            before = parts.pop()
            fuse = fuse_linear_bn_eval if isinstance(before, nn.Linear) else fuse_conv_bn_eval
            part = fuse(before, part)
        parts.append(part)
    return nn.Sequential(*parts)


def main() -> None:
    """Train what is asked for, and say how good it is."""
    torch.set_num_threads(2)
    for name in sys.argv[1:] or RECIPES:
        if name not in RECIPES:
            raise SystemExit(f"there is no network {name!r}; there are {', '.join(RECIPES)}")
        recipe = RECIPES[name]
        trained(recipe)
        record = json.loads(recipe.record.read_text())
        print(f"{recipe.name}: {record['accuracy']:.4f} on {record['test_rows']} held-out rows")


if __name__ == "__main__":
    main()
