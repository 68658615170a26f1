"""Shares of collective keys: what each is for, once where that matters, refused when wrong."""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from holders_of_parts import Holders
from slow_reference import centred
from small_rings import key_integers, small_parameters, switching_parameters

from strongroom.engine import RELINEARISATION, threshold
from strongroom.engine.threshold import KeyPart, RelinearisationRound, ShareError
from strongroom.errors import CiphertextError

SIGMA = 3.2
LARGEST_ERROR = 29
MANY_DIGITS = switching_parameters(16, (40, 30, 35), (41,))


# what shares are for


def test_uniform_halves_differ_between_keys_and_setups() -> None:
    part = KeyPart.generate(MANY_DIGITS)
    seed, other = os.urandom(32), os.urandom(32)
    shares = [
        threshold.public_key_share(part, seed, 3),
        threshold.public_key_share(part, seed, 2),
        threshold.public_key_share(part, other, 3),
        threshold.galois_key_share(part, seed, 5, 3),
        threshold.galois_key_share(part, seed, 5, 2),
        threshold.galois_key_share(part, seed, 7, 3),
        RelinearisationRound.begin(part, seed, 3)[1],
    ]
    assert len({share[44:76] for share in shares}) == len(shares)
    assert threshold.common_seed(seed, "a") != threshold.common_seed(seed, "b")
    assert threshold.common_seed(seed, "a") != threshold.common_seed(other, "a")
    for length in (0, 31, 33):
        with pytest.raises(ValueError, match="32 bytes"):
            threshold.common_seed(bytes(length), "a")


def test_a_holder_can_tell_whether_a_public_key_share_is_of_its_part() -> None:
    part, other = KeyPart.generate(MANY_DIGITS), KeyPart.generate(MANY_DIGITS)
    seed = os.urandom(32)
    share = threshold.public_key_share(part, seed, 3)
    assert threshold.is_public_key_share_of(part, seed, 3, share)
    assert not threshold.is_public_key_share_of(other, seed, 3, share)
    assert not threshold.is_public_key_share_of(part, os.urandom(32), 3, share)
    assert not threshold.is_public_key_share_of(part, seed, 2, share)
    assert not threshold.is_public_key_share_of(part, seed, 3, b"")
    refreshed = part.shifted([seed])
    assert threshold.is_public_key_share_of(
        refreshed, seed, 3, threshold.public_key_share(refreshed, seed, 3)
    )
    # One coefficient of one prime is enough.
    for at in (76, len(share) - 1):
        altered = bytearray(share)
        altered[at] ^= 1
        assert not threshold.is_public_key_share_of(part, seed, 3, bytes(altered))


def test_an_impossible_key_is_refused() -> None:
    part = KeyPart.generate(MANY_DIGITS)
    seed = os.urandom(32)
    for element in (RELINEARISATION, 1, 4, 33):
        with pytest.raises(ValueError, match=r"rounds|identity|odd"):
            threshold.galois_key_share(part, seed, element, 3)
    without = KeyPart.generate(small_parameters(16, (40,)))
    with pytest.raises(ValueError, match="special"):
        threshold.galois_key_share(without, seed, 5, 1)
    with pytest.raises(ValueError, match="special"):
        RelinearisationRound.begin(without, seed, 1)
    for limbs in (0, 4):
        with pytest.raises(ValueError, match="limbs"):
            threshold.public_key_share(part, seed, limbs)


# the second round


def test_a_second_round_is_answered_once() -> None:
    holders = Holders(MANY_DIGITS, 2)
    begun = [RelinearisationRound.begin(part, holders.seed, 3) for part in holders.parts]
    combined = threshold.combine_round_one(MANY_DIGITS, 3, [share for _, share in begun])
    begun[0][0].finish(combined)
    with pytest.raises(ValueError, match="once"):
        begun[0][0].finish(combined)
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(begun[1][0])


def test_the_second_round_has_two_errors_of_its_own() -> None:
    parameters = switching_parameters(1024, (40, 40), (41,))
    errors = []
    for _ in range(4):
        holders = Holders(parameters, 1)
        state, share = RelinearisationRound.begin(holders.parts[0], holders.seed, 2)
        # With a sum of zero nothing else is left of the answer.
        zero = share[:76] + bytes(len(share) - 76)
        second = state.finish(zero)
        key = threshold.combine_relinearisation_key(parameters, 2, zero, [second])
        modulus = math.prod(parameters.primes) * math.prod(parameters.special_primes)
        errors += [x for b, _ in key_integers(key) for x in centred(b, modulus)]
    assert len(errors) == 8192
    assert max(map(abs, errors)) <= 2 * LARGEST_ERROR
    assert np.std(errors) == pytest.approx(SIGMA * math.sqrt(2), rel=0.06)


def test_a_second_round_refuses_a_combined_first_one_that_is_not_its_own() -> None:
    holders = Holders(MANY_DIGITS, 2)
    state, share = RelinearisationRound.begin(holders.parts[0], holders.seed, 3)
    _, smaller = RelinearisationRound.begin(holders.parts[0], holders.seed, 2)
    _, stranger = RelinearisationRound.begin(holders.parts[0], os.urandom(32), 3)
    large = share[:76] + b"\xff" * (len(share) - 76)
    refused = {
        "SR-CIPHERTEXT-MISMATCH": [smaller, stranger],
        "SR-CIPHERTEXT-FORMAT": [
            *(share[:-1], share + b"\0", share[:60], b"", share[:100]),
            threshold.public_key_share(holders.parts[0], holders.seed, 3),
        ],
        "SR-CIPHERTEXT-RANGE": [large],
    }
    for code, combined in ((c, data) for c, many in refused.items() for data in many):
        with pytest.raises(CiphertextError) as caught:
            state.finish(combined)
        assert caught.value.code == code
    # Nothing of that used the state up.
    assert state.finish(share)


# shares from strangers

Combine = Callable[[list[bytes]], object]


def combinations(holders: Holders) -> dict[str, tuple[list[bytes], Combine]]:
    parameters, seed = holders.parameters, holders.seed
    begun = [RelinearisationRound.begin(part, seed, 3) for part in holders.parts]
    first = [share for _, share in begun]
    one = threshold.combine_round_one(parameters, 3, first)
    return {
        "public key": (
            [threshold.public_key_share(part, seed, 3) for part in holders.parts],
            lambda shares: threshold.combine_public_key(parameters, seed, 3, shares),
        ),
        "galois key": (
            [threshold.galois_key_share(part, seed, 5, 3) for part in holders.parts],
            lambda shares: threshold.combine_galois_key(parameters, seed, 5, 3, shares),
        ),
        "first round": (
            first,
            lambda shares: threshold.combine_round_one(parameters, 3, shares),
        ),
        "second round": (
            [state.finish(one) for state, _ in begun],
            lambda shares: threshold.combine_relinearisation_key(parameters, 3, one, shares),
        ),
    }


@pytest.mark.parametrize("kind", ["public key", "galois key", "first round", "second round"])
@pytest.mark.parametrize("wrong", [1, 2])
def test_a_wrong_share_is_refused_by_its_number(kind: str, wrong: int) -> None:
    holders = Holders(MANY_DIGITS, 3)
    shares, combine = combinations(holders)[kind]
    combine(shares)
    good = shares[wrong]
    other_seed = combinations(Holders(MANY_DIGITS, 3))[kind][0][0]
    bad = {
        "SR-CIPHERTEXT-FORMAT": [good[:-1], good + b"\0", b"", good[:50], b"X" + good[1:]],
        "SR-CIPHERTEXT-RANGE": [good[:76] + b"\xff" * (len(good) - 76)],
        "SR-CIPHERTEXT-MISMATCH": [other_seed, good[:6] + b"\x02" + good[7:]],
    }
    for code, data in ((c, data) for c, many in bad.items() for data in many):
        with pytest.raises(ShareError) as caught:
            combine([*shares[:wrong], data, *shares[wrong + 1 :]])
        assert (caught.value.code, caught.value.share) == (code, wrong)
    with pytest.raises(ValueError, match="no shares"):
        combine([])
