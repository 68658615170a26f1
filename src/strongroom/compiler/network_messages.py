"""Exact sizes of what a network's client and server send each other, and what keys take.

The layout of these messages is `protections.fhe.wire`'s; a test holds every size here against a
real message.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from strongroom.compiler.messages import ENVELOPE_BYTES
from strongroom.engine import Parameters, ciphertext_bytes, public_key_bytes, switching_key_bytes
from strongroom.engine import operation_memory as memory
from strongroom.engine.slot_sums import SumLayout

KEY_SET_BYTES: Final = 16
"""The identifier of a key set inside a request."""

LARGEST_REQUEST_BYTES: Final = 8 * 2**20
"""What a full request and its response are kept under, if more than one ciphertext fits."""


@dataclass(frozen=True, slots=True)
class NetworkSizes:
    """Bytes of messages, as functions of the number of rows.

    Attributes:
        vectors: rows that one ciphertext holds.
        seeded: whether those who ask have the secret key, which makes their ciphertexts half as
            long.
    """

    parameters: Parameters
    vectors: int
    input_limbs: int
    response_limbs: int
    input_scale: Fraction
    response_scale: Fraction
    sums: SumLayout
    seeded: bool = True

    def request(self, rows: int) -> int:
        """A request for some rows."""
        blocks = -(-rows // self.vectors)
        return ENVELOPE_BYTES + KEY_SET_BYTES + blocks * self.request_ciphertext

    def response(self, rows: int) -> int:
        """The response to it."""
        blocks = -(-rows // self.vectors)
        last = self.sums.groups - 1
        block = last * self.response_ciphertext(0) + self.response_ciphertext(last)
        return ENVELOPE_BYTES + blocks * block

    def blocks_per_request(self) -> int:
        """How many ciphertexts a request holds so that it and its response stay small."""
        response = self.response(1) - ENVELOPE_BYTES
        room = LARGEST_REQUEST_BYTES - ENVELOPE_BYTES - KEY_SET_BYTES
        return max(1, room // max(self.request_ciphertext, response))

    @property
    def request_ciphertext(self) -> int:
        """One ciphertext of a request."""
        return ciphertext_bytes(
            self.parameters,
            self.input_limbs,
            self.parameters.ring_degree,
            seeded=self.seeded,
            scale=self.input_scale,
        )

    def response_ciphertext(self, group: int) -> int:
        """The sums of one group of outputs."""
        return ciphertext_bytes(
            self.parameters,
            self.response_limbs,
            self.vectors * self.sums.group_outputs(group),
            seeded=False,
            scale=self.response_scale,
        )


def uploaded_key_bytes(
    parameters: Parameters, keys: Iterable[tuple[int, int]], public_limbs: int
) -> int:
    """What a client sends once: evaluation keys, given as (element, primes), and a public key, or
    none if it would have no primes."""
    total = sum(switching_key_bytes(parameters, limbs) for _, limbs in keys)
    return total + (public_key_bytes(parameters, public_limbs) if public_limbs else 0)


def mapped_key_bytes(parameters: Parameters, keys: Iterable[tuple[int, int]]) -> int:
    """What evaluation keys take in memory, and nearly so on disk."""
    return sum(memory.switching_key_bytes(parameters, limbs) for _, limbs in keys)
