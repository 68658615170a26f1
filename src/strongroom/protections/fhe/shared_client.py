"""An asker's end of a hidden model under a committee's key: it encrypts, and adds up shares.

It holds no key that opens anything of the committee's. Members' smudging is the flood that makes
answers fit to be published, so nothing is flooded here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan
from strongroom.engine import PublicKey, threshold
from strongroom.errors import CiphertextError
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.client_side import PendingRequest
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_client import HiddenLinearAsker
from strongroom.protections.fhe.holders import holder_key_set
from strongroom.protections.fhe.network_client import NetworkAsker
from strongroom.protections.fhe.shared_results import (
    HiddenCircuit,
    hidden_circuit,
    read_shown,
    result_positions,
    shown_bytes,
)


@dataclass(frozen=True, slots=True)
class SharedPending:
    """A request whose results members open.

    Attributes:
        request: as it is sent.
        results: how many result ciphertexts the answer has.
    """

    request: PendingRequest
    results: int

    @property
    def body(self) -> bytes:
        """The bytes to send."""
        return self.request.body

    @property
    def envelope(self) -> wire.Envelope:
        """Their header."""
        return self.request.envelope


class SharedClient:
    """A `protections.interface.SharedClientSide`. Safe from several threads.

    Args:
        plan: checked.
        key: of the committee, over at least the primes of a request.
        package: digest of the package that the client trusts.
    """

    def __init__(self, plan: Plan, key: PublicKey, package: str) -> None:
        self._circuit: HiddenCircuit = hidden_circuit(plan, package)
        key_set, names = holder_key_set(plan), plan.input.column_labels()
        self._asker: HiddenLinearAsker | NetworkAsker
        if isinstance(self._circuit, HiddenLinearCircuit):
            self._asker = HiddenLinearAsker(
                self._circuit, key, key_set, features=plan.features, names=names
            )
        else:
            self._asker = NetworkAsker(
                self._circuit, key, key_set, features=plan.features, names=names
            )

    @property
    def rows_per_request(self) -> int:
        """See `protections.interface.ClientSide`."""
        return self._asker.rows_per_request

    @property
    def key_set(self) -> None:
        """The committee's keys are the server's: an asker sends none."""
        return None

    @property
    def shown_bytes_per_request(self) -> int:
        """See `protections.interface.SharedClientSide`."""
        return shown_bytes(self._circuit, self.rows_per_request)

    @property
    def words_per_request(self) -> int:
        """See `protections.interface.SharedClientSide`."""
        counts = map(len, result_positions(self._circuit, self.rows_per_request))
        return self._circuit.layout.response_limbs * sum(counts)

    def check(self, rows: Any) -> None:
        """See `protections.interface.ClientSide`."""
        self._asker.check(rows)

    def encode(self, rows: Any) -> Any:
        """See `protections.interface.ClientSide`."""
        return self._asker.encode(rows)

    def encrypt(self, encoded: Any) -> SharedPending:
        """See `protections.interface.ClientSide`."""
        pending = self._asker.encrypt(encoded)
        results = sum(1 for _ in result_positions(self._circuit, pending.envelope.rows))
        return SharedPending(pending, results)

    def decrypt(self, pending: Any, response: bytes) -> Any:
        """Nothing is opened without shares: see `open`.

        Raises:
            CiphertextError: SR-CIPHERTEXT-FORMAT.
        """
        raise CiphertextError(
            "SR-CIPHERTEXT-FORMAT",
            "an answer of a committee's model came without its members' shares",
            "Tell the server's operator",
        )

    def share_shapes(self, pending: SharedPending) -> Sequence[tuple[int, int]]:
        """See `protections.interface.SharedClientSide`."""
        limbs = self._circuit.layout.response_limbs
        return [
            (limbs, len(positions))
            for positions in result_positions(self._circuit, pending.envelope.rows)
        ]

    def impossible(
        self,
        pending: SharedPending,
        shown: bytes,
        shares: Sequence[Sequence[NDArray[np.uint64]]],
    ) -> bool:
        """See `protections.interface.SharedClientSide`."""
        return any(map(self._asker.is_impossible, self._values(pending, shown, shares)))

    def open(
        self,
        pending: SharedPending,
        shown: bytes,
        shares: Sequence[Sequence[NDArray[np.uint64]]],
    ) -> NDArray[np.float64]:
        """See `protections.interface.SharedClientSide`."""
        return self._asker.scores(pending.request, self._values(pending, shown, shares))

    def _values(
        self,
        pending: SharedPending,
        shown: bytes,
        shares: Sequence[Sequence[NDArray[np.uint64]]],
    ) -> list[NDArray[np.float64]]:
        """The coefficients of each result, with the smudging in them."""
        circuit = self._circuit
        first = read_shown(circuit, pending.envelope, shown)
        return [
            threshold.combine_shares(circuit.parameters, words, its_shares, circuit.response_scale)
            for words, *its_shares in zip(first, *shares, strict=True)
        ]
