"""Both errors of a public encryption are there, although the division by P hides them.

Its noise is that of rounding, with errors or without, and decryption is right either way; so these
tests choose public keys that make the errors visible, and a P that is small.
"""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
from slow_reference import (
    centred,
    from_residues,
    inverse_transform,
    negacyclic_product,
    pack,
    round_divide,
    uniform,
)
from small_rings import unchecked

from strongroom.engine import (
    Parameters,
    PublicKey,
    encode_coefficients,
    public_key_from_bytes,
)
from strongroom.engine.serialisation import public_key_bytes

DEGREE = 64
PRIME, SPECIAL = 257, 641
"""The smallest primes that are 1 modulo 128, so that errors are not small beside P."""

ROUNDS = 60


def public_key_of_constant(parameters: Parameters, b: int) -> PublicKey:
    """A public key whose half b is a constant polynomial: the same in every value."""
    header = struct.pack("<4sBBBB32sI", b"SRCK", 1, 3, 1, 0, parameters.digest, DEGREE)
    rows = b"".join(pack([b % prime] * DEGREE, prime.bit_length()) for prime in (PRIME, SPECIAL))
    data = header + bytes(32) + rows
    assert len(data) == public_key_bytes(parameters, 1)
    return public_key_from_bytes(parameters, data, limbs=1)


def parts(parameters: Parameters, key: PublicKey) -> tuple[list[int], list[int]]:
    """Both parts of an encryption of zero, centred."""
    zero = encode_coefficients(parameters, np.zeros(1), Fraction(1), 1)
    c0, c1 = key.encrypt(zero).native.residues()
    return centred(c0[0].tolist(), PRIME), centred(c1[0].tolist(), PRIME)


def test_the_first_part_has_an_error() -> None:
    # b u is (P - 1)/2, 0 or -(P - 1)/2: without an error all of it rounds to zero, and with one,
    # about half of what is not zero rounds away from it.
    parameters = unchecked(DEGREE, (PRIME,), (SPECIAL,))
    key = public_key_of_constant(parameters, (SPECIAL - 1) // 2)
    rounded = [x for _ in range(ROUNDS) for x in parts(parameters, key)[0]]
    assert set(rounded) == {-1, 0, 1}
    share = float(np.mean(np.abs(rounded)))
    # P(u != 0) P(e > 0) is 2/3 times 0.4377, and 3840 of them vary by 0.0074.
    assert abs(share - 0.2918) < 0.04


def test_the_second_part_has_an_error() -> None:
    # With b = P the first part is u itself; and with u known, so is the rounding of a u.
    parameters = unchecked(DEGREE, (PRIME,), (SPECIAL,))
    key = public_key_of_constant(parameters, SPECIAL)
    values = uniform(bytes(32), 2, DEGREE, (PRIME, SPECIAL))
    a = from_residues(
        [
            inverse_transform(row, prime)
            for row, prime in zip(values, (PRIME, SPECIAL), strict=True)
        ],
        (PRIME, SPECIAL),
    )
    modulus = PRIME * SPECIAL
    changed = 0
    for _ in range(ROUNDS):
        u, second = parts(parameters, key)
        assert set(u) <= {-1, 0, 1}
        product = centred(negacyclic_product(a, u), modulus)
        exact = [round_divide(x, SPECIAL) for x in product]
        difference = centred([x - y for x, y in zip(second, exact, strict=True)], PRIME)
        assert set(difference) <= {-1, 0, 1}
        changed += sum(map(abs, difference))
    # An error e moves a rounding with probability |e| / P: 0.004 of 3840, about 15.
    assert 2 <= changed <= 45
