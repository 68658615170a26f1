"""The debugging decryptor: what is left in a ciphertext, for whoever holds the secret key.

For tests and for measuring; its report must not be published (see
`SecretKey.decrypt_raw_do_not_publish`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import decode
from strongroom.engine.key_parts import KeyPart


class RawDecryptor(Protocol):
    """A secret key, or parts of one."""

    def decrypt_raw_do_not_publish(self, ciphertext: Ciphertext) -> Plaintext:
        """The exact decryption, noise included."""


@dataclass(frozen=True, slots=True)
class JoinedSecret:
    """Parts of a key in one place: what their holders never let happen. See
    `joined_secret_do_not_use`."""

    parts: tuple[KeyPart, ...]

    def decrypt_raw_do_not_publish(self, ciphertext: Ciphertext) -> Plaintext:
        """c0 + c1 (sum of the parts): the message and its noise if these are all parts."""
        native = _native.decrypt_raw_jointly(
            ciphertext.native, [part.native for part in self.parts]
        )
        return Plaintext(native, ciphertext.parameters, ciphertext.scale, ciphertext.packing)


def joined_secret_do_not_use(parts: Sequence[KeyPart]) -> JoinedSecret:
    """What some holders of parts could decrypt with if they put them together. For tests: of what
    a quorum could do, and of what fewer can't."""
    return JoinedSecret(tuple(parts))


@dataclass(frozen=True, slots=True)
class NoiseReport:
    """State of a ciphertext.

    Attributes:
        limbs: its level, as a number of primes.
        log_scale, log_modulus: base-2 logarithms.
        log_noise: log2 of the largest difference to the expected message, in integers of the
            ciphertext.
        budget_bits: how many bits noise and message may still grow before they wrap.
        precision_bits: -log2 of the largest difference, in units of the message.
    """

    limbs: int
    log_scale: float
    log_modulus: float
    log_noise: float
    budget_bits: float
    precision_bits: float


def noise_report(
    ciphertext: Ciphertext,
    secret: RawDecryptor,
    expected: NDArray[np.float64] | NDArray[np.complex128],
) -> NoiseReport:
    """Compare a ciphertext's first `len(expected)` values with what they should be."""
    values = decode(secret.decrypt_raw_do_not_publish(ciphertext))
    difference = float(np.max(np.abs(values[: len(expected)] - expected)))
    largest = float(np.max(np.abs(values)))
    log_scale = math.log2(ciphertext.scale)
    log_modulus = ciphertext.parameters.log_prefix(ciphertext.limbs)
    tiny = math.ldexp(1.0, -1000)
    return NoiseReport(
        limbs=ciphertext.limbs,
        log_scale=log_scale,
        log_modulus=log_modulus,
        log_noise=math.log2(max(difference, tiny)) + log_scale,
        budget_bits=log_modulus - 1.0 - log_scale - math.log2(max(largest, tiny)),
        precision_bits=-math.log2(max(difference, tiny)),
    )
