"""The results of a network: where they are in a response, and how they become scores.

A response is an envelope, then for each block of rows one ciphertext a group of outputs, as the
engine writes it: of the first part the declared coefficients, the second part whole. Whoever holds
the whole key decrypts that. With a committee only the server sees responses: who gathers takes them
apart, sends second parts to the members, and first parts with the members' shares to the asker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import Ciphertext
from strongroom.models.feature_columns import RowRefused
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.network_circuit import NetworkCircuit


@dataclass(frozen=True, slots=True)
class NetworkResultPlace:
    """One result of a request.

    Attributes:
        group: of outputs.
        positions: its declared coefficients, shape (rows of a ciphertext * outputs of the group,).
        size: bytes of it in a response.
    """

    group: int
    positions: NDArray[np.uint32]
    size: int


def network_result_places(circuit: NetworkCircuit, rows: int) -> Iterator[NetworkResultPlace]:
    """The results of a request of some rows, in order."""
    sums = circuit.packing.sums
    for _ in wire.blocks(circuit.layout.rows_per_ciphertext, rows):
        for group in range(sums.groups):
            size = circuit.sizes.response_ciphertext(group)
            yield NetworkResultPlace(group, sums.positions(group), size)


def read_network_results(
    circuit: NetworkCircuit, asked: wire.Envelope, response: bytes | memoryview
) -> Iterator[tuple[NetworkResultPlace, Ciphertext]]:
    """The results in the response to a request, one at a time.

    Args:
        asked: of the request.

    Raises:
        CiphertextError: the response is malformed or answers another request.
    """
    view = memoryview(response).cast("B")
    body = wire.read_answer(view, asked, circuit.binding, circuit.rows_per_request)
    wire.require_size(view, circuit.sizes.response(asked.rows))
    for place in network_result_places(circuit, asked.rows):
        ciphertext = engine.ciphertext_from_bytes(
            circuit.parameters,
            body[: place.size],
            limbs=circuit.layout.response_limbs,
            positions=place.positions,
        )
        if ciphertext.packing != "coefficients" or ciphertext.scale != circuit.response_scale:
            raise wire.malformed("a result has another packing or scale than the plan says")
        yield place, ciphertext
        body = body[place.size :]


def network_scores(
    circuit: NetworkCircuit, rows: int, values: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Scores, shape (rows, outputs), from the opened coefficients of each result in order.

    Raises:
        RowRefused: SR-INPUT-RANGE, a score is larger than there is room for.
    """
    sums, step = circuit.packing.sums, circuit.layout.rows_per_ciphertext
    opened = iter(values)
    blocks = []
    for block in wire.blocks(step, rows):
        groups = [sums.sums(next(opened)) for _ in range(sums.groups)]
        blocks.append(np.hstack(groups)[: block.stop - block.start])
    scores = np.vstack(blocks)
    beyond = (np.abs(scores) >= 2.0**circuit.layout.log_bound).any(axis=1)
    if beyond.any():
        # One row can spoil all that share its ciphertext.
        first = int(np.argmax(beyond)) // step * step
        others = min(step, len(scores) - first) - 1
        raise RowRefused(
            "SR-INPUT-RANGE",
            first,
            (f", or one of the {others} after it," if others else "")
            + " has a score larger than the model was planned for, so that it can't be trusted",
            "Check the units of its values, or have the model protected with a wider sample",
        )
    return scores
