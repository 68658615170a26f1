"""What every serialised ciphertext and key begins with, and how malformed ones are refused.

    magic     4  "SRCK"
    version   1  1
    kind      1  1 ciphertext, 2 seeded ciphertext, 3 public key, 4 switching key; shares of
                 collective keys: 5 public key, 6 Galois key, 7 and 8 the rounds of the key for
                 products; 9 check of a part; 10 second part of a result
    limbs     1
    packing   1  0 coefficients, 1 slots (0 for all but ciphertexts)
    digest   32  of the parameters
    count     4  how many coefficients of c0 travel: N, or as many as the receiver declared

Little-endian. A reader says what it expects; a header says nothing that is used unchecked.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from strongroom import _native
from strongroom.engine.ciphertext import Packing
from strongroom.engine.parameters import Parameters
from strongroom.errors import CiphertextError

Buffer = bytes | memoryview

CIPHERTEXT, SEEDED, PUBLIC_KEY, SWITCHING_KEY = 1, 2, 3, 4
PUBLIC_KEY_SHARE, GALOIS_KEY_SHARE, FIRST_ROUND, SECOND_ROUND = 5, 6, 7, 8
PART_CHECK, SECOND_PART = 9, 10
"""Kinds."""

SEED_BYTES: Final = 32

_HEADER: Final = struct.Struct("<4sBBBB32sI")
HEADER_BYTES: Final = _HEADER.size
_MAGIC: Final = b"SRCK"
_VERSION: Final = 1
_PACKED_EITHER_WAY: Final = (CIPHERTEXT, SEEDED)
_PACKINGS: Final[tuple[Packing, ...]] = ("coefficients", "slots")


@dataclass(frozen=True, slots=True)
class Header:
    """The fields that a reader did not know beforehand."""

    kind: int
    limbs: int
    packing: Packing


def write_header(
    parameters: Parameters, kind: int, limbs: int, count: int, packing: Packing = "coefficients"
) -> bytes:
    """The 44 bytes; keys have no packing but the default."""
    return _HEADER.pack(
        _MAGIC, _VERSION, kind, limbs, _PACKINGS.index(packing), parameters.digest, count
    )


def read_header(
    parameters: Parameters, data: Buffer, kinds: tuple[int, ...], limbs: int | None, count: int
) -> tuple[Header, memoryview]:
    """The header, and the bytes behind it.

    Args:
        parameters: that the sender must have used.
        data: from anybody.
        kinds: that belong here.
        limbs: how many primes there must be; as many as the chain has or fewer if None.
        count: how many coefficients must travel.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -MISMATCH.
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEADER.size:
        raise malformed(f"{len(view)} bytes are too few for a header")
    magic, version, kind, its_limbs, packing, digest, its_count = _HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise malformed("the bytes do not begin as a ciphertext or key does")
    if version != _VERSION:
        raise malformed(f"format version {version} is not known here")
    if kind not in kinds or packing >= (len(_PACKINGS) if kind in _PACKED_EITHER_WAY else 1):
        raise malformed(f"kind {kind} with packing {packing} is not what belongs here")
    if digest != parameters.digest:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "a ciphertext or key was made for other parameters",
            "Encrypt for the parameters that the model's plan names",
        )
    expected = f"{limbs}" if limbs is not None else f"1 to {parameters.limbs}"
    its_limbs_fit = its_limbs == limbs if limbs is not None else 1 <= its_limbs <= parameters.limbs
    if not its_limbs_fit or its_count != count:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            f"{its_limbs} primes and {its_count} coefficients came where the plan has {expected} "
            f"and {count}",
            "Encrypt as the model's plan says",
        )
    return Header(kind, its_limbs, _PACKINGS[packing]), view[_HEADER.size :]


def require_length(body: memoryview, expected: int) -> None:
    """Refuse a body of another length, before anything is allocated for it.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT.
    """
    if len(body) != expected:
        raise malformed(f"the body has {len(body)} bytes where {expected} belong")


def malformed(what: str) -> CiphertextError:
    """The error for bytes that no writer writes."""
    return CiphertextError(
        "SR-CIPHERTEXT-FORMAT",
        f"malformed ciphertext or key: {what}",
        "Send what the client library made, unaltered",
    )


def unpack_fault(error: _native.UnpackError) -> CiphertextError:
    """The error for what the core found in packed coefficients."""
    if str(error) == "range":
        return CiphertextError(
            "SR-CIPHERTEXT-RANGE",
            "a coefficient is not below its modulus",
            "Send what the client library made, unaltered",
        )
    return malformed(f"wrong {error} of packed coefficients")
