"""Exact sizes of what a linear model's client and server send each other.

The layout of these messages is `protections.fhe.wire`'s; a test holds every size here against a
real message.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from strongroom.compiler.packing import LinearPacking
from strongroom.engine import Parameters, ciphertext_bytes, public_key_bytes

ENVELOPE_BYTES: Final = 60
"""Header of a request or response."""

LARGEST_REQUEST_BYTES: Final = 4 * 2**20
"""What a full request and its response are kept under, if more than one block fits."""


@dataclass(frozen=True, slots=True)
class Limbs:
    """Number of primes of a request's ciphertexts, of the flooded result and of the response."""

    input: int
    sanitise: int
    response: int


@dataclass(frozen=True, slots=True)
class MessageSizes:
    """Bytes of messages, as functions of the number of rows."""

    parameters: Parameters
    packing: LinearPacking
    limbs: Limbs
    input_scale: Fraction
    response_scale: Fraction

    @property
    def public_key(self) -> int:
        """The public key inside a request."""
        return public_key_bytes(self.parameters, self.limbs.sanitise)

    def request(self, rows: int) -> int:
        """A request for some rows."""
        blocks, rest = divmod(rows, self.packing.rows_per_ciphertext)
        total = ENVELOPE_BYTES + self.public_key
        if blocks:
            total += blocks * self._request_block(self.packing.rows_per_ciphertext)
        return total + (self._request_block(rest) if rest else 0)

    def response(self, rows: int) -> int:
        """The response to it."""
        blocks, rest = divmod(rows, self.packing.rows_per_ciphertext)
        total = ENVELOPE_BYTES
        if blocks:
            total += blocks * self._response_block(self.packing.rows_per_ciphertext)
        return total + (self._response_block(rest) if rest else 0)

    def blocks_per_request(self) -> int:
        """How many blocks a request holds so that it and its response stay under the limit."""
        rows = self.packing.rows_per_ciphertext
        block = max(self._request_block(rows), self._response_block(rows))
        return max(1, (LARGEST_REQUEST_BYTES - ENVELOPE_BYTES - self.public_key) // block)

    def request_ciphertext(self, rows: int) -> int:
        """One ciphertext of a block of some rows."""
        return ciphertext_bytes(
            self.parameters,
            self.limbs.input,
            self.packing.request_count(rows),
            seeded=True,
            scale=self.input_scale,
        )

    def response_ciphertext(self, rows: int, group: int) -> int:
        """One result of a block of some rows."""
        return ciphertext_bytes(
            self.parameters,
            self.limbs.response,
            rows * self.packing.group_outputs(group),
            seeded=False,
            scale=self.response_scale,
        )

    def _request_block(self, rows: int) -> int:
        return self.packing.column_chunks * self.request_ciphertext(rows)

    def _response_block(self, rows: int) -> int:
        # All groups but the last are alike, and a stranger's plan may have a million.
        last = self.packing.groups - 1
        return last * self.response_ciphertext(rows, 0) + self.response_ciphertext(rows, last)
