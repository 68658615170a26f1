"""The server's side of a hidden network: it sees neither rows nor weights nor scores.

What it handles is ciphertexts and evaluation keys. An answer is a function of request and package
and of nothing else: whoever has both, and the keys, can compute it again and compare bytes.
"""

from __future__ import annotations

from dataclasses import replace

from strongroom import engine
from strongroom.engine import Ciphertext, Evaluator, require_elements, truncate
from strongroom.engine.slot_sums import hidden_sums
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.hidden_network_payload import HiddenChunk, HiddenNetwork
from strongroom.protections.fhe.holders import require_key_set
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.interface import KeySets


class HiddenNetworkServer:
    """A hidden network ready to answer. Safe from several threads."""

    def __init__(self, circuit: NetworkCircuit, network: HiddenNetwork, key_set: bytes) -> None:
        """Take what was opened.

        Args:
            key_set: that of the key's holder, which requests must name.
        """
        self._circuit, self._network, self._key_set = circuit, network, key_set

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request. See `protections.interface.ServerSide`.

        With a committee, an answer is the results as they are: who gathers the members' shares
        takes them apart (`network_results`).
        """
        circuit = self._circuit
        view = memoryview(request).cast("B")
        envelope, body = wire.read_envelope(
            view, wire.REQUEST, circuit.binding, circuit.rows_per_request
        )
        wire.require_size(view, circuit.sizes.request(envelope.rows))
        if keys is None:
            raise ValueError("a hidden model answers with its holder's keys")
        key_set, body = wire.read_key_set(body)
        require_key_set(key_set, self._key_set)
        opened = keys.open(key_set, circuit.needs)
        require_elements(opened.evaluation_keys, [need.element for need in circuit.needs.keys])
        evaluator = Evaluator(opened.evaluation_keys, threads)
        parts = [envelope.to_bytes(wire.RESPONSE, circuit.binding)]
        size = circuit.sizes.request_ciphertext
        for _ in wire.blocks(circuit.layout.rows_per_ciphertext, envelope.rows):
            parts += self._answer_block(evaluator, self._read(body[:size]))
            body = body[size:]
        return b"".join(parts)

    def _read(self, data: memoryview) -> Ciphertext:
        circuit = self._circuit
        ciphertext = engine.ciphertext_from_bytes(
            circuit.parameters, data, limbs=circuit.layout.input_limbs
        )
        if ciphertext.packing != "slots":
            raise wire.malformed("a ciphertext is packed by coefficients")
        if (ciphertext.seed is not None) != circuit.sizes.seeded:
            raise wire.malformed("a ciphertext is encrypted in another way than the plan says")
        if ciphertext.scale != circuit.input_scale:
            raise wire.malformed("a ciphertext has another scale than the plan says")
        return ciphertext

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
