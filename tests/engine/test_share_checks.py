"""Checks of parts: they fit the part that they are of and no other, alone, summed and changed."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest
from holders_of_parts import Holders
from slow_reference import centred, from_residues, inverse_transform
from small_rings import small_parameters, switching_parameters

from strongroom.engine import Parameters, catalogued, threshold
from strongroom.engine.threshold import KeyPart, PartCheck
from strongroom.errors import CiphertextError

RING = small_parameters(64, (50, 40, 40, 30))
SWITCHING = switching_parameters(32, (50, 45, 40), (50, 50))


@pytest.mark.parametrize("parameters", [RING, SWITCHING])
def test_a_check_fits_its_part_and_no_other(parameters: Parameters) -> None:
    holders = Holders(parameters, 2)
    first, second = holders.parts
    check = holders.check(first)
    assert check.is_of(first, holders.seed, parameters.limbs)
    assert not check.is_of(second, holders.seed, parameters.limbs)
    assert not check.is_of(first, os.urandom(32), parameters.limbs)


def test_one_sample_alone_does_not_make_a_check() -> None:
    holders = Holders(RING, 2)
    mine, other = (holders.check(part) for part in holders.parts)
    for sample in (0, 1):
        words = mine.words.copy()
        words[sample] = other.words[sample]
        mixed = PartCheck(RING, words)
        assert not any(mixed.is_of(part, holders.seed, RING.limbs) for part in holders.parts)


def test_the_first_sample_is_of_the_public_key() -> None:
    """So a dealer who keeps another part than it made the public key with has no check of it."""
    holders = Holders(RING, 2)
    first, second = holders.parts
    limbs = threshold.check_limbs(RING, RING.limbs)
    mixed = PartCheck.from_shares(
        RING,
        holders.seed,
        RING.limbs,
        threshold.public_key_share(first, holders.seed, RING.limbs),
        threshold.public_key_share(second, threshold.check_seed(holders.seed), limbs),
    )
    assert not any(mixed.is_of(part, holders.seed, RING.limbs) for part in holders.parts)


def test_checks_of_sums_and_of_refreshed_parts_follow_from_those_of_their_summands() -> None:
    holders = Holders(SWITCHING, 2)
    seed, limbs = holders.seed, SWITCHING.limbs
    first, second = (holders.check(part) for part in holders.parts)
    drawn = os.urandom(32)
    change = PartCheck.of_part(KeyPart.expanded(SWITCHING, drawn), seed, limbs)
    assert change.is_of(KeyPart.expanded(SWITCHING, drawn), seed, limbs)
    gained, lost = first.plus(change), second.minus(change)
    assert gained.is_of(holders.parts[0].shifted([drawn]), seed, limbs)
    assert lost.is_of(holders.parts[1].shifted((), [drawn]), seed, limbs)
    assert not gained.is_of(holders.parts[0], seed, limbs)
    assert gained.summed == 1 + 2**20
    np.testing.assert_array_equal(gained.plus(lost).words, first.plus(second).words)
    np.testing.assert_array_equal(gained.minus(change).words, first.words)
    with pytest.raises(ValueError, match="different keys"):
        first.plus(Holders(RING, 1).check(Holders(RING, 1).parts[0]))


def test_samples_of_changes_do_not_average_the_errors_of_parts_away() -> None:
    """A thief of one part before a refresh and of the other after it knows all changes up to the
    key's rest: their samples are more samples of that, with the same public polynomials."""
    holders = Holders(SWITCHING, 1)
    part, seed, limbs = holders.parts[0], holders.seed, SWITCHING.limbs
    first = holders.check(part)
    estimates = []
    for _ in range(64):
        drawn = os.urandom(32)
        change = PartCheck.of_part(KeyPart.expanded(SWITCHING, drawn), seed, limbs)
        # It knows part - change, and so a sample of the part from the change's.
        known = PartCheck.of_part(part.shifted((), [drawn]), seed, limbs)
        estimates.append(centred_sum(first, change, known))
    spread = np.std(np.concatenate(estimates).astype(float))
    assert 1000 * 3.2 < spread < 2000 * 3.2
    assert PartCheck.of_part(part, seed, limbs).summed == threshold.CHANGE_SUMMED


def centred_sum(first: PartCheck, *others: PartCheck) -> list[int]:
    """Coefficients of the first samples' difference from the others' sum: of errors alone."""
    difference = first
    for other in others:
        difference = difference.minus(other)
    primes = SWITCHING.primes[: difference.limbs]
    rows = [
        inverse_transform(row.tolist(), q)
        for row, q in zip(difference.words[0], primes, strict=True)
    ]
    return centred(from_residues(rows, primes), math.prod(primes))


def test_bounds_grow_with_the_root_of_what_is_summed() -> None:
    check = Holders(RING, 1).check(KeyPart.generate(RING))
    assert [PartCheck(RING, check.words, n).error_bound for n in (1, 2, 4, 100)] == [
        29,
        42,
        58,
        290,
    ]


def test_checks_are_over_as_few_primes_as_bind_a_part() -> None:
    real = catalogued("n13-q172-p42-v1")
    assert [threshold.check_limbs(real, limbs) for limbs in (1, 2, 3, 4, 5)] == [1, 2, 3, 4, 4]
    assert threshold.check_limbs(catalogued("n15-q525-p271-v1"), 9) == 3


def test_checks_survive_bytes_and_damaged_ones_are_refused() -> None:
    holders = Holders(SWITCHING, 1)
    check = holders.check(holders.parts[0])
    data = check.plus(check).to_bytes()
    again = PartCheck.from_bytes(SWITCHING, SWITCHING.limbs, data)
    np.testing.assert_array_equal(again.words, check.plus(check).words)
    assert again.summed == 2
    bad = {
        "SR-CIPHERTEXT-FORMAT": [
            data[:-1],
            data + b"\0",
            data[:44],
            b"",
            data[:44] + bytes(8) + data[52:],
            data[:44] + b"\xff" * 8 + data[52:],
        ],
        "SR-CIPHERTEXT-RANGE": [data[:52] + b"\xff" * (len(data) - 52)],
        "SR-CIPHERTEXT-MISMATCH": [
            data[:6] + b"\x01" + data[7:],
            Holders(RING, 1).check(KeyPart.generate(RING)).to_bytes(),
        ],
    }
    for code, damaged in ((c, damaged) for c, many in bad.items() for damaged in many):
        with pytest.raises(CiphertextError) as caught:
            PartCheck.from_bytes(SWITCHING, SWITCHING.limbs, damaged)
        assert caught.value.code == code


def test_shares_of_another_key_make_no_check() -> None:
    holders = Holders(RING, 1)
    part, limbs = holders.parts[0], threshold.check_limbs(RING, RING.limbs)
    share = threshold.public_key_share(part, holders.seed, RING.limbs)
    second = threshold.public_key_share(part, threshold.check_seed(holders.seed), limbs)
    for pair in ((second, share), (share, share), (share, second[:-1]), (b"", second)):
        with pytest.raises(CiphertextError):
            PartCheck.from_shares(RING, holders.seed, RING.limbs, *pair)


def test_what_a_refresh_adds_is_uniform_and_the_same_for_whoever_has_the_seed() -> None:
    seed = os.urandom(32)
    one, again = (KeyPart.expanded(SWITCHING, seed) for _ in range(2))
    assert one.to_bytes() == again.to_bytes()
    part = KeyPart.generate(SWITCHING)
    assert part.shifted([seed]).shifted((), [seed]).to_bytes() != part.to_bytes()  # other encoding
    limbs = SWITCHING.limbs
    check = PartCheck.of_part(part.shifted([seed]), seed, limbs)
    assert check.is_of(part.shifted([seed]), seed, limbs)
    with pytest.raises(ValueError, match="32 bytes"):
        KeyPart.expanded(SWITCHING, seed[:-1])
