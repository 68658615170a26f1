"""Which circuits could stand for the activations of a network, and what they do to its answers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.activation_mixtures import mixed_fits
from strongroom.compiler.layers import LayeredModel
from strongroom.models.output import OutputSpec

Array = NDArray[np.float64]

CANDIDATES = 12
"""How many fits of a layer are considered."""

REGRESSION_TOLERANCE = 2.0**-7
"""A value agrees if circuits move it by at most this share of the values' standard deviation."""


def candidate_fits(
    layered: LayeredModel, arguments: Sequence[Array], guard: float
) -> list[list[ActivationFit]]:
    """For each layer but the last, fits of its activations, cheapest first.

    Args:
        arguments: what each layer's activations get in the sample, shape (n, units) each.
        guard: how far the fits reach beyond, on either side, as a share of the range seen.
    """
    return [
        mixed_fits(layer.functions, layer.choice.reshape(-1), taken, guard)[:CANDIDATES]
        for layer, taken in zip(layered.layers[:-1], arguments[:-1], strict=True)
    ]


def judge(output: OutputSpec, scores: Array, plain: Array) -> tuple[float, float]:
    """What circuits do to answers.

    Args:
        scores, plain: with circuits and with the activations themselves, shape (n, outputs).

    Returns:
        The share of rows that agree: equal labels, or values within the tolerance; and the
        largest difference of scores. Few rows of a sample are near a decision, so a share of equal
        labels says little: it is no more than what errors of this size would do to decisions with
        these margins if it were chance which row has which.
    """
    difference = np.abs(scores - plain)
    if output.task == "classification":
        agree = output.predict(scores) == output.predict(plain)
        if output.pairs == "none":
            share = min(float(np.mean(agree)), _expected(scores, plain, output.tie))
            return share, float(difference.max())
    else:
        agree = (difference <= REGRESSION_TOLERANCE * plain.std(axis=0)).all(axis=1)
    return float(np.mean(agree)), float(difference.max())


def _expected(scores: Array, plain: Array, tie: float) -> float:
    """The share of rows whose margin is larger than what another row's margin loses, or no larger
    than a tie: those have the first class, whatever they lose."""
    rows = np.arange(len(plain))
    if plain.shape[1] == 1:
        side = np.where(plain[:, 0] > 0, 1.0, -1.0)
        margins, moved = side * plain[:, 0], side * scores[:, 0]
    else:
        order = np.argsort(plain, axis=1)
        first, second = order[:, -1], order[:, -2]
        margins = plain[rows, first] - plain[rows, second]
        moved = scores[rows, first] - scores[rows, second]
    losses = np.sort(margins - moved)
    kept = np.where(margins <= tie, len(rows), np.searchsorted(losses, margins, side="left"))
    return float(np.mean(kept)) / len(rows)
