"""`protect` with members and nonmembers: what is measured stands in the statement."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import strongroom
from strongroom.errors import InputError, StrongroomError
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(160, 60)).clip(-3, 3)
Y = np.where(GENERATOR.random(160) < 0.5, "ill", "well")  # which nothing but memory can tell
MODEL = LogisticRegression(C=1e3, max_iter=2000).fit(X[:80], Y[:80])
SETS = {"members": X[:80], "nonmembers": X[80:]}
LABELS = {"member_labels": Y[:80], "nonmember_labels": Y[80:]}


def protect(model: Any = MODEL, **more: Any) -> strongroom.Package:
    return strongroom.protect(model, sample=X, **more)


def test_a_model_that_remembers_says_so_in_a_statement_that_askers_accept() -> None:
    package = protect(**SETS, **LABELS)
    stated = package.manifest.plan.guarantee
    assert stated.membership is not None
    assert (stated.membership.attack, stated.membership.members) == ("loss", 40)
    assert stated.membership.advantage_low > 0.2
    assert f"advantage {stated.membership.advantage:.3f}" in stated.training_data
    check_plan(package.manifest.plan, Policy())
    again = msgspec.json.decode(msgspec.json.encode(stated), type=strongroom.Guarantee)
    assert again == stated


def test_without_labels_it_is_the_confidence_that_is_looked_at() -> None:
    stated = protect(**SETS).manifest.plan.guarantee
    assert stated.membership is not None
    assert stated.membership.attack == "confidence"


def test_without_members_nothing_is_claimed() -> None:
    stated = protect().manifest.plan.guarantee
    assert stated.membership is None
    assert "It was not measured" in stated.training_data


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"members": X}, "nonmembers are not given"),
        ({"nonmembers": X}, "members are not given"),
        (LABELS, "members are not given"),
        (SETS | {"member_labels": Y[:80]}, "labels for members or for nonmembers only"),
        (SETS | {"members": X[:9]}, "members holds 9 rows"),
        (SETS | LABELS | {"member_labels": Y[:7]}, "member_labels has 7 entries for 80 rows"),
        (
            SETS | LABELS | {"nonmember_labels": ["dead"] * 80},
            "nonmember_labels of row 0 is none of",
        ),
        (SETS | {"members": X[:80] * 1e6}, r"members hold a row .* refuses \(SR-INPUT-RANGE\)"),
    ],
)
def test_what_cannot_be_measured_is_one_line(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        protect(**given)
    assert caught.value.code == "SR-INPUT-MEMBERS"
    assert "\n" not in str(caught.value)


def test_a_regressor_needs_the_true_values() -> None:
    model = LinearRegression().fit(X[:80], X[:80, 0])
    with pytest.raises(StrongroomError, match="a regressor's answers say nothing without"):
        protect(model, **SETS)
