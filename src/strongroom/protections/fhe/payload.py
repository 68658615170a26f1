"""The payload of a linear model: its weights, as the server side needs them.

magic    4  "SRLW"
version  2  1, little-endian
outputs  4, columns 4
bias     8 a number, float64 little-endian
weights  8 a number, row by row
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np

from strongroom.compiler.linear import ScaledAffine
from strongroom.errors import PackageError

_HEADER: Final = struct.Struct("<4sHII")
_MAGIC: Final = b"SRLW"
_VERSION: Final = 1


def payload_to_bytes(model: ScaledAffine) -> bytes:
    """Write a model."""
    outputs, columns = model.weights.shape
    header = _HEADER.pack(_MAGIC, _VERSION, outputs, columns)
    return header + model.bias.astype("<f8").tobytes() + model.weights.astype("<f8").tobytes()


def payload_from_bytes(data: bytes | memoryview, outputs: int, columns: int) -> ScaledAffine:
    """Read a model of the shape that its plan says.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    expected = _HEADER.size + 8 * outputs * (columns + 1)
    if len(data) != expected:
        raise _damaged(f"{len(data)} bytes where {expected} belong")
    if _HEADER.unpack_from(data) != (_MAGIC, _VERSION, outputs, columns):
        raise _damaged("its header is not that of the plan's model")
    numbers = np.frombuffer(data, "<f8", offset=_HEADER.size).astype(np.float64)
    if not np.isfinite(numbers).all():
        raise _damaged("a weight is not finite")
    return ScaledAffine(numbers[outputs:].reshape(outputs, columns), numbers[:outputs])


def _damaged(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-FILE",
        f"the payload of the package is damaged: {what}",
        "Fetch the package again from its owner",
    )
