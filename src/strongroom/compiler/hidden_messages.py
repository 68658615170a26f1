"""Exact sizes of what the server of a hidden linear model, its askers and its owner send each
other.

An owner's ciphertexts are symmetric, and half of each is a seed; those for a committee are made
with its public key and travel whole. All coefficients of a row travel: each is multiplied by the
uniform half of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from strongroom.compiler.messages import ENVELOPE_BYTES, LARGEST_REQUEST_BYTES, Limbs
from strongroom.compiler.network_messages import KEY_SET_BYTES
from strongroom.compiler.packing import LinearPacking
from strongroom.engine import Parameters, ciphertext_bytes


@dataclass(frozen=True, slots=True)
class HiddenSizes:
    """Bytes of messages, as functions of the number of rows, and of the weights.

    Attributes:
        seeded: whether ciphertexts are an owner's.
    """

    parameters: Parameters
    packing: LinearPacking
    limbs: Limbs
    input_scale: Fraction
    weight_scale: Fraction
    response_scale: Fraction
    seeded: bool

    @property
    def request_ciphertext(self) -> int:
        """One ciphertext of a request."""
        return self._whole(self.input_scale)

    @property
    def weight_ciphertext(self) -> int:
        """One ciphertext of weights."""
        return self._whole(self.weight_scale)

    def request(self, rows: int) -> int:
        """A request for some rows."""
        blocks = -(-rows // self.packing.rows_per_ciphertext)
        return ENVELOPE_BYTES + KEY_SET_BYTES + blocks * self._request_block

    def response(self, rows: int) -> int:
        """The results that belong to it."""
        blocks, rest = divmod(rows, self.packing.rows_per_ciphertext)
        total = ENVELOPE_BYTES
        if blocks:
            total += blocks * self._response_block(self.packing.rows_per_ciphertext)
        return total + (self._response_block(rest) if rest else 0)

    def blocks_per_request(self) -> int:
        """How many blocks a request holds so that it and its results stay under the limit."""
        block = max(self._request_block, self._response_block(self.packing.rows_per_ciphertext))
        return max(1, (LARGEST_REQUEST_BYTES - ENVELOPE_BYTES - KEY_SET_BYTES) // block)

    def response_ciphertext(self, rows: int, group: int) -> int:
        """One result of a block of some rows."""
        return ciphertext_bytes(
            self.parameters,
            self.limbs.response,
            rows * self.packing.group_outputs(group),
            seeded=False,
            scale=self.response_scale,
        )

    @property
    def _request_block(self) -> int:
        return self.packing.column_chunks * self.request_ciphertext

    def _response_block(self, rows: int) -> int:
        # All groups but the last are alike, and a stranger's plan may have a million.
        last = self.packing.groups - 1
        return last * self.response_ciphertext(rows, 0) + self.response_ciphertext(rows, last)

    def _whole(self, scale: Fraction) -> int:
        return ciphertext_bytes(
            self.parameters,
            self.limbs.input,
            self.parameters.ring_degree,
            seeded=self.seeded,
            scale=scale,
        )
