"""The two packings: vectors in coefficients, and vectors in slots.

In coefficients, a product of polynomials is a convolution: a row times reversed weights puts an
inner product into one coefficient. In slots (the canonical embedding), products are element by
element.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Plaintext
from strongroom.engine.parameters import Parameters


def encode_coefficients(
    parameters: Parameters,
    values: NDArray[np.float64],
    scale: Fraction,
    limbs: int,
    *,
    transformed: bool = False,
    extended: bool = False,
) -> Plaintext:
    """Encode up to N real values, shape (k,), as coefficients 0 to k - 1.

    Args:
        transformed: in the form that products need, for a plaintext to multiply by.
        extended: over the special primes too, for a plaintext inside a linear transform.

    Raises:
        ValueError: too many values, one that is not finite, or one that times the scale reaches
            half of the modulus.
    """
    native = _native.encode_coefficients(
        parameters.native,
        np.ascontiguousarray(values, dtype=np.float64),
        float(scale),
        limbs,
        transformed,
        extended,
    )
    return Plaintext(native, parameters, scale, "coefficients")


def encode_slots(
    parameters: Parameters,
    values: NDArray[np.float64] | NDArray[np.complex128],
    scale: Fraction,
    limbs: int,
    *,
    transformed: bool = False,
    extended: bool = False,
) -> Plaintext:
    """Encode up to N/2 real or complex values, shape (k,), into slots; the rest are zero.

    Args:
        transformed, extended: as for `encode_coefficients`.

    Raises:
        ValueError: as `encode_coefficients`.
    """
    row: NDArray[np.float64] | NDArray[np.complex128]
    if np.iscomplexobj(values):
        row = np.ascontiguousarray(values, dtype=np.complex128)
    else:
        row = np.ascontiguousarray(values, dtype=np.float64)
    native = _native.encode_slots(
        parameters.native, row, float(scale), limbs, transformed, extended
    )
    return Plaintext(native, parameters, scale, "slots")


def decode(plaintext: Plaintext) -> NDArray[np.float64] | NDArray[np.complex128]:
    """All N coefficients (float64), or all N/2 slots (complex128), by the plaintext's packing."""
    scale = float(plaintext.scale)
    if plaintext.packing == "coefficients":
        return _native.decode_coefficients(plaintext.parameters.native, plaintext.native, scale)
    return _native.decode_slots(plaintext.parameters.native, plaintext.native, scale)
