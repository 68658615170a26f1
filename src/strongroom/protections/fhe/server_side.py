"""The server's side of a linear model: answers rows that it cannot read.

What it handles is ciphertexts and a public key. It holds the weights, and its answers say nothing
of them but the scores: every result is sanitised before it leaves
(`engine.sanitised_inner_products`).
"""

from __future__ import annotations

import numpy as np

from strongroom import engine
from strongroom.compiler.linear import ScaledAffine
from strongroom.engine import Ciphertext, Finishing, InnerProductWeights, PublicKey
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.key_cache import KeyCache
from strongroom.protections.fhe.requests import RowForm
from strongroom.protections.interface import KeySets


class LinearServer:
    """A linear model ready to answer. Answers depend on nothing but the request; safe from several
    threads."""

    def __init__(self, circuit: LinearCircuit, model: ScaledAffine) -> None:
        self._circuit = circuit
        self._keys = KeyCache(circuit.parameters, circuit.limbs.sanitise)
        self._form = RowForm(circuit.limbs.input, "coefficients", True, circuit.input_scale)
        self._finishing = Finishing(
            circuit.limbs.sanitise, circuit.limbs.response, circuit.layout.flooding_log_sigma
        )
        packing = circuit.packing
        together = packing.outputs_per_ciphertext
        self._group_bias = [
            model.bias[group * together : (group + 1) * together] for group in range(packing.groups)
        ]
        self._weights = [
            [self._encode_weights(model, group, chunk) for chunk in range(packing.column_chunks)]
            for group in range(packing.groups)
        ]

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request. See `protections.interface.ServerSide`.

        A request brings its own public key and is a few hundred microseconds of work, so neither
        `keys` nor `threads` are used: workers answer requests side by side.
        """
        circuit = self._circuit
        view = memoryview(request).cast("B")
        envelope, body = wire.read_envelope(
            view, wire.REQUEST, circuit.binding, circuit.rows_per_request
        )
        wire.require_size(view, circuit.sizes.request(envelope.rows))
        key = self._keys.read(body[: circuit.sizes.public_key])
        body = body[circuit.sizes.public_key :]
        parts = [envelope.to_bytes(wire.RESPONSE, circuit.binding)]
        for block in wire.blocks(circuit.packing.rows_per_ciphertext, envelope.rows):
            rows = block.stop - block.start
            inputs, body = self._read_block(body, rows)
            parts.extend(
                self._result(inputs, key, rows, group) for group in range(circuit.packing.groups)
            )
        return b"".join(parts)

    def _read_block(self, body: memoryview, rows: int) -> tuple[list[Ciphertext], memoryview]:
        circuit = self._circuit
        positions = circuit.packing.request_positions(rows)
        size = circuit.sizes.request_ciphertext(rows)
        inputs = []
        for _ in range(circuit.packing.column_chunks):
            inputs.append(self._form.read(circuit.parameters, body[:size], positions))
            body = body[size:]
        return inputs, body

    def _result(self, inputs: list[Ciphertext], key: PublicKey, rows: int, group: int) -> bytes:
        """One group of outputs of a block of rows."""
        declared = self._circuit.packing.result_positions(rows, group)
        result = engine.sanitised_inner_products(
            inputs,
            self._weights[group],
            declared,
            np.tile(self._group_bias[group], rows),
            key,
            self._finishing,
        )
        return engine.ciphertext_to_bytes(result, declared)

    def _encode_weights(self, model: ScaledAffine, group: int, chunk: int) -> InnerProductWeights:
        circuit = self._circuit
        coefficients = circuit.packing.weight_coefficients(model.weights, group, chunk)
        return InnerProductWeights.encode(
            circuit.parameters, coefficients, circuit.weight_scale, circuit.limbs.input
        )
