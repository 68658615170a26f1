"""Levels and scales of a network: they follow from each other, fit, and are those of its plan."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from small_networks import choices_of, layout_of

from strongroom.compiler.activation_circuits import Circuit
from strongroom.compiler.network_levels import (
    LEAST_WEIGHT_BITS,
    SPARE_BITS,
    SPARE_SUM_BITS,
    Magnitudes,
    NetworkLevels,
    walk,
)
from strongroom.engine import Polynomial, catalogued
from strongroom.engine.square_towers import SquareTower
from strongroom.protections.fhe.network_circuit import NetworkCircuit

SQUARE, DEEP = SquareTower.plain(1), SquareTower.plain(3)
CUBIC = Polynomial(np.array([0.1, 0.5, 0.2, 0.3]), "power")
MAGNITUDES = {1: Magnitudes((1.0,), 4, 14), 2: Magnitudes((1.0, 1.0), 4, 14)}

NETWORKS: dict[str, tuple[list[list[Circuit]], str, int, int]] = {
    "a square": ([[SQUARE]], "n14-q300-p130-v1", 7, 50),
    "an octic": ([[DEEP]], "n14-q300-p130-v1", 10, 50),
    "a cubic": ([[CUBIC]], "n15-q570-p274-v1", 15, 60),
    "two squares": ([[SQUARE], [SQUARE]], "n15-q570-p274-v1", 12, 55),
    "squares one after the other": ([[SQUARE, SQUARE]], "n15-q570-p274-v1", 12, 55),
    "nothing": ([[]], "n14-q300-p130-v1", 6, 45),
}


def walked(name: str) -> NetworkLevels:
    circuits, parameters, limbs, target = NETWORKS[name]
    levels = walk(catalogued(parameters), circuits, MAGNITUDES[len(circuits)], limbs, target)
    assert levels is not None
    return levels


@pytest.mark.parametrize("name", NETWORKS)
def test_every_step_begins_where_the_one_before_ends(name: str) -> None:
    circuits, parameters, limbs, target = NETWORKS[name]
    levels, primes = walked(name), catalogued(parameters).primes
    assert (levels.input_limbs, len(levels.steps)) == (limbs, len(circuits))
    at, scale = limbs, Fraction(2) ** levels.log_input_scale
    for step in levels.steps:
        assert step.limbs == at
        assert step.log_weight_scale >= LEAST_WEIGHT_BITS
        product = scale * Fraction(2) ** step.log_weight_scale
        assert step.scale == product / math.prod(primes[at - step.drop : at])
        # Products are near the scale that was asked for.
        assert abs(math.log2(step.scale) - target) <= 1.0
        at, scale = step.product_limbs, step.scale
        for plan in step.circuits:
            assert plan.input_limbs == at
            at, scale = plan.limbs, plan.scale
        assert (step.result_limbs, step.result_scale) == (at, scale)
    assert 1 <= levels.response_limbs <= levels.sum_limbs <= at
    assert levels.score_scale() == scale * Fraction(2) ** levels.log_sum_scale


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_fit_the_primes_at_which_they_are_summed(name: str) -> None:
    circuits, names, _, _ = NETWORKS[name]
    levels, parameters = walked(name), catalogued(names)
    magnitudes = MAGNITUDES[len(circuits)]
    spare = levels.log_sum_scale - magnitudes.log_sum_scale
    assert 0 <= spare <= SPARE_SUM_BITS
    taken = math.log2(levels.score_scale()) + magnitudes.log_bound + SPARE_BITS
    assert taken <= parameters.log_prefix(levels.sum_limbs) + 1e-6
    if levels.sum_limbs > 1:
        room = parameters.log_prefix(levels.sum_limbs - 1)
        least = math.log2(levels.steps[-1].result_scale) + magnitudes.log_sum_scale
        assert least + magnitudes.log_bound + SPARE_BITS > room


def test_what_does_not_fit_has_no_levels() -> None:
    parameters = catalogued("n14-q300-p130-v1")
    # Too few primes, too large a scale, too large numbers, or too deep.
    assert walk(parameters, [[SQUARE]], MAGNITUDES[1], 2, 50) is None
    assert walk(parameters, [[SQUARE]], MAGNITUDES[1], 7, 300) is None
    assert walk(parameters, [[SQUARE]], Magnitudes((1.0,), 400, 14), 10, 50) is None
    assert walk(parameters, [[SQUARE]], Magnitudes((2.0**250,), 4, 14), 10, 50) is None
    assert walk(parameters, [[SQUARE]], Magnitudes((1.0,), 4, 290), 10, 50) is None
    assert walk(parameters, [[SquareTower.plain(9)]], MAGNITUDES[1], 10, 50) is None


@pytest.mark.parametrize("name", ["tree", "two layers of squares", "a polynomial", "blocks"])
def test_a_client_derives_the_same_levels_from_a_plan(name: str) -> None:
    for choice in choices_of(name)[:3]:
        layout, plan = layout_of(choice), choice.plan
        parameters = catalogued(plan.parameters)
        circuit = NetworkCircuit.of(plan)
        circuits = [step.circuits for step in choice.model.steps]
        # The same walk as the planner's, of which the plan holds the result.
        magnitudes = Magnitudes((1.0,) * len(circuits), layout.log_bound, layout.log_sum_scale)
        found = [
            levels
            for target in range(layout.log_input_scale, layout.log_input_scale + 24)
            if (levels := walk(parameters, circuits, magnitudes, layout.input_limbs, target))
            and levels.log_input_scale == layout.log_input_scale
            and [s.log_weight_scale for s in levels.steps]
            == [s.log_weight_scale for s in layout.steps]
        ]
        assert found
        levels = found[0]
        assert [step.limbs for step in levels.steps] == list(circuit.step_limbs[:-1])
        assert [step.result_scale for step in levels.steps] == list(circuit.step_scales[1:])
