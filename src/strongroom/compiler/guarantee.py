"""The guarantee statement of a model under `fhe`, and of a linear one: derived from the plan's own
numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.compiler.noise import log_distance
from strongroom.compiler.plan import Guarantee
from strongroom.engine import Parameters
from strongroom.policy import Policy

OWNER_SERVES: Final = (
    "The owner runs the server and follows the protocol; the server's operators, disks, logs and "
    "network learn nothing of inputs and answers."
)
"""Assumed of every model under `fhe`."""


def linear_guarantee(
    parameters: Parameters, limbs: int, columns: int, policy: Policy, *, results: int
) -> Guarantee:
    """Who sees what when a linear model is served by coefficients.

    Args:
        limbs: of the largest ciphertext or key that is ever sent.
        columns: of the model.
        results: response ciphertexts that one row gives.
    """
    assumptions = [
        "Ring learning with errors is hard at the stated ring degree and modulus.",
        OWNER_SERVES,
    ]
    if policy.sanitising_bits > 0:
        assumptions.append("Clients encode and encrypt as the protocol says.")
    return fhe_guarantee(
        policy,
        structure_visible=(
            "that the model is linear, with its numbers of columns and outputs",
            "column names, and ranges of the sample's columns to about a quarter",
            "labels and link of the output",
            "orders of magnitude of weights and scores (powers of two)",
            "agreement with the plain model on the sample",
        ),
        assumptions=assumptions,
        ring_degree=parameters.ring_degree,
        log_modulus=parameters.log_prefix(limbs),
        results=results,
        queries_to_extract=columns + 1,
    )


def fhe_guarantee(
    policy: Policy,
    *,
    structure_visible: Sequence[str],
    assumptions: Sequence[str],
    ring_degree: int,
    log_modulus: float,
    results: int,
    queries_to_extract: int,
) -> Guarantee:
    """The statement of any model under `fhe`: the server sees the model and nothing that is asked,
    the asker what answers say.

    Args:
        policy: that the model is protected under.
        results: response ciphertexts that a query gives at most.
        structure_visible, assumptions, ring_degree, log_modulus, queries_to_extract: see
            `Guarantee`.
    """
    sanitised = policy.sanitising_bits > 0
    return Guarantee(
        protection="fhe",
        weights_from_server="visible",
        inputs_from_server="hidden",
        outputs_from_server="hidden",
        weights_from_client="hidden" if sanitised else "visible",
        structure_visible=tuple(structure_visible),
        assumptions=tuple(assumptions),
        security=policy.security,
        ring_degree=ring_degree,
        log_modulus=log_modulus,
        sanitising_bits=policy.sanitising_bits,
        query_budget=policy.query_budget,
        log_distance_after_budget=(
            min(0.0, log_distance(policy.sanitising_bits, policy.query_budget * results))
            if sanitised
            else 0.0
        ),
        decryption_bits=policy.decryption_bits,
        decryption_queries=policy.decryption_queries,
        queries_to_extract=queries_to_extract,
        training_data=(
            "Answers are those of the plain model: what they reveal of its training data, they "
            "reveal here too. It was not measured."
        ),
    )
