"""The guarantee statement of a network under `fhe`: derived from the plan's own numbers."""

from __future__ import annotations

from collections.abc import Sequence

from strongroom.compiler.noise import log_distance
from strongroom.compiler.plan import Guarantee, NetworkLayout
from strongroom.engine import Parameters
from strongroom.models.features import Features
from strongroom.models.trees.grid import Grid
from strongroom.policy import Policy


def network_guarantee(
    parameters: Parameters,
    layout: NetworkLayout,
    features: Features,
    names: Sequence[str],
    policy: Policy,
    *,
    results: int,
) -> Guarantee:
    """Who sees what when a network is served by slots.

    Args:
        parameters: of the plan.
        layout: of the plan.
        features: the public preprocessing.
        names: how messages name the table's columns.
        policy: that the model is protected under.
        results: response ciphertexts that one ciphertext of rows gives.
    """
    sanitised = policy.sanitising_bits > 0
    assumptions = [
        "Ring learning with errors is hard at the stated ring degree and modulus, also when "
        "evaluation keys are known (circular security).",
        "The owner runs the server and follows the protocol; the server's operators, disks, logs "
        "and network learn nothing of inputs and answers.",
    ]
    if sanitised:
        assumptions.append(
            "Clients make keys, encodings and ciphertexts as the protocol says. Who sends other "
            "numbers than rows become gets the model's polynomials at these, and who crafts keys "
            "gets values of other functions of the weights: both may say more than an answer."
        )
        assumptions.append(
            "Distance and flooding are for rows whose hidden values stay in the ranges that the "
            "sample's take, and somewhat beyond; rows further out are refused as far as the "
            "asker's side can tell."
        )
    steps = len(layout.steps)
    return Guarantee(
        protection="fhe",
        weights_from_server="visible",
        inputs_from_server="hidden",
        outputs_from_server="hidden",
        weights_from_client="hidden" if sanitised else "visible",
        structure_visible=(
            f"that the model has {steps} hidden step{'s' * (steps > 1)}, with numbers of inputs, "
            "units and blocks, and the degrees of their polynomials",
            *features.sentences(names),
            *(("that features beyond their ranges count as the range's end",) * layout.clipped),
            "column names, and ranges of the sample's features to about a quarter",
            "labels and link of the output",
            "orders of magnitude of noise and scores (powers of two)",
            "agreement with the plain model on the sample",
        ),
        assumptions=tuple(assumptions),
        security=policy.security,
        ring_degree=parameters.ring_degree,
        # Evaluation keys live modulo all primes.
        log_modulus=parameters.log_modulus,
        sanitising_bits=policy.sanitising_bits,
        query_budget=policy.query_budget,
        log_distance_after_budget=(
            min(0.0, log_distance(policy.sanitising_bits, policy.query_budget * results))
            if sanitised
            else 0.0
        ),
        decryption_bits=policy.decryption_bits,
        decryption_queries=policy.decryption_queries,
        queries_to_extract=_queries_to_extract(layout, features),
        training_data=(
            "Answers are those of the plain model: what they reveal of its training data, they "
            "reveal here too. It was not measured."
        ),
    )


def _queries_to_extract(layout: NetworkLayout, features: Features) -> int:
    """Honest answers below which a model can't be known: its numbers by those of an answer. Of a
    tree ensemble, whose maps are mostly zeros, one for each unit."""
    units = sum(step.blocks * step.units for step in layout.steps)
    if any(isinstance(block, Grid) for block in features.blocks):
        return units + layout.outputs
    last = layout.steps[-1]
    numbers = sum(step.blocks * step.units * (step.inputs + 1) for step in layout.steps)
    numbers += layout.outputs * (last.blocks * last.units + 1)
    return -(-numbers // layout.outputs)
