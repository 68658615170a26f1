"""Inner products by coefficients: the reference's products, at the coefficients that are asked
for; and the one call that makes a response, against the operations that it is made of."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_rings import parts, quickly, seeds, small_parameters, small_rings

from strongroom import engine
from strongroom.engine import Finishing, InnerProductWeights, Parameters, SecretKey

ONE = Fraction(1)
SCALE = Fraction(2) ** 12


def negacyclic(a: list[int], b: list[int], prime: int) -> list[int]:
    """The product modulo X^N + 1, by definition."""
    n = len(a)
    result = [0] * n
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            sign = 1 if i + j < n else -1
            result[(i + j) % n] += sign * x * y
    return [value % prime for value in result]


@quickly
@given(
    parameters=small_rings(),
    seed=seeds,
    length=st.integers(1, 16),
    count=st.integers(0, 16),
    inputs=st.integers(1, 3),
)
def test_they_are_the_products_at_the_positions_and_zero_elsewhere(
    parameters: Parameters, seed: int, length: int, count: int, inputs: int
) -> None:
    generator = np.random.default_rng(seed)
    n, limbs = parameters.ring_degree, parameters.limbs
    secret = SecretKey.generate(parameters)
    positions = generator.choice(n, min(count, n), replace=False).astype(np.uint32)
    rows = [
        engine.encode_coefficients(parameters, generator.integers(-9, 9, n) * 1.0, ONE, limbs)
        for _ in range(inputs)
    ]
    ciphertexts = [secret.encrypt(row) for row in rows]
    numbers = [generator.integers(-50, 50, length) * 1.0 for _ in range(inputs)]
    weights = [InnerProductWeights.encode(parameters, w, ONE, limbs) for w in numbers]
    result = engine.inner_products(ciphertexts, weights, positions)
    assert result.scale == ONE
    c0, c1 = parts(result)
    asked = set(positions.tolist())
    for limb, prime in enumerate(parameters.primes):
        expected0, expected1 = [0] * n, [0] * n
        for ciphertext, w in zip(ciphertexts, numbers, strict=True):
            padded = [int(x) for x in w] + [0] * (n - length)
            first, second = parts(ciphertext)
            for total, factor in ((expected0, first), (expected1, second)):
                for i, value in enumerate(negacyclic(list(factor[limb]), padded, prime)):
                    total[i] = (total[i] + value) % prime
        assert list(c1[limb]) == expected1
        assert list(c0[limb]) == [x if i in asked else 0 for i, x in enumerate(expected0)]


@pytest.mark.parametrize(("sanitise", "response"), [(4, 4), (3, 2), (2, 2), (3, 1)])
def test_a_response_in_one_call_is_what_its_operations_make(sanitise: int, response: int) -> None:
    parameters = small_parameters(64, (50, 50, 50, 50))
    generator = np.random.default_rng(7)
    secret = SecretKey.generate(parameters)
    key = secret.public_key(sanitise)
    scale = Fraction(2) ** 90
    row, numbers = generator.normal(size=64), generator.normal(size=8)
    ciphertext = secret.encrypt(engine.encode_coefficients(parameters, row, scale, 4))
    weights = InnerProductWeights.encode(parameters, numbers, Fraction(2) ** 90, 4)
    positions, constants = np.array([7, 20, 63], dtype=np.uint32), np.array([1.0, -2.0, 0.5])
    finishing = Finishing(sanitise, response, 3.0)
    made = engine.sanitised_inner_products(
        [ciphertext], [weights], positions, constants, key, finishing
    )
    assert made.limbs == response
    assert made.scale == scale * Fraction(2) ** 90 / math.prod(parameters.primes[response:])
    expected = np.array([row[p - 7 : p + 1] @ numbers[::-1] for p in (7, 20, 63)]) + constants
    opened = engine.decode(secret.decrypt_raw_do_not_publish(made))[positions]
    noise = 2.0**10 / float(made.scale)
    assert np.abs(opened - expected).max() <= noise + 1e-12
    hidden = np.delete(np.array(parts(made)[0], dtype=np.uint64), positions, axis=1)
    assert not hidden.any()


def test_two_responses_share_nothing() -> None:
    parameters = small_parameters(64, (50, 50))
    secret = SecretKey.generate(parameters)
    ciphertext = secret.encrypt(engine.encode_coefficients(parameters, np.ones(8), SCALE, 2))
    weights = InnerProductWeights.encode(parameters, np.ones(8), SCALE, 2)
    positions = np.array([7], dtype=np.uint32)
    key, finishing = secret.public_key(2), Finishing(2, 2, 20.0)
    first, second = (
        parts(
            engine.sanitised_inner_products(
                [ciphertext], [weights], positions, np.zeros(1), key, finishing
            )
        )
        for _ in range(2)
    )
    assert first[0][0][7] != second[0][0][7]
    assert sum(a == b for a, b in zip(first[1][0], second[1][0], strict=True)) < 3


def test_what_does_not_fit_is_refused() -> None:
    parameters = small_parameters(16, (40, 41))
    secret = SecretKey.generate(parameters)
    key = secret.public_key(2)
    ciphertext = secret.encrypt(engine.encode_coefficients(parameters, np.ones(4), SCALE, 2))
    weights = InnerProductWeights.encode(parameters, np.ones(4), SCALE, 2)
    low = InnerProductWeights.encode(parameters, np.ones(4), SCALE, 1)
    at = np.array([3], dtype=np.uint32)
    slots = secret.encrypt(engine.encode_slots(parameters, np.ones(4), SCALE, 2))
    with pytest.raises(ValueError, match="coefficients"):
        engine.inner_products([slots], [weights], at)
    with pytest.raises(ValueError, match="levels"):
        engine.inner_products([ciphertext], [low], at)
    with pytest.raises(ValueError, match="no such coefficient"):
        engine.inner_products([ciphertext], [weights], np.array([16], dtype=np.uint32))
    with pytest.raises(ValueError, match="zip"):
        engine.inner_products([ciphertext], [weights, weights], at)
    with pytest.raises(ValueError, match="1 to N"):
        InnerProductWeights.encode(parameters, np.ones(0), SCALE, 2)
    for finishing in (Finishing(3, 2, 1.0), Finishing(1, 2, 1.0), Finishing(2, 0, 1.0)):
        with pytest.raises(ValueError, match="keeps one"):
            engine.sanitised_inner_products(
                [ciphertext], [weights], at, np.zeros(1), key, finishing
            )
