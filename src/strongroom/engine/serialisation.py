"""Ciphertexts and public keys as bytes: versioned, bounded, bit-packed (docs/reference/format.md).

Little-endian. A header of 44 bytes, for ciphertexts an exact scale, then coefficients, each in as
many bits as its prime has:

    magic     4  "SRCK"
    version   1  1
    kind      1  1 ciphertext, 2 seeded ciphertext, 3 public key
    limbs     1
    packing   1  0 coefficients, 1 slots (0 for keys)
    digest   32  of the parameters
    count     4  how many coefficients of c0 travel: N, or as many as the receiver declared

Which coefficients travel when there are fewer than N is not in the bytes: both sides derive it from
the plan. Everything is checked before it is used: the header against the receiver's parameters,
the length before anything is allocated, and every coefficient against its prime.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext, Packing
from strongroom.engine.keys import PublicKey
from strongroom.engine.parameters import Parameters
from strongroom.errors import CiphertextError

Positions = NDArray[np.uint32] | None
Buffer = bytes | memoryview

_HEADER: Final = struct.Struct("<4sBBBB32sI")
_SCALE: Final = struct.Struct("<HH")
_MAGIC: Final = b"SRCK"
_VERSION: Final = 1
_CIPHERTEXT, _SEEDED, _PUBLIC_KEY = 1, 2, 3
_PACKINGS: Final[tuple[Packing, ...]] = ("coefficients", "slots")
_SEED_BYTES: Final = 32
_LARGEST_SCALE_BYTES: Final = 256


def ciphertext_to_bytes(ciphertext: Ciphertext, positions: Positions = None) -> bytes:
    """A ciphertext; a fresh symmetric one as its seed and c0.

    Args:
        positions: coefficients of c0 that travel; all if None. The receiver must pass the same.
    """
    parameters = ciphertext.parameters
    seeded = ciphertext.seed is not None
    count = parameters.ring_degree if positions is None else len(positions)
    header = _HEADER.pack(
        _MAGIC,
        _VERSION,
        _SEEDED if seeded else _CIPHERTEXT,
        ciphertext.limbs,
        _PACKINGS.index(ciphertext.packing),
        parameters.digest,
        count,
    )
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
    header, body = _read_header(parameters, data, (_CIPHERTEXT, _SEEDED), limbs, count)
    scale, body = _scale_from_bytes(body)
    first_bytes = parameters.packed_bytes(limbs, count)
    seeded = header.kind == _SEEDED
    second_bytes = _SEED_BYTES if seeded else parameters.packed_bytes(limbs, parameters.ring_degree)
    _require_length(body, second_bytes + first_bytes)
    second, first = body[:second_bytes], body[second_bytes:]
    try:
        if seeded:
            native = _native.Ciphertext.unpack_seeded(
                parameters.native, limbs, second, first, positions
            )
        else:
            native = _native.Ciphertext.unpack(parameters.native, limbs, first, second, positions)
    except _native.UnpackError as error:
        raise _fault(error) from None
    return Ciphertext(native, parameters, scale, header.packing, bytes(second) if seeded else None)


def public_key_to_bytes(key: PublicKey) -> bytes:
    """A public key: the seed of its uniform half, and the other half."""
    parameters = key.parameters
    header = _HEADER.pack(
        _MAGIC, _VERSION, _PUBLIC_KEY, key.limbs, 0, parameters.digest, parameters.ring_degree
    )
    return header + key.native.seed + key.native.pack_b(parameters.native)


def public_key_from_bytes(parameters: Parameters, data: Buffer, *, limbs: int) -> PublicKey:
    """The key that `public_key_to_bytes` wrote.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
    """
    _, body = _read_header(parameters, data, (_PUBLIC_KEY,), limbs, parameters.ring_degree)
    _require_length(body, _SEED_BYTES + parameters.packed_bytes(limbs, parameters.ring_degree))
    try:
        native = _native.PublicKey.unpack(
            parameters.native, limbs, body[:_SEED_BYTES], body[_SEED_BYTES:]
        )
    except _native.UnpackError as error:
        raise _fault(error) from None
    return PublicKey(native, parameters)


def ciphertext_bytes(
    parameters: Parameters, limbs: int, count: int, *, seeded: bool, scale: Fraction
) -> int:
    """Exact length of a serialised ciphertext of which `count` coefficients of c0 travel."""
    second = _SEED_BYTES if seeded else parameters.packed_bytes(limbs, parameters.ring_degree)
    first = parameters.packed_bytes(limbs, count)
    return _HEADER.size + len(_scale_to_bytes(scale)) + second + first


def public_key_bytes(parameters: Parameters, limbs: int) -> int:
    """Exact length of a serialised public key."""
    return _HEADER.size + _SEED_BYTES + parameters.packed_bytes(limbs, parameters.ring_degree)


@dataclass(frozen=True, slots=True)
class _Header:
    kind: int
    packing: Packing


def _read_header(
    parameters: Parameters, data: Buffer, kinds: tuple[int, ...], limbs: int, count: int
) -> tuple[_Header, memoryview]:
    view = memoryview(data).cast("B")
    if len(view) < _HEADER.size:
        raise _format(f"{len(view)} bytes are too few for a header")
    magic, version, kind, its_limbs, packing, digest, its_count = _HEADER.unpack_from(view)
    if magic != _MAGIC:
        raise _format("the bytes do not begin as a ciphertext or key does")
    if version != _VERSION:
        raise _format(f"format version {version} is not known here")
    if kind not in kinds or packing >= (1 if kind == _PUBLIC_KEY else len(_PACKINGS)):
        raise _format(f"kind {kind} with packing {packing} is not what belongs here")
    if digest != parameters.digest:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "a ciphertext or key was made for other parameters",
            "Encrypt for the parameters that the model's plan names",
        )
    if its_limbs != limbs or its_count != count:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            f"{its_limbs} primes and {its_count} coefficients came where the plan has {limbs} "
            f"and {count}",
            "Encrypt as the model's plan says",
        )
    return _Header(kind, _PACKINGS[packing]), view[_HEADER.size :]


def _require_length(body: memoryview, expected: int) -> None:
    if len(body) != expected:
        raise _format(f"the body has {len(body)} bytes where {expected} belong")


def _scale_to_bytes(scale: Fraction) -> bytes:
    parts = [
        number.to_bytes((number.bit_length() + 7) // 8, "little")
        for number in (scale.numerator, scale.denominator)
    ]
    return _SCALE.pack(len(parts[0]), len(parts[1])) + parts[0] + parts[1]


def _scale_from_bytes(body: memoryview) -> tuple[Fraction, memoryview]:
    if len(body) < _SCALE.size:
        raise _format("the scale is cut off")
    lengths = _SCALE.unpack_from(body)
    end = _SCALE.size + sum(lengths)
    if max(lengths) > _LARGEST_SCALE_BYTES or end > len(body):
        raise _format("the scale is longer than a scale can be")
    middle = _SCALE.size + lengths[0]
    numerator = int.from_bytes(body[_SCALE.size : middle], "little")
    denominator = int.from_bytes(body[middle:end], "little")
    if numerator == 0 or denominator == 0:
        raise _format("the scale is zero")
    scale = Fraction(numerator, denominator)
    if _scale_to_bytes(scale) != body[:end]:
        raise _format("the scale is not written in lowest terms")
    return scale, body[end:]


def _format(what: str) -> CiphertextError:
    return CiphertextError(
        "SR-CIPHERTEXT-FORMAT",
        f"malformed ciphertext or key: {what}",
        "Send what the client library made, unaltered",
    )


def _fault(error: _native.UnpackError) -> CiphertextError:
    if str(error) == "range":
        return CiphertextError(
            "SR-CIPHERTEXT-RANGE",
            "a coefficient is not below its modulus",
            "Send what the client library made, unaltered",
        )
    return _format(f"wrong {error} of packed coefficients")
