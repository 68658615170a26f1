"""The client's side of a linear model: asks without showing rows, and reads the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import SecretKey
from strongroom.models.features import Features
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.circuit import LinearCircuit
from strongroom.protections.fhe.ranges import FeatureRanges


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class EncodedRows:
    """Rows as coefficients: for each block, one vector a chunk of columns.

    Attributes:
        rows: how many.
    """

    rows: int
    blocks: tuple[tuple[NDArray[np.float64], ...], ...]


@dataclass(frozen=True, slots=True, repr=False)
class PendingRequest:
    """A request, and the envelope that its response must repeat.

    Attributes:
        body: the bytes to send.
    """

    body: bytes
    envelope: wire.Envelope


class LinearClient:
    """One client's end: a plan and a secret key. Safe from several threads."""

    def __init__(
        self,
        circuit: LinearCircuit,
        secret: SecretKey,
        *,
        decryption_log_sigma: float,
        features: Features,
        names: tuple[str, ...],
    ) -> None:
        self._circuit = circuit
        self._secret = secret
        self._log_sigma = decryption_log_sigma
        layout = circuit.layout
        self._ranges = FeatureRanges(
            np.array(layout.centre), np.array(layout.half_width), layout.headroom, features, names
        )
        # One public key a session: nothing is gained by a fresh one a request.
        self._public_key = engine.public_key_to_bytes(secret.public_key(circuit.limbs.sanitise))

    @property
    def rows_per_request(self) -> int:
        """How many rows one request holds at most."""
        return self._circuit.rows_per_request

    @property
    def key_set(self) -> None:
        """Inner products need no evaluation key, and the public key travels with each request."""
        return None

    def check(self, rows: NDArray[np.float64]) -> None:
        """See `protections.interface.ClientSide.check`."""
        self._ranges.check(rows)

    def encode(self, rows: NDArray[np.float64]) -> EncodedRows:
        """See `protections.interface.ClientSide.encode`."""
        z = self._ranges.encode(rows)
        packing = self._circuit.packing
        blocks = tuple(
            tuple(packing.row_coefficients(z[block]))
            for block in wire.blocks(packing.rows_per_ciphertext, len(z))
        )
        return EncodedRows(len(z), blocks)

    def encrypt(self, encoded: EncodedRows) -> PendingRequest:
        """See `protections.interface.ClientSide.encrypt`."""
        circuit = self._circuit
        envelope = wire.Envelope.fresh(encoded.rows)
        parts = [envelope.to_bytes(wire.REQUEST, circuit.binding), self._public_key]
        step = circuit.packing.rows_per_ciphertext
        block_rows = (b.stop - b.start for b in wire.blocks(step, encoded.rows))
        for rows, polynomials in zip(block_rows, encoded.blocks, strict=True):
            positions = circuit.packing.request_positions(rows)
            for coefficients in polynomials:
                plaintext = engine.encode_coefficients(
                    circuit.parameters, coefficients, circuit.input_scale, circuit.limbs.input
                )
                ciphertext = self._secret.encrypt(plaintext)
                parts.append(engine.ciphertext_to_bytes(ciphertext, positions))
        return PendingRequest(b"".join(parts), envelope)

    def decrypt(self, pending: PendingRequest, response: bytes) -> NDArray[np.float64]:
        """See `protections.interface.ClientSide.decrypt`."""
        circuit = self._circuit
        view = memoryview(response)
        rows = pending.envelope.rows
        body = wire.read_answer(view, pending.envelope, circuit.binding, circuit.rows_per_request)
        wire.require_size(view, circuit.sizes.response(rows))
        blocks = []
        for block in wire.blocks(circuit.packing.rows_per_ciphertext, rows):
            its_rows = block.stop - block.start
            groups = []
            for group in range(circuit.packing.groups):
                size = circuit.sizes.response_ciphertext(its_rows, group)
                groups.append(self._open(body[:size], its_rows, group))
                body = body[size:]
            blocks.append(np.hstack(groups))
        return np.vstack(blocks)

    def _open(self, data: memoryview, rows: int, group: int) -> NDArray[np.float64]:
        circuit = self._circuit
        declared = circuit.packing.result_positions(rows, group)
        ciphertext = engine.ciphertext_from_bytes(
            circuit.parameters, data, limbs=circuit.limbs.response, positions=declared
        )
        if ciphertext.packing != "coefficients" or ciphertext.scale != circuit.response_scale:
            raise wire.malformed("a result has another packing or scale than the plan says")
        scores = self._secret.decrypt(
            ciphertext,
            declared,
            log_sigma=self._log_sigma,
            step=2.0**circuit.layout.log_output_step,
        )
        return scores.reshape(rows, circuit.packing.group_outputs(group))
