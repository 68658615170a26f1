"""Decryption by the holders of parts: at declared coefficients only, each share with its own noise.

A result (c0, c1) decrypts to c0 + c1 s, and s is a sum. So each holder answers with its summand of
c1 s at the coefficients that are declared, plus a Gaussian wide enough to hide what the exact
summand would tell of the part and of the noise in the result (smudging); whoever has c0 there and
a share for every part adds them up.

Gaussians of standard deviation 2^0 to 2^`LARGEST_LOG_FLOOD` can be drawn (integers, exact to the
lowest bit above 2^40 too). With m shares the sum has sqrt(m) times the deviation of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.key_parts import KeyPart
from strongroom.engine.key_shares import ShareError, require_same_parameters
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    SECOND_PART,
    malformed,
    read_header,
    unpack_fault,
    write_header,
)
from strongroom.errors import CiphertextError


def second_part_to_bytes(ciphertext: Ciphertext) -> bytes:
    """c1 of a result packed by coefficients, for those who hold parts: header and residues."""
    _require_coefficients(ciphertext)
    parameters = ciphertext.parameters
    header = write_header(parameters, SECOND_PART, ciphertext.limbs, parameters.ring_degree)
    return header + ciphertext.native.pack_c1(parameters.native)


def first_part_at(ciphertext: Ciphertext, positions: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """c0 of a result packed by coefficients, at some of them.

    Args:
        positions: which, shape (k,).

    Returns:
        Residues modulo each prime of the result, shape (limbs, k).

    Raises:
        ValueError: a position is not below N, or the result is packed by slots.
    """
    _require_coefficients(ciphertext)
    return _native.first_part_at(ciphertext.native, require_positions(positions))


def decryption_share(
    parts: Sequence[KeyPart],
    c1: bytes | memoryview,
    *,
    limbs: int,
    positions: NDArray[np.uint32],
    log_sigma: float,
) -> NDArray[np.uint64]:
    """What the holder of some parts answers: (sum of the parts) c1 at the positions, smudged.

    Each call draws new noise. Two answers about one result tell more than one does, so whoever
    calls this counts answers durably before they leave.

    Args:
        parts: that this holder answers for; their sum is smudged once.
        c1: from `second_part_to_bytes`, from anybody.
        limbs: how many primes it must have.
        positions: which coefficients, shape (k,).
        log_sigma: base-2 logarithm of the smudging's standard deviation, 0 to
            `LARGEST_LOG_FLOOD`, in integers of the result.

    Returns:
        Residues modulo each prime, shape (limbs, k): nothing else.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
        ValueError: no parts, parts of different parameters, a position that is not below N, or
            smudging out of bounds.
    """
    parameters = require_same_parameters(parts)
    _, body = read_header(parameters, c1, (SECOND_PART,), limbs, parameters.ring_degree)
    try:
        return _native.decryption_share(
            parameters.native,
            [part.native for part in parts],
            limbs,
            body,
            require_positions(positions),
            log_sigma,
        )
    except _native.UnpackError as error:
        raise unpack_fault(error) from None


def combine_shares(
    parameters: Parameters,
    first_part: NDArray[np.uint64],
    shares: Sequence[NDArray[np.uint64]],
    scale: Fraction,
) -> NDArray[np.float64]:
    """The message at the positions, with the noise of the result and of all smudging in it.

    Args:
        first_part: from `first_part_at`, shape (limbs, k).
        shares: from `decryption_share`, all of the same positions; together of every part once.
        scale: of the result.

    Returns:
        Shape (k,). To be rounded to the step that the plan declares.

    Raises:
        ShareError: a share has another shape or type, or a word that is not below its prime
            (SR-CIPHERTEXT-FORMAT, -RANGE). Shares that are well-formed and wrong make wrong
            messages; whose they are, `share_proofs` tells.
        CiphertextError: the same of the first part.
        ValueError: there are no shares.
    """
    if not shares:
        raise ValueError("there are no shares to combine")
    limbs = len(first_part)
    count = first_part.shape[1] if first_part.ndim == 2 else 0
    if not 1 <= limbs <= parameters.limbs or first_part.ndim != 2:
        raise malformed(f"a first part of shape {first_part.shape}")
    require_residues(parameters, first_part, (limbs, count))
    for index, share in enumerate(shares):
        try:
            require_residues(parameters, share, (limbs, count))
        except CiphertextError as error:
            raise ShareError(index, error) from None
    summands = [np.ascontiguousarray(x).reshape(-1) for x in (first_part, *shares)]
    return _native.sum_centred(parameters.native, limbs, count, summands, float(scale))


def require_residues(
    parameters: Parameters, words: NDArray[np.uint64], shape: tuple[int, int]
) -> None:
    """Check a share or first part from anybody.

    Args:
        shape: primes and coefficients, (limbs, k).

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT for another shape or type, -RANGE.
    """
    if words.dtype != np.uint64 or words.shape != shape:
        raise malformed(f"words of type {words.dtype} and shape {words.shape}, not {shape}")
    primes = np.array(parameters.primes[: shape[0]], dtype=np.uint64)
    if np.any(words >= primes[:, None]):
        raise unpack_fault(_native.UnpackError("range"))


def require_positions(positions: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Positions as the core takes them.

    Raises:
        ValueError: they are no vector of unsigned 32-bit integers.
    """
    if positions.dtype != np.uint32 or positions.ndim != 1:
        raise ValueError("positions are a vector of unsigned 32-bit integers")
    return np.ascontiguousarray(positions)


def _require_coefficients(ciphertext: Ciphertext) -> None:
    if ciphertext.packing != "coefficients":
        raise ValueError("only results that are packed by coefficients are decrypted in shares")
