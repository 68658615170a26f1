"""Requests as a server reads them: what is untrusted is checked before anything is computed.

envelope     60
key set      16   whose evaluation keys answer it
ciphertexts       of rows, all of one form
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import Ciphertext, Parameters, require_elements
from strongroom.engine.ciphertext import Packing
from strongroom.protections.fhe import wire
from strongroom.protections.fhe.holders import require_key_set
from strongroom.protections.interface import KeyNeeds, KeySets, OpenKeySet


class _Sizes(Protocol):
    def request(self, rows: int) -> int:
        """Bytes of a whole request."""
        ...


class _Circuit(Protocol):
    @property
    def binding(self) -> bytes:
        """Of plan and package."""
        ...

    @property
    def rows_per_request(self) -> int:
        """At most."""
        ...

    @property
    def sizes(self) -> _Sizes:
        """Of messages."""
        ...

    @property
    def needs(self) -> KeyNeeds:
        """The evaluation keys."""
        ...


@dataclass(frozen=True, slots=True)
class OpenedRequest:
    """A request of the right size, with the keys that answer it.

    Attributes:
        envelope: of the request.
        ciphertexts: not read yet.
        keys: with all elements that the circuit needs.
    """

    envelope: wire.Envelope
    ciphertexts: memoryview
    keys: OpenKeySet


def open_request(
    circuit: _Circuit,
    request: bytes | memoryview,
    keys: KeySets | None,
    *,
    holder: bytes | None = None,
) -> OpenedRequest:
    """Read a request up to its ciphertexts.

    Args:
        request: untrusted, whole.
        keys: that the server has.
        holder: identifier of the only key set that fits; any if None.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -MISMATCH.
        KeyStoreError: SR-KEYS-HOLDER for another key set than the holder's; SR-KEYS-MISSING.
        ValueError: there are no keys.
    """
    view = memoryview(request).cast("B")
    envelope, body = wire.read_envelope(
        view, wire.REQUEST, circuit.binding, circuit.rows_per_request
    )
    wire.require_size(view, circuit.sizes.request(envelope.rows))
    if keys is None:
        raise ValueError("such a request is answered with evaluation keys")
    key_set, ciphertexts = wire.read_key_set(body)
    if holder is not None:
        require_key_set(key_set, holder)
    opened = keys.open(key_set, circuit.needs)
    require_elements(opened.evaluation_keys, [need.element for need in circuit.needs.keys])
    return OpenedRequest(envelope, ciphertexts, opened)


@dataclass(frozen=True, slots=True)
class RowForm:
    """What a plan says of a ciphertext of rows.

    Attributes:
        limbs: primes.
        packing: of the rows.
        seeded: whether it is encrypted under the asker's own key, with a seed for its c1, or under
            a public one.
        scale: of the encoding.
    """

    limbs: int
    packing: Packing
    seeded: bool
    scale: Fraction

    def read(
        self,
        parameters: Parameters,
        data: memoryview,
        positions: NDArray[np.uint32] | None = None,
    ) -> Ciphertext:
        """A ciphertext of this form.

        Args:
            data: untrusted.
            positions: coefficients of c0 that travel; all if None.

        Raises:
            CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
        """
        ciphertext = engine.ciphertext_from_bytes(
            parameters, data, limbs=self.limbs, positions=positions
        )
        if ciphertext.packing != self.packing:
            raise wire.malformed(f"a ciphertext is packed by {ciphertext.packing}")
        if (ciphertext.seed is not None) != self.seeded:
            raise wire.malformed("a ciphertext is encrypted in another way than the plan says")
        if ciphertext.scale != self.scale:
            raise wire.malformed("a ciphertext has another scale than the plan says")
        return ciphertext
