"""Losses and scores of a module, by what its targets are."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional

from strongroom.torch.batches import training_error

Batch = tuple[torch.Tensor, torch.Tensor]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def is_classification(targets: torch.Tensor) -> bool:
    """Whether targets are labels: integers or booleans."""
    return not targets.is_floating_point()


def usual_loss(link: str, made: torch.Tensor, targets: torch.Tensor) -> Loss:
    """The loss for what a module returns: the squared error for numbers; for labels the negative
    log likelihood, of logits or of what the link at the end makes of them.

    Args:
        link: "Softmax", "LogSoftmax", "Sigmoid" or "".
    """
    if not is_classification(targets):
        return lambda scores, numbers: functional.mse_loss(scores.reshape(numbers.shape), numbers)
    if made.ndim == 1 or made.shape[1] == 1:
        of_two = (
            functional.binary_cross_entropy
            if link == "Sigmoid"
            else functional.binary_cross_entropy_with_logits
        )
        return lambda scores, labels: of_two(scores.reshape(-1), labels.to(scores.dtype))
    if link == "LogSoftmax":
        return functional.nll_loss
    if link == "Softmax":
        return lambda scores, labels: functional.nll_loss(scores.clamp_min(1e-12).log(), labels)
    return functional.cross_entropy


def score(module: nn.Module, link: str, batches: Iterable[Batch]) -> float:
    """Accuracy where targets are labels, else R², of a module, which is left in eval mode.

    Raises:
        ModelError: SR-MODEL-TRAINING if the targets don't fit what the module returns.
    """
    made, wanted = [], []
    module.eval()
    with torch.no_grad():
        for rows, targets in batches:
            made.append(module(rows))
            wanted.append(targets)
            _check(made[-1], targets)
    scores, targets = torch.cat(made), torch.cat(wanted)
    if not is_classification(targets):
        residual = (scores.reshape(targets.shape) - targets).square().sum()
        return float(1.0 - residual / (targets - targets.mean(dim=0)).square().sum())
    if scores.ndim == 1 or scores.shape[1] == 1:
        threshold = 0.5 if link == "Sigmoid" else 0.0
        labels = (scores.reshape(-1) > threshold).to(targets.dtype)
    else:
        labels = scores.argmax(dim=1)
    return float((labels == targets).double().mean())


def _check(made: torch.Tensor, targets: torch.Tensor) -> None:
    """Whether targets fit: a label from 0 a row, or as many numbers as there are outputs."""
    if not is_classification(targets):
        fits = made.numel() == targets.numel()
    else:
        classes = 2 if made.ndim == 1 or made.shape[1] == 1 else made.shape[1]
        fits = targets.shape == made.shape[:1] and made.ndim <= 2
        fits = fits and int(targets.min()) >= 0 and int(targets.max()) < classes
    if not fits:
        raise training_error(
            f"targets of shape {tuple(targets.shape)} don't fit a module that returns "
            f"{tuple(made.shape)}",
            "Pass as many numbers as there are outputs, or labels from 0, as integers of shape "
            "(n,), fewer than there are outputs",
        )
