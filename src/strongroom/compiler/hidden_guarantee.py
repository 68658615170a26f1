"""The guarantee statement of a hidden model: nobody but who holds its key sees its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from strongroom.compiler.guarantee import fhe_guarantee
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.noise import log_distance
from strongroom.compiler.plan import Guarantee, Visibility
from strongroom.engine import Parameters
from strongroom.policy import Policy

RING_ASSUMPTION: Final = (
    "Ring learning with errors is hard at the stated ring degree and modulus, also when evaluation "
    "keys are known (circular security)."
)

OWNER_HOLDS: Final = (
    "The owner alone holds the key and is the only one to ask. Who serves learns nothing of the "
    "weights, the inputs and the answers, but could return other results than it should: the owner "
    "shows nobody an answer that it has reason to doubt."
)
"""Assumed of a hidden model with one key holder."""

COMMITTEE_HOLDS: Final = (
    "Fewer key holders than it takes to decrypt collude with the server. The server follows the "
    "protocol and colludes with no authorised asker: what one that deviates can gain is limited by "
    "the key holders' budgets, and found by those who audit. Askers encode and encrypt as the "
    "protocol says: one that does not learns the key from the answers to some hundred requests."
)
"""Assumed of a hidden model with a committee."""


def hidden_linear_guarantee(
    parameters: Parameters, columns: int, policy: Policy, holding: KeyHolding, *, results: int
) -> Guarantee:
    """Who sees what when a linear model is served by coefficients, with its weights encrypted.

    Args:
        columns: of the model.
        results: response ciphertexts that one row gives.
    """
    return hidden_guarantee(
        policy,
        holding,
        structure_visible=(
            "that the model is linear, with its numbers of columns and outputs",
            "column names, and ranges of the sample's columns to about a quarter",
            "labels and link of the output",
            "orders of magnitude of weights and scores (powers of two)",
            "agreement with the plain model on the sample",
        ),
        assumptions=(),
        ring_degree=parameters.ring_degree,
        # The evaluation key lives modulo all primes.
        log_modulus=parameters.log_modulus,
        results=results,
        queries_to_extract=columns + 1,
    )


def hidden_guarantee(
    policy: Policy,
    holding: KeyHolding,
    *,
    structure_visible: Sequence[str],
    assumptions: Sequence[str],
    ring_degree: int,
    log_modulus: float,
    results: int,
    queries_to_extract: int,
) -> Guarantee:
    """The statement of any hidden model.

    Weights are hidden from who serves while it computes: elsewhere who holds the key decides. So
    are a committee's rows and answers, which its members could open; an owner's are its own.

    An owner that asks is the one whose weights they are, and nothing hides them from it. Of a
    committee's answers the distance is that of all results together that its key's budget allows,
    however many of them are queries to this model.

    Args:
        policy, results, structure_visible, ring_degree, log_modulus, queries_to_extract: see
            `guarantee.fhe_guarantee`.
        holding: of the key.
        assumptions: beside those that every hidden model makes.
    """
    alone = holding.share_budget is None
    stated = fhe_guarantee(
        policy,
        structure_visible=structure_visible,
        assumptions=(RING_ASSUMPTION, OWNER_HOLDS if alone else COMMITTEE_HOLDS, *assumptions),
        ring_degree=ring_degree,
        log_modulus=log_modulus,
        results=results,
        queries_to_extract=queries_to_extract,
    )
    bits = 0 if alone else max(policy.sanitising_bits, policy.decryption_bits)
    rows: Visibility = "hidden" if alone else "hidden-while-computing"
    return msgspec.structs.replace(
        stated,
        weights_from_server="hidden-while-computing",
        inputs_from_server=rows,
        outputs_from_server=rows,
        weights_from_client="hidden" if bits else "visible",
        sanitising_bits=bits,
        log_distance_after_budget=min(0.0, log_distance(bits, 1)) if bits else 0.0,
    )
