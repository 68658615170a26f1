"""The guarantee statement of a sealed model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from strongroom.compiler.plan import Guarantee
from strongroom.models.features import Features
from strongroom.policy import Security

NAME: Final = "sealed"

_ASSUMPTIONS: Final = (
    "Weights, inputs and answers are readable inside the serving process while it computes: "
    "whoever runs the machine, its kernel and its hardware can read them there. Only an enclave, "
    "and evidence of it that the asker or the owner checks, takes these out.",
    "Whoever holds the private keys of an identity that the package is granted to can open the "
    "package: the server's identity is worth as much as the model.",
    "On disks, on networks, in the server's front process and for its other tenants there is "
    "ciphertext only: ML-KEM-768 or X25519 is hard, and AES-256-GCM and SHA-256 are sound.",
    "Serving keys exist in the memory of the server alone and are exchanged every few hours: who "
    "takes one reads what was sealed to it, earlier keys are gone.",
    "Times, numbers and padded sizes of messages show, and which package they are for.",
)


def sealed_guarantee(
    security: Security, structure_visible: Sequence[str], queries_to_extract: int
) -> Guarantee:
    """Who sees what of a sealed model.

    Args:
        security: that the policy asks for; X-Wing and AES-256 meet each column.
        structure_visible, queries_to_extract: see `Guarantee`.
    """
    return Guarantee(
        protection=NAME,
        weights_from_server="serving-process",
        inputs_from_server="serving-process",
        outputs_from_server="serving-process",
        weights_from_client="hidden",
        structure_visible=tuple(structure_visible),
        assumptions=_ASSUMPTIONS,
        security=security,
        ring_degree=0,
        log_modulus=0.0,
        sanitising_bits=0,
        query_budget=0,
        log_distance_after_budget=0.0,
        decryption_bits=0,
        decryption_queries=0,
        queries_to_extract=queries_to_extract,
        training_data=(
            "Answers are those of the plain model: what they reveal of its training data, they "
            "reveal here too. It was not measured."
        ),
    )


def visible_of_rows(features: Features, names: Sequence[str]) -> tuple[str, ...]:
    """What every asker can read of a model of rows.

    Args:
        names: how messages name the columns.
    """
    return (
        *features.sentences(names),
        "names of columns, and whether numbers are narrowed to float32",
        "labels and link of the output",
        "sizes of the payload, and times that it takes",
        "agreement with the plain model on the sample",
    )


VISIBLE_OF_TENSORS: Final = (
    "names, types and shapes of the tensors that the model takes and gives",
    "sizes of the payload, and times that it takes",
)
"""What every asker can read of a model of named tensors."""
