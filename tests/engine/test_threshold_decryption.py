"""Decryption by those who hold parts: the plain result from all shares, and nothing from fewer."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from holders_of_parts import Holders
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from slow_reference import centred, from_residues, negacyclic_product
from small_rings import integers, quickly, seeds, small_parameters, switching_parameters

from strongroom import engine
from strongroom.engine import LARGEST_LOG_FLOOD, Ciphertext, catalogued, threshold
from strongroom.engine.debugging import joined_secret_do_not_use
from strongroom.engine.threshold import KeyPart, ShareError
from strongroom.errors import CiphertextError

RING = small_parameters(64, (50, 40, 30))
SCALE = Fraction(2) ** 40


def places(*at: int) -> NDArray[np.uint32]:
    return np.array(at, dtype=np.uint32)


def result_of(holders: Holders, values: NDArray[np.float64], limbs: int = 3) -> Ciphertext:
    plaintext = engine.encode_coefficients(holders.parameters, values, SCALE, limbs)
    return holders.public_key().encrypt(plaintext)


def share_of(
    parts: list[KeyPart], result: Ciphertext, positions: NDArray[np.uint32], log_sigma: float = 0.0
) -> NDArray[np.uint64]:
    return threshold.decryption_share(
        parts,
        threshold.second_part_to_bytes(result),
        limbs=result.limbs,
        positions=positions,
        log_sigma=log_sigma,
    )


def opened(
    result: Ciphertext,
    positions: NDArray[np.uint32],
    shares: list[NDArray[np.uint64]],
) -> NDArray[np.float64]:
    first = threshold.first_part_at(result, positions)
    return threshold.combine_shares(result.parameters, first, shares, result.scale)


# what comes out


@quickly
@given(
    count=st.integers(1, 5),
    limbs=st.integers(2, 3),
    positions=st.lists(st.integers(0, 63), min_size=1, max_size=20, unique=True),
    seed=seeds,
)
def test_all_shares_and_the_first_part_give_the_plain_result(
    count: int, limbs: int, positions: list[int], seed: int
) -> None:
    holders = Holders(RING, count)
    values = np.random.default_rng(seed).uniform(-8, 8, 64)
    result = result_of(holders, values, limbs)
    at = places(*positions)
    shares = [share_of([part], result, at) for part in holders.parts]
    joined = joined_secret_do_not_use(holders.parts).decrypt_raw_do_not_publish(result)
    plain = engine.decode(joined)[at]
    got = opened(result, at, shares)
    assert got.shape == (len(positions),)
    # Smudging of deviation 1 for each share, and no more than 12 of them.
    assert np.abs(got - plain).max() * float(SCALE) <= 12 * math.sqrt(count) + 1
    assert np.abs(got - values[at]).max() < 2.0**-28


def test_who_answers_for_several_parts_answers_once() -> None:
    holders = Holders(RING, 4)
    values = np.linspace(-4, 4, 64)
    result = result_of(holders, values)
    at = places(3, 60, 0)
    first, second, third, fourth = holders.parts
    shares = [share_of([fourth, second], result, at), share_of([first, third], result, at)]
    assert np.abs(opened(result, at, shares) - values[at]).max() < 2.0**-28


@pytest.mark.parametrize("count", [2, 3, 5])
def test_any_missing_share_leaves_garbage(count: int) -> None:
    holders = Holders(RING, count)
    values = np.linspace(-4, 4, 64)
    result = result_of(holders, values)
    at = places(*range(64))
    shares = [share_of([part], result, at) for part in holders.parts]
    for size in range(1, count):
        for some in itertools.combinations(shares, size):
            # Uniform modulo 2^120, divided by 2^40: typically 2^78.
            wrong = np.abs(opened(result, at, list(some)) - values)
            assert np.median(wrong) > 2.0**70
    twice = [*shares[:-1], shares[0]]
    assert np.median(np.abs(opened(result, at, twice) - values)) > 2.0**70


def test_refreshed_parts_decrypt_the_same_and_do_not_mix_with_old_ones() -> None:
    parameters = switching_parameters(64, (50, 40, 30), (50,))
    holders = Holders(parameters, 3)
    values = np.linspace(-4, 4, 64)
    result = result_of(holders, values)
    at = places(*range(64))
    old = holders.parts
    new = holders.refreshed()
    holders.parts = new
    newest = holders.refreshed()
    for generation in (old, new, newest):
        shares = [share_of([part], result, at) for part in generation]
        assert np.abs(opened(result, at, shares) - values).max() < 2.0**-28
    for pattern in itertools.product((0, 1, 2), repeat=3):
        if len(set(pattern)) == 1:
            continue
        mixed = [(old, new, newest)[which][i] for i, which in enumerate(pattern)]
        shares = [share_of([part], result, at) for part in mixed]
        assert np.median(np.abs(opened(result, at, shares) - values)) > 2.0**70


def test_results_of_the_catalogue_open_with_wide_smudging() -> None:
    parameters = catalogued("n14-q300-p130-v1")
    holders = Holders(parameters, 3)
    values = np.random.default_rng(0).uniform(-8, 8, 100)
    scale = Fraction(2) ** 90
    plaintext = engine.encode_coefficients(parameters, values, scale, 4)
    result = holders.public_key(4).encrypt(plaintext)
    at = places(*range(10))
    shares = [share_of([part], result, at, 75.0) for part in holders.parts]
    for share in shares:
        assert share.shape == (4, 10)
        assert share.nbytes == 320
    # 75 bits of smudging under a scale of 90: 12 deviations of a sum of three.
    error = np.abs(opened(result, at, shares) - values[:10])
    assert 0 < error.max() <= 12 * math.sqrt(3) * 2.0**-15


# smudging


def exact_share(parts: list[KeyPart], result: Ciphertext, secret: list[int]) -> list[int]:
    _, c1 = integers(result)
    return negacyclic_product(c1, secret)


@pytest.mark.parametrize("log_sigma", [0.0, 3.5, 20.0, 40.0, 64.3, 80.0, LARGEST_LOG_FLOOD])
def test_smudging_has_the_deviation_that_is_asked_for(log_sigma: float) -> None:
    parameters = small_parameters(256, (50, 50, 50))
    holders = Holders(parameters, 2)
    result = result_of(holders, np.zeros(256))
    modulus = math.prod(parameters.primes)
    exact = exact_share(holders.parts, result, holders.secret())
    at = places(*range(256))
    noise = []
    for _ in range(40):
        share = share_of(holders.parts, result, at, log_sigma)
        words = from_residues(share.tolist(), parameters.primes)
        noise += centred([x - y for x, y in zip(words, exact, strict=True)], modulus)
    deviations = np.array([x / 2.0**log_sigma for x in noise])
    # 10240 samples: a deviation to 0.7 %, a mean to 1 % of one.
    rounding = 4.0**-log_sigma / 12
    assert deviations.std() == pytest.approx(math.sqrt(1 + rounding), rel=0.05)
    assert abs(deviations.mean()) < 0.07
    assert np.abs(deviations).max() < 9.5
    assert len(set(noise)) > 5000 or log_sigma < 15


def test_every_answer_is_smudged_anew() -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.zeros(64))
    at = places(5, 9)
    first, second = (share_of(holders.parts, result, at, 50.0) for _ in range(2))
    assert not (first == second).any()


# what is refused


@pytest.mark.parametrize("log_sigma", [-0.1, 100.1, math.nan, math.inf])
def test_smudging_out_of_bounds_is_refused(log_sigma: float) -> None:
    holders = Holders(RING, 1)
    with pytest.raises(ValueError, match="flooding"):
        share_of(holders.parts, result_of(holders, np.zeros(64)), places(0), log_sigma)


@pytest.mark.parametrize("position", [64, 65, 2**31, 2**32 - 1])
def test_positions_outside_of_the_ring_are_refused(position: int) -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.zeros(64))
    with pytest.raises(ValueError, match="coefficient"):
        share_of(holders.parts, result, places(0, position))
    with pytest.raises(ValueError, match="coefficient"):
        threshold.first_part_at(result, places(0, position))


def test_positions_of_another_type_are_refused() -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.zeros(64))
    for positions in (np.array([-1]), np.array([0.5]), np.zeros((1, 1), dtype=np.uint32)):
        with pytest.raises(ValueError, match="positions"):
            threshold.first_part_at(result, positions)


def test_malformed_second_parts_are_refused() -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.zeros(64), 2)
    good = threshold.second_part_to_bytes(result)
    other = Holders(small_parameters(64, (50, 41)), 1)
    bad = {
        "SR-CIPHERTEXT-FORMAT": [b"", good[:43], good[:44], good[:-1], good + b"\0"],
        "SR-CIPHERTEXT-RANGE": [good[:44] + b"\xff" * (len(good) - 44)],
        "SR-CIPHERTEXT-MISMATCH": [
            threshold.second_part_to_bytes(result_of(holders, np.zeros(64), 3)),
            threshold.second_part_to_bytes(result_of(other, np.zeros(64), 2)),
        ],
    }
    bad["SR-CIPHERTEXT-FORMAT"].append(engine.ciphertext_to_bytes(result))
    for code, data in ((c, data) for c, many in bad.items() for data in many):
        with pytest.raises(CiphertextError) as caught:
            threshold.decryption_share(
                holders.parts, data, limbs=2, positions=places(0), log_sigma=1.0
            )
        assert caught.value.code == code


def test_results_in_slots_are_refused() -> None:
    holders = Holders(RING, 1)
    slots = holders.public_key().encrypt(engine.encode_slots(RING, np.zeros(1), SCALE, 3))
    with pytest.raises(ValueError, match="coefficients"):
        threshold.second_part_to_bytes(slots)
    with pytest.raises(ValueError, match="coefficients"):
        threshold.first_part_at(slots, places(0))


def test_a_share_needs_parts_of_one_key() -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.zeros(64))
    with pytest.raises(ValueError, match="parts"):
        share_of([], result, places(0))
    other = KeyPart.generate(small_parameters(64, (50, 41)))
    with pytest.raises(ValueError, match="parts"):
        share_of([*holders.parts, other], result, places(0))


def combined(first: NDArray[np.uint64], shares: list[NDArray[np.uint64]]) -> None:
    threshold.combine_shares(RING, first, shares, SCALE)


def test_a_wrong_share_is_refused_by_its_number() -> None:
    primes = np.array(RING.primes, dtype=np.uint64)[:, None]
    good = np.zeros((3, 4), dtype=np.uint64)
    large = good.copy()
    large[2, 3] = primes[2, 0]
    for bad, code in (
        (good[:2], "SR-CIPHERTEXT-FORMAT"),
        (good[:, :3], "SR-CIPHERTEXT-FORMAT"),
        (good.astype(np.int64), "SR-CIPHERTEXT-FORMAT"),
        (good[0], "SR-CIPHERTEXT-FORMAT"),
        (large, "SR-CIPHERTEXT-RANGE"),
    ):
        with pytest.raises(ShareError) as caught:
            combined(good, [good, bad, good])
        assert (caught.value.code, caught.value.share) == (code, 1)
    with pytest.raises(CiphertextError) as of_first:
        combined(large, [good])
    assert of_first.value.code == "SR-CIPHERTEXT-RANGE"
    for shape in ((0, 4), (4, 4), (3,)):
        with pytest.raises(CiphertextError):
            combined(np.zeros(shape, dtype=np.uint64), [np.zeros(shape, dtype=np.uint64)])
    with pytest.raises(ValueError, match="no shares"):
        combined(good, [])


@quickly
@given(seed=seeds)
def test_sums_wrap_at_every_prime(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = [int(x) for x in generator.integers(-(2**52), 2**52, 5)]
    summands = [generator.integers(0, q, (4, 5), dtype=np.uint64) for q in RING.primes]
    first = np.stack(
        [
            np.array(
                [
                    (v - int(s)) % q
                    for v, s in zip(values, rows.sum(axis=0, dtype=object), strict=True)
                ],
                dtype=np.uint64,
            )
            for rows, q in zip(summands, RING.primes, strict=True)
        ]
    )
    shares = [np.stack([rows[i] for rows in summands]) for i in range(4)]
    got = threshold.combine_shares(RING, first, shares, Fraction(1))
    assert got.tolist() == [float(v) for v in values]


def test_first_parts_are_the_residues_of_c0() -> None:
    holders = Holders(RING, 1)
    result = result_of(holders, np.linspace(-1, 1, 64))
    at = places(63, 0, 7, 7)
    c0, _ = result.native.residues()
    np.testing.assert_array_equal(threshold.first_part_at(result, at), c0[:, at])
    # A product is kept in the other form.
    weights = engine.encode_coefficients(RING, np.ones(1), Fraction(1), 3, transformed=True)
    product = engine.multiply_plain(result, weights)
    c0, _ = product.native.residues()
    np.testing.assert_array_equal(threshold.first_part_at(product, at), c0[:, at])
    shares = [share_of(holders.parts, product, at)]
    assert opened(product, at, shares) == pytest.approx(np.linspace(-1, 1, 64)[at], abs=2.0**-28)
