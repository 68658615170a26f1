"""A plan is public, and its numbers come from the weights: what can be computed back?

Flooding is sized by a bound on the noise, which holds the Euclidean norm of the weights; the
predicted error of a score holds the sum of their magnitudes, its precision the largest score of the
sample. Each exact digit of them would be an equation on the weights that no query paid for. The
statement allows orders of magnitude.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from attacking_client import Target, breast_cancer, protected
from sklearn.linear_model import LinearRegression

from strongroom.compiler.noise import (
    TAIL,
    log_sanitising_sigma,
    public_variance,
    rounding_variance,
    symmetric_variance,
)
from strongroom.compiler.precision import WeightNorms, product_bound
from strongroom.policy import Policy


def norm_from_flooding(target: Target, log_sigma: float) -> float:
    """The norm of the weights for which flooding would have exactly this deviation."""
    circuit = target.circuit
    parameters, limbs = circuit.parameters, circuit.limbs
    n = parameters.ring_degree
    unit = log_sanitising_sigma(Policy().sanitising_bits, circuit.exposed, 1.0)
    bound = 2.0 ** (log_sigma - unit)
    product = (bound / TAIL) ** 2 - rounding_variance(n) - public_variance(n)
    dropped = parameters.log_prefix(limbs.input) - parameters.log_prefix(limbs.sanitise)
    integers = math.sqrt(max(0.0, product) / symmetric_variance())
    integers *= 2.0 ** (dropped - circuit.layout.log_weight_scale)
    return integers - 0.5 * math.sqrt(n) * 2.0**-circuit.layout.log_weight_scale


def test_flooding_tells_an_order_of_magnitude_of_the_weights_and_no_more() -> None:
    target = breast_cancer()
    circuit = target.circuit
    truth = float(np.linalg.norm(target.weights))
    norms = WeightNorms(bound=1.0, euclidean=truth, absolute=1.0, columns=30)
    exact = log_sanitising_sigma(
        Policy().sanitising_bits,
        circuit.exposed,
        product_bound(circuit.parameters, circuit.limbs, circuit.layout.log_weight_scale, norms),
    )
    # The attack works on the exact deviation, so it is not the attack that fails below.
    assert norm_from_flooding(target, exact) == pytest.approx(truth, rel=1e-9)
    assert norm_from_flooding(target, circuit.layout.flooding_log_sigma) != pytest.approx(
        truth, rel=0.01
    )


def public_numbers(target: Target) -> dict[str, Any]:
    """Everything in a plan but the predicted times, which are measured afresh."""
    plan = msgspec.to_builtins(target.plan)
    plan["costs"] = {k: v for k, v in plan["costs"].items() if not k.endswith("milliseconds")}
    assert isinstance(plan, dict)
    return plan


def test_models_that_differ_in_the_seventh_digit_have_one_plan() -> None:
    generator = np.random.default_rng(3)
    rows = generator.normal(size=(100, 12))
    plans = []
    for run in range(6):
        model = LinearRegression().fit(rows, rows @ np.linspace(-3, 3, 12))
        if run:
            model.coef_ = model.coef_ * (1 + 1e-7 * generator.normal(size=12))
        plans.append(public_numbers(protected(model, rows)))
    assert all(plan == plans[0] for plan in plans)
