"""Measured noise against the predictions that planning relies on, operation by operation (see
measured_noise)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from measured_noise import (
    RINGS,
    TOLERANCE_BITS,
    Keys,
    Slots,
    assert_predicted,
    encode,
    encoded,
    errors,
    keys_of,
    unit,
)
from numpy.typing import NDArray
from slow_reference import centred, from_residues
from small_rings import chain, unchecked

from strongroom import engine
from strongroom.engine import Ciphertext, Evaluator, MatrixLayout, SecretKey, StepPlan
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import NoiseEstimate
from strongroom.engine.transform_noise import matrix_product, transform

DIAGONALS = range(16)
PLAN = StepPlan((0, 1, 2, 3), (0, 4, 8, 12))


@cache
def diagonals_of(slots: int) -> dict[int, Slots]:
    generator = np.random.default_rng(8)
    return {k: unit(generator, slots) for k in DIAGONALS}


@dataclass(frozen=True)
class Operation:
    """What is done, what should come out of it, and what is predicted."""

    run: Callable[[Keys], Ciphertext]
    expected: Callable[[Keys], Slots]
    predict: Callable[[NoiseEstimate, NoiseEstimate], NoiseEstimate]


def plain_transform(keys: Keys, *, drop: int) -> Ciphertext:
    parameters = keys.ring.parameters
    linear_map = engine.LinearTransform.from_diagonals(
        parameters, diagonals_of(keys.ring.slots), scale=keys.ring.scale, plan=PLAN
    )
    return engine.apply_transform(keys.evaluator, keys.cx, linear_map, drop=drop)


def encrypted_transform(keys: Keys, *, drop: int) -> Ciphertext:
    linear_map = engine.EncryptedLinearTransform.from_diagonals(
        keys.secret, diagonals_of(keys.ring.slots), scale=keys.ring.scale, plan=PLAN
    )
    return engine.apply_transform(keys.evaluator, keys.cx, linear_map, drop=drop)


def all_ones_transform(keys: Keys) -> Ciphertext:
    """At scale one, so that no diagonal drowns the noise of giant steps."""
    ones = dict.fromkeys(DIAGONALS, np.ones(keys.ring.slots))
    linear_map = engine.LinearTransform.from_diagonals(
        keys.ring.parameters, ones, scale=Fraction(1), plan=PLAN
    )
    return engine.apply_transform(keys.evaluator, keys.cx, linear_map)


def transformed(keys: Keys) -> Slots:
    return sum(d * np.roll(keys.x, -k) for k, d in diagonals_of(keys.ring.slots).items())


def summed(keys: Keys, count: int) -> Slots:
    return sum(np.roll(keys.x, -k) for k in range(count))


def like(x: NoiseEstimate) -> NoiseEstimate:
    """A plaintext like x's."""
    return noise.encoded(x.parameters, 1.0, x.scale)


def exact_ones(x: NoiseEstimate) -> NoiseEstimate:
    """One at scale one: an integer, which encoding does not round."""
    return NoiseEstimate(x.parameters, x.limbs, Fraction(1), 1.0, {noise.NoiseSource(): 0.0})


OPERATIONS: dict[str, Operation] = {
    "a symmetric encryption": Operation(lambda k: k.cx, lambda k: k.x, lambda x, y: x),
    "a public encryption": Operation(lambda k: k.cy, lambda k: k.y, lambda x, y: y),
    "a sum": Operation(
        lambda k: k.evaluator.add(k.cx, k.cy),
        lambda k: k.x + k.y,
        noise.add,
    ),
    "a sum with itself": Operation(
        lambda k: k.evaluator.add(k.cx, k.cx), lambda k: 2 * k.x, lambda x, y: noise.add(x, x)
    ),
    "a difference": Operation(
        lambda k: k.evaluator.subtract(k.cx, k.cy), lambda k: k.x - k.y, noise.add
    ),
    "a linear combination": Operation(
        lambda k: k.evaluator.linear_combination(
            [k.cx, k.cy], [0.5, -1.25], 1024 * k.ring.scale, constant=0.75
        ),
        lambda k: 0.5 * k.x - 1.25 * k.y + 0.75,
        lambda x, y: noise.linear_combination([x, y], [0.5, -1.25], 1024 * x.scale, constant=0.75),
    ),
    "a plaintext product": Operation(
        lambda k: k.evaluator.multiply_plain(k.cx, encode(k.ring, k.y)),
        lambda k: k.x * k.y,
        lambda x, y: noise.multiply_plain(x, like(x)),
    ),
    "a rescaled plaintext product": Operation(
        lambda k: k.evaluator.multiply_plain(k.cx, encode(k.ring, k.y), drop=2),
        lambda k: k.x * k.y,
        lambda x, y: noise.multiply_plain(x, like(x), drop=2),
    ),
    "a product": Operation(
        lambda k: k.evaluator.multiply(k.cx, k.cy), lambda k: k.x * k.y, noise.multiply
    ),
    "a rescaled product": Operation(
        lambda k: k.evaluator.multiply(k.cx, k.cy, drop=1),
        lambda k: k.x * k.y,
        lambda x, y: noise.multiply(x, y, drop=1),
    ),
    "a square": Operation(
        lambda k: k.evaluator.square(k.cx), lambda k: k.x**2, lambda x, y: noise.multiply(x, x)
    ),
    "a sum of products": Operation(
        lambda k: k.evaluator.sum_of_products([(k.cx, k.cx), (k.cy, k.cy)], drop=1),
        lambda k: k.x**2 + k.y**2,
        lambda x, y: noise.sum_of_products([(x, x), (y, y)], drop=1),
    ),
    "a rescaling by two primes": Operation(
        lambda k: k.evaluator.rescale(k.cx, 2), lambda k: k.x, lambda x, y: noise.rescale(x, 2)
    ),
    "a rotation": Operation(
        lambda k: k.evaluator.rotate(k.cx, 3),
        lambda k: np.roll(k.x, -3),
        lambda x, y: noise.rotate(x, 3),
    ),
    "a rotation at a lower level": Operation(
        lambda k: k.evaluator.rotate(engine.truncate(k.cx, k.cx.limbs - 1), 3),
        lambda k: np.roll(k.x, -3),
        lambda x, y: noise.rotate(noise.truncate(x, x.limbs - 1), 3),
    ),
    "a hoisted rotation": Operation(
        lambda k: k.evaluator.rotate_many(k.cx, [1, 2, 12])[2],
        lambda k: np.roll(k.x, -12),
        lambda x, y: noise.rotate(x, 3),
    ),
    "a conjugation": Operation(
        lambda k: k.evaluator.conjugate(k.cx),
        lambda k: k.x.conj(),
        lambda x, y: noise.conjugate(x),
    ),
    "a sum over slots": Operation(
        lambda k: k.evaluator.sum_slots(k.cx, 11),
        lambda k: summed(k, 11),
        lambda x, y: noise.sum_slots(x, 11),
    ),
    "a linear map": Operation(
        lambda k: plain_transform(k, drop=0),
        transformed,
        lambda x, y: transform(x, dict.fromkeys(DIAGONALS, like(x)), PLAN),
    ),
    "a rescaled linear map": Operation(
        lambda k: plain_transform(k, drop=1),
        transformed,
        lambda x, y: transform(x, dict.fromkeys(DIAGONALS, like(x)), PLAN, drop=1),
    ),
    "a linear map of small integers": Operation(
        all_ones_transform,
        lambda k: summed(k, 16),
        lambda x, y: transform(x, dict.fromkeys(DIAGONALS, exact_ones(x)), PLAN),
    ),
    "an encrypted linear map": Operation(
        lambda k: encrypted_transform(k, drop=0),
        transformed,
        lambda x, y: transform(
            x, dict.fromkeys(DIAGONALS, noise.encrypted(like(x))), PLAN, encrypted=True
        ),
    ),
    "a rescaled encrypted linear map": Operation(
        lambda k: encrypted_transform(k, drop=1),
        transformed,
        lambda x, y: transform(
            x, dict.fromkeys(DIAGONALS, noise.encrypted(like(x))), PLAN, encrypted=True, drop=1
        ),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", RINGS)
def test_measured_noise_is_as_predicted(name: str, operation: str) -> None:
    ring, what = RINGS[name], OPERATIONS[operation]
    x = noise.encrypted(encoded(ring))
    y = noise.encrypted_publicly(encoded(ring))
    prediction = what.predict(x, y)
    found = []
    for keys in keys_of(name):
        result = what.run(keys)
        assert (result.scale, result.limbs) == (prediction.scale, prediction.limbs)
        expected = what.expected(keys)
        assert np.abs(expected).max() <= prediction.magnitude * (1 + 1e-9)
        found.append(errors(keys.secret, result, expected))
    assert_predicted(found, prediction)


@pytest.mark.parametrize("name", RINGS)
def test_coefficients_keep_their_bound(name: str) -> None:
    ring = RINGS[name]
    fresh = noise.encrypted(noise.encoded(ring.parameters, 0.0, ring.scale))
    prediction = noise.rotate(fresh, 3)
    for keys in keys_of(name):
        zero = keys.secret.encrypt(encode(ring, np.zeros(ring.slots, np.complex128)))
        raw = keys.secret.decrypt_raw_do_not_publish(keys.evaluator.rotate(zero, 3))
        primes = ring.parameters.primes
        opened = centred(from_residues(raw.native.residues().tolist(), primes), math.prod(primes))
        coefficients = np.array(opened, dtype=np.float64)
        # Encoding zero rounds nothing, which a prediction does not know.
        assert coefficients.std() == pytest.approx(prediction.deviation, rel=0.2)
        assert np.abs(coefficients).max() <= prediction.coefficient_bound


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_a_matrix_product_is_predicted(encrypted: bool) -> None:
    ring = RINGS["small, roomy"]
    generator = np.random.default_rng(10)
    layout = MatrixLayout(ring.slots, 16, 32)
    found = []
    for _ in range(ring.keys):
        # Every entry of absolute value one.
        matrix = generator.choice([-1.0, 1.0], (16, 32))
        vector = generator.choice([-1.0, 1.0], 32)
        secret = SecretKey.generate(ring.parameters)
        product = (
            engine.MatrixProduct.encrypted(secret, matrix, scale=ring.scale)
            if encrypted
            else engine.MatrixProduct.plain(ring.parameters, matrix, scale=ring.scale)
        )
        evaluator = Evaluator(secret.evaluation_keys(product.elements), threads=1)
        spread = layout.spread(vector).astype(np.complex128)
        result = product.apply(evaluator, secret.encrypt(encode(ring, spread)), drop=1)
        expected = np.tile(matrix @ vector, ring.slots // 16)
        found.append(errors(secret, result, expected))
    plan = product.transform.plan
    entries = noise.encrypted(encoded(ring)) if encrypted else encoded(ring)
    x = noise.encrypted(encoded(ring))
    prediction = matrix_product(x, layout, entries, plan, encrypted=encrypted, drop=1)
    assert (prediction.scale, prediction.limbs) == (result.scale, result.limbs)
    assert prediction.magnitude == pytest.approx(32)
    assert_predicted(found, prediction)


@pytest.mark.parametrize("ring_degree", [64, 1024, 2**13])
@pytest.mark.parametrize("log_scale", [20, 90])
def test_encoding_rounds_to_integers_and_to_doubles(ring_degree: int, log_scale: int) -> None:
    parameters = unchecked(ring_degree, chain(ring_degree, (50, 50, 45)))
    found = []
    for run in range(max(1, 2**13 // ring_degree)):
        values = unit(np.random.default_rng(run), ring_degree // 2)
        encoded = engine.encode_slots(parameters, values, Fraction(2) ** log_scale, 3)
        residues = encoded.native.residues().tolist()
        integers = centred(from_residues(residues, parameters.primes), parameters.modulus(3))
        exact = coefficients(values) * np.longdouble(2) ** log_scale
        # In two steps: a long double holds the integer's upper bits, then what is left of it.
        upper = np.array([float(c) for c in integers])
        lower = np.array([float(c - int(u)) for c, u in zip(integers, upper, strict=True)])
        found.append((upper - exact + lower).astype(np.float64))
    prediction = noise.encoded(parameters, 1.0, Fraction(2) ** log_scale)
    measured = np.concatenate(found).std()
    assert abs(math.log2(prediction.deviation / measured)) <= TOLERANCE_BITS


def coefficients(values: Slots) -> NDArray[np.longdouble]:
    """(1/N) times the sum of 2 Re(z_j / zeta^(k 5^j)), in extended precision."""
    n = 2 * len(values)
    spectrum = np.zeros(2 * n, dtype=np.clongdouble)
    roots = np.array([pow(5, j, 2 * n) for j in range(len(values))])
    spectrum[roots] = values
    spectrum[2 * n - roots] = values.conj()
    return np.fft.fft(spectrum).real[:n] / np.longdouble(n)


def test_without_special_primes_public_encryptions_keep_all_of_their_noise() -> None:
    parameters = unchecked(256, chain(256, (50, 40)))
    scale = Fraction(2) ** 40
    found = []
    for run in range(64):
        secret = SecretKey.generate(parameters)
        values = unit(np.random.default_rng(run), 128)
        plaintext = engine.encode_slots(parameters, values, scale, 2)
        found.append(errors(secret, secret.public_key(2).encrypt(plaintext), values))
    assert_predicted(found, noise.encrypted_publicly(noise.encoded(parameters, 1.0, scale)))


def test_factors_that_no_integer_meets_are_a_bias() -> None:
    ring = RINGS["small, roomy"]
    x = noise.encrypted(encoded(ring))
    keys = keys_of("small, roomy")[0]
    scale = 8 * x.scale
    prediction = noise.linear_combination([x], [1 / 3], scale, constant=1 / 3)
    result = keys.evaluator.linear_combination([keys.cx], [1 / 3], scale, constant=1 / 3)
    found = errors(keys.secret, result, keys.x / 3 + 1 / 3)
    # round(8 / 3) = 3 is 1/3 too much.
    assert prediction.bias == pytest.approx(float(x.scale) / 3, rel=1e-6)
    assert found.max() == pytest.approx(prediction.bias, rel=1e-3)
    assert found.max() <= prediction.slot_bound


def test_the_budget_is_what_is_left_below_half_of_the_modulus() -> None:
    ring = RINGS["secure, roomy"]
    x = noise.encrypted(encoded(ring)).with_magnitude(4.0)
    room = ring.parameters.log_prefix(ring.parameters.limbs) - 1
    assert x.budget_bits == pytest.approx(room - ring.log_scale - 2, abs=0.01)
    assert x.precision_bits == pytest.approx(ring.log_scale - x.noise_bits)
    assert x.error == pytest.approx(2.0**-x.precision_bits)


def test_a_known_error_is_carried_along() -> None:
    ring = RINGS["secure, roomy"]
    x = noise.encrypted(encoded(ring)).with_bias(0.125)
    assert x.bias == pytest.approx(float(ring.scale) / 8)
    assert noise.add(x, x).bias == pytest.approx(2 * x.bias)
    assert noise.rotate(x, 1).bias == x.bias
    square = noise.multiply(x, x, drop=1)
    # (m + b)^2 - m^2 = 2 m b + b^2, at scale one
    assert square.bias / float(square.scale) == pytest.approx(2 / 8 + 1 / 64)


@pytest.mark.parametrize("limbs", range(1, 6))
def test_sums_and_products_need_fitting_operands(limbs: int) -> None:
    ring = RINGS["small, roomy"]
    x = noise.encrypted(encoded(ring))
    with pytest.raises(ValueError, match="keeps at least one prime"):
        noise.rescale(noise.truncate(x, limbs), limbs)
    if limbs == 5:
        return
    with pytest.raises(ValueError, match="equal scales and levels"):
        noise.add(x, noise.truncate(x, limbs))
    product = noise.multiply(x, noise.truncate(x, limbs))
    assert product.limbs == limbs
    with pytest.raises(ValueError, match="equal scales"):
        noise.sum_of_products([(x, x), (x, product)])


def test_a_linear_map_needs_all_diagonals_in_its_plan() -> None:
    x = noise.encrypted(encoded(RINGS["small, roomy"]))
    with pytest.raises(ValueError, match="in its plan"):
        transform(x, {16: like(x)}, PLAN)
    with pytest.raises(ValueError, match="one scale"):
        transform(x, {}, PLAN)


def test_the_comparison_notices_half_a_bit() -> None:
    ring = RINGS["secure, roomy"]
    x = noise.encrypted(encoded(ring))
    keys = keys_of("secure, roomy")
    found = [errors(k.secret, k.cx, k.x) for k in keys]
    assert_predicted(found, x)
    for factor in (0.7, 1.42):
        with pytest.raises(AssertionError):
            assert_predicted([factor * f for f in found], x)
