"""Multilayer perceptrons of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np

from strongroom.models.links import Link
from strongroom.models.sklearn_outputs import (
    Predictor,
    Scores,
    classification,
    linear,
    matrix,
    regression,
)
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import placed, refused
from strongroom.models.sklearn_tables import Activated, Table

ACTIVATIONS = {"identity": "", "logistic": "Sigmoid", "tanh": "Tanh", "relu": "Relu"}


def _network(step: str, estimator: Any, table: Table) -> Table:
    """What its last layer makes, before the link."""
    if estimator.activation not in ACTIVATIONS:
        raise refused(step, estimator, " with another activation", "Use activation='relu'")
    function = ACTIVATIONS[estimator.activation]
    last = len(estimator.coefs_) - 1
    for number, (weights, bias) in enumerate(
        zip(estimator.coefs_, estimator.intercepts_, strict=True)
    ):
        table = linear(step, estimator, table, matrix(step, estimator, np.asarray(weights).T), bias)
        if number < last and function:
            table = Activated(table, function, {}, placed(step, estimator))
    return table


def _classifier(step: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    if estimator._label_binarizer.y_type_.startswith("multilabel"):
        raise refused(step, estimator, " with several labels a row", "Train one model a label")
    outputs = int(estimator.n_outputs_)
    link: Link = "logistic" if outputs == 1 else "softmax"
    output = classification(step, estimator, outputs, link, decision_function=False)
    return Scores(_network(step, estimator, table), output)


def _regressor(step: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    outputs = int(estimator.n_outputs_)
    link: Link = "exp" if estimator.out_activation_ == "exp" else "identity"
    output = regression(outputs, flat=outputs == 1, link=link)
    return Scores(_network(step, estimator, table), output)


NETWORKS: dict[str, Predictor] = {"MLPClassifier": _classifier, "MLPRegressor": _regressor}
"""Networks by class."""
