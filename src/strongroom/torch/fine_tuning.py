"""`fine_tune`: a converted network gets used to its polynomials.

What it does, and why:

- **Warm-up.** For the first part of the steps activations are a mixture that moves from the
  original ones to the polynomials, so that no step meets a network that is suddenly another.
- **Range penalty.** A polynomial follows its activation inside its range only, and grows without
  bound outside. Arguments that leave the range are penalised by the square of how far, in half
  widths. Narrow ranges also leave an encrypted number more bits for what matters.
- AdamW, whose decay spares polynomials, biases and normalisation; learning rates that rise and fall
  in one cycle (Smith and Topin, arXiv 1708.07120); gradients clipped, since squares can run away.

Everything random is drawn from the seed: the same rows give the same network on one machine.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import torch
from torch import nn

from strongroom.torch.batches import Batches, training_error
from strongroom.torch.conversion import Converted
from strongroom.torch.polynomials import PolynomialActivation
from strongroom.torch.report import Epoch, Report
from strongroom.torch.scoring import Loss, is_classification, score, usual_loss

LARGEST_GRADIENT: Final = 1.0
"""Norm that gradients are clipped to."""


def fine_tune(
    converted: Converted,
    training: Any,
    *,
    epochs: int = 5,
    validation: Any = None,
    learning_rate: float = 1e-3,
    weight_decay: float = 1e-2,
    warm_up: float = 0.4,
    range_penalty: float = 1.0,
    loss: Loss | None = None,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Train a converted module, which is changed and left in eval mode.

    Args:
        converted: what `convert` returned.
        training: rows and targets: a `DataLoader` or another iterable of batches with a length,
            or a pair of arrays or tensors. Targets are labels from 0, as integers, or numbers.
        epochs: how often all rows are passed.
        validation: the same, of held-out rows that the report judges; without it, it judges the
            training rows.
        learning_rate: the highest of the cycle.
        weight_decay: of AdamW.
        warm_up: share of the steps, from 0 to 1, over which activations become polynomials.
        range_penalty: what one half width out of range, squared, costs on average over the
            arguments of all activations.
        loss: of what the module returns and the targets; without it the cross entropy for labels,
            as fits the module's last layer, and the squared error for numbers.
        seed: of the order of rows, of dropout, of everything random.
        progress: takes a line for each epoch; without it they go to standard error.

    Raises:
        ModelError: SR-MODEL-TRAINING if the targets don't fit, if there are no rows, or if the
            loss is no longer finite.
        ValueError: a number that makes no sense.
    """
    if epochs < 1 or not 0.0 <= warm_up <= 1.0 or learning_rate <= 0.0 or range_penalty < 0.0:
        raise ValueError(
            "epochs and learning_rate are positive, warm_up is from 0 to 1, range_penalty is not "
            "negative"
        )
    tell = progress or _print
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batches = Batches(training, converted, shuffled=True)
        held_out = batches if validation is None else Batches(validation, converted)
        labels = is_classification(held_out.targets)

        def judged(module: nn.Module) -> float:
            return score(module, converted.link, held_out)

        original, before = judged(converted.original), judged(converted)
        steps = _Steps(converted, epochs * len(batches), learning_rate, weight_decay)
        steps.warm_up, steps.range_penalty, steps.loss = warm_up, range_penalty, loss
        made: list[Epoch] = []
        try:
            for number in range(1, epochs + 1):
                start = time.perf_counter()
                mean_loss, penalty = steps.epoch(batches)
                seconds = time.perf_counter() - start
                reached = None if validation is None else judged(converted)
                made.append(Epoch(mean_loss, penalty, reached, seconds))
                tell(_line(number, epochs, made[-1], "accuracy" if labels else "R²"))
        finally:
            for polynomial in converted.polynomials:
                polynomial.blend = 1.0
            converted.eval()
        return Report(
            "accuracy" if labels else "R²",
            original,
            before,
            judged(converted),
            _share_outside(converted, held_out),
            validation is not None,
            tuple(made),
        )


class _Steps:
    """The optimiser, its schedule, and how far the warm-up is."""

    def __init__(
        self, converted: Converted, count: int, learning_rate: float, weight_decay: float
    ) -> None:
        self._converted = converted
        self._count, self._done = count, 0
        self._polynomials = converted.polynomials
        spared = {id(part) for each in self._polynomials for part in each.parameters()}
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for part in converted.parameters():
            if part.requires_grad:
                (others if id(part) in spared or part.ndim < 2 else decayed).append(part)
        self._trained = [*decayed, *others]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": decayed, "weight_decay": weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            lr=learning_rate,
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimiser, max_lr=learning_rate, total_steps=count + 1
        )
        self.warm_up, self.range_penalty = 0.0, 0.0
        self.loss: Loss | None = None

    def epoch(self, batches: Batches) -> tuple[float, float]:
        """One pass; the mean loss and the mean penalty."""
        self._converted.train()
        losses, penalties, count = 0.0, 0.0, 0
        for rows, targets in batches:
            if len(rows) < 2:
                continue  # batch normalisation has no variance of one row
            loss, penalty = self._step(rows, targets)
            losses, penalties, count = losses + loss, penalties + penalty, count + 1
        if not count:
            raise training_error("no batch has two rows", "Pass more rows, or larger batches")
        return losses / count, penalties / count

    def _step(self, rows: torch.Tensor, targets: torch.Tensor) -> tuple[float, float]:
        blend = min(1.0, self._done / (self.warm_up * self._count)) if self.warm_up else 1.0
        for polynomial in self._polynomials:
            polynomial.blend = blend
        with _arguments_of(self._polynomials) as arguments:
            made = self._converted(rows)
        of_batch = self.loss or usual_loss(self._converted.link, made, targets)
        loss = of_batch(made, targets)
        penalty = torch.zeros_like(loss)
        for polynomial, argument in arguments:
            penalty = penalty + polynomial.outside(argument).square().mean()
        penalty = self.range_penalty * penalty
        total = loss + penalty
        if not torch.isfinite(total):
            raise training_error(
                f"the loss is not finite any more, after {self._done} steps",
                "Lower learning_rate, raise range_penalty or warm_up, or put BatchNorm before "
                "activations",
            )
        self._optimiser.zero_grad()
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._trained, LARGEST_GRADIENT)
        self._optimiser.step()
        if self._done < self._count:
            self._schedule.step()
        self._done += 1
        return float(loss.detach()), float(penalty.detach())


@contextlib.contextmanager
def _arguments_of(
    polynomials: Sequence[PolynomialActivation],
) -> Iterator[list[tuple[PolynomialActivation, torch.Tensor]]]:
    """Collect what polynomials are applied to while a network runs."""
    found: list[tuple[PolynomialActivation, torch.Tensor]] = []

    def collect(polynomial: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(polynomial, PolynomialActivation)
        found.append((polynomial, inputs[0]))

    with contextlib.ExitStack() as stack:
        for polynomial in polynomials:
            stack.callback(polynomial.register_forward_pre_hook(collect).remove)
        yield found


def _share_outside(converted: Converted, batches: Batches) -> float:
    """Of the arguments of all polynomials, in eval mode."""
    outside, count = 0, 0
    with torch.no_grad():
        for rows, _ in batches:
            with _arguments_of(converted.polynomials) as arguments:
                converted(rows)
            for polynomial, argument in arguments:
                outside += int((polynomial.outside(argument) > 0.0).sum())
                count += argument.numel()
    return outside / count if count else 0.0


def _line(number: int, epochs: int, epoch: Epoch, metric: str) -> str:
    score_text = "" if epoch.score is None else f", {metric} {epoch.score:.4f}"
    return (
        f"epoch {number} of {epochs}: loss {epoch.loss:.4f}, range penalty {epoch.penalty:.4f}"
        f"{score_text}, {epoch.seconds:.1f} s"
    )


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
