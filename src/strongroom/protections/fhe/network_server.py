"""The server's side of a network: answers rows that it cannot read.

What it handles is ciphertexts and public keys. It holds the model, and its answers say nothing of
it but the scores: every response is sanitised before it leaves (`engine.sanitise`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from strongroom import engine
from strongroom.compiler.activation_circuits import placed_circuit
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.engine import Ciphertext, Evaluator, Plaintext, PublicKey
from strongroom.engine.evaluation import add_at, add_plain, rescale, sanitise, truncate
from strongroom.engine.periodic_products import PeriodicProduct
from strongroom.engine.slot_functions import PreparedSlotFunction, prepare_slot_function
from strongroom.engine.slot_sums import SlotSums
from strongroom.errors import PackageError
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.requests import RowForm, open_request
from strongroom.protections.interface import KeySets


@dataclass(frozen=True, slots=True, eq=False)
class _Chunk:
    """What makes one ciphertext of a step: a product for each of the vector's, the bias, and the
    circuits."""

    products: tuple[PeriodicProduct, ...]
    bias: Plaintext
    circuits: tuple[PreparedSlotFunction, ...]


class NetworkServer:
    """A network ready to answer. Answers depend on nothing but request and keys; safe from several
    threads."""

    def __init__(self, circuit: NetworkCircuit, model: NetworkModel) -> None:
        """Encode a model.

        Raises:
            PackageError: SR-PACKAGE-FILE if the model's circuits are not those of its plan.
        """
        self._circuit = circuit
        packing, layout = circuit.packing, circuit.layout
        self._form = RowForm(layout.input_limbs, "slots", True, circuit.input_scale)
        self._steps = [self._encode_step(number, step) for number, step in enumerate(model.steps)]
        self._sums = [
            SlotSums.encode(
                circuit.parameters,
                packing.sums,
                packing.sum_weights(model, chunk),
                scale=Fraction(2) ** layout.log_sum_scale,
                limbs=layout.sum_limbs,
            )
            for chunk in range(packing.steps[-1].chunks)
        ]
        together = packing.sums.together
        self._bias = [
            model.bias[group * together : (group + 1) * together]
            for group in range(packing.sums.groups)
        ]

    def answer(
        self, request: bytes | memoryview, *, keys: KeySets | None = None, threads: int = 1
    ) -> bytes:
        """Answer one request. See `protections.interface.ServerSide`."""
        circuit = self._circuit
        opened = open_request(circuit, request, keys)
        envelope, body = opened.envelope, opened.ciphertexts
        evaluator = Evaluator(opened.keys.evaluation_keys, threads)
        parts = [envelope.to_bytes(wire.RESPONSE, circuit.binding)]
        size = circuit.sizes.request_ciphertext
        for _ in wire.blocks(circuit.layout.rows_per_ciphertext, envelope.rows):
            parts += self._answer_block(
                evaluator, self._form.read(circuit.parameters, body[:size]), opened.keys.public_key
            )
            body = body[size:]
        return b"".join(parts)

    def _answer_block(
        self, evaluator: Evaluator, vector: Ciphertext, key: PublicKey
    ) -> list[bytes]:
        """The responses for the rows of one ciphertext, a group of outputs each."""
        state = [vector]
        for step, chunks in zip(self._circuit.layout.steps, self._steps, strict=True):
            state = [_chunk(evaluator, state, chunk, step.drop) for chunk in chunks]
        limbs = self._circuit.layout.sum_limbs
        state = [truncate(part, limbs) if part.limbs > limbs else part for part in state]
        return [
            self._sum(evaluator, state, group, key)
            for group in range(self._circuit.packing.sums.groups)
        ]

    def _sum(
        self, evaluator: Evaluator, state: list[Ciphertext], group: int, key: PublicKey
    ) -> bytes:
        circuit, sums = self._circuit, self._circuit.packing.sums
        positions = sums.positions(group)
        result = self._sums[0].apply(evaluator, state[0], group)
        for its_sums, part in zip(self._sums[1:], state[1:], strict=True):
            result = engine.add(result, its_sums.apply(evaluator, part, group))
        result = add_at(result, positions, sums.offsets(self._bias[group]))
        layout = circuit.layout
        result = sanitise(result, key, positions, layout.flooding_log_sigma)
        if layout.response_limbs < layout.sum_limbs:
            result = rescale(result, layout.sum_limbs - layout.response_limbs)
        result = replace(result, scale=circuit.response_scale)
        return engine.ciphertext_to_bytes(result, positions)

    def _encode_step(self, number: int, model: HiddenStep) -> list[_Chunk]:
        circuit, packing = self._circuit, self._circuit.packing
        step, limbs = circuit.layout.steps[number], circuit.step_limbs[number]
        its_packing = packing.steps[number]
        sources = packing.steps[number - 1].chunks if number else 1
        scale = Fraction(2) ** step.log_weight_scale
        chunks = []
        for chunk in range(its_packing.chunks):
            products = tuple(
                PeriodicProduct.encode(
                    circuit.parameters,
                    its_packing.layout,
                    packing.matrices(number, model, chunk, source),
                    scale=scale,
                    limbs=limbs,
                )
                for source in range(sources)
            )
            chunks.append(self._chunk_of(number, model, chunk, products))
        return chunks

    def _chunk_of(
        self, number: int, model: HiddenStep, chunk: int, products: tuple[PeriodicProduct, ...]
    ) -> _Chunk:
        circuit, packing = self._circuit, self._circuit.packing
        parameters, step = circuit.parameters, circuit.layout.steps[number]
        limbs = circuit.step_limbs[number] - step.drop
        scale = circuit.step_scales[number] * Fraction(2) ** step.log_weight_scale
        for prime in parameters.primes[limbs : circuit.step_limbs[number]]:
            scale /= prime
        bias = engine.encode_slots(
            parameters, packing.bias_slots(number, model, chunk), scale, limbs, transformed=True
        )
        units = packing.unit_slots(number, model, chunk)
        prepared: list[PreparedSlotFunction] = []
        for function, its_layout in zip(model.circuits, step.circuits, strict=True):
            try:
                made = prepare_slot_function(
                    parameters, placed_circuit(function, units), limbs, scale, its_layout.drops
                )
            except ValueError as error:
                raise PackageError(
                    "SR-PACKAGE-FILE",
                    "a circuit of the package is not the one that its plan says",
                    "Fetch the package again from its owner",
                ) from error
            prepared.append(made)
            limbs, scale = made.plan.limbs, made.plan.scale
        if (limbs, scale) != (circuit.step_limbs[number + 1], circuit.step_scales[number + 1]):
            raise PackageError(
                "SR-PACKAGE-FILE",
                "the package's circuits end at another level than its plan says",
                "Fetch the package again from its owner",
            )
        return _Chunk(products, bias, tuple(prepared))


def _chunk(evaluator: Evaluator, state: list[Ciphertext], chunk: _Chunk, drop: int) -> Ciphertext:
    """A chunk of a step's result."""
    parts = [
        product.apply(evaluator, vector)
        for product, vector in zip(chunk.products, state, strict=True)
    ]
    result = parts[0]
    for part in parts[1:]:
        result = evaluator.add(result, part)
    result = add_plain(evaluator.rescale(result, drop), chunk.bias)
    for circuit in chunk.circuits:
        result = circuit.evaluate(evaluator, result)
    return result
