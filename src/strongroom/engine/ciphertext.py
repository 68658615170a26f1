"""Plaintexts and ciphertexts: native polynomials with their exact scale.

Values: an operation returns a new object. The scale is a rational number and exact, so sums need
no tolerance: whoever encodes picks the scale at which the sum is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from strongroom import _native
from strongroom.engine.parameters import Parameters

Packing = Literal["coefficients", "slots"]


@dataclass(frozen=True, slots=True, repr=False)
class Plaintext:
    """An encoded vector. Not to be confused with something public: it is the message.

    Attributes:
        parameters, scale, packing: how it was encoded.
    """

    native: _native.Plaintext
    parameters: Parameters
    scale: Fraction
    packing: Packing

    @property
    def limbs(self) -> int:
        """Number of primes."""
        return self.native.limbs

    def __repr__(self) -> str:
        return f"Plaintext({self.packing}, limbs={self.limbs})"


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An encrypted vector.

    Attributes:
        parameters, scale, packing: how its message is encoded.
        seed: for a fresh symmetric ciphertext, the 32 bytes that its second part is expanded
            from; it then travels at half size. None after any operation.
    """

    native: _native.Ciphertext = field(repr=False)
    parameters: Parameters
    scale: Fraction
    packing: Packing
    seed: bytes | None = field(default=None, repr=False)

    @property
    def limbs(self) -> int:
        """Number of primes: the level."""
        return self.native.limbs
