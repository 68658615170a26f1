"""Where a network that is too deep runs out of levels: the refusal that names the layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.depth import keeps, step_levels
from strongroom.compiler.layer_names import LayerName
from strongroom.compiler.network_model import NetworkModel
from strongroom.compiler.network_packing import NetworkPacking, shapes
from strongroom.engine import CATALOGUE, satisfying
from strongroom.errors import PolicyError
from strongroom.policy import Policy

Array = NDArray[np.float64]

_ROWS = 100


def no_parameters(
    names: Sequence[LayerName], model: NetworkModel, z: Array, room: float, policy: Policy
) -> PolicyError:
    """The refusal of a model that no parameters in the catalogue hold.

    Args:
        names: of its hidden layers, as `layer_names` has them.
        model: with the circuits that take fewest levels of those that agree well enough.
        z: rows of the sample in the common range, shape (n, features).
        room: the largest score that must have room.
        policy: that no plan meets.

    Returns:
        SR-POLICY-PRECISION; the layer that it names is the first that does not fit the largest ring
        with all primes and one row a ciphertext.
    """
    allowed = satisfying(policy.security, switching=True)
    degree = max(entry.ring_degree for entry in allowed)
    largest = [entry.name for entry in allowed if entry.ring_degree == degree]
    held = _held(largest, model, z[:_ROWS], room, policy)
    steps = len(model.steps)
    ring = f"the largest ring, of degree 2^{degree.bit_length() - 1},"
    sentence = "no parameters in the catalogue hold this model's circuits at the policy's precision"
    advice = (
        "Take fewer activations, or squares in their place (strongroom.torch fine-tunes them); or "
        "lower precision_bits, sanitising_bits, decryption_bits or minimum_agreement"
    )
    if held > steps:
        return PolicyError(
            "SR-POLICY-PRECISION",
            f"{sentence} within its key_bytes: the levels fit, the evaluation keys do not fit "
            f"{policy.key_bytes >> 20} MiB",
            "Raise key_bytes in the policy",
        )
    if held == steps:
        return PolicyError(
            "SR-POLICY-PRECISION",
            f"{sentence}: all {steps} hidden layers fit {ring} and then the scores do not",
            advice,
        )
    if not any(_is_packed(name, model, held + 1) for name in largest):
        return PolicyError(
            "SR-POLICY-PRECISION",
            f"{sentence}: {_named(names, model, held)} has more units than {ring} has slots for",
            "Take a narrower layer, or trees in smaller groups",
        )
    levels = [step_levels(step) for step in model.steps]
    return PolicyError(
        "SR-POLICY-PRECISION",
        f"{sentence}: levels run out at {_named(names, model, held)}. All hidden layers take "
        f"{sum(levels)} levels, and {ring} holds "
        + (
            f"the {sum(levels[:held])} of those before it"
            if held
            else f"not even the {levels[0]} of the first"
        ),
        advice,
    )


def _named(names: Sequence[LayerName], model: NetworkModel, number: int) -> str:
    step, name = model.steps[number], names[number]
    units = step.blocks * step.units
    node = f"node {name.node[:60]!r}: " if name.node else ""
    return (
        f"hidden layer {number + 1} of {len(model.steps)} ({node}{units:,} "
        f"unit{'s' * (units > 1)}, {name.function})"
    )


def _held(
    parameters: Sequence[str], model: NetworkModel, z: Array, room: float, policy: Policy
) -> int:
    """How many hidden layers fit some of these parameters; one more, if the scores fit too."""
    fits, fails = 0, len(model.steps) + 2
    while fails - fits > 1:
        layers = (fits + fails) // 2
        whole = layers > len(model.steps)
        part, its_room = (model, room) if whole else (_first(model, layers, z), 0.0)
        if any(keeps(name, part, z, policy, room=its_room) for name in parameters):
            fits = layers
        else:
            fails = layers
    return fits


def _first(model: NetworkModel, layers: int, z: Array) -> NetworkModel:
    """The first layers; their score is the largest that a unit behind them takes."""
    if layers < len(model.steps):
        rows = model.steps[layers].weights.reshape(-1, model.steps[layers].inputs)
    else:
        rows = model.weights
    values = model.values(z)[layers - 1]
    row = rows[np.abs(values @ rows.T).max(axis=0).argmax()]
    return NetworkModel(model.steps[:layers], row[None], np.zeros(1))


def _is_packed(parameters: str, model: NetworkModel, layers: int) -> bool:
    slots = CATALOGUE[parameters].ring_degree // 2
    return NetworkPacking.choose(slots, 1, shapes(model)[:layers], 1) is not None
