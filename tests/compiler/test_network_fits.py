"""What circuits do to answers is told from margins, and not from which rows a sample has."""

from __future__ import annotations

import numpy as np
import pytest

from strongroom.compiler.network_fits import judge
from strongroom.models.output import OutputSpec

GENERATOR = np.random.default_rng(0)


def classifier(outputs: int, tie: float = 0.0) -> OutputSpec:
    classes = (0, 1) if outputs == 1 else tuple(range(outputs))
    return OutputSpec(
        "classification", "identity", outputs, classes, "<i8", False, ("predict",), tie=tie
    )


@pytest.mark.parametrize("outputs", [1, 3])
def test_rows_with_a_tie_agree_whatever_the_rounding_of_their_scores(outputs: int) -> None:
    plain = np.round(GENERATOR.uniform(-2.0, 2.0, (400, outputs)))
    scores = plain + GENERATOR.normal(0.0, 1e-15, plain.shape)
    assert judge(classifier(outputs, tie=1e-6), scores, plain)[0] == 1.0
    assert judge(classifier(outputs), scores, plain)[0] < 0.95


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_margin_agrees_as_often_as_errors_of_this_size_would_leave_it(outputs: int) -> None:
    plain = GENERATOR.uniform(-1.0, 1.0, (2000, outputs))
    error = GENERATOR.normal(0.0, 0.1, plain.shape)
    share, largest = judge(classifier(outputs), plain + error, plain)
    drawn_anew = GENERATOR.permutation(error)
    spec = classifier(outputs)
    agree = np.mean(spec.predict(plain + drawn_anew) == spec.predict(plain))
    assert share == pytest.approx(agree, abs=0.02)
    assert largest == np.abs(error).max()
