"""Linear models by coefficients: inner products of encrypted rows with plain weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.encoding import encode_coefficients
from strongroom.engine.keys import PublicKey
from strongroom.engine.parameters import Parameters


@dataclass(frozen=True, slots=True, repr=False)
class InnerProductWeights:
    """A polynomial of weights, prepared to be multiplied by. Immutable; any number of threads.

    Attributes:
        parameters, scale: how the weights are encoded.
    """

    native: _native.InnerProductWeights = field(repr=False)
    parameters: Parameters
    scale: Fraction

    @classmethod
    def encode(
        cls, parameters: Parameters, coefficients: NDArray[np.float64], scale: Fraction, limbs: int
    ) -> InnerProductWeights:
        """Encode coefficients, shape (k,), k from 1 to N, as `encode_coefficients` does."""
        plaintext = encode_coefficients(parameters, coefficients, scale, limbs)
        native = _native.InnerProductWeights(plaintext.native, len(coefficients))
        return cls(native, parameters, scale)


def inner_products(
    inputs: Sequence[Ciphertext],
    weights: Sequence[InnerProductWeights],
    positions: NDArray[np.uint32],
) -> Ciphertext:
    """The sum of products of ciphertexts with weights, at some coefficients.

    It decrypts to the product at `positions`, shape (k,), and to nothing that means anything
    elsewhere: of c0 only these coefficients are computed. Not sanitised: see `sanitise`.

    Args:
        inputs: packed by coefficients, of equal scale and level.
        weights: as many, of equal scale.
    """
    scale = _product_scale(inputs, weights)
    native = _native.inner_products(
        [ciphertext.native for ciphertext in inputs],
        [its_weights.native for its_weights in weights],
        positions,
    )
    return Ciphertext(native, inputs[0].parameters, scale, "coefficients")


@dataclass(frozen=True, slots=True)
class Finishing:
    """How a result is made safe to hand out, and small.

    Attributes:
        sanitise_limbs: number of primes that it is rescaled to before it is sanitised.
        response_limbs: number of primes that it is rescaled to after that.
        log_sigma: base-2 logarithm of the standard deviation of the flooding.
    """

    sanitise_limbs: int
    response_limbs: int
    log_sigma: float


def sanitised_inner_products(
    inputs: Sequence[Ciphertext],
    weights: Sequence[InnerProductWeights],
    positions: NDArray[np.uint32],
    constants: NDArray[np.float64],
    key: PublicKey,
    finishing: Finishing,
) -> Ciphertext:
    """One response: `inner_products`, `add_at` of constants, shape (k,), `rescale`, `sanitise`,
    `rescale`, in one call of the core."""
    scale = _product_scale(inputs, weights)
    parameters, limbs = inputs[0].parameters, inputs[0].limbs
    native = _native.sanitised_inner_products(
        parameters.native,
        [ciphertext.native for ciphertext in inputs],
        [its_weights.native for its_weights in weights],
        positions,
        constants,
        float(scale),
        key.native,
        finishing.sanitise_limbs,
        finishing.response_limbs,
        finishing.log_sigma,
    )
    dropped = math.prod(parameters.primes[finishing.response_limbs : limbs])
    return Ciphertext(native, parameters, scale / dropped, "coefficients")


def _product_scale(
    inputs: Sequence[Ciphertext], weights: Sequence[InnerProductWeights]
) -> Fraction:
    first = inputs[0]
    for ciphertext, its_weights in zip(inputs, weights, strict=True):
        if not (ciphertext.parameters is first.parameters is its_weights.parameters):
            raise ValueError("operands of different parameters")
        if ciphertext.packing != "coefficients":
            raise ValueError("inner products are of coefficients")
        if ciphertext.scale != first.scale or its_weights.scale != weights[0].scale:
            raise ValueError("a sum needs equal scales")
    return first.scale * weights[0].scale
