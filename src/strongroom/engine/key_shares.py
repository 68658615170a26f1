"""What shares of collective keys look like, and which one of several is wrong.

A header of 44 bytes (`serialisation_header`), the seed of the key's uniform half (32 bytes), then
polynomials as keys have them. The seed is derived from what the members agreed on and from the
key's purpose (`key_parts.common_seed`), so a share for anything else is told apart.
"""

from __future__ import annotations

from collections.abc import Sequence

from strongroom import _native
from strongroom.engine.key_parts import KeyPart, common_seed
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    SEED_BYTES,
    malformed,
    read_header,
    unpack_fault,
    write_header,
)
from strongroom.errors import CiphertextError


class ShareError(CiphertextError):
    """One of several shares is none: truncated, out of range, or for something else.

    Attributes:
        share: its index in the sequence that was given.
    """

    def __init__(self, share: int, error: CiphertextError) -> None:
        super().__init__(
            error.code,
            f"share {share}: {error.message}",
            "Ask the member who made it, or go on without that member",
        )
        self.share = share


def key_seed(parameters: Parameters, seed: bytes, what: str) -> bytes:
    """The seed of one key's uniform half, bound to the parameters and the key's purpose."""
    return common_seed(seed, f"{what} {parameters.digest.hex()}")


def require_same_parameters(parts: Sequence[KeyPart]) -> Parameters:
    """The parameters that all parts are for.

    Raises:
        ValueError: there are no parts, or they differ.
    """
    if not parts or any(part.parameters is not parts[0].parameters for part in parts):
        raise ValueError("one or more parts, all of the same parameters")
    return parts[0].parameters


def write_share(parameters: Parameters, kind: int, limbs: int, seed: bytes, body: bytes) -> bytes:
    """A share as it travels."""
    return write_header(parameters, kind, limbs, parameters.ring_degree) + seed + body


def read_share(
    parameters: Parameters, data: bytes, kind: int, limbs: int, seed: bytes | None
) -> tuple[bytes, memoryview]:
    """Seed and polynomials of a share; these are not checked yet.

    Args:
        seed: that it must have; any if None.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -MISMATCH.
    """
    _, body = read_header(parameters, data, (kind,), limbs, parameters.ring_degree)
    if len(body) < SEED_BYTES:
        raise malformed(f"{len(body)} bytes are too few for a share")
    its_seed = bytes(body[:SEED_BYTES])
    if seed is not None and its_seed != seed:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "a share is of another key, or of another setup",
            "Combine the shares of one key that were made with one common seed",
        )
    return its_seed, body[SEED_BYTES:]


def read_shares(
    parameters: Parameters, shares: Sequence[bytes], kind: int, limbs: int, seed: bytes | None
) -> tuple[bytes, list[memoryview]]:
    """The same of all shares of one key.

    Raises:
        ShareError: as `read_share`; with another seed than the others, too.
        ValueError: there are none.
    """
    if not shares:
        raise ValueError("there are no shares to combine")
    bodies = []
    for index, share in enumerate(shares):
        try:
            seed, body = read_share(parameters, share, kind, limbs, seed)
        except CiphertextError as error:
            raise ShareError(index, error) from None
        bodies.append(body)
    assert seed is not None
    return seed, bodies


def share_fault(error: _native.ShareError) -> ShareError:
    """The error for what the core found in the polynomials of shares."""
    index, fault = str(error).split(" ", 1)
    return ShareError(int(index), unpack_fault(_native.UnpackError(fault)))
