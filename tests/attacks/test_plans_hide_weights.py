"""A plan is public, and its numbers come from the weights: what can be computed back?

Were flooding sized by the norm of the weights, its exact deviation would be an equation on them
that no query paid for. The statement allows orders of magnitude. So models whose scores have one
order of magnitude must have one plan, whatever their weights; only the precision of the largest
score of the sample may differ, by whole bits.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from attacking_client import Target, breast_cancer, protected
from sklearn.linear_model import LinearRegression

from strongroom.compiler.precision import decryption_flood, product_bound, sanitising_flood
from strongroom.policy import Policy

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal(size=(100, 12))


def public_numbers(target: Target) -> dict[str, Any]:
    """Everything in a plan but the predicted times, which are measured afresh, and the precision
    of the sample's largest score."""
    plan = msgspec.to_builtins(target.plan)
    measured = ("server_milliseconds", "client_milliseconds", "precision_bits")
    plan["costs"] = {k: v for k, v in plan["costs"].items() if k not in measured}
    assert isinstance(plan, dict)
    return plan


def regression(weights: np.ndarray[Any, np.dtype[np.float64]]) -> LinearRegression:
    """A model with these weights and no bias."""
    model = LinearRegression().fit(ROWS, ROWS @ weights)
    model.coef_, model.intercept_ = weights, 0.0
    return model


def test_models_of_one_order_of_magnitude_have_one_plan() -> None:
    # Norms from 1 to the root of 12, in all signs and shapes, with equal sums of magnitudes.
    flat, peaked = np.full(12, 1.0), np.zeros(12)
    peaked[5] = 12.0
    alternating = np.resize([1.5, -0.5], 12)
    plans = [public_numbers(protected(regression(w), ROWS)) for w in (flat, peaked, alternating)]
    assert plans[1] == plans[0]
    assert plans[2] == plans[0]


def test_a_model_of_another_order_of_magnitude_has_another_plan() -> None:
    small = public_numbers(protected(regression(np.full(12, 1.0)), ROWS))
    large = public_numbers(protected(regression(np.full(12, 4.0)), ROWS))
    assert small["layout"]["log_weight_scale"] != large["layout"]["log_weight_scale"]


def test_precision_is_told_in_whole_bits() -> None:
    assert breast_cancer().plan.costs.precision_bits % 1.0 == 0.0


def test_floods_follow_from_public_numbers_alone() -> None:
    target = breast_cancer()
    circuit, layout = target.circuit, target.plan.layout
    where = (circuit.parameters, circuit.limbs, layout.log_weight_scale, circuit.shape)
    assert layout.flooding_log_sigma == pytest.approx(
        sanitising_flood(*where, Policy().sanitising_bits), abs=1e-9
    )
    assert layout.decryption_log_sigma == pytest.approx(
        decryption_flood(*where, Policy()), abs=1e-9
    )


def test_the_public_bound_covers_the_true_weights() -> None:
    target = breast_cancer()
    circuit, shape = target.circuit, target.circuit.shape
    assert float(np.abs(target.weights).sum()) <= shape.absolute
    assert float(np.linalg.norm(target.weights)) <= shape.euclidean
    tighter = dataclasses.replace(shape, log_bound=shape.log_bound - 1)
    where = (circuit.parameters, circuit.limbs, target.plan.layout.log_weight_scale)
    assert product_bound(*where, tighter) < product_bound(*where, shape)
