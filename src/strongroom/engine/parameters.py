"""Parameters of the encryption core, behind the security table.

`Parameters` is a validated immutable object: after it exists nobody checks again. Plans choose
from the catalogue (`engine.catalogue`), so that models share keys.
"""

from __future__ import annotations

import hashlib
import math
import os
from functools import cached_property
from typing import Final

from strongroom import _native
from strongroom.errors import PolicyError

KERNEL_VARIABLE: Final = "STRONGROOM_KERNEL"
"""Environment variable that forces a kernel by name, for tests and for comparing."""


class Parameters:
    """A ring degree N and a chain of primes, at 128-bit security or more.

    Args:
        ring_degree: N, a power of two from 2^10 to 2^17.
        primes: the data primes, each below 2^50 and 1 modulo 2N. Rescaling drops from the end.
        special_primes: for key switching; may be empty.
        security: the column of the security table to satisfy, "classical-128" or "quantum-128".
        kernel: name of a kernel, or empty for the fastest that this processor has (or the one
            that the environment variable STRONGROOM_KERNEL names).

    Raises:
        PolicyError: SR-PARAMETERS-INSECURE if the product of all primes exceeds the table
            (Bossuat et al., IACR CiC 1(4), eprint 2024/463, table 5.2), or the table does not
            have the ring degree.
        ValueError: the literal makes no sense.
    """

    def __init__(
        self,
        ring_degree: int,
        primes: tuple[int, ...],
        special_primes: tuple[int, ...] = (),
        security: str = "classical-128",
        kernel: str = "",
    ) -> None:
        try:
            native = _native.Parameters(
                ring_degree,
                list(primes),
                list(special_primes),
                security,
                kernel or os.environ.get(KERNEL_VARIABLE, ""),
            )
        except _native.InsecureParametersError as error:
            raise PolicyError(
                "SR-PARAMETERS-INSECURE", str(error), "Use a larger ring or a shorter chain"
            ) from None
        self._adopt(native, ring_degree, primes, special_primes, security)

    def _adopt(
        self,
        native: _native.Parameters,
        ring_degree: int,
        primes: tuple[int, ...],
        special_primes: tuple[int, ...],
        security: str,
    ) -> None:
        self.native = native
        self.ring_degree = ring_degree
        self.primes = primes
        self.special_primes = special_primes
        self.security = security

    @property
    def limbs(self) -> int:
        """Number of data primes."""
        return len(self.primes)

    @property
    def kernel(self) -> str:
        """Name of the kernel in use."""
        return self.native.kernel

    @property
    def log_modulus(self) -> float:
        """log2 of the product of all primes, the special ones included."""
        return self.native.log_modulus

    def modulus(self, limbs: int) -> int:
        """The product of the first `limbs` data primes."""
        return math.prod(self.primes[:limbs])

    def log_prefix(self, limbs: int) -> float:
        """log2 of that product."""
        return math.log2(self.modulus(limbs))

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over the literal: what binds keys and ciphertexts to these parameters.

        The text that is hashed is `ckks N q0,q1,... p0,p1,...` in decimal.
        """
        chain = ",".join(map(str, self.primes))
        special = ",".join(map(str, self.special_primes))
        return hashlib.sha256(f"ckks {self.ring_degree} {chain} {special}".encode()).digest()

    def packed_bytes(self, limbs: int, count: int) -> int:
        """Bytes of `count` bit-packed coefficients modulo the first `limbs` primes."""
        return _native.packed_bytes(self.native, limbs, count)

    def __repr__(self) -> str:
        return (
            f"Parameters(ring_degree={self.ring_degree}, limbs={self.limbs}, "
            f"log_modulus={self.log_modulus:.1f}, security={self.security!r})"
        )


def largest_log_modulus(security: str, ring_degree: int) -> int:
    """The security table: largest log2(QP) for a ring degree; 0 if the table does not have it."""
    return _native.largest_log_modulus(security, ring_degree)


def available_kernels() -> tuple[str, ...]:
    """Kernels that this processor can run, fastest first."""
    return tuple(_native.available_kernels())
