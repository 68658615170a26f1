"""Operations on ciphertexts. Scales are exact and the caller's intent is checked against them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.keys import PublicKey

_TWO_52: Final = 2**52

LARGEST_LOG_FLOOD: Final = _native.LARGEST_LOG_FLOOD
"""log2 of the widest flooding that can be sampled, by `sanitise` and at decryption."""


def _like(ciphertext: Ciphertext, other: Ciphertext | Plaintext) -> None:
    if ciphertext.parameters is not other.parameters or ciphertext.packing != other.packing:
        raise ValueError("operands of different parameters or packings")


def _result(ciphertext: Ciphertext, native: _native.Ciphertext, scale: Fraction) -> Ciphertext:
    return Ciphertext(native, ciphertext.parameters, scale, ciphertext.packing)


def add(ciphertext: Ciphertext, other: Ciphertext) -> Ciphertext:
    """The sum of two ciphertexts of equal scale and level."""
    _like(ciphertext, other)
    if ciphertext.scale != other.scale:
        raise ValueError("a sum needs equal scales")
    native = ciphertext.native.copy()
    native.add(other.native)
    return _result(ciphertext, native, ciphertext.scale)


def add_plain(ciphertext: Ciphertext, plaintext: Plaintext) -> Ciphertext:
    """The sum with a plaintext of equal scale and level."""
    _like(ciphertext, plaintext)
    if ciphertext.scale != plaintext.scale:
        raise ValueError("a sum needs equal scales")
    native = ciphertext.native.copy()
    native.add_plain(plaintext.native)
    return _result(ciphertext, native, ciphertext.scale)


def transformed(ciphertext: Ciphertext) -> Ciphertext:
    """The same ciphertext in the form that products need: worth it for one that is often a
    factor."""
    primes = ciphertext.parameters.primes[: ciphertext.limbs]
    factors = np.array([[_TWO_52 % q] for q in primes], dtype=np.uint64)
    native = _native.linear_combination(
        ciphertext.parameters.native,
        [ciphertext.native],
        factors,
        np.zeros(len(primes), dtype=np.uint64),
        1,
    )
    return _result(ciphertext, native, ciphertext.scale)


def add_at(
    ciphertext: Ciphertext, positions: NDArray[np.uint32], values: NDArray[np.float64]
) -> Ciphertext:
    """The sum with real values, shape (k,), at some coefficients, shape (k,), of a
    coefficient-packed message; they are encoded at the ciphertext's own scale."""
    if ciphertext.packing != "coefficients":
        raise ValueError("values are added at coefficients")
    native = ciphertext.native.copy()
    native.add_at(positions, values, float(ciphertext.scale))
    return _result(ciphertext, native, ciphertext.scale)


def prepare(plaintext: Plaintext) -> Plaintext:
    """The same plaintext, transformed: worth it for one that many ciphertexts are multiplied by."""
    return replace(plaintext, native=plaintext.native.prepared())


def multiply_plain(ciphertext: Ciphertext, plaintext: Plaintext) -> Ciphertext:
    """The product with a plaintext; scales multiply. Slot by slot, or a negacyclic convolution
    of coefficients. Not sanitised: see `sanitise`."""
    _like(ciphertext, plaintext)
    native = _native.multiply_plain(ciphertext.native, plaintext.native, 1)
    return _result(ciphertext, native, ciphertext.scale * plaintext.scale)


def rescale(ciphertext: Ciphertext, drop: int) -> Ciphertext:
    """Divide message and modulus by the last `drop` primes (a composite level) and round."""
    if not 0 < drop < ciphertext.limbs:
        raise ValueError("rescaling drops at least one prime and keeps one")
    primes = ciphertext.parameters.primes[ciphertext.limbs - drop : ciphertext.limbs]
    native = _native.rescale(ciphertext.native, drop, 1)
    scale = ciphertext.scale
    for prime in primes:
        scale /= prime
    return _result(ciphertext, native, scale)


def truncate(ciphertext: Ciphertext, limbs: int) -> Ciphertext:
    """The same message and scale modulo the first `limbs` primes only."""
    native = ciphertext.native.copy()
    native.truncate(limbs)
    return _result(ciphertext, native, ciphertext.scale)


def sanitise(
    ciphertext: Ciphertext, key: PublicKey, positions: NDArray[np.uint32], log_sigma: float
) -> Ciphertext:
    """Make a result tell its key's holder nothing but its declared coefficients.

    The holder of the secret key also knows the randomness of its own encryptions: it could divide
    a product by what it sent, or read the noise, which is a function of the weights. So the result
    gets a fresh encryption of zero added, every coefficient that is not declared is erased, and
    the declared ones are flooded (docs/reference/crypto.md, "Sanitised results").

    Args:
        ciphertext: packed by coefficients, at as many primes as the key has.
        key: the asker's public key.
        positions: the declared coefficients, distinct, shape (k,).
        log_sigma: base-2 logarithm of the standard deviation of the flooding, at most
            `LARGEST_LOG_FLOOD`.
    """
    if ciphertext.packing != "coefficients":
        raise ValueError("only coefficients can be declared")
    native = _native.sanitise(
        ciphertext.parameters.native, ciphertext.native, key.native, positions, log_sigma
    )
    return _result(ciphertext, native, ciphertext.scale)
