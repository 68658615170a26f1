"""Bytes of evaluation keys: the documented format written by hand, and what a stranger may try."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import pack, uniform
from small_rings import chain, extreme_residues, quickly, seeds, small_parameters, unchecked

from strongroom import engine
from strongroom.engine import Parameters, SecretKey
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.galois import RELINEARISATION, conjugation_element, rotation_element
from strongroom.engine.key_serialisation import (
    switching_key_bytes,
    switching_key_from_bytes,
    switching_key_to_bytes,
)
from strongroom.engine.switching_keys import EvaluationKeys
from strongroom.errors import CiphertextError

HEADER = 44
SEED = bytes(range(32))


def parameters_of(degree: int, data: tuple[int, ...], special: tuple[int, ...]) -> Parameters:
    """Unchecked parameters with primes of these bit lengths."""
    primes = chain(degree, data + special)
    return unchecked(degree, primes[: len(data)], primes[len(data) :])


SMALL = parameters_of(16, (20, 33, 31, 22), (34, 30))
"""Digits of two and two primes; modulo three primes the second is cut off."""


def digits_of(parameters: Parameters, limbs: int) -> int:
    """How many consecutive groups of data primes have products within the special one's."""
    special = int(np.prod([int(p) for p in parameters.special_primes], dtype=object))
    digits, product = 1, 1
    for prime in parameters.primes[:limbs]:
        if product * prime > special:
            digits, product = digits + 1, 1
        product *= prime
    return digits


def rows_of(parameters: Parameters, limbs: int) -> tuple[list[int], list[int]]:
    """Primes of a key's rows, and their places in the chain."""
    places = [*range(limbs), *range(parameters.limbs, parameters.limbs + 2)]
    return [*parameters.primes[:limbs], *parameters.special_primes], places


def by_hand(
    parameters: Parameters,
    limbs: int,
    element: int,
    halves: list[list[list[int]]],
    changes: dict[str, int] | None = None,
) -> bytes:
    """The documented format, written without the engine, with some fields changed."""
    fields = {"version": 1, "kind": 4, "limbs": limbs, "packing": 0}
    head = struct.pack("<4s4B", b"SRCK", *(fields | (changes or {})).values())
    head += parameters.digest + struct.pack("<2I", parameters.ring_degree, element)
    primes, _ = rows_of(parameters, limbs)
    body = b"".join(
        pack(row, prime.bit_length())
        for digit in halves
        for row, prime in zip(digit, primes, strict=True)
    )
    return head + SEED + body


def zeros(parameters: Parameters, limbs: int) -> list[list[list[int]]]:
    """Halves b that are zero."""
    rows = limbs + len(parameters.special_primes)
    return [[[0] * parameters.ring_degree] * rows] * digits_of(parameters, limbs)


def code_of(data: bytes, element: int | None = None, limbs: int | None = None) -> str | None:
    """The code with which bytes are refused; None if they are read, and then exactly."""
    try:
        key = switching_key_from_bytes(SMALL, data, element=element, limbs=limbs)
    except CiphertextError as refusal:
        return refusal.code
    assert switching_key_to_bytes(key) == data
    return None


@quickly
@given(limbs=st.integers(1, 4), seed=seeds, element=st.sampled_from([0, 3, 5, 31]))
def test_evaluation_keys_are_written_as_documented(limbs: int, seed: int, element: int) -> None:
    generator = np.random.default_rng(seed)
    primes, places = rows_of(SMALL, limbs)
    digits = digits_of(SMALL, limbs)
    assert digits == (1 if limbs <= 2 else 2)
    kinds = list(extreme_residues(generator, primes[0], 16))
    halves = [
        [
            extreme_residues(generator, prime, 16)[generator.choice(kinds)].tolist()
            for prime in primes
        ]
        for _ in range(digits)
    ]
    data = by_hand(SMALL, limbs, element, halves)
    key = switching_key_from_bytes(SMALL, data)
    assert (key.element, key.limbs, key.native.digits) == (element, limbs, digits)
    words = key.native.words.reshape(digits, 2, len(primes), -1)[..., :16].tolist()
    for digit in range(digits):
        assert words[digit][0] == halves[digit]
        assert words[digit][1] == uniform(SEED, 3, 16, primes, places=places, index=digit)
    assert switching_key_to_bytes(key) == data
    assert len(data) == switching_key_bytes(SMALL, limbs)


@quickly
@given(limbs=st.integers(1, 4), rotation=st.integers(1, 127), seed=seeds)
def test_a_key_that_travelled_is_the_key_that_was_made(
    limbs: int, rotation: int, seed: int
) -> None:
    parameters = parameters_of(256, (45, 40, 40, 40), (42, 43))
    secret = SecretKey.generate(parameters)
    for element in (
        RELINEARISATION,
        rotation_element(parameters, rotation),
        conjugation_element(parameters),
    ):
        key = secret.switching_key(element, limbs)
        data = switching_key_to_bytes(key)
        assert len(data) == switching_key_bytes(parameters, limbs)
        again = switching_key_from_bytes(parameters, memoryview(data), element=element, limbs=limbs)
        np.testing.assert_array_equal(again.native.words, key.native.words)
        assert again.native.seed == key.native.seed
        assert switching_key_to_bytes(again) == data
    values = np.random.default_rng(seed).uniform(-1, 1, 128)
    plaintext = engine.encode_slots(parameters, values, Fraction(2**30), limbs)
    element = rotation_element(parameters, rotation)
    keys = EvaluationKeys(
        parameters,
        {
            element: switching_key_from_bytes(
                parameters, switching_key_to_bytes(secret.switching_key(element, limbs))
            )
        },
    )
    turned = Evaluator(keys, threads=1).rotate(secret.encrypt(plaintext), rotation)
    opened = engine.decode(secret.decrypt_raw_do_not_publish(turned))
    np.testing.assert_allclose(opened, np.roll(values, -rotation), rtol=0, atol=2**-15)


def test_half_of_a_key_travels() -> None:
    # A seed for the uniform halves, and as many bits a word as its prime has.
    parameters = parameters_of(1024, (40,) * 6, (43,) * 2)
    held = 8 * SecretKey.generate(parameters).switching_key(RELINEARISATION).native.words.size
    assert switching_key_bytes(parameters, 6) < held * 0.5 * 41 / 64


def test_bytes_of_an_evaluation_key_hold_nothing_of_the_secret_key() -> None:
    parameters = parameters_of(1024, (40, 40), (43,))
    secret = SecretKey.generate(parameters)
    canary = secret.to_bytes()[32:]
    for element in (RELINEARISATION, rotation_element(parameters, 1)):
        key = secret.switching_key(element)
        for data in (switching_key_to_bytes(key), key.native.words.tobytes()):
            # Eight bytes in a row by chance: below 1e-12.
            assert not any(canary[at : at + 8] in data for at in range(len(canary) - 7))


def test_keys_from_one_seed_do_not_share_a_half() -> None:
    key = switching_key_from_bytes(SMALL, by_hand(SMALL, 4, 5, zeros(SMALL, 4)))
    halves = key.native.words.reshape(2, 2, 6, -1)[:, 1, :, :16]
    rows = {tuple(row) for digit in halves.tolist() for row in digit}
    assert len(rows) == 12


@pytest.mark.parametrize("element", [1, 2, 4, 30, 32, 33, 37, 2**16 + 5, 2**32 - 1])
def test_numbers_that_are_no_galois_element_are_refused(element: int) -> None:
    assert code_of(by_hand(SMALL, 4, element, zeros(SMALL, 4))) == "SR-CIPHERTEXT-FORMAT"


@pytest.mark.parametrize("element", [0, 3, 5, 29, 31])
def test_a_key_is_taken_only_for_the_element_that_is_asked_for(element: int) -> None:
    data = by_hand(SMALL, 4, element, zeros(SMALL, 4))
    for asked in (0, 3, 5, 29, 31):
        expected = None if asked == element else "SR-CIPHERTEXT-MISMATCH"
        assert code_of(data, element=asked) == expected
    assert code_of(data) is None


@pytest.mark.parametrize("limbs", [1, 2, 3, 4])
def test_a_key_is_taken_only_for_the_primes_that_are_asked_for(limbs: int) -> None:
    data = by_hand(SMALL, limbs, 5, zeros(SMALL, limbs))
    for asked in range(6):
        expected = None if asked == limbs else "SR-CIPHERTEXT-MISMATCH"
        assert code_of(data, limbs=asked) == expected
    assert code_of(data) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"version": 2}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 3}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 5}, "SR-CIPHERTEXT-FORMAT"),
        ({"packing": 1}, "SR-CIPHERTEXT-FORMAT"),
        ({"limbs": 0}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": 5}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": 255}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": 3}, "SR-CIPHERTEXT-FORMAT"),  # possible, but then of another length
    ],
)
def test_the_header_of_a_key_is_checked_when_any_key_is_welcome(
    changes: dict[str, int], code: str
) -> None:
    data = by_hand(SMALL, 4, 5, zeros(SMALL, 4))
    assert code_of(data) is None
    assert code_of(by_hand(SMALL, 4, 5, zeros(SMALL, 4), changes)) == code


@pytest.mark.parametrize("digit", range(2))
@pytest.mark.parametrize("row", range(6))
@pytest.mark.parametrize("excess", [0, 1, "all ones"])
def test_a_word_that_is_not_below_its_prime_is_refused(
    digit: int, row: int, excess: int | str
) -> None:
    prime = rows_of(SMALL, 4)[0][row]
    bad = 2 ** prime.bit_length() - 1 if isinstance(excess, str) else prime + excess
    for at in (0, 15):
        halves = [[list(r) for r in d] for d in zeros(SMALL, 4)]
        halves[digit][row][at] = prime - 1
        assert code_of(by_hand(SMALL, 4, 5, halves)) is None
        halves[digit][row][at] = bad
        assert code_of(by_hand(SMALL, 4, 5, halves)) == "SR-CIPHERTEXT-RANGE"


def test_parameters_without_special_primes_have_no_evaluation_keys() -> None:
    parameters = small_parameters(16, (20, 33))
    head = struct.pack("<4s4B32sI", b"SRCK", 1, 4, 2, 0, parameters.digest, 16)
    with pytest.raises(CiphertextError) as caught:
        switching_key_from_bytes(parameters, head + bytes(1000))
    assert caught.value.code == "SR-CIPHERTEXT-MISMATCH"
    with pytest.raises(ValueError, match="special primes"):
        switching_key_bytes(parameters, 2)


def test_other_parameters_with_the_same_shape_are_refused() -> None:
    other = parameters_of(16, (20, 33, 31, 22), (35, 30))
    data = by_hand(other, 4, 5, zeros(other, 4))
    assert code_of(data) == "SR-CIPHERTEXT-MISMATCH"
