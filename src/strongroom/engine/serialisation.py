"""Ciphertexts and public keys as bytes: versioned, bounded, bit-packed (docs/reference/format.md).

Little-endian. A header of 44 bytes (`serialisation_header`), for ciphertexts an exact scale, then
coefficients, each in as many bits as its prime has. Evaluation keys: `key_serialisation`.

Which coefficients travel when there are fewer than N is not in the bytes: both sides derive it from
the plan. Everything is checked before it is used: the header against the receiver's parameters,
the length before anything is allocated, and every coefficient against its prime.
"""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.keys import PublicKey
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    CIPHERTEXT,
    HEADER_BYTES,
    PUBLIC_KEY,
    SEED_BYTES,
    SEEDED,
    Buffer,
    malformed,
    read_header,
    require_length,
    unpack_fault,
    write_header,
)

Positions = NDArray[np.uint32] | None

_SCALE: Final = struct.Struct("<HH")
_LARGEST_SCALE_BYTES: Final = 256


def ciphertext_to_bytes(ciphertext: Ciphertext, positions: Positions = None) -> bytes:
    """A ciphertext; a fresh symmetric one as its seed and c0.

    Args:
        positions: coefficients of c0 that travel; all if None. The receiver must pass the same.
    """
    parameters = ciphertext.parameters
    seeded = ciphertext.seed is not None
    count = parameters.ring_degree if positions is None else len(positions)
    kind = SEEDED if seeded else CIPHERTEXT
    header = write_header(parameters, kind, ciphertext.limbs, count, ciphertext.packing)
    second = ciphertext.seed or ciphertext.native.pack_c1(parameters.native)
    first = ciphertext.native.pack_c0(parameters.native, positions)
    return b"".join((header, _scale_to_bytes(ciphertext.scale), second, first))


def ciphertext_from_bytes(
    parameters: Parameters, data: Buffer, *, limbs: int, positions: Positions = None
) -> Ciphertext:
    """The ciphertext that `ciphertext_to_bytes` wrote; coefficients that did not travel are zero.

    Args:
        limbs: how many primes it must have.
        positions: as for the sender.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
    """
    count = parameters.ring_degree if positions is None else len(positions)
    header, body = read_header(parameters, data, (CIPHERTEXT, SEEDED), limbs, count)
    scale, body = _scale_from_bytes(body)
    first_bytes = parameters.packed_bytes(limbs, count)
    seeded = header.kind == SEEDED
    second_bytes = SEED_BYTES if seeded else parameters.packed_bytes(limbs, parameters.ring_degree)
    require_length(body, second_bytes + first_bytes)
    second, first = body[:second_bytes], body[second_bytes:]
    try:
        if seeded:
            native = _native.Ciphertext.unpack_seeded(
                parameters.native, limbs, second, first, positions
            )
        else:
            native = _native.Ciphertext.unpack(parameters.native, limbs, first, second, positions)
    except _native.UnpackError as error:
        raise unpack_fault(error) from None
    return Ciphertext(native, parameters, scale, header.packing, bytes(second) if seeded else None)


def public_key_to_bytes(key: PublicKey) -> bytes:
    """A public key: the seed of its uniform half, and the other half."""
    parameters = key.parameters
    header = write_header(parameters, PUBLIC_KEY, key.limbs, parameters.ring_degree)
    return header + key.native.seed + key.native.pack_b(parameters.native)


def public_key_from_bytes(parameters: Parameters, data: Buffer, *, limbs: int) -> PublicKey:
    """The key that `public_key_to_bytes` wrote.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
    """
    _, body = read_header(parameters, data, (PUBLIC_KEY,), limbs, parameters.ring_degree)
    require_length(body, public_key_bytes(parameters, limbs) - HEADER_BYTES)
    try:
        native = _native.PublicKey.unpack(
            parameters.native, limbs, body[:SEED_BYTES], body[SEED_BYTES:]
        )
    except _native.UnpackError as error:
        raise unpack_fault(error) from None
    return PublicKey(native, parameters)


def ciphertext_bytes(
    parameters: Parameters, limbs: int, count: int, *, seeded: bool, scale: Fraction
) -> int:
    """Exact length of a serialised ciphertext of which `count` coefficients of c0 travel."""
    second = SEED_BYTES if seeded else parameters.packed_bytes(limbs, parameters.ring_degree)
    first = parameters.packed_bytes(limbs, count)
    return HEADER_BYTES + len(_scale_to_bytes(scale)) + second + first


def public_key_bytes(parameters: Parameters, limbs: int) -> int:
    """Exact length of a serialised public key."""
    packed = _native.public_key_packed_bytes(parameters.native, limbs)
    return HEADER_BYTES + SEED_BYTES + packed


def _scale_to_bytes(scale: Fraction) -> bytes:
    parts = [
        number.to_bytes((number.bit_length() + 7) // 8, "little")
        for number in (scale.numerator, scale.denominator)
    ]
    return _SCALE.pack(len(parts[0]), len(parts[1])) + parts[0] + parts[1]


def _scale_from_bytes(body: memoryview) -> tuple[Fraction, memoryview]:
    if len(body) < _SCALE.size:
        raise malformed("the scale is cut off")
    lengths = _SCALE.unpack_from(body)
    end = _SCALE.size + sum(lengths)
    if max(lengths) > _LARGEST_SCALE_BYTES or end > len(body):
        raise malformed("the scale is longer than a scale can be")
    middle = _SCALE.size + lengths[0]
    numerator = int.from_bytes(body[_SCALE.size : middle], "little")
    denominator = int.from_bytes(body[middle:end], "little")
    if numerator == 0 or denominator == 0:
        raise malformed("the scale is zero")
    scale = Fraction(numerator, denominator)
    if _scale_to_bytes(scale) != body[:end]:
        raise malformed("the scale is not written in lowest terms")
    return scale, body[end:]
