"""Rows and targets to train and to judge on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import nn

from strongroom.errors import ModelError

BATCH: Final = 128
"""Rows of a batch where rows come as arrays."""


class Batches:
    """Rows and targets in batches, of the dtype and on the device of a module's weights.

    Args:
        source: a `DataLoader` or another iterable of batches with a length, or a pair of arrays or
            tensors.
        module: that takes the rows.
        shuffled: whether arrays are passed in a new order each time; loaders have their own.

    Raises:
        ModelError: SR-MODEL-TRAINING if there are none, or fewer targets than rows.
    """

    def __init__(self, source: Any, module: nn.Module, *, shuffled: bool = False) -> None:
        weights = [part for part in module.parameters() if part.is_floating_point()]
        self._like = weights[0] if weights else torch.zeros(())
        self._shuffled = shuffled
        self._arrays: tuple[torch.Tensor, torch.Tensor] | None = None
        pair = isinstance(source, Sequence) and len(source) == 2
        if pair and all(hasattr(part, "shape") for part in source):
            rows, targets = (torch.as_tensor(part) for part in source)
            if len(rows) != len(targets):
                raise training_error(
                    f"there are {len(rows)} rows and {len(targets)} targets",
                    "Pass a target for each row",
                )
            self._arrays = rows, targets
            self._count = -(-len(rows) // BATCH)
        else:
            self._source: Iterable[Any] = source
            try:
                self._count = len(source)
            except TypeError as error:
                raise training_error(
                    f"a {type(source).__name__} doesn't say how many batches it has",
                    "Pass a DataLoader, a list of batches, or a pair of arrays",
                ) from error
        if not self._count:
            raise training_error("there are no rows to train on", "Pass rows and their targets")

    @property
    def targets(self) -> torch.Tensor:
        """Those of one batch."""
        return self._arrays[1] if self._arrays else next(iter(self))[1]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows, targets in self._parts():
            x = torch.as_tensor(rows).to(dtype=self._like.dtype, device=self._like.device)
            y = torch.as_tensor(targets).to(device=self._like.device)
            yield x, y.to(self._like.dtype) if y.is_floating_point() else y.long()

    def _parts(self) -> Iterator[Any]:
        if self._arrays is None:
            yield from self._source
            return
        rows, targets = self._arrays
        order = torch.randperm(len(rows)) if self._shuffled else torch.arange(len(rows))
        for places in torch.split(order, BATCH):
            yield rows[places], targets[places]


def training_error(message: str, remedy: str) -> ModelError:
    """SR-MODEL-TRAINING."""
    return ModelError("SR-MODEL-TRAINING", message, remedy)
