"""The server's side of a hidden linear model: it sees neither rows nor weights nor scores.

What it handles is ciphertexts and a key to relinearise with. An answer is a function of request and
package and of nothing else: whoever has both can compute it again and compare bytes.
"""

from __future__ import annotations

from strongroom import engine
from strongroom.engine import Ciphertext, Evaluator
from strongroom.engine.evaluation import transformed
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_payload import Weights
from strongroom.protections.fhe.requests import RowForm, open_request
from strongroom.protections.interface import KeySets


class HiddenLinearServer:
    """A hidden linear model ready to answer. Safe from several threads."""

    def __init__(self, circuit: HiddenLinearCircuit, weights: Weights, key_set: bytes) -> None:
        """Make a model ready.

        Args:
            key_set: that of the key's holder, which requests must name.
        """
        self._circuit = circuit
        self._key_set = key_set
        self._form = RowForm(
            circuit.limbs.input, "coefficients", circuit.sizes.seeded, circuit.input_scale
        )
        self._weights = [[transformed(one) for one in group] for group in weights]

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request. See `protections.interface.ServerSide`.

        With a committee, an answer is the results as they are: who gathers the members' shares
        takes them apart (`hidden_linear_circuit`).
        """
        circuit = self._circuit
        opened = open_request(circuit, request, keys, holder=self._key_set)
        envelope, body = opened.envelope, opened.ciphertexts
        evaluator = Evaluator(opened.keys.evaluation_keys, threads)
        parts = [envelope.to_bytes(wire.RESPONSE, circuit.binding)]
        size = circuit.sizes.request_ciphertext
        for block in wire.blocks(circuit.packing.rows_per_ciphertext, envelope.rows):
            inputs = []
            for _ in range(circuit.packing.column_chunks):
                inputs.append(self._form.read(circuit.parameters, body[:size]))
                body = body[size:]
            if len(self._weights) > 1:
                # Each is multiplied by every group's weights, in this form.
                inputs = [transformed(one) for one in inputs]
            rows = block.stop - block.start
            parts += [
                self._result(evaluator, inputs, rows, group) for group in range(len(self._weights))
            ]
        return b"".join(parts)

    def _result(
        self, evaluator: Evaluator, inputs: list[Ciphertext], rows: int, group: int
    ) -> bytes:
        """One group of outputs of a block of rows."""
        circuit = self._circuit
        result = evaluator.sum_of_products(
            list(zip(inputs, self._weights[group], strict=True)),
            drop=circuit.limbs.input - circuit.limbs.response,
        )
        return engine.ciphertext_to_bytes(result, circuit.packing.result_positions(rows, group))
