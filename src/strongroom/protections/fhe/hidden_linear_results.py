"""The results of a hidden linear model: where they are in a response, and how they become scores.

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
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit


@dataclass(frozen=True, slots=True)
class ResultPlace:
    """One result of a request.

    Attributes:
        rows: of its block.
        group: of outputs.
        positions: its declared coefficients, row by row, shape (rows * outputs of the group,).
        size: bytes of it in a response.
    """

    rows: int
    group: int
    positions: NDArray[np.uint32]
    size: int


def result_places(circuit: HiddenLinearCircuit, rows: int) -> Iterator[ResultPlace]:
    """The results of a request of some rows, in order."""
    packing = circuit.packing
    for block in wire.blocks(packing.rows_per_ciphertext, rows):
        its_rows = block.stop - block.start
        for group in range(packing.groups):
            yield ResultPlace(
                its_rows,
                group,
                packing.result_positions(its_rows, group),
                circuit.sizes.response_ciphertext(its_rows, group),
            )


def read_results(
    circuit: HiddenLinearCircuit, asked: wire.Envelope, response: bytes | memoryview
) -> list[tuple[ResultPlace, Ciphertext]]:
    """The results in the response to a request.

    Args:
        asked: of the request.

    Raises:
        CiphertextError: the response is malformed or answers another request.
    """
    view = memoryview(response).cast("B")
    body = wire.read_answer(view, asked, circuit.binding, circuit.rows_per_request)
    wire.require_size(view, circuit.sizes.response(asked.rows))
    results = []
    for place in result_places(circuit, asked.rows):
        results.append((place, _read(circuit, body[: place.size], place)))
        body = body[place.size :]
    return results


def scores_of(
    circuit: HiddenLinearCircuit, rows: int, values: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Scores, shape (rows, outputs), from the opened coefficients of each result in order."""
    packing = circuit.packing
    shaped = [
        its_values.reshape(place.rows, packing.group_outputs(place.group))
        for place, its_values in zip(result_places(circuit, rows), values, strict=True)
    ]
    groups = packing.groups
    return np.vstack(
        [np.hstack(shaped[start : start + groups]) for start in range(0, len(shaped), groups)]
    )


def _read(circuit: HiddenLinearCircuit, data: memoryview, place: ResultPlace) -> Ciphertext:
    ciphertext = engine.ciphertext_from_bytes(
        circuit.parameters, data, limbs=circuit.limbs.response, positions=place.positions
    )
    if ciphertext.packing != "coefficients" or ciphertext.scale != circuit.response_scale:
        raise wire.malformed("a result has another packing or scale than the plan says")
    if ciphertext.seed is not None:
        raise wire.malformed("a result is no result of a computation")
    return ciphertext
