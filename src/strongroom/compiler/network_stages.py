"""The stages of a planned network: levels from its plan, times and memory from the cost model."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar

from strongroom.compiler.activation_circuits import Circuit
from strongroom.compiler.depth import planned_levels
from strongroom.compiler.layer_names import LayerName
from strongroom.compiler.network_costs import (
    PLANNED_THREADS,
    edge_work,
    model_bytes,
    peak_bytes,
    server_work,
    sum_work,
    weight_bytes,
)
from strongroom.compiler.network_levels import NetworkLevels, StepLevels
from strongroom.compiler.network_model import NetworkModel
from strongroom.compiler.network_packing import NetworkPacking
from strongroom.compiler.plan import CircuitLayout, NetworkLayout, Plan
from strongroom.compiler.stages import MatrixPacking, Stage, log2
from strongroom.engine import Parameters, catalogued
from strongroom.engine.measured_costs import cost_model
from strongroom.engine.polynomial_planning import plan_polynomial
from strongroom.engine.slot_functions import SlotFunctionPlan
from strongroom.engine.square_tower_plans import plan_square_tower
from strongroom.engine.square_towers import SquareTower

Number = TypeVar("Number", int, float)


def network_stages(
    plan: Plan,
    layout: NetworkLayout,
    packing: NetworkPacking,
    model: NetworkModel,
    names: Sequence[LayerName],
) -> tuple[Stage, ...]:
    """A stage for each hidden step, and one for the sums.

    Args:
        plan, layout, packing: of the network.
        model: with the circuits that it was planned for.
        names: of the plain model's hidden layers; fewer or more than steps if a layer became
            several.
    """
    parameters = catalogued(plan.parameters)
    levels = levels_of_plan(parameters, layout, model)
    times, working, weights = _shares(parameters, packing, levels)
    # What is predicted for all of it counts more than its parts alone: keys and diagonals that
    # come from memory again.
    rest = cost_model(parameters.kernel).milliseconds(
        parameters, edge_work(parameters, packing, levels)
    )
    spread = max(0.0, plan.costs.server_milliseconds - rest) / sum(times)
    stages = []
    for number, (step, its_levels) in enumerate(zip(layout.steps, levels.steps, strict=True)):
        name = names[number] if len(names) == len(layout.steps) else LayerName("", "")
        product = packing.steps[number].layout
        stages.append(
            Stage(
                kind="hidden",
                name=f"hidden layer {number + 1}",
                node=name.node,
                inputs=step.blocks * step.inputs,
                units=step.blocks * step.units,
                blocks=step.blocks,
                function=name.function,
                circuits=tuple(map(_described, model.steps[number].circuits)),
                levels=planned_levels(step),
                primes_before=its_levels.limbs,
                primes_after=its_levels.result_limbs,
                matrix_primes=its_levels.drop,
                log_scale=log2(its_levels.result_scale),
                packing=MatrixPacking(
                    ciphertexts=step.chunks,
                    diagonals=product.diagonals,
                    span=step.span,
                    period=step.period,
                    paired=step.paired,
                    halved=step.halved,
                ),
                milliseconds=spread * times[number],
                working_bytes=working[number],
                weight_bytes=weights[number],
            )
        )
    last = layout.steps[-1]
    return (
        *stages,
        Stage(
            kind="scores",
            name="scores",
            node="",
            inputs=last.blocks * last.units,
            units=layout.outputs,
            blocks=1,
            function="",
            circuits=(),
            levels=0,
            primes_before=layout.sum_limbs,
            primes_after=layout.response_limbs,
            matrix_primes=layout.sum_limbs - layout.response_limbs,
            log_scale=log2(levels.response_scale(parameters)),
            packing=None,
            milliseconds=min(rest, plan.costs.server_milliseconds) + spread * times[-1],
            working_bytes=0,
            weight_bytes=weights[-1],
        ),
    )


def levels_of_plan(
    parameters: Parameters, layout: NetworkLayout, model: NetworkModel
) -> NetworkLevels:
    """The levels that a plan was made with.

    Args:
        model: with the circuits that it was planned for.

    Raises:
        ValueError: they are others.
    """
    limbs, scale = layout.input_limbs, Fraction(2) ** layout.log_input_scale
    steps: list[StepLevels] = []
    for step, its_model in zip(layout.steps, model.steps, strict=True):
        product = scale * Fraction(2) ** step.log_weight_scale
        for prime in parameters.primes[limbs - step.drop : limbs]:
            product /= prime
        at, at_scale = limbs - step.drop, product
        plans: list[SlotFunctionPlan] = []
        for circuit, its_layout in zip(its_model.circuits, step.circuits, strict=True):
            plans.append(_planned(parameters, circuit, its_layout, at, at_scale))
            at, at_scale = plans[-1].limbs, plans[-1].scale
        steps.append(StepLevels(limbs, step.log_weight_scale, step.drop, product, tuple(plans)))
        limbs, scale = at, at_scale
    return NetworkLevels(
        layout.input_limbs,
        layout.log_input_scale,
        tuple(steps),
        layout.sum_limbs,
        layout.log_sum_scale,
        layout.response_limbs,
        layout.hidden,
    )


def _planned(
    parameters: Parameters, circuit: Circuit, layout: CircuitLayout, limbs: int, scale: Fraction
) -> SlotFunctionPlan:
    if isinstance(circuit, SquareTower):
        return plan_square_tower(parameters, circuit, limbs, scale, levels=layout.drops)
    first, *others = layout.drops
    return plan_polynomial(parameters, circuit, limbs, scale, levels=others, first_drop=first)


def _shares(
    parameters: Parameters, packing: NetworkPacking, levels: NetworkLevels
) -> tuple[list[float], list[int], list[int]]:
    """Milliseconds and working memory and weights of each step, and last of the sums: by how much
    costs grow with each. The sums after some steps depend on how many ciphertexts hold their
    values, which is taken out."""
    model = cost_model(parameters.kernel)
    groups = packing.sums.groups
    sum_time = model.milliseconds(
        parameters, sum_work(parameters, levels, 1) * groups, PLANNED_THREADS
    )
    sum_bytes = groups * weight_bytes(parameters, levels.sum_limbs, levels.hidden)
    times: list[float] = []
    working: list[int] = []
    weights: list[int] = []
    for count in range(len(packing.steps) + 1):
        its_packing = replace(packing, steps=packing.steps[:count])
        its_levels = replace(levels, steps=levels.steps[:count])
        chunks = packing.steps[count - 1].chunks if count else 1
        work = server_work(parameters, its_packing, its_levels)
        time = model.milliseconds(parameters, work, PLANNED_THREADS)
        times.append(time - chunks * sum_time)
        working.append(peak_bytes(parameters, its_packing, its_levels))
        weights.append(model_bytes(parameters, its_packing, its_levels) - chunks * sum_bytes)
    chunks = packing.steps[-1].chunks
    return (
        [*_growth(times), chunks * sum_time],
        [*_growth(working), 0],
        [*_growth(weights), chunks * sum_bytes],
    )


def _growth(totals: Sequence[Number]) -> list[Number]:
    return [after - before for before, after in itertools.pairwise(totals)]


def _described(circuit: Circuit) -> str:
    if isinstance(circuit, SquareTower):
        if circuit.depth == 1:
            return "parabola"
        return f"square tower of depth {circuit.depth}, degree {circuit.degree}"
    return f"polynomial of degree {circuit.degree}"
