"""The client's side of a network: asks without showing rows, and reads the answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import SecretKey
from strongroom.keys.key_sets import ClientKeySet
from strongroom.models.feature_columns import RowRefused
from strongroom.models.features import Features
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.ranges import FeatureRanges


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class EncodedRows:
    """Rows as slots, a vector for each ciphertext.

    Attributes:
        rows: how many.
    """

    rows: int
    ciphertexts: tuple[NDArray[np.float64] | NDArray[np.complex128], ...]


class NetworkClient:
    """One client's end: a plan and a secret key. Safe from several threads."""

    def __init__(
        self,
        circuit: NetworkCircuit,
        secret: SecretKey,
        *,
        features: Features,
        names: tuple[str, ...],
    ) -> None:
        self._circuit = circuit
        self._secret = secret
        self._key_set = ClientKeySet(secret, circuit.needs)
        layout = circuit.layout
        self._ranges = FeatureRanges(
            np.array(layout.centre),
            np.array(layout.half_width),
            layout.headroom,
            features,
            names,
            "compare" if layout.clipped else "clip",
            layout.reach,
        )

    @property
    def rows_per_request(self) -> int:
        """How many rows one request holds at most."""
        return self._circuit.rows_per_request

    @property
    def key_set(self) -> ClientKeySet:
        """The keys that the server needs."""
        return self._key_set

    def check(self, rows: NDArray[np.float64]) -> None:
        """See `protections.interface.ClientSide.check`."""
        self._ranges.check(rows)

    def encode(self, rows: NDArray[np.float64]) -> EncodedRows:
        """See `protections.interface.ClientSide.encode`."""
        z = self._ranges.encode(rows)
        step = self._circuit.layout.rows_per_ciphertext
        # The last ciphertext is filled up with its last row. No row at all, zeros, would be far
        # from all that circuits were fitted to, and what polynomials make of it there may be so
        # large that it spoils the ciphertext's other rows.
        filled = np.pad(z, ((0, -len(z) % step), (0, 0)), mode="edge")
        packing = self._circuit.packing
        ciphertexts = tuple(
            packing.input_slots(filled[block]) for block in wire.blocks(step, len(filled))
        )
        return EncodedRows(len(z), ciphertexts)

    def encrypt(self, encoded: EncodedRows) -> PendingRequest:
        """See `protections.interface.ClientSide.encrypt`."""
        circuit = self._circuit
        envelope = wire.Envelope.fresh(encoded.rows)
        parts = [envelope.to_bytes(wire.REQUEST, circuit.binding), self._key_set.identifier]
        for slots in encoded.ciphertexts:
            plaintext = engine.encode_slots(
                circuit.parameters, slots, circuit.input_scale, circuit.layout.input_limbs
            )
            parts.append(engine.ciphertext_to_bytes(self._secret.encrypt(plaintext)))
        return PendingRequest(b"".join(parts), envelope)

    def decrypt(self, pending: PendingRequest, response: bytes) -> NDArray[np.float64]:
        """See `protections.interface.ClientSide.decrypt`."""
        circuit = self._circuit
        view = memoryview(response)
        rows = pending.envelope.rows
        body = wire.read_answer(view, pending.envelope, circuit.binding, circuit.rows_per_request)
        wire.require_size(view, circuit.sizes.response(rows))
        blocks = []
        for block in wire.blocks(circuit.layout.rows_per_ciphertext, rows):
            groups = []
            for group in range(circuit.packing.sums.groups):
                size = circuit.sizes.response_ciphertext(group)
                groups.append(self._open(body[:size], group))
                body = body[size:]
            blocks.append(np.hstack(groups)[: block.stop - block.start])
        scores = np.vstack(blocks)
        beyond = (np.abs(scores) >= 2.0**circuit.layout.log_bound).any(axis=1)
        if beyond.any():
            # One row can spoil all that share its ciphertext.
            step = circuit.layout.rows_per_ciphertext
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

    def _open(self, data: memoryview, group: int) -> NDArray[np.float64]:
        """The sums of a group, shape (vectors, outputs of the group), flooded and rounded."""
        circuit, sums = self._circuit, self._circuit.packing.sums
        positions = sums.positions(group)
        ciphertext = engine.ciphertext_from_bytes(
            circuit.parameters, data, limbs=circuit.layout.response_limbs, positions=positions
        )
        if ciphertext.packing != "coefficients" or ciphertext.scale != circuit.response_scale:
            raise wire.malformed("a result has another packing or scale than the plan says")
        values = self._secret.decrypt(
            ciphertext,
            positions,
            log_sigma=circuit.layout.decryption_log_sigma,
            step=2.0**circuit.layout.log_output_step,
        )
        return sums.sums(values)
