"""The guarantee statement of a linear model under `fhe`: derived from the plan's own numbers."""

from __future__ import annotations

from strongroom.compiler.noise import log_distance
from strongroom.compiler.plan import Guarantee
from strongroom.engine import Parameters
from strongroom.policy import Policy


def linear_guarantee(
    parameters: Parameters, limbs: int, columns: int, policy: Policy, *, results: int
) -> Guarantee:
    """Who sees what when a linear model is served by coefficients.

    Args:
        limbs: of the largest ciphertext or key that is ever sent.
        columns: of the model.
        results: response ciphertexts that one row gives.
    """
    sanitised = policy.sanitising_bits > 0
    assumptions = [
        "Ring learning with errors is hard at the stated ring degree and modulus.",
        "The owner runs the server and follows the protocol; the server's operators, disks, logs "
        "and network learn nothing of inputs and answers.",
    ]
    if sanitised:
        assumptions.append("Clients encode and encrypt as the protocol says.")
    return Guarantee(
        protection="fhe",
        weights_from_server="visible",
        inputs_from_server="hidden",
        outputs_from_server="hidden",
        weights_from_client="hidden" if sanitised else "visible",
        structure_visible=(
            "that the model is linear, with its numbers of columns and outputs",
            "column names, and ranges of the sample's columns to about a quarter",
            "labels and link of the output",
            "orders of magnitude of weights and scores (powers of two)",
            "agreement with the plain model on the sample",
        ),
        assumptions=tuple(assumptions),
        security=policy.security,
        ring_degree=parameters.ring_degree,
        log_modulus=parameters.log_prefix(limbs),
        sanitising_bits=policy.sanitising_bits,
        query_budget=policy.query_budget,
        log_distance_after_budget=(
            min(0.0, log_distance(policy.sanitising_bits, policy.query_budget * results))
            if sanitised
            else 0.0
        ),
        decryption_bits=policy.decryption_bits,
        decryption_queries=policy.decryption_queries,
        queries_to_extract=columns + 1,
        training_data=(
            "Answers are those of the plain model: what they reveal of its training data, they "
            "reveal here too. It was not measured."
        ),
    )
