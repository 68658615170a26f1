"""Parts of a secret key: fresh, refreshed, as bytes, and damaged."""

from __future__ import annotations

import copy
import math
import os
import pickle

import numpy as np
import pytest
from holders_of_parts import Holders, errors_of, sum_of_parts
from slow_reference import centred, from_residues, inverse_transform, negacyclic_product, uniform
from small_rings import integers, message, parts, small_parameters, switching_parameters

from strongroom.engine import RELINEARISATION, threshold
from strongroom.engine.threshold import KeyPart, ShareError
from strongroom.errors import CommitteeError

LARGEST_ERROR = 29
MANY_DIGITS = switching_parameters(16, (40, 30, 35), (41,))


def test_parts_are_neither_copied_nor_printed() -> None:
    part = KeyPart.generate(small_parameters(16, (40,)))
    for duplicate in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="not pickled"):
            duplicate(part)
    assert part.to_bytes()[33:].hex() not in repr(part)


def test_fresh_parts_are_ternary_and_their_bytes_come_back() -> None:
    parameters = small_parameters(256, (40, 30))
    parts_of_key = [KeyPart.generate(parameters) for _ in range(8)]
    coefficients = np.array([sum_of_parts([part]) for part in parts_of_key])
    assert set(np.unique(coefficients)) == {-1, 0, 1}
    assert len({row.tobytes() for row in coefficients}) == 8
    for part in parts_of_key:
        data = part.to_bytes()
        assert len(data) == 33 + 64
        assert KeyPart.from_bytes(parameters, data).to_bytes() == data


def test_refreshed_parts_are_uniform_sum_to_the_same_key_and_come_back() -> None:
    holders = Holders(MANY_DIGITS, 3)
    new = holders.refreshed()
    primes = (*MANY_DIGITS.primes, *MANY_DIGITS.special_primes)
    total = [[0] * 16 for _ in primes]
    for part in new:
        data = part.to_bytes()
        assert KeyPart.from_bytes(MANY_DIGITS, data).to_bytes() == data
        assert data[32] == 2
        at = 33
        for row, prime in enumerate(primes):
            bits, size = prime.bit_length(), (16 * prime.bit_length() + 7) // 8
            number = int.from_bytes(data[at : at + size], "little")
            at += size
            words = [(number >> (i * bits)) & ((1 << bits) - 1) for i in range(16)]
            assert prime // 100 < max(words) < prime
            total[row] = [x + y for x, y in zip(total[row], words, strict=True)]
        assert at == len(data)
    rows = [
        inverse_transform([v % q for v in values], q)
        for values, q in zip(total, primes, strict=True)
    ]
    assert centred(from_residues(rows, primes), math.prod(primes)) == holders.secret()


def test_a_shift_is_the_documented_expansion_of_its_seed() -> None:
    part = KeyPart.generate(MANY_DIGITS)
    seed = os.urandom(32)
    assert part.shifted([seed], [seed]).to_bytes() == part.shifted().to_bytes()
    primes = (*MANY_DIGITS.primes, *MANY_DIGITS.special_primes)

    def first_values(shifted: KeyPart) -> list[int]:
        data = shifted.to_bytes()[33:]
        return [int.from_bytes(data[:5], "little") % 2**40, primes[0]]

    before, after = first_values(part.shifted())[0], first_values(part.shifted([seed]))[0]
    expanded = uniform(seed, 4, 16, primes)[0][0]
    assert primes[0].bit_length() == 40
    assert (after - before) % primes[0] == expanded
    for length in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            part.shifted([bytes(length)])
        with pytest.raises(ValueError, match="32 bytes"):
            part.shifted([], [bytes(length)])


@pytest.mark.parametrize("count", [1, 2, 4])
def test_refreshed_parts_make_the_same_shares_of_keys(count: int) -> None:
    holders = Holders(MANY_DIGITS, count)
    s = holders.secret()
    holders.parts = holders.refreshed()
    bound = LARGEST_ERROR * count * 2 * (count * 16 + 1)
    for element in (RELINEARISATION, 5):
        for error in errors_of(holders.key(element), s):
            assert 0 < max(map(abs, error)) <= bound
    plaintext, expected = message(MANY_DIGITS, np.random.default_rng(0))
    c0, c1 = integers(holders.public_key().encrypt(plaintext))
    modulus = math.prod(MANY_DIGITS.primes)
    opened = [x + y for x, y in zip(c0, negacyclic_product(c1, s), strict=True)]
    noise = centred([x - m for x, m in zip(opened, expected, strict=True)], modulus)
    assert max(map(abs, noise)) < 1000


def test_damaged_parts_are_refused() -> None:
    parameters = MANY_DIGITS
    fresh = KeyPart.generate(parameters)
    for part in (fresh, fresh.shifted([os.urandom(32)])):
        data = part.to_bytes()
        other = small_parameters(16, (39,)).digest + data[32:]
        for damaged in (
            *(b"", data[:31], data[:32], data[:33], data[:-1], data + b"\0", other),
            data[:32] + b"\0" + data[33:],
            data[:32] + b"\x03" + data[33:],
            data[:32] + bytes([3 - data[32]]) + data[33:],
            data[:33] + b"\xff" * (len(data) - 33),
        ):
            with pytest.raises(CommitteeError) as caught:
                KeyPart.from_bytes(parameters, damaged)
            assert caught.value.code == "SR-COMMITTEE-FILE"


def test_parts_of_other_parameters_do_not_mix() -> None:
    ours, theirs = (switching_parameters(16, bits, (41,)) for bits in ((40, 30), (40, 31)))
    seed = os.urandom(32)
    share = threshold.public_key_share(KeyPart.generate(theirs), seed, 2)
    with pytest.raises(ShareError) as caught:
        threshold.combine_public_key(ours, seed, 2, [share])
    assert caught.value.code == "SR-CIPHERTEXT-MISMATCH"
    assert parts(Holders(ours, 1).public_key().encrypt(message(ours, np.random.default_rng(0))[0]))
