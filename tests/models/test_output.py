"""OutputSpec: labels, probabilities and shapes, and refusal of specs from a hostile server."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from strongroom.errors import ModelError, PolicyError
from strongroom.models.links import probabilities
from strongroom.models.output import OutputSpec


def classifier(**changes: Any) -> OutputSpec:
    fields: dict[str, Any] = {
        "task": "classification",
        "link": "softmax",
        "outputs": 3,
        "classes": ("a", "b", "c"),
        "label_dtype": "<U1",
        "flat": False,
        "methods": ("predict", "predict_proba", "decision_function"),
    }
    return OutputSpec(**(fields | changes))


def binary(**changes: Any) -> OutputSpec:
    return classifier(**({"link": "logistic", "outputs": 1, "classes": ("a", "b")} | changes))


def regressor(**changes: Any) -> OutputSpec:
    fields: dict[str, Any] = {
        "task": "regression",
        "link": "identity",
        "outputs": 1,
        "classes": (),
        "label_dtype": "<f8",
        "flat": True,
        "methods": ("predict",),
    }
    return OutputSpec(**(fields | changes))


def test_a_tie_goes_to_the_first_class() -> None:
    assert classifier().predict(np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 2.0]])).tolist() == [
        "a",
        "b",
    ]


def test_a_binary_score_of_zero_is_the_first_class() -> None:
    scores = np.array([[-0.0], [0.0], [5e-324], [-5e-324]])
    assert binary().predict(scores).tolist() == ["a", "a", "b", "a"]


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        ((False, True), "|b1"),
        ((-3, 7), "|i1"),
        ((0, 2**63), "<u8"),
        ((0.5, 1.5), "<f4"),
        (("no", "yes"), "<U7"),
        (("no", "yes"), "|O"),
    ],
)
def test_labels_have_the_dtype_of_the_plain_model(classes: Any, dtype: str) -> None:
    spec = binary(classes=classes, label_dtype=dtype)
    labels = spec.predict(np.array([[-1.0], [1.0]]))
    assert labels.dtype.str == dtype
    assert labels.tolist() == list(classes)


@pytest.mark.parametrize("classes", [(False, True), (0, 1), (0.0, 1.0), ("0", "1")])
def test_labels_survive_json(classes: Any) -> None:
    dtype = np.array(classes).dtype.str
    spec = binary(classes=classes, label_dtype=dtype)
    again = msgspec.json.decode(msgspec.json.encode(spec), type=OutputSpec)
    assert again == spec
    assert [type(label) for label in again.classes] == [type(label) for label in classes]


def test_values_are_flat_or_a_table() -> None:
    scores = np.array([[1.0], [2.0]])
    assert regressor().predict(scores).shape == (2,)
    assert regressor(flat=False).predict(scores).shape == (2, 1)
    assert regressor(outputs=2, flat=False).predict(np.zeros((3, 2))).shape == (3, 2)
    assert regressor(label_dtype="<f4").predict(scores).dtype == np.float32


def test_scores_are_flat_for_two_classes_only() -> None:
    assert binary().decision_function(np.zeros((4, 1))).shape == (4,)
    assert classifier().decision_function(np.zeros((4, 3))).shape == (4, 3)


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_a_method_that_the_plain_model_lacks_is_refused(method: str) -> None:
    with pytest.raises(ModelError) as caught:
        getattr(regressor(), method)(np.zeros((1, 1)))
    assert caught.value.code == "SR-MODEL-METHOD"
    assert method in str(caught.value)


@pytest.mark.parametrize("link", ["softmax", "ovr_logistic", "modified_huber"])
def test_probabilities_are_finite_and_sum_to_one_for_extreme_scores(link: Any) -> None:
    scores = np.array([[1e300, -1e300, 0.0], [-1e4, -1e4, -1e4], [0.0, 0.0, 0.0]])
    result = probabilities(link, scores)
    assert np.isfinite(result).all()
    assert np.allclose(result.sum(axis=1), 1.0)


def test_a_row_of_zeros_stays_where_the_plain_model_leaves_it() -> None:
    scores = np.full((1, 3), -1e4)
    assert probabilities("ovr_logistic_or_zero", scores).tolist() == [[0.0, 0.0, 0.0]]
    assert probabilities("ovr_logistic", scores).tolist() == [[1 / 3, 1 / 3, 1 / 3]]


def test_scores_of_another_width_are_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 3\)"):
        classifier().predict(np.zeros((2, 2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": 0},
        {"outputs": 2**30},
        {"outputs": 2},
        {"classes": ("a", "b")},
        {"classes": ("a", "b", "b")},
        {"classes": ("a", "b", "long")},
        {"classes": ("a", "b", 3)},
        {"classes": (1, 2, 300), "label_dtype": "|i1"},
        {"classes": (1, 2, -3), "label_dtype": "<u8"},
        {"classes": (1, 2, True), "label_dtype": "<i8"},
        {"classes": (1.0, 2.0, float("nan")), "label_dtype": "<f8"},
        {"label_dtype": "<U1000000000"},
        {"label_dtype": "<U9999"},
        {"label_dtype": "<M8[s]"},
        {"label_dtype": "|V8"},
        {"label_dtype": "f8,f8"},
        {"label_dtype": ""},
        {"link": "logistic"},
        {"link": "identity"},
        {"methods": ()},
        {"methods": ("decision_function",)},
        {"methods": ("predict", "predict")},
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        classifier(**changes)
    assert caught.value.code == "SR-PLAN-INVALID"


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ("a",)},
        {"link": "softmax"},
        {"methods": ("predict", "predict_proba")},
        {"label_dtype": "<i8"},
        {"outputs": 2},
    ],
)
def test_contradictions_of_a_regressor_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        regressor(**changes)
    assert caught.value.code == "SR-PLAN-INVALID"


PAIRS = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, -2.0], [-1.0, -1.0, 1.0], [1.0, -3.0, 0.5]])
"""Scores of three pairs of classes: a against b, a against c, b against c."""


def test_most_votes_of_pairs_win_and_the_first_class_in_a_tie() -> None:
    spec = classifier(link="identity", methods=("predict", "decision_function"), pairs="ovo")
    assert spec.predict(PAIRS).tolist() == ["a", "a", "b", "a"]
    assert spec.decision_function(PAIRS).tolist() == PAIRS.tolist()


def test_confidences_of_pairs_break_ties_where_the_plain_model_does_so() -> None:
    fields: dict[str, Any] = {"link": "identity", "methods": ("predict", "decision_function")}
    shown = classifier(**fields, pairs="ovr")
    broken = classifier(**fields, pairs="ovr_break_ties")
    assert shown.predict(PAIRS).tolist() == ["a", "a", "b", "a"]
    assert broken.predict(PAIRS).tolist() == ["a", "c", "b", "c"]
    table = shown.decision_function(PAIRS)
    assert np.array_equal(table, broken.decision_function(PAIRS))
    # class a has one vote, and confidences 1 - 3 = -2
    assert table[3, 0] == 1 - 2 / (3 * 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": 2},
        {"outputs": 1, "classes": ("a", "b")},
        {"link": "softmax", "methods": ("predict", "predict_proba")},
        {"outputs": 4, "classes": tuple("abcd")},
    ],
)
def test_pairs_that_contradict_the_classes_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as caught:
        classifier(**({"link": "identity", "methods": ("predict",), "pairs": "ovr"} | changes))
    assert caught.value.code == "SR-PLAN-INVALID"
