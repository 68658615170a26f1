"""The same network with plain weights, on the parameters and levels of its hidden plan.

Left to itself, the planner gives plain weights fewer primes: they have no noise of their own. What
encrypting weights costs on given parameters shows when all else stays: parameters, packing, the
primes of every step, circuit and sum. What differs follows from the weights being plain: keys for
fewer products, and sums that the server sanitises, for which their weights' scale, and no number of
primes, is less.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from own_home import OWNER

import strongroom
from strongroom import protections
from strongroom.compiler.network_costs import key_elements, network_costs
from strongroom.compiler.network_guarantee import network_guarantee
from strongroom.compiler.network_levels import Magnitudes, NetworkLevels, walk
from strongroom.compiler.network_messages import NetworkSizes
from strongroom.compiler.network_model import NetworkModel
from strongroom.compiler.network_noise import flooding, sum_noise
from strongroom.compiler.plan import Plan, StepLayout
from strongroom.engine import LARGEST_LOG_FLOOD
from strongroom.package.manifest import Parity
from strongroom.package.parity import protected_scores
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_payload import payload_to_bytes
from strongroom.protections.fhe.protection import SEGMENT


def plain_package(
    name: str,
    hidden: Plan,
    model: NetworkModel,
    rows: NDArray[np.float64],
    policy: strongroom.Policy,
) -> strongroom.Package:
    """A package to serve that hides inputs only.

    Args:
        hidden: the plan of the hidden network.
        model: its weights and circuits.
        rows: checked, on which both are compared.
        policy: of the plan, with hide="inputs".
    """
    plan = _plan(NetworkCircuit.of(hidden), hidden, model, policy)
    payload = {SEGMENT: payload_to_bytes(model)}
    answers = protected_scores(protections.by_name("fhe"), plan, payload, rows, policy)
    exact = model.scores(encoded_rows(plan, rows))
    agreeing = plan.output.predict(answers) == plan.output.predict(exact)
    parity = Parity(
        rows=len(rows),
        agreement=float(np.mean(agreeing)),
        max_score_error=float(np.abs(answers - exact).max()),
    )
    return strongroom.Package.create(
        name=name, plan=plan, payload=payload, parity=parity, owner=OWNER
    )


def encoded_rows(plan: Plan, rows: NDArray[Any]) -> NDArray[np.float64]:
    """What an asker of a network encrypts of rows, before it is laid out in slots."""
    layout = NetworkCircuit.of(plan).layout
    z = (plan.features.encode(rows) - np.array(layout.centre)) / np.array(layout.half_width)
    return np.asarray(np.clip(z, -layout.headroom, layout.headroom))


def _plan(
    circuit: NetworkCircuit, hidden: Plan, model: NetworkModel, policy: strongroom.Policy
) -> Plan:
    parameters, packing = circuit.parameters, circuit.packing
    levels = _levels(circuit, model)
    while True:
        noise = math.ceil(math.log2(sum_noise(parameters, packing, levels, model)))
        floods = flooding(circuit.sending, float(levels.response_scale(parameters)), noise, policy)
        excess = math.ceil(floods.flooding_log_sigma - LARGEST_LOG_FLOOD)
        if excess <= 0:
            break
        levels = replace(levels, log_sum_scale=levels.log_sum_scale - excess)
    sizes = NetworkSizes(
        parameters,
        packing.vectors,
        levels.input_limbs,
        levels.response_limbs,
        circuit.input_scale,
        levels.response_scale(parameters),
        packing.sums,
    )
    log_step = math.floor(math.log2(floods.score_deviation / circuit.sending.spread)) + 1
    layout = msgspec.structs.replace(
        circuit.layout,
        steps=tuple(_plain_step(step) for step in circuit.layout.steps),
        keys=key_elements(parameters, packing, levels),
        blocks_per_request=sizes.blocks_per_request(),
        log_noise=floods.log_noise,
        log_sum_scale=levels.log_sum_scale,
        flooding_log_sigma=floods.flooding_log_sigma,
        decryption_log_sigma=floods.decryption_log_sigma,
        log_output_step=log_step,
        holding=None,
    )
    return msgspec.structs.replace(
        hidden,
        layout=layout,
        guarantee=network_guarantee(
            parameters,
            layout,
            hidden.features,
            hidden.input.column_labels(),
            policy,
            results=packing.sums.groups,
        ),
        costs=network_costs(
            parameters,
            packing,
            levels,
            sizes,
            hidden.costs.score_error,
            hidden.costs.precision_bits,
        ),
        holder=None,
    )


def _levels(circuit: NetworkCircuit, model: NetworkModel) -> NetworkLevels:
    """The hidden plan's levels, with circuits that are placed on them again."""
    parameters, layout = circuit.parameters, circuit.layout
    circuits = [step.circuits for step in model.steps]
    no_bounds = Magnitudes((0.0,) * len(circuits), layout.log_bound, 0, hidden=True)
    found = walk(parameters, circuits, no_bounds, layout.input_limbs, layout.log_input_scale)
    if found is None:
        raise SystemExit("the hidden plan's levels are none")
    for step, again in zip(layout.steps, found.steps, strict=True):
        if (step.log_weight_scale, step.drop) != (again.log_weight_scale, again.drop):
            raise SystemExit("the plain network would be on other levels than the hidden one")
    return replace(
        found,
        sum_limbs=layout.sum_limbs,
        log_sum_scale=layout.log_sum_scale,
        response_limbs=layout.response_limbs,
        hidden=False,
    )


def _plain_step(step: StepLayout) -> StepLayout:
    circuits = [msgspec.structs.replace(circuit, hidden=()) for circuit in step.circuits]
    return msgspec.structs.replace(step, circuits=tuple(circuits))
