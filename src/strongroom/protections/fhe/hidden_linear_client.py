"""Askers of a hidden linear model: its owner, who decrypts alone, and a committee's clients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import PublicKey, SecretKey
from strongroom.keys.key_sets import ClientKeySet
from strongroom.models.features import Features
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.client_side import EncodedRows, PendingRequest
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_results import read_results, scores_of
from strongroom.protections.fhe.ranges import FeatureRanges


class HiddenLinearAsker:
    """Makes requests under a key, public or secret, and scores of what is opened of their results.
    Safe from several threads.

    Args:
        circuit: of the plan.
        key: to encrypt rows with: that of the model's holder.
        key_set: the identifier of the holder's evaluation keys, 16 bytes.
        features, names: of the plan.
    """

    def __init__(
        self,
        circuit: HiddenLinearCircuit,
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
            np.array(layout.centre), np.array(layout.half_width), layout.headroom, features, names
        )

    @property
    def rows_per_request(self) -> int:
        """How many rows one request holds at most."""
        return self._circuit.rows_per_request

    def check(self, rows: NDArray[np.float64]) -> None:
        """See `protections.interface.ClientSide.check`."""
        self._ranges.check(rows)

    def encode(self, rows: NDArray[np.float64]) -> EncodedRows:
        """See `protections.interface.ClientSide.encode`; the bias' column comes last."""
        packing = self._circuit.packing
        z = self._ranges.encode(rows)
        z = np.hstack([z, np.full((len(z), 1), self._circuit.layout.headroom)])
        blocks = tuple(
            tuple(packing.row_coefficients(z[block]))
            for block in wire.blocks(packing.rows_per_ciphertext, len(z))
        )
        return EncodedRows(len(z), blocks)

    def encrypt(self, encoded: EncodedRows) -> PendingRequest:
        """See `protections.interface.ClientSide.encrypt`."""
        circuit = self._circuit
        envelope = wire.Envelope.fresh(encoded.rows)
        parts = [envelope.to_bytes(wire.REQUEST, circuit.binding), self._key_set_identifier]
        for polynomials in encoded.blocks:
            for coefficients in polynomials:
                plaintext = engine.encode_coefficients(
                    circuit.parameters, coefficients, circuit.input_scale, circuit.limbs.input
                )
                parts.append(engine.ciphertext_to_bytes(self._key.encrypt(plaintext)))
        return PendingRequest(b"".join(parts), envelope)

    def scores(
        self, pending: PendingRequest, values: Sequence[NDArray[np.float64]]
    ) -> NDArray[np.float64]:
        """Raw scores, shape (rows, outputs), rounded to the declared precision.

        Args:
            values: the opened and flooded coefficients of each result, in the order of
                `hidden_linear_results.result_places`.
        """
        step = self._step
        scores = scores_of(self._circuit, pending.envelope.rows, values)
        return np.asarray(np.ldexp(np.round(scores / step) * step, self._circuit.layout.log_bound))

    def is_impossible(self, values: NDArray[np.float64]) -> bool:
        """Whether the opened coefficients of a result are of no row that `encode` takes: a score
        reaches the plan's bound. Of numbers that have nothing to do with the result, each does
        with a chance of a half or more."""
        return bool(np.any(np.abs(values) > 1.0 + self._step))

    @property
    def _step(self) -> float:
        """The declared precision of what is opened: of scores divided by their bound."""
        layout = self._circuit.layout
        return math.ldexp(1.0, layout.log_output_step - layout.log_bound)


class HiddenLinearClient(HiddenLinearAsker):
    """The owner's end: a plan and the secret key that its weights are encrypted under."""

    def __init__(
        self,
        circuit: HiddenLinearCircuit,
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
                step=self._step,
            )
            for place, ciphertext in read_results(self._circuit, pending.envelope, response)
        ]
        return self.scores(pending, values)
