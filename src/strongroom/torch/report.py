"""What fine-tuning did, for a person and for a program."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training rows.

    Attributes:
        loss: mean over the batches, without the penalty.
        penalty: mean over the batches, as it was added to the loss.
        score: on the validation rows, of the polynomials alone; None without such rows.
        seconds: of the pass.
    """

    loss: float
    penalty: float
    score: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """How good a network is before and after; `print(report)` is a table.

    Attributes:
        metric: "accuracy", the share of labels that are right; "R²" where targets are numbers.
        original: of the module as it was given.
        converted: of the converted module before this fine-tuning.
        fine_tuned: after it.
        outside: share of the activations' arguments on those rows that lie outside their ranges,
            after fine-tuning.
        validation: whether these are of validation rows; else they are of the training rows, on
            which a network always looks better than it is.
        epochs: in their order.
    """

    metric: str
    original: float
    converted: float
    fine_tuned: float
    outside: float
    validation: bool
    epochs: tuple[Epoch, ...]

    @property
    def change(self) -> float:
        """What conversion and fine-tuning together changed; negative where something was lost."""
        return self.fine_tuned - self.original

    @property
    def seconds(self) -> float:
        """Of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)

    def __str__(self) -> str:
        rows = "validation rows" if self.validation else "training rows"
        return "\n".join(
            [
                f"{self.metric} on the {rows}",
                f"  original              {self.original:.4f}",
                f"  converted             {self.converted:.4f}",
                f"  fine-tuned            {self.fine_tuned:.4f}  ({self.change:+.4f})",
                f"arguments out of range  {100 * self.outside:.3f} %",
                f"epochs                  {len(self.epochs)}, {self.seconds:.0f} s",
            ]
        )
