"""Public uniform polynomials: ChaCha20 by its standard, and words by docs/reference/format.md."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from hypothesis import given
from hypothesis import strategies as st
from slow_reference import chacha20, uniform
from small_rings import quickly, small_parameters, small_rings, unchecked

from strongroom import _native_testing
from strongroom.engine import Parameters, available_kernels

every_kernel = pytest.mark.parametrize("kernel", available_kernels())

# RFC 8439: section 2.3.2, and appendix A.1, test vectors 1 to 5.
RFC_8439_BLOCKS = [
    (
        bytes(range(32)),
        bytes.fromhex("000000090000004a00000000"),
        1,
        "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
        "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
    ),
    (
        bytes(32),
        bytes(12),
        0,
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
    ),
    (
        bytes(32),
        bytes(12),
        1,
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    ),
    (
        bytes(31) + b"\x01",
        bytes(12),
        1,
        "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
        "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
    ),
    (
        b"\x00\xff" + bytes(30),
        bytes(12),
        2,
        "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca"
        "13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096",
    ),
    (
        bytes(32),
        bytes(11) + b"\x02",
        0,
        "c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7"
        "8a970e0e955c14f3a88e741b97c286f75f8fc299e8148362fa198a39531bed6d",
    ),
]


def words(data: bytes) -> np.ndarray:
    """Bytes as the testing module takes them."""
    return np.frombuffer(data, dtype=np.uint8)


@every_kernel
@pytest.mark.parametrize(("key", "nonce", "counter", "block"), RFC_8439_BLOCKS)
def test_the_keystream_is_that_of_rfc_8439(
    kernel: str, key: bytes, nonce: bytes, counter: int, block: str
) -> None:
    expected = bytes.fromhex(block)
    assert _native_testing.chacha20(kernel, words(key), words(nonce), counter, 1) == expected
    assert chacha20(key, nonce, counter, 1) == expected


@every_kernel
@quickly
@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=12, max_size=12),
    counter=st.integers(0, 2**32 - 100),
    blocks=st.integers(1, 70),
)
def test_the_keystream_is_that_of_another_library(
    kernel: str, key: bytes, nonce: bytes, counter: int, blocks: int
) -> None:
    # Its 16-byte nonce is the counter, little-endian in 4 bytes, and the nonce of the RFC.
    cipher = Cipher(ChaCha20(key, counter.to_bytes(4, "little") + nonce), mode=None)
    expected = cipher.encryptor().update(bytes(64 * blocks))
    assert _native_testing.chacha20(kernel, words(key), words(nonce), counter, blocks) == expected


@quickly
@given(
    parameters=small_rings(), seed=st.binary(min_size=32, max_size=32), purpose=st.integers(1, 2)
)
def test_seeds_expand_as_documented(parameters: Parameters, seed: bytes, purpose: int) -> None:
    limbs = parameters.limbs
    values = _native_testing.expand_uniform(parameters.native, limbs, words(seed), purpose)
    assert values.tolist() == uniform(seed, purpose, parameters.ring_degree, parameters.primes)
    # Limb i depends on i alone, so that a shorter polynomial is a prefix of a longer one.
    shorter = _native_testing.expand_uniform(parameters.native, 1, words(seed), purpose)
    np.testing.assert_array_equal(shorter, values[:1])


def test_words_are_skipped_exactly_if_they_are_not_below_the_prime() -> None:
    # With 7 and 8 bits every prime, every number just below and just above it comes up.
    primes = (97, 193, 257)
    parameters = unchecked(16, primes)
    for first in range(64):
        seed = bytes([first]) * 32
        values = _native_testing.expand_uniform(parameters.native, 3, words(seed), 1)
        assert values.tolist() == uniform(seed, 1, 16, primes)
        assert all(row.max() < prime for row, prime in zip(values, primes, strict=True))


@pytest.mark.parametrize("bits", [(31, 32), (33, 34), (50, 50), (16, 49)])
def test_seeds_expand_as_documented_beyond_one_stretch_of_keystream(bits: tuple[int, ...]) -> None:
    parameters = small_parameters(2**11, bits)
    seed = bytes(range(32))
    values = _native_testing.expand_uniform(parameters.native, 2, words(seed), 1)
    assert values.tolist() == uniform(seed, 1, 2**11, parameters.primes)


@pytest.mark.parametrize("kernel", available_kernels())
def test_every_kernel_expands_alike(kernel: str) -> None:
    ours = small_parameters(2**11, (32, 50), kernel)
    portable = small_parameters(2**11, (32, 50), "portable")
    seed = words(bytes(32))
    np.testing.assert_array_equal(
        _native_testing.expand_uniform(ours.native, 2, seed, 2),
        _native_testing.expand_uniform(portable.native, 2, seed, 2),
    )


def test_purposes_are_separate() -> None:
    parameters = small_parameters(256, (50,))
    seed = words(bytes(range(32)))
    for_ciphertexts, for_keys = (
        _native_testing.expand_uniform(parameters.native, 1, seed, purpose) for purpose in (1, 2)
    )
    # 256 values of 50 bits: an equal one has probability below 1e-12.
    assert not (for_ciphertexts == for_keys).any()
