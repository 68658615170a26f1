"""The client's side of a network: asks without showing rows, and reads the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import PublicKey, SecretKey
from strongroom.keys.key_sets import ClientKeySet
from strongroom.models.features import Features
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.network_circuit import NetworkCircuit
from strongroom.protections.fhe.network_results import network_scores, read_network_results
from strongroom.protections.fhe.ranges import FeatureRanges


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class EncodedRows:
    """Rows as slots, a vector for each ciphertext.

    Attributes:
        rows: how many.
    """

    rows: int
    ciphertexts: tuple[NDArray[np.float64] | NDArray[np.complex128], ...]


class NetworkAsker:
    """Makes requests under a key, public or secret, and scores of what is opened of their results.
    Safe from several threads.

    Args:
        circuit: of the plan.
        key: to encrypt rows with.
        key_set: the identifier of the evaluation keys, 16 bytes.
        features, names: of the plan.
    """

    def __init__(
        self,
        circuit: NetworkCircuit,
        key: SecretKey | PublicKey,
        key_set: bytes,
        *,
        features: Features,
        names: tuple[str, ...],
    ) -> None:
        self._circuit = circuit
        self._key = key
        self._key_set_identifier = key_set
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
        parts = [envelope.to_bytes(wire.REQUEST, circuit.binding), self._key_set_identifier]
        for slots in encoded.ciphertexts:
            plaintext = engine.encode_slots(
                circuit.parameters, slots, circuit.input_scale, circuit.layout.input_limbs
            )
            parts.append(engine.ciphertext_to_bytes(self._key.encrypt(plaintext)))
        return PendingRequest(b"".join(parts), envelope)

    def scores(
        self, pending: PendingRequest, values: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Raw scores, shape (rows, outputs), rounded to the declared precision.

        Args:
            values: the opened and flooded coefficients of each result, in the order of
                `network_results.network_result_places`.

        Raises:
            RowRefused: SR-INPUT-RANGE, a score is larger than there is room for.
        """
        rounded = [self._rounded(its_values) for its_values in values]
        return network_scores(self._circuit, pending.envelope.rows, rounded)

    def is_impossible(self, values: NDArray[np.float64]) -> bool:
        """Whether a score in the opened coefficients of a result is larger than there is room for:
        of a row far from all that the model was planned for, or of no row at all."""
        scores = self._circuit.packing.sums.sums(self._rounded(values))
        return bool(np.any(np.abs(scores) >= 2.0**self._circuit.layout.log_bound))

    def _rounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        step = 2.0**self._circuit.layout.log_output_step
        return np.asarray(np.round(values / step) * step)


class NetworkClient(NetworkAsker):
    """One client's end: a plan and a secret key. Safe from several threads."""

    def __init__(
        self,
        circuit: NetworkCircuit,
        secret: SecretKey,
        *,
        features: Features,
        names: tuple[str, ...],
    ) -> None:
        self._secret = secret
        self._key_set = ClientKeySet(secret, circuit.needs)
        super().__init__(circuit, secret, self._key_set.identifier, features=features, names=names)

    @property
    def key_set(self) -> ClientKeySet:
        """The keys that the server needs."""
        return self._key_set

    def decrypt(self, pending: PendingRequest, response: bytes) -> NDArray[np.float64]:
        """See `protections.interface.ClientSide.decrypt`."""
        layout = self._circuit.layout
        values = [
            self._secret.decrypt(
                ciphertext,
                place.positions,
                log_sigma=layout.decryption_log_sigma,
                step=2.0**layout.log_output_step,
            )
            for place, ciphertext in read_network_results(self._circuit, pending.envelope, response)
        ]
        return self.scores(pending, values)
