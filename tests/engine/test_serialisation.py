"""Bytes of ciphertexts and keys: round trips, and the documented format written by hand."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import pack, to_residues
from small_rings import (
    ciphertext_bytes_by_hand,
    extreme_coefficients,
    extreme_residues,
    message,
    parts,
    quickly,
    seeds,
    small_parameters,
    small_rings,
)

from strongroom import _native_testing, engine
from strongroom.engine import Ciphertext, Parameters, SecretKey

fractions = st.builds(
    Fraction, st.integers(1, 2**400), st.sampled_from([1, 3, 2**50, 40961, 2**300 + 7])
)


def rescaled(ciphertext: Ciphertext, scale: Fraction) -> Ciphertext:
    """The same parts under another scale and no seed."""
    return Ciphertext(ciphertext.native, ciphertext.parameters, scale, ciphertext.packing)


@quickly
@given(count=st.integers(0, 70), bits=st.integers(1, 64), seed=seeds)
def test_words_are_packed_as_one_little_endian_number(count: int, bits: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    modulus = int(generator.integers(2 ** (bits - 1), 2**bits, dtype=np.uint64))
    for extreme in extreme_residues(generator, modulus, count).values():
        words = np.minimum(extreme, np.uint64(modulus - 1))
        packed = _native_testing.pack(words, bits)
        assert packed == pack(words.tolist(), bits)
        array = np.frombuffer(packed, dtype=np.uint8)
        np.testing.assert_array_equal(_native_testing.unpack(array, count, modulus), words)


@quickly
@given(parameters=small_rings(), seed=seeds, scale=fractions, slots=st.booleans())
def test_ciphertexts_are_written_as_documented(
    parameters: Parameters, seed: int, scale: Fraction, slots: bool
) -> None:
    generator = np.random.default_rng(seed)
    c0, c1 = (
        to_residues(extreme_coefficients(generator, parameters), parameters.primes)
        for _ in range(2)
    )
    data = ciphertext_bytes_by_hand(parameters, c0, c1, scale, int(slots))
    ciphertext = engine.ciphertext_from_bytes(parameters, data, limbs=parameters.limbs)
    assert parts(ciphertext) == (c0, c1)
    assert ciphertext.scale == scale
    assert ciphertext.packing == ("slots" if slots else "coefficients")
    assert ciphertext.seed is None
    assert engine.ciphertext_to_bytes(ciphertext) == data
    n = parameters.ring_degree
    assert len(data) == engine.ciphertext_bytes(
        parameters, parameters.limbs, n, seeded=False, scale=scale
    )


@quickly
@given(parameters=small_rings(), seed=seeds, data=st.data())
def test_chosen_coefficients_travel_and_the_others_arrive_as_zero(
    parameters: Parameters, seed: int, data: st.DataObject
) -> None:
    n = parameters.ring_degree
    chosen = data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n))
    positions = np.array(chosen, dtype=np.uint32)
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(seed))
    for ciphertext in (
        secret.encrypt(plaintext),
        secret.public_key(parameters.limbs).encrypt(plaintext),
    ):
        blob = engine.ciphertext_to_bytes(ciphertext, positions)
        assert len(blob) == engine.ciphertext_bytes(
            parameters,
            parameters.limbs,
            len(chosen),
            seeded=ciphertext.seed is not None,
            scale=ciphertext.scale,
        )
        again = engine.ciphertext_from_bytes(
            parameters, blob, limbs=parameters.limbs, positions=positions
        )
        c0, c1 = parts(ciphertext)
        expected = [[x if i in set(chosen) else 0 for i, x in enumerate(limb)] for limb in c0]
        assert parts(again) == (expected, c1)


@quickly
@given(parameters=small_rings(), seed=seeds, limbs=st.integers(1, 4))
def test_fresh_ciphertexts_travel_at_half_size(
    parameters: Parameters, seed: int, limbs: int
) -> None:
    limbs = min(limbs, parameters.limbs)
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(seed), limbs)
    ciphertext = secret.encrypt(plaintext)
    assert ciphertext.seed is not None
    blob = engine.ciphertext_to_bytes(ciphertext)
    head = struct.pack(
        "<4sBBBB32sI", b"SRCK", 1, 2, limbs, 0, parameters.digest, parameters.ring_degree
    )
    c0 = b"".join(
        pack(limb, prime.bit_length())
        for limb, prime in zip(parts(ciphertext)[0], parameters.primes, strict=False)
    )
    assert blob == head + struct.pack("<HH", 1, 1) + b"\x01\x01" + ciphertext.seed + c0
    again = engine.ciphertext_from_bytes(parameters, memoryview(blob), limbs=limbs)
    assert parts(again) == parts(ciphertext)
    assert again.seed == ciphertext.seed
    assert engine.ciphertext_to_bytes(again) == blob


@quickly
@given(parameters=small_rings(), limbs=st.integers(1, 4), seed=seeds)
def test_public_keys_round_trip_and_encrypt(parameters: Parameters, limbs: int, seed: int) -> None:
    limbs = min(limbs, parameters.limbs)
    secret = SecretKey.generate(parameters)
    key = secret.public_key(limbs)
    blob = engine.public_key_to_bytes(key)
    assert len(blob) == engine.public_key_bytes(parameters, limbs)
    again = engine.public_key_from_bytes(parameters, blob, limbs=limbs)
    assert again.limbs == limbs
    assert engine.public_key_to_bytes(again) == blob
    plaintext, integers = message(parameters, np.random.default_rng(seed), limbs)
    opened = engine.decode(secret.decrypt_raw_do_not_publish(again.encrypt(plaintext)))
    bound = 9 * 3.2 * (4 * parameters.ring_degree / 3 + 1) ** 0.5 + 60
    np.testing.assert_allclose(opened, np.array(integers, dtype=np.float64), rtol=0, atol=bound)


def test_bytes_do_not_depend_on_the_form_that_a_ciphertext_is_held_in() -> None:
    parameters = small_parameters(64, (40, 41))
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    ciphertext = secret.public_key(2).encrypt(plaintext)
    one = engine.encode_coefficients(parameters, np.ones(1), Fraction(1), 2)
    assert engine.ciphertext_to_bytes(ciphertext) == engine.ciphertext_to_bytes(
        engine.multiply_plain(ciphertext, one)
    )


def test_every_operation_forgets_the_seed() -> None:
    # The seed stands for the second part as it was encrypted; kept on, it would be a wrong one.
    parameters = small_parameters(64, (40, 41))
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    ciphertext = secret.encrypt(plaintext)
    positions = np.arange(2, dtype=np.uint32)
    for result in (
        engine.add(ciphertext, ciphertext),
        engine.add_plain(ciphertext, plaintext),
        engine.add_at(ciphertext, positions, np.ones(2)),
        engine.multiply_plain(ciphertext, plaintext),
        engine.rescale(ciphertext, 1),
        engine.truncate(ciphertext, 1),
        engine.sanitise(ciphertext, secret.public_key(2), positions, 1.0),
    ):
        assert result.seed is None
        blob = engine.ciphertext_to_bytes(result)
        again = engine.ciphertext_from_bytes(parameters, blob, limbs=result.limbs)
        assert parts(again) == parts(result)


@pytest.mark.parametrize("name", list(engine.CATALOGUE))
def test_catalogue_ciphertexts_round_trip(name: str) -> None:
    parameters = engine.catalogued(name)
    secret = SecretKey.generate(parameters)
    values = np.random.default_rng(0).uniform(-1, 1, parameters.ring_degree)
    plaintext = engine.encode_coefficients(parameters, values, Fraction(2**40), parameters.limbs)
    ciphertext = secret.encrypt(plaintext)
    for sent in (ciphertext, rescaled(ciphertext, Fraction(2**40, 7))):
        again = engine.ciphertext_from_bytes(
            parameters, engine.ciphertext_to_bytes(sent), limbs=parameters.limbs
        )
        for ours, theirs in zip(again.native.residues(), sent.native.residues(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
