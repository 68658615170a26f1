"""A member with other software: `python deviating_member.py WAY member serve …`.

noise   answers uniform words, and proves nothing
offset  adds to its share what moves a score by an eighth of its bound, and sends a proof of the
        share that it did not give
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.cli import app
from strongroom.engine import threshold
from strongroom.engine.threshold import KeyPart

Words = NDArray[np.uint64]


def _primes(part: KeyPart, limbs: int) -> Words:
    return np.array(part.parameters.primes[:limbs], dtype=np.uint64)[:, None]


def _offset(part: KeyPart, limbs: int) -> Words:
    modulus = 1
    for prime in part.parameters.primes[:limbs]:
        modulus *= prime
    moved = modulus // 32  # a modulus holds scores of up to twice their bound, of either sign
    return np.array([moved % prime for prime in part.parameters.primes[:limbs]], np.uint64)[:, None]


def answer_noise() -> None:
    def share(parts: Any, c1: bytes, *, limbs: int, positions: Any, log_sigma: float) -> Words:
        drawn = np.frombuffer(secrets.token_bytes(8 * limbs * len(positions)), np.uint64)
        return drawn.reshape(limbs, len(positions)) % _primes(parts[0], limbs)

    threshold.decryption_share = share


def answer_offset() -> None:
    honest_share: Callable[..., Words] = threshold.decryption_share
    honest_proof: Callable[..., bytes] = threshold.prove_share

    def share(parts: Any, c1: bytes, *, limbs: int, **options: Any) -> Words:
        words = honest_share(parts, c1, limbs=limbs, **options)
        return (words + _offset(parts[0], limbs)) % _primes(parts[0], limbs)

    def proof(parts: Any, *args: Any, limbs: int, words: Words, **options: Any) -> bytes:
        primes = _primes(parts[0], limbs)
        given = (words + primes - _offset(parts[0], limbs)) % primes
        return honest_proof(parts, *args, limbs=limbs, words=given, **options)

    threshold.decryption_share, threshold.prove_share = share, proof


if __name__ == "__main__":
    {"noise": answer_noise, "offset": answer_offset}[sys.argv[1]]()
    sys.exit(app.run(sys.argv[2:]))
