"""Bytes from a stranger: refused with a stable code, or read as what they say; nothing else."""

from __future__ import annotations

import resource
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_reference import pack
from small_rings import chain, ciphertext_bytes_by_hand, message, small_parameters, unchecked

from strongroom import engine
from strongroom.engine import Ciphertext, PublicKey, SecretKey
from strongroom.engine.key_serialisation import switching_key_from_bytes, switching_key_to_bytes
from strongroom.engine.switching_keys import SwitchingKey
from strongroom.errors import CiphertextError

CODES = {"SR-CIPHERTEXT-FORMAT", "SR-CIPHERTEXT-RANGE", "SR-CIPHERTEXT-MISMATCH"}
HEADER, SCALE_AT = 44, 44
LIMBS = 3
PARAMETERS = small_parameters(16, (20, 33, 50))
SECRET = SecretKey.generate(PARAMETERS)
PLAINTEXT = message(PARAMETERS, np.random.default_rng(0))[0]
POSITIONS = np.array([1, 7, 15], dtype=np.uint32)
FULL = engine.ciphertext_to_bytes(SECRET.public_key(LIMBS).encrypt(PLAINTEXT))
SEEDED = engine.ciphertext_to_bytes(SECRET.encrypt(PLAINTEXT))
PARTIAL = engine.ciphertext_to_bytes(SECRET.public_key(LIMBS).encrypt(PLAINTEXT), POSITIONS)
KEY = engine.public_key_to_bytes(SECRET.public_key(LIMBS))
SWITCHING = unchecked(16, chain(16, (20, 33, 31)), chain(16, (34,)))
ELEMENT = 5
SWITCHING_KEY = switching_key_to_bytes(SecretKey.generate(SWITCHING).switching_key(ELEMENT))


def read_full(data: bytes) -> Ciphertext:
    return engine.ciphertext_from_bytes(PARAMETERS, data, limbs=LIMBS)


def read_partial(data: bytes) -> Ciphertext:
    return engine.ciphertext_from_bytes(PARAMETERS, data, limbs=LIMBS, positions=POSITIONS)


def read_key(data: bytes) -> PublicKey:
    return engine.public_key_from_bytes(PARAMETERS, data, limbs=LIMBS)


def read_switching_key(data: bytes) -> SwitchingKey:
    return switching_key_from_bytes(SWITCHING, data, element=ELEMENT, limbs=LIMBS)


Reader = Callable[[bytes], Ciphertext | PublicKey | SwitchingKey]
BLOBS: dict[str, tuple[bytes, Reader]] = {
    "ciphertext": (FULL, read_full),
    "seeded": (SEEDED, read_full),
    "partial": (PARTIAL, read_partial),
    "key": (KEY, read_key),
    "switching key": (SWITCHING_KEY, read_switching_key),
}
every_blob = pytest.mark.parametrize("kind", list(BLOBS))
thoroughly = settings(deadline=None, max_examples=150)


def code_of(read: Reader, data: bytes) -> str | None:
    """The code with which bytes are refused; None if they are read, and then exactly."""
    try:
        result = read(data)
    except CiphertextError as refusal:
        code = refusal.code
        if code not in CODES:
            raise
        return code
    if isinstance(result, PublicKey):
        written = engine.public_key_to_bytes(result)
    elif isinstance(result, SwitchingKey):
        written = switching_key_to_bytes(result)
    else:
        positions = POSITIONS if read is read_partial else None
        written = engine.ciphertext_to_bytes(result, positions)
    assert written == data, "read bytes that it would not have written"
    return None


@every_blob
def test_the_blobs_are_valid_to_begin_with(kind: str) -> None:
    data, read = BLOBS[kind]
    assert code_of(read, data) is None


@every_blob
def test_every_truncation_and_extension_is_refused(kind: str) -> None:
    data, read = BLOBS[kind]
    for length in range(len(data)):
        assert code_of(read, data[:length]) == "SR-CIPHERTEXT-FORMAT"
    for tail in (b"\0", b"\xff" * 8, data, bytes(2**20)):
        assert code_of(read, data + tail) == "SR-CIPHERTEXT-FORMAT"


@every_blob
def test_every_flipped_bit_of_the_header_is_refused(kind: str) -> None:
    data, read = BLOBS[kind]
    accepted = []
    for bit in range(8 * HEADER):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        if code_of(read, bytes(damaged)) is None:
            accepted.append(bit)
    # The packing of a ciphertext may be either; nothing else has two values that fit.
    assert accepted in ([], [8 * 7])


@every_blob
@thoroughly
@given(data=st.data())
def test_flipped_bits_are_refused_or_read_exactly(kind: str, data: st.DataObject) -> None:
    blob, read = BLOBS[kind]
    damaged = bytearray(blob)
    for bit in data.draw(st.lists(st.integers(0, 8 * len(blob) - 1), min_size=1, max_size=8)):
        damaged[bit // 8] ^= 1 << (bit % 8)
    code_of(read, bytes(damaged))


@every_blob
@thoroughly
@given(data=st.data())
def test_replaced_removed_and_inserted_stretches_are_refused_or_read_exactly(
    kind: str, data: st.DataObject
) -> None:
    blob, read = BLOBS[kind]
    start = data.draw(st.integers(0, len(blob)))
    end = data.draw(st.integers(start, len(blob)))
    stretch = data.draw(st.binary(max_size=64) | st.just(blob[start:end] * 2))
    code_of(read, blob[:start] + stretch + blob[end:])


@every_blob
@thoroughly
@given(body=st.binary(max_size=400))
def test_a_good_header_before_rubbish_is_refused_or_read_exactly(kind: str, body: bytes) -> None:
    blob, read = BLOBS[kind]
    code_of(read, blob[:HEADER] + body)
    code_of(read, body)


@thoroughly
@given(
    numbers=st.tuples(st.binary(max_size=300), st.binary(max_size=300)),
    lengths=st.none() | st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 2**16 - 1)),
)
def test_scales_of_any_kind_are_refused_or_read_exactly(
    numbers: tuple[bytes, bytes], lengths: tuple[int, int] | None
) -> None:
    claimed = lengths or (len(numbers[0]), len(numbers[1]))
    scale = struct.pack("<HH", *claimed) + numbers[0] + numbers[1]
    code_of(read_full, FULL[:HEADER] + scale + FULL[HEADER + 6 :])


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [
        (b"", b"\x01"),  # zero
        (b"\x00", b"\x01"),
        (b"\x01", b""),  # a division by zero
        (b"\x01", b"\x00"),
        (b"\x01" * 257, b"\x01"),  # longer than any scale
        (b"\x01", b"\x01" * 257),
        (b"\x01\x00", b"\x01"),  # the same number written longer
        (b"\x01", b"\x01\x00"),
        (b"\x02", b"\x02"),  # not in lowest terms
    ],
)
def test_scales_that_no_writer_writes_are_refused(numerator: bytes, denominator: bytes) -> None:
    scale = struct.pack("<HH", len(numerator), len(denominator)) + numerator + denominator
    data = FULL[:HEADER] + scale + FULL[HEADER + 6 :]
    with pytest.raises(CiphertextError) as caught:
        read_full(data)
    assert caught.value.code == "SR-CIPHERTEXT-FORMAT"


def test_a_huge_scale_is_read_exactly_and_never_as_a_double() -> None:
    for scale in (Fraction(2**2047 + 1), Fraction(1, 2**2047 + 1)):
        zeros = [[0] * 16 for _ in range(LIMBS)]
        data = ciphertext_bytes_by_hand(PARAMETERS, zeros, zeros, scale)
        assert read_full(data).scale == scale


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("limb", range(LIMBS))
@pytest.mark.parametrize("excess", [0, 1, "all ones"])
def test_a_coefficient_that_is_not_below_its_modulus_is_refused(
    part: int, limb: int, excess: int | str
) -> None:
    prime = PARAMETERS.primes[limb]
    bad = 2 ** prime.bit_length() - 1 if isinstance(excess, str) else prime + excess
    for at in (0, 7, 15):
        rows = [[[0] * 16 for _ in range(LIMBS)] for _ in range(2)]
        rows[part][limb][at] = prime - 1
        assert code_of(read_full, ciphertext_bytes_by_hand(PARAMETERS, *rows)) is None
        rows[part][limb][at] = bad
        code = code_of(read_full, ciphertext_bytes_by_hand(PARAMETERS, *rows))
        assert code == "SR-CIPHERTEXT-RANGE"


@pytest.mark.parametrize("limb", range(LIMBS))
def test_a_value_of_a_public_key_that_is_not_below_its_modulus_is_refused(limb: int) -> None:
    rows = [[0] * 16 for _ in range(LIMBS)]
    rows[limb][3] = PARAMETERS.primes[limb]
    body = b"".join(
        pack(row, prime.bit_length()) for row, prime in zip(rows, PARAMETERS.primes, strict=True)
    )
    assert code_of(read_key, KEY[: HEADER + 32] + body) == "SR-CIPHERTEXT-RANGE"


def test_padding_bits_must_be_zero() -> None:
    parameters = small_parameters(16, (17,))
    # 3 words of 17 bits leave 5 bits in the last byte.
    positions = np.array([0, 1, 2], dtype=np.uint32)
    secret = SecretKey.generate(parameters)
    plaintext, _ = message(parameters, np.random.default_rng(0))
    data = engine.ciphertext_to_bytes(secret.encrypt(plaintext), positions)
    for bit in range(3, 8):
        damaged = data[:-1] + bytes([data[-1] | 1 << bit])
        with pytest.raises(CiphertextError) as caught:
            engine.ciphertext_from_bytes(parameters, damaged, limbs=1, positions=positions)
        assert caught.value.code == "SR-CIPHERTEXT-FORMAT"


def header(**changes: object) -> bytes:
    """A header with some fields changed."""
    fields = {
        "magic": b"SRCK",
        "version": 1,
        "kind": 1,
        "limbs": LIMBS,
        "packing": 0,
        "digest": PARAMETERS.digest,
        "count": 16,
    }
    return struct.pack("<4sBBBB32sI", *(fields | changes).values())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"magic": b"SRCL"}, "SR-CIPHERTEXT-FORMAT"),
        ({"magic": bytes(4)}, "SR-CIPHERTEXT-FORMAT"),
        ({"version": 0}, "SR-CIPHERTEXT-FORMAT"),
        ({"version": 2}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 0}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 3}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 4}, "SR-CIPHERTEXT-FORMAT"),
        ({"kind": 255}, "SR-CIPHERTEXT-FORMAT"),
        ({"packing": 2}, "SR-CIPHERTEXT-FORMAT"),
        ({"digest": bytes(32)}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": 0}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": LIMBS - 1}, "SR-CIPHERTEXT-MISMATCH"),
        ({"limbs": 255}, "SR-CIPHERTEXT-MISMATCH"),
        ({"count": 0}, "SR-CIPHERTEXT-MISMATCH"),
        ({"count": 15}, "SR-CIPHERTEXT-MISMATCH"),
        ({"count": 2**32 - 1}, "SR-CIPHERTEXT-MISMATCH"),
    ],
)
def test_every_field_of_the_header_is_bound_to_the_plan(
    changes: dict[str, object], code: str
) -> None:
    assert header() == FULL[:HEADER]
    assert code_of(read_full, header(**changes) + FULL[HEADER:]) == code


def test_kinds_are_not_taken_for_each_other() -> None:
    assert code_of(read_key, FULL) == "SR-CIPHERTEXT-FORMAT"
    assert code_of(read_key, SEEDED) == "SR-CIPHERTEXT-FORMAT"
    assert code_of(read_full, KEY) == "SR-CIPHERTEXT-FORMAT"
    assert code_of(read_full, PARTIAL) == "SR-CIPHERTEXT-MISMATCH"
    assert code_of(read_partial, FULL) == "SR-CIPHERTEXT-MISMATCH"
    for kind in (1, 2):
        other = SEEDED if kind == 1 else FULL
        assert code_of(read_full, header(kind=kind) + other[HEADER:]) == "SR-CIPHERTEXT-FORMAT"


def test_a_public_key_says_packing_zero() -> None:
    assert code_of(read_key, KEY[:7] + b"\x01" + KEY[8:]) == "SR-CIPHERTEXT-FORMAT"


def test_memory_does_not_follow_what_a_header_claims() -> None:
    parameters = engine.catalogued("n13-q144-v1")
    limbs = parameters.limbs
    zeros = [[0] * parameters.ring_degree for _ in range(limbs)]
    valid = ciphertext_bytes_by_hand(parameters, zeros, zeros)
    claims = [
        valid[:6] + bytes([255]) + valid[7:],
        valid[:40] + b"\xff\xff\xff\xff" + valid[44:],
        valid[:44] + b"\xff\xff\xff\xff" + valid[48:],
        valid[:48],
        valid + valid,
    ]
    engine.ciphertext_from_bytes(parameters, valid, limbs=limbs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for data in claims * 20:
        with pytest.raises(CiphertextError):
            engine.ciphertext_from_bytes(parameters, data, limbs=limbs)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # KiB. One ciphertext takes 512 KiB; nothing of what was claimed is ever allocated.
    assert grown <= 2048
