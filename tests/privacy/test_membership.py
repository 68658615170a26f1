"""Membership inference: found where it must be, not found where there is none, never guessed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from strongroom.canonical import canonical_json
from strongroom.errors import InputError, PolicyError
from strongroom.models.links import Link, probabilities
from strongroom.models.output import OutputSpec
from strongroom.privacy.membership import (
    MembershipRisk,
    difference_interval,
    membership_risk,
    sentence,
)

REGRESSOR = OutputSpec("regression", "identity", 1, (), "<f8", True, ("predict",))


def classifier(outputs: int, link: Link = "identity", classes: tuple[Any, ...] = ()) -> OutputSpec:
    names = classes or tuple(range(max(outputs, 2)))
    methods: tuple[Any, ...] = ("predict", "decision_function")
    if link != "identity":
        methods = ("predict", "predict_proba", "decision_function")
    dtype = "|O" if classes else "<i8"
    return OutputSpec("classification", link, outputs, names, dtype, False, methods)


def column(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def noisy_rows(seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """600 rows of which a fifth has another label than the columns tell."""
    rows, labels = make_classification(600, 20, n_informative=5, flip_y=0.4, random_state=seed)
    return rows, labels


def test_a_forest_that_remembers_its_rows_gives_them_away() -> None:
    X, y = noisy_rows()
    forest = RandomForestClassifier(50, random_state=0).fit(X[:300], y[:300])
    scores = forest.predict_proba(X)
    known = membership_risk(classifier(2), scores[:300], scores[300:], y[:300], y[300:])
    assert known.attack == "loss"
    assert known.advantage_low > 0.5
    assert known.low_true_positives > 0.3
    assert known.low_false_positives < 0.1
    assert "can tell better than by guessing" in sentence(known)

    alone = membership_risk(classifier(2), scores[:300], scores[300:])
    assert alone.attack == "confidence"
    assert alone.advantage_low > 0.3
    assert (known.members, known.nonmembers) == (150, 150)


def test_a_model_of_few_parameters_gives_away_little() -> None:
    X, y = make_classification(1200, 4, n_informative=3, n_redundant=0, random_state=0)
    model = LogisticRegression().fit(X[:600], y[:600])
    scores = column(model.decision_function(X))
    for labels in ((y[:600], y[600:]), (None, None)):
        risk = membership_risk(classifier(1, "logistic"), scores[:600], scores[600:], *labels)
        assert risk.advantage_low <= 0.0 <= risk.advantage_high
        assert "do not show an advantage" in sentence(risk)


def test_where_membership_is_drawn_by_lot_the_interval_holds_zero_as_often_as_it_says() -> None:
    held = 0
    for seed in range(300):
        random = np.random.default_rng(seed)
        members, others = (column(random.normal(size=80)) for _ in range(2))
        risk = membership_risk(classifier(1, "logistic"), members, others)
        held += risk.advantage_low <= 0.0 <= risk.advantage_high
    assert 0.92 <= held / 300 <= 1.0


def test_regressors_are_told_by_their_squared_error() -> None:
    X, y = make_regression(400, 30, noise=20.0, random_state=0)
    forest = RandomForestRegressor(50, random_state=0).fit(X[:200], y[:200])
    ridge = Ridge(1000.0).fit(X[:200], y[:200])
    scores = column(forest.predict(X))
    remembers = membership_risk(REGRESSOR, scores[:200], scores[200:], y[:200], y[200:])
    assert remembers.advantage_low > 0.2
    scores = column(ridge.predict(X))
    shrunk = membership_risk(REGRESSOR, scores[:200], scores[200:], y[:200], y[200:])
    assert shrunk.advantage_low <= 0.0
    with pytest.raises(InputError, match="without the true values") as caught:
        membership_risk(REGRESSOR, scores[:200], scores[200:])
    assert caught.value.code == "SR-INPUT-MEMBERS"


def test_the_order_and_the_names_of_classes_are_the_model_s() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 3, 200)
    sure = 0.1 * random.normal(size=(200, 3)) + 8.0 * np.eye(3)[truth]
    unsure = 0.1 * random.normal(size=(200, 3))
    names = np.array(["rot", "green", "blau"])[truth]
    output = classifier(3, "softmax", ("rot", "green", "blau"))
    risk = membership_risk(output, sure, unsure, names, names)
    assert (risk.advantage, risk.low_true_positives) == (1.0, 1.0)
    assert risk.low_false_positives <= 0.02
    # A member that is surely wrong has a large loss.
    wrong = membership_risk(output, sure, unsure, np.roll(names, 1), names)
    assert wrong.advantage < 0.6


@pytest.mark.parametrize(
    ("link", "outputs"),
    [
        ("logistic", 1),
        ("softmax", 4),
        ("ovr_logistic", 4),
        ("logistic_each", 4),
        ("modified_huber", 1),
        ("mean_probabilities", 1),
    ],
)
def test_rows_are_ordered_by_loss_even_where_probabilities_round_to_one(
    link: Link, outputs: int
) -> None:
    """Members answer with 60 where others answer with 50: both are certain in float64."""
    output = classifier(outputs, link)
    random = np.random.default_rng(1)
    moderate = random.uniform(-3.0, 3.0, size=(200, outputs))
    truth = np.zeros(200, dtype=np.int64)
    loss = -np.log(np.maximum(probabilities(link, moderate)[:, 0], 1e-300))
    split = np.median(loss)
    better, worse = moderate[loss < split], moderate[loss >= split]
    risk = membership_risk(output, better, worse, truth[: len(better)], truth[: len(worse)])
    assert risk.advantage > 0.9
    if link in ("logistic", "softmax", "logistic_each"):
        sign = -1.0 if outputs == 1 else 1.0  # class 0 is the one below zero
        scores = np.zeros((200, outputs))
        scores[:, 0] = sign * 60.0
        lower = scores.copy()
        lower[:, 0] = sign * 50.0
        assert membership_risk(output, scores, lower, truth, truth).advantage == 1.0


def test_votes_of_pairs_tell_by_their_confidence() -> None:
    """Three classes, scores 01, 02 and 12; members vote for their class with more confidence."""
    methods: tuple[Any, ...] = ("predict", "decision_function")
    output = OutputSpec(
        "classification", "identity", 3, (0, 1, 2), "<i8", False, methods, pairs="ovr"
    )
    random = np.random.default_rng(4)
    signs = np.array([[1, 1, 1], [-1, 1, 1], [-1, -1, -1]])  # all for 0, for 1, for 2
    truth = random.integers(0, 3, 200)
    others = signs[truth] * random.uniform(0.1, 0.5, size=(200, 3))
    members = signs[truth] * random.uniform(2.0, 3.0, size=(200, 3))
    assert membership_risk(output, members, others, truth, truth).advantage > 0.9
    assert membership_risk(output, members, others).advantage > 0.9


def test_a_regressor_s_values_are_compared_behind_its_link() -> None:
    output = OutputSpec("regression", "exp", 1, (), "<f8", True, ("predict",))
    truth = np.random.default_rng(5).uniform(1.0, 10.0, 100)
    near, far = column(np.log(truth)), column(np.log(truth + 1.0))
    assert membership_risk(output, near, far, truth, truth).advantage == 1.0


def test_equal_answers_tell_nothing() -> None:
    scores = np.ones((50, 1))
    risk = membership_risk(classifier(1, "logistic"), scores, scores)
    assert (risk.advantage, risk.low_true_positives) == (0.0, 0.0)
    assert risk.advantage_low < 0.0 < risk.advantage_high


def test_the_same_rows_give_the_same_numbers() -> None:
    random = np.random.default_rng(2)
    scores = random.normal(size=(100, 3))
    first = membership_risk(classifier(3), scores[:60], scores[60:])
    assert first == membership_risk(classifier(3), scores[:60].copy(), scores[60:].copy())


def test_a_threshold_is_never_measured_on_the_rows_that_chose_it() -> None:
    """With 40 rows of pure noise the best threshold for all of them looks far better than 0."""
    apparent, honest = [], []
    for seed in range(100):
        random = np.random.default_rng(1000 + seed)
        members, others = random.normal(size=(20, 1)), random.normal(size=(20, 1))
        apparent.append(
            max(float(np.mean(members >= t) - np.mean(others >= t)) for t in members[:, 0])
        )
        honest.append(membership_risk(classifier(1), members, others).advantage)
    assert np.mean(apparent) > 0.15
    assert abs(np.mean(honest)) < 0.06


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [  # Newcombe 1998, table II, contrasts (a), (c), (d) and (h), method 10
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((10, 10), (0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_is_newcombe_s(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    assert difference_interval(*first, *second) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("total", [10, 11, 37, 1000, 12_345])
def test_an_interval_stays_where_differences_are(total: int) -> None:
    for first, second in ((0, total), (total, 0), (0, 0), (total, total)):
        low, high = difference_interval(first, total, second, total)
        assert -1.0 <= low <= (first - second) / total <= high <= 1.0


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ((np.zeros(30), None), "for members or for nonmembers only"),
        ((np.zeros(29), np.zeros(30)), "member_labels has 29 entries for 30 rows"),
        ((np.zeros(30), np.array([0] * 7 + [2] * 23)), "nonmember_labels of row 7 is none of"),
        ((np.array(["no"] * 30), np.zeros(30)), "member_labels of row 0 is none of"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(labels: tuple[Any, Any], problem: str) -> None:
    scores = np.zeros((30, 1))
    with pytest.raises(InputError, match=problem) as caught:
        membership_risk(classifier(1), scores, scores, *labels)
    assert caught.value.code == "SR-INPUT-MEMBERS"


@pytest.mark.parametrize("values", [["a"] * 30, [1.0] * 29, [np.nan] * 30, [[1.0, 2.0]] * 30, 3.0])
def test_values_that_cannot_be_used_are_refused(values: Any) -> None:
    with pytest.raises(InputError, match="member_labels") as caught:
        membership_risk(REGRESSOR, np.zeros((30, 1)), np.zeros((30, 1)), values, [1.0] * 30)
    assert caught.value.code == "SR-INPUT-MEMBERS"


@pytest.mark.parametrize(("members", "others"), [(19, 100), (100, 19), (0, 100)])
def test_too_few_rows_are_refused(members: int, others: int) -> None:
    with pytest.raises(InputError, match="at least 20") as caught:
        membership_risk(classifier(1), np.zeros((members, 1)), np.zeros((others, 1)))
    assert caught.value.code == "SR-INPUT-MEMBERS"


def test_a_risk_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        MembershipRisk("loss", 10, 10, 0.5, 0.6, 0.7, 0.1, 0.0)
    assert caught.value.code == "SR-PLAN-INVALID"


def test_a_risk_can_stand_in_a_manifest() -> None:
    scores = np.random.default_rng(3).normal(size=(100, 1))
    risk = membership_risk(classifier(1), scores[:50], scores[50:])
    assert canonical_json(risk).startswith(b'{"advantage":')
