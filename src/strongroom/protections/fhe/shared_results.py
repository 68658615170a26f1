"""Results of a hidden model under a committee's key, taken apart: what askers and members get.

The server's answer has whole ciphertexts. Members get their second polynomials, and answer at the
declared coefficients; the asker gets the first polynomials there:

    envelope  60  of the answer
    words         for each result, prime by prime, the declared coefficients: 8 bytes each,
                  little-endian

and never a second polynomial, with which it could look for what noise says of weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.messages import ENVELOPE_BYTES
from strongroom.compiler.plan import HiddenLinearLayout, NetworkLayout, Plan
from strongroom.engine import Ciphertext, Parameters, threshold
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_results import read_results, result_places
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_results import (
    network_result_places,
    read_network_results,
)
from strongroom.protections.fhe.soundness import contradiction
from strongroom.protections.interface import SharedResult

_WORD: Final = np.dtype("<u8")

HiddenCircuit = HiddenLinearCircuit | NetworkCircuit


def hidden_circuit(plan: Plan, package: str) -> HiddenCircuit:
    """The circuit of a hidden model.

    Raises:
        PolicyError: SR-PLAN-INVALID, also for a model that hides nothing.
    """
    if isinstance(plan.layout, HiddenLinearLayout):
        return HiddenLinearCircuit.of(plan, package)
    if isinstance(plan.layout, NetworkLayout) and plan.layout.hidden:
        return NetworkCircuit.of(plan, package)
    raise contradiction("it names a committee, and its model is not hidden")


def result_positions(circuit: HiddenCircuit, rows: int) -> Iterator[NDArray[np.uint32]]:
    """The declared coefficients of each result of a request of some rows."""
    if isinstance(circuit, HiddenLinearCircuit):
        return (place.positions for place in result_places(circuit, rows))
    return (place.positions for place in network_result_places(circuit, rows))


def shown_bytes(circuit: HiddenCircuit, rows: int) -> int:
    """Bytes of what an asker gets of an answer for some rows."""
    limbs = circuit.layout.response_limbs
    count = sum(len(positions) for positions in result_positions(circuit, rows))
    return ENVELOPE_BYTES + _WORD.itemsize * limbs * count


def read_shown(
    circuit: HiddenCircuit, asked: wire.Envelope, shown: bytes
) -> list[NDArray[np.uint64]]:
    """The words of each result, shape (primes, declared coefficients).

    Args:
        asked: of the request.

    Raises:
        CiphertextError: it is malformed, or answers another request.
    """
    view = memoryview(shown)
    body = wire.read_answer(view, asked, circuit.binding, circuit.rows_per_request)
    wire.require_size(view, shown_bytes(circuit, asked.rows))
    limbs = circuit.layout.response_limbs
    found = []
    for positions in result_positions(circuit, asked.rows):
        size = _WORD.itemsize * limbs * len(positions)
        words = np.frombuffer(body[:size], _WORD).astype(np.uint64)
        found.append(words.reshape(limbs, len(positions)))
        body = body[size:]
    return found


@dataclass(frozen=True, slots=True)
class FheSharedResults:
    """`protections.interface.SharedResults` of one plan and package."""

    circuit: HiddenCircuit

    @property
    def parameters(self) -> Parameters:
        """Of the results."""
        return self.circuit.parameters

    @property
    def log_sigma(self) -> float:
        """See `protections.interface.SharedResults`."""
        return self.circuit.layout.flooding_log_sigma

    def shown(self, response: bytes) -> bytes:
        """See `protections.interface.SharedResults`."""
        parts = [response[:ENVELOPE_BYTES]]
        for positions, ciphertext in self._read(response):
            words = threshold.first_part_at(ciphertext, positions)
            parts.append(np.ascontiguousarray(words, _WORD).tobytes())
        return b"".join(parts)

    def results(self, response: bytes | memoryview) -> Sequence[SharedResult]:
        """See `protections.interface.SharedResults`."""
        return [
            SharedResult(threshold.second_part_to_bytes(ciphertext), ciphertext.limbs, positions)
            for positions, ciphertext in self._read(response)
        ]

    def _read(
        self, response: bytes | memoryview
    ) -> Iterable[tuple[NDArray[np.uint32], Ciphertext]]:
        circuit = self.circuit
        view = memoryview(response).cast("B")
        envelope, _ = wire.read_envelope(
            view, wire.RESPONSE, circuit.binding, circuit.rows_per_request
        )
        if isinstance(circuit, HiddenLinearCircuit):
            for place, ciphertext in read_results(circuit, envelope, view):
                yield place.positions, ciphertext
        else:
            for its_place, ciphertext in read_network_results(circuit, envelope, view):
                yield its_place.positions, ciphertext
