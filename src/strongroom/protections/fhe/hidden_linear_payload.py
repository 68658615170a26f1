"""The payload of a hidden linear model: its weights as ciphertexts (docs/reference/format.md).

magic    4  "SRHL"
version  2  1, little-endian
groups   4, chunks 4
ciphertexts  for each group of outputs, one for each chunk of columns

An owner's are symmetric, and half of each is a seed; a committee's are made with its public key.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import engine
from strongroom.engine import Ciphertext, PublicKey, SecretKey
from strongroom.errors import CiphertextError, PackageError
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit

_HEADER: Final = struct.Struct("<4sHII")
_MAGIC: Final = b"SRHL"
_VERSION: Final = 1

Weights = tuple[tuple[Ciphertext, ...], ...]
"""By group of outputs, then by chunk of columns."""


def hidden_payload_to_bytes(
    circuit: HiddenLinearCircuit, weights: NDArray[np.float64], key: SecretKey | PublicKey
) -> bytes:
    """Encrypt a model.

    Args:
        weights: with the column of the bias, shape (outputs, columns + 1).
        key: that of the plan's holder.
    """
    packing = circuit.packing
    parts = [_HEADER.pack(_MAGIC, _VERSION, packing.groups, packing.column_chunks)]
    for group in range(packing.groups):
        for chunk in range(packing.column_chunks):
            plaintext = engine.encode_coefficients(
                circuit.parameters,
                packing.weight_coefficients(weights, group, chunk),
                circuit.weight_scale,
                circuit.limbs.input,
            )
            parts.append(engine.ciphertext_to_bytes(key.encrypt(plaintext)))
    return b"".join(parts)


def hidden_payload_from_bytes(circuit: HiddenLinearCircuit, data: bytes | memoryview) -> Weights:
    """Read a model of the shape that its plan says.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    packing, size = circuit.packing, circuit.sizes.weight_ciphertext
    expected = _HEADER.size + packing.groups * packing.column_chunks * size
    if len(data) != expected:
        raise _damaged(f"{len(data)} bytes where {expected} belong")
    shape = packing.groups, packing.column_chunks
    if _HEADER.unpack_from(data) != (_MAGIC, _VERSION, *shape):
        raise _damaged("its header is not that of the plan's model")
    view = memoryview(data).cast("B")
    bodies = [view[start : start + size] for start in range(_HEADER.size, expected, size)]
    return tuple(
        tuple(_read(circuit, body) for body in bodies[first : first + packing.column_chunks])
        for first in range(0, len(bodies), packing.column_chunks)
    )


def _read(circuit: HiddenLinearCircuit, data: memoryview) -> Ciphertext:
    try:
        ciphertext = engine.ciphertext_from_bytes(
            circuit.parameters, data, limbs=circuit.limbs.input
        )
    except CiphertextError as error:
        raise _damaged("a ciphertext of weights can't be read") from error
    if ciphertext.packing != "coefficients" or ciphertext.scale != circuit.weight_scale:
        raise _damaged("its weights have another packing or scale than its plan says")
    if (ciphertext.seed is not None) != circuit.sizes.seeded:
        raise _damaged("its weights are encrypted in another way than its plan says")
    return ciphertext


def _damaged(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-FILE",
        f"the payload of the package is damaged: {what}",
        "Fetch the package again from its owner",
    )
