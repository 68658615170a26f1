"""The guarantee statement of a network under `fhe`: derived from the plan's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from strongroom.compiler.guarantee import OWNER_SERVES, fhe_guarantee
from strongroom.compiler.hidden_guarantee import RING_ASSUMPTION, hidden_guarantee
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
    holding = layout.holding
    assumptions = [] if holding else [RING_ASSUMPTION, OWNER_SERVES]
    if policy.sanitising_bits > 0 and holding is None:
        assumptions.append(
            "Clients make keys, encodings and ciphertexts as the protocol says. Who sends other "
            "numbers than rows become gets the model's polynomials at these, and who crafts keys "
            "gets values of other functions of the weights: both may say more than an answer."
        )
    if policy.sanitising_bits > 0 or holding is not None:
        assumptions.append(
            "Distance and flooding are for rows whose hidden values stay in the ranges that the "
            "sample's take, and somewhat beyond; rows further out are refused as far as the "
            "asker's side can tell."
        )
    if layout.rows_per_ciphertext > 1:
        assumptions.append(
            f"Queries are counted as ciphertexts times {layout.rows_per_ciphertext:,}: one holds "
            f"{layout.rows_per_ciphertext:,} rows and is answered for all of them, whatever number "
            "its request names."
        )
    steps = len(layout.steps)
    found = _Common(
        structure_visible=(
            f"that the model has {steps} hidden step{'s' * (steps > 1)}, with numbers of inputs, "
            "units and blocks, and the degrees of their polynomials"
            + (" and which of their coefficients are not zero" if holding else ""),
            *(("kernels' sizes, strides and channels of its convolutions",) * (layout.kernels > 0)),
            *features.sentences(names),
            *(("that features beyond their ranges count as the range's end",) * layout.clipped),
            "column names, and ranges of the sample's features to about a quarter",
            "labels and link of the output",
            "orders of magnitude of noise and scores (powers of two)",
            "agreement with the plain model on the sample",
        ),
        assumptions=tuple(assumptions),
        ring_degree=parameters.ring_degree,
        # Evaluation keys live modulo all primes.
        log_modulus=parameters.log_modulus,
        results=results,
        queries_to_extract=_queries_to_extract(layout, features),
    )
    if holding is None:
        return fhe_guarantee(policy, **found)
    return hidden_guarantee(policy, holding, **found)


class _Common(TypedDict):
    """What both kinds of statement say of a network."""

    structure_visible: tuple[str, ...]
    assumptions: tuple[str, ...]
    ring_degree: int
    log_modulus: float
    results: int
    queries_to_extract: int


def _queries_to_extract(layout: NetworkLayout, features: Features) -> int:
    """Honest answers below which a model can't be known: its numbers by those of an answer. Of a
    tree ensemble, whose maps are mostly zeros, one for each unit."""
    units = sum(step.blocks * step.units for step in layout.steps)
    if any(isinstance(block, Grid) for block in features.blocks):
        return units + layout.outputs
    if layout.kernels > 0:
        return -(-layout.kernels // layout.outputs)
    last = layout.steps[-1]
    numbers = sum(step.blocks * step.units * (step.inputs + 1) for step in layout.steps)
    numbers += layout.outputs * (last.blocks * last.units + 1)
    return -(-numbers // layout.outputs)
