"""The server's side of a hidden network: it sees neither rows nor weights nor scores.

What it handles is ciphertexts and evaluation keys. An answer is a function of request and package
and of nothing else: whoever has both, and the keys, can compute it again and compare bytes.
"""

from __future__ import annotations

from dataclasses import replace

from strongroom import engine
from strongroom.engine import Ciphertext, Evaluator, truncate
from strongroom.engine.slot_sums import hidden_sums
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.hidden_network_payload import HiddenChunk, HiddenNetwork
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.requests import RowForm, open_request
from strongroom.protections.interface import KeySets


class HiddenNetworkServer:
    """A hidden network ready to answer. Safe from several threads."""

    def __init__(self, circuit: NetworkCircuit, network: HiddenNetwork, key_set: bytes) -> None:
        """Take what was opened.

        Args:
            key_set: that of the key's holder, which requests must name.
        """
        self._circuit, self._network, self._key_set = circuit, network, key_set
        self._form = RowForm(
            circuit.layout.input_limbs, "slots", circuit.sizes.seeded, circuit.input_scale
        )

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request. See `protections.interface.ServerSide`.

        With a committee, an answer is the results as they are: who gathers the members' shares
        takes them apart (`network_results`).
        """
        circuit = self._circuit
        opened = open_request(circuit, request, keys, holder=self._key_set)
        envelope, body = opened.envelope, opened.ciphertexts
        evaluator = Evaluator(opened.keys.evaluation_keys, threads)
        parts = [envelope.to_bytes(wire.RESPONSE, circuit.binding)]
        size = circuit.sizes.request_ciphertext
        for _ in wire.blocks(circuit.layout.rows_per_ciphertext, envelope.rows):
            parts += self._answer_block(evaluator, self._form.read(circuit.parameters, body[:size]))
            body = body[size:]
        return b"".join(parts)

    def _answer_block(self, evaluator: Evaluator, vector: Ciphertext) -> list[bytes]:
        """The results for the rows of one ciphertext, a group of outputs each."""
        layout = self._circuit.layout
        state = [vector]
        for step, chunks in zip(layout.steps, self._network.steps, strict=True):
            state = [_chunk(evaluator, state, chunk, step.drop) for chunk in chunks]
        limbs = layout.sum_limbs
        state = [truncate(part, limbs) if part.limbs > limbs else part for part in state]
        return [
            self._sum(evaluator, state, group) for group in range(self._circuit.packing.sums.groups)
        ]

    def _sum(self, evaluator: Evaluator, state: list[Ciphertext], group: int) -> bytes:
        circuit, layout = self._circuit, self._circuit.layout
        result = hidden_sums(
            evaluator,
            state,
            self._network.sums[group],
            drop=layout.sum_limbs - layout.response_limbs,
        )
        result = replace(result, scale=circuit.response_scale)
        result = engine.add(result, self._network.bias[group])
        return engine.ciphertext_to_bytes(result, circuit.packing.sums.positions(group))


def _chunk(
    evaluator: Evaluator, state: list[Ciphertext], chunk: HiddenChunk, drop: int
) -> Ciphertext:
    """A chunk of a step's result."""
    parts = [
        product.apply(evaluator, vector)
        for product, vector in zip(chunk.products, state, strict=True)
    ]
    result = parts[0]
    for part in parts[1:]:
        result = evaluator.add(result, part)
    result = evaluator.add(evaluator.rescale(result, drop), chunk.bias)
    for circuit in chunk.circuits:
        result = circuit.evaluate(evaluator, result)
    return result
