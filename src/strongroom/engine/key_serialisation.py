"""Evaluation keys as bytes: the uniform halves as a seed, the others bit-packed.

A header of 44 bytes (`serialisation_header`), the Galois element (4 bytes), a seed (32), then the
halves b in the form that the evaluator uses (docs/reference/format.md). Everything is checked
before it is used, as for ciphertexts.
"""

from __future__ import annotations

from typing import Final

from strongroom import _native
from strongroom.engine.galois import RELINEARISATION
from strongroom.engine.parameters import Parameters
from strongroom.engine.serialisation_header import (
    HEADER_BYTES,
    SEED_BYTES,
    SWITCHING_KEY,
    Buffer,
    malformed,
    read_header,
    require_length,
    unpack_fault,
    write_header,
)
from strongroom.engine.switching_keys import SwitchingKey
from strongroom.errors import CiphertextError

_ELEMENT_BYTES: Final = 4


def switching_key_to_bytes(key: SwitchingKey) -> bytes:
    """An evaluation key as it travels to a server.

    Raises:
        ValueError: the key comes from a key file, which keeps no seed.
    """
    seed = key.native.seed
    if seed is None:
        raise ValueError("a key from a key file has no seed to travel with")
    header = write_header(key.parameters, SWITCHING_KEY, key.limbs, key.parameters.ring_degree)
    element = key.element.to_bytes(_ELEMENT_BYTES, "little")
    return b"".join((header, element, seed, key.native.pack_b()))


def switching_key_from_bytes(
    parameters: Parameters,
    data: Buffer,
    *,
    element: int | None = None,
    limbs: int | None = None,
) -> SwitchingKey:
    """The key that `switching_key_to_bytes` wrote.

    Args:
        parameters: what it must be for.
        data: from anybody.
        element: what it must be for: a Galois element or `RELINEARISATION`; any if None.
        limbs: how many primes it must serve; any number if None.

    Raises:
        CiphertextError: SR-CIPHERTEXT-FORMAT, -RANGE, -MISMATCH.
    """
    header, body = read_header(parameters, data, (SWITCHING_KEY,), limbs, parameters.ring_degree)
    if not parameters.special_primes:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            "an evaluation key came for parameters that have none",
            "Send no evaluation keys for them",
        )
    require_length(body, switching_key_bytes(parameters, header.limbs) - HEADER_BYTES)
    its_element = int.from_bytes(body[:_ELEMENT_BYTES], "little")
    if its_element != RELINEARISATION and not (
        its_element % 2 == 1 and 1 < its_element < 2 * parameters.ring_degree
    ):
        raise malformed(f"{its_element} is no Galois element of the ring")
    if element is not None and its_element != element:
        raise CiphertextError(
            "SR-CIPHERTEXT-MISMATCH",
            f"an evaluation key for element {its_element} came where {element} belongs",
            "Send each evaluation key under its own name",
        )
    seed_end = _ELEMENT_BYTES + SEED_BYTES
    try:
        native = _native.SwitchingKey.unpack(
            parameters.native,
            its_element,
            header.limbs,
            body[_ELEMENT_BYTES:seed_end],
            body[seed_end:],
            1,
        )
    except _native.UnpackError as error:
        raise unpack_fault(error) from None
    return SwitchingKey(native, parameters, its_element)


def switching_key_bytes(parameters: Parameters, limbs: int) -> int:
    """Exact length of a serialised evaluation key.

    Raises:
        ValueError: the parameters have no special primes, or not so many primes.
    """
    packed = _native.switching_key_packed_bytes(parameters.native, limbs)
    return HEADER_BYTES + _ELEMENT_BYTES + SEED_BYTES + packed
