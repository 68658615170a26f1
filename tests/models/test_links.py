"""Links of tree ensembles, and the fields of an output that go with them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from strongroom.errors import PolicyError
from strongroom.models.links import PROBABILITY_LINKS, VALUE_LINKS, Link, probabilities, values
from strongroom.models.output import OutputSpec


def regressor(**changes: Any) -> OutputSpec:
    fields: dict[str, Any] = {
        "task": "regression",
        "link": "exp",
        "outputs": 2,
        "classes": (),
        "label_dtype": "<f4",
        "flat": False,
        "methods": ("predict",),
    }
    return OutputSpec(**(fields | changes))


def classifier(**changes: Any) -> OutputSpec:
    fields: dict[str, Any] = {
        "task": "classification",
        "link": "mean_probabilities",
        "outputs": 3,
        "classes": ("a", "b", "c"),
        "label_dtype": "<U1",
        "flat": False,
        "methods": ("predict", "predict_proba"),
    }
    return OutputSpec(**(fields | changes))


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("identity", [-2.0, 0.0, 3.0]),
        ("exp", [math.exp(-2.0), 1.0, math.exp(3.0)]),
        ("softplus", [math.log1p(math.exp(-2.0)), math.log(2.0), math.log1p(math.exp(3.0))]),
        ("signed_square", [-4.0, 0.0, 9.0]),
        ("logistic_each", [1 / (1 + math.exp(2.0)), 0.5, 1 / (1 + math.exp(-3.0))]),
    ],
)
def test_values_are_functions_of_single_scores(link: Link, expected: list[float]) -> None:
    scores = np.array([[-2.0, 0.0, 3.0]])
    assert np.allclose(values(link, scores), [expected], rtol=1e-15)
    assert link in VALUE_LINKS


def test_a_link_of_classes_has_no_values() -> None:
    for link in PROBABILITY_LINKS - VALUE_LINKS:
        with pytest.raises(ValueError, match="no values"):
            values(link, np.zeros((1, 2)))


def test_mean_probabilities_stay_probabilities_whatever_the_error() -> None:
    three = probabilities("mean_probabilities", np.array([[0.7, 0.31, -0.01], [2.0, 0.0, 0.0]]))
    assert np.allclose(three, [[0.7 / 1.01, 0.31 / 1.01, 0.0], [1.0, 0.0, 0.0]])
    two = probabilities("mean_probabilities", np.array([[0.5], [-1.1], [0.0]]))
    assert two.tolist() == [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]]


def test_a_logistic_a_class_is_not_brought_to_one() -> None:
    assert probabilities("logistic_each", np.zeros((1, 3))).tolist() == [[0.5, 0.5, 0.5]]


def test_scores_are_scaled_for_the_link_only() -> None:
    spec = classifier(link="logistic", outputs=1, classes=("a", "b"), link_scale=2.0)
    assert spec.predict_proba(np.array([[1.0]]))[0, 1] == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert regressor(link_scale=2.0).predict(np.array([[1.0, 0.0]])).tolist() == [
        [float(np.float32(math.exp(2.0))), 1.0]
    ]


def test_a_near_tie_goes_to_the_first_class() -> None:
    spec = classifier(tie=0.01)
    assert spec.predict(np.array([[0.3, 0.305, 0.3], [0.3, 0.35, 0.3]])).tolist() == ["a", "b"]
    pair = classifier(outputs=1, classes=("a", "b"), tie=0.01)
    assert pair.predict(np.array([[0.005], [0.02], [-0.5]])).tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    "changes",
    [
        {"link": "logistic"},
        {"link": "mean_probabilities"},
        {"link": "softmax", "outputs": 1},
        {"link_scale": 0.0},
        {"link_scale": -1.0},
        {"link_scale": math.inf},
        {"link_scale": math.nan},
        {"tie": -1e-9},
        {"tie": math.nan},
        {"tie": math.inf},
        {"methods": ("predict", "predict_proba")},
    ],
)
def test_a_regressor_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        regressor(**changes)
    assert caught.value.code == "SR-PLAN-INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"link": "exp"},
        {"link": "softplus"},
        {"link": "signed_square"},
        {"link": "logistic_each", "outputs": 1, "classes": ("a", "b")},
        {"link": "mean_probabilities", "methods": ("predict",)},
        {"link": "identity"},
        {"outputs": 2},
        {"link_scale": math.nan},
        {"tie": math.nan},
    ],
)
def test_a_classifier_that_contradicts_itself_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        classifier(**changes)
    assert caught.value.code == "SR-PLAN-INVALID"
