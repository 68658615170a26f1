"""What a scikit-learn predictor makes of its scores: from the estimator to `OutputSpec`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError, PolicyError
from strongroom.models.links import Link, Pairs
from strongroom.models.output import Method, OutputSpec
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import placed, refused
from strongroom.models.sklearn_tables import Projected, Table, width


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """The end of a model: its raw scores, and how they become predictions."""

    table: Table
    output: OutputSpec


Predictor = Callable[[str, Any, Table, Preprocessing], Scores]
"""From place in the model, fitted estimator, the table that it gets, and the preprocessing."""


def regression(outputs: int, *, flat: bool, link: Link = "identity") -> OutputSpec:
    """The output of a regressor."""
    return OutputSpec(
        task="regression",
        link=link,
        outputs=outputs,
        classes=(),
        label_dtype="<f8",
        flat=flat,
        methods=("predict",),
    )


def classification(
    step: str,
    estimator: Any,
    outputs: int,
    link: Link,
    *,
    decision_function: bool = True,
    pairs: Pairs = "none",
    classes: Any = None,
) -> OutputSpec:
    """The output of a classifier.

    Args:
        step, estimator: for messages.
        outputs: score columns.
        link: "identity" where it has no probabilities.
        decision_function: whether it has one.
        pairs: as in `OutputSpec`.
        classes: of the scores; the estimator's where None.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED for several targets, or labels of an unusual type.
    """
    classes = estimator.classes_ if classes is None else classes
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise refused(step, estimator, " with several targets", "Train one classifier a target")
    methods: list[Method] = ["predict"]
    if link != "identity":
        methods.append("predict_proba")
    if decision_function:
        methods.append("decision_function")
    try:
        return OutputSpec(
            task="classification",
            link=link,
            outputs=outputs,
            classes=tuple(classes.tolist()),
            label_dtype=classes.dtype.str,
            flat=False,
            methods=tuple(methods),
            pairs=pairs,
        )
    except PolicyError as error:
        raise refused(
            step,
            estimator,
            f" with {len(classes)} labels of dtype {classes.dtype}",
            "Train with labels that are booleans, numbers or texts, at least two different ones",
        ) from error


def matrix(step: str, estimator: Any, numbers: Any) -> NDArray[np.float64]:
    """Weights, dense or sparse, as a table of shape (outputs, columns).

    Raises:
        ModelError: SR-MODEL-VALUES.
    """
    dense = numbers.toarray() if hasattr(numbers, "toarray") else numbers
    try:
        table = np.atleast_2d(np.asarray(dense, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise misfit(step, estimator) from error
    if table.ndim != 2 or table.size == 0:
        raise misfit(step, estimator)
    return table


def linear(
    step: str, estimator: Any, table: Table, coefficients: NDArray[np.float64], intercepts: Any
) -> Projected:
    """table @ coefficients.T + intercepts.

    Args:
        coefficients: shape (outputs, columns).
        intercepts: one an output, or one for all.

    Raises:
        ModelError: SR-MODEL-VALUES if they don't fit the table or each other.
    """
    if coefficients.shape[1] != width(table):
        raise misfit(step, estimator)
    try:
        row = np.asarray(intercepts, dtype=np.float64).reshape(-1)
        offset = np.array(np.broadcast_to(row, len(coefficients)))
    except (TypeError, ValueError) as error:
        raise misfit(step, estimator) from error
    return Projected(table, coefficients.T, offset)


def misfit(step: str, estimator: Any) -> ModelError:
    """The error for weights that contradict each other."""
    return ModelError(
        "SR-MODEL-VALUES",
        f"{placed(step, estimator)} has coefficients that don't fit together",
        "Fit the model again",
    )
