"""Rings, keys and messages whose noise is measured, and the comparison with a prediction.

Messages have slots of absolute value one, so that the worst slot is the average one and predictions
can be wrong in both directions. Deviations agree to a quarter of a bit (a factor of 1.19): measured
variances are means of squares of products of two complex normals over at least 8192 slots under
several keys, whose own deviation is sqrt(3 / 8192) = 2 %, and chains of operations repeat some of
them. Bounds hold for every slot: at 16 root mean squares one fails with a probability of 2^-43.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from numpy.typing import NDArray
from small_rings import chain, unchecked

from strongroom import engine
from strongroom.engine import Ciphertext, Evaluator, Parameters, SecretKey
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import NoiseEstimate

Slots = NDArray[np.complex128]

TOLERANCE_BITS = 0.25
"""Of a predicted deviation: a factor of 1.19."""
STEPS = (1, 2, 3, 4, 5, 8, 12)
"""Rotations that there are keys for."""


@dataclass(frozen=True)
class Ring:
    """A parameter set and how much of it makes enough slots."""

    parameters: Parameters
    log_scale: int
    keys: int

    @property
    def scale(self) -> Fraction:
        return Fraction(2) ** self.log_scale

    @property
    def slots(self) -> int:
        return self.parameters.ring_degree // 2


def secure(bits: tuple[int, ...], special: int, log_scale: int) -> Ring:
    primes = chain(2**13, bits)
    return Ring(Parameters(2**13, primes[:-special], primes[-special:]), log_scale, 2)


def small(bits: tuple[int, ...], special: int, log_scale: int) -> Ring:
    primes = chain(256, bits)
    return Ring(unchecked(256, primes[:-special], primes[-special:]), log_scale, 64)


RINGS = {
    # Digits of 45 to 60 bits under 70 special ones: divisions make the noise of key switches.
    "secure, roomy": secure((45, 30, 30, 30, 35, 35), 2, 30),
    # Digits almost as large as the special prime: their products with errors make it.
    "secure, tight": secure((50, 25, 25, 50, 50), 1, 25),
    "small, roomy": small((50, 40, 40, 36, 38, 44, 44), 2, 40),
    "small, tight": small((50, 50, 25, 25, 49, 50), 1, 40),
}


@dataclass(frozen=True)
class Keys:
    """One key pair of a ring, two messages and their ciphertexts."""

    ring: Ring
    secret: SecretKey
    public: engine.PublicKey
    evaluator: Evaluator
    x: Slots
    y: Slots
    cx: Ciphertext
    cy: Ciphertext

    @classmethod
    def generate(cls, ring: Ring, generator: np.random.Generator) -> Keys:
        parameters = ring.parameters
        secret = SecretKey.generate(parameters)
        public = secret.public_key(parameters.limbs)
        elements = engine.rotation_elements(parameters, STEPS) | {
            engine.RELINEARISATION,
            engine.conjugation_element(parameters),
        }
        evaluator = Evaluator(secret.evaluation_keys(elements), threads=1)
        x, y = unit(generator, ring.slots), unit(generator, ring.slots)
        cx, cy = secret.encrypt(encode(ring, x)), public.encrypt(encode(ring, y))
        return cls(ring, secret, public, evaluator, x, y, cx, cy)


def unit(generator: np.random.Generator, count: int) -> Slots:
    """Complex numbers of absolute value one."""
    return np.exp(2j * np.pi * generator.random(count))


def encode(ring: Ring, values: Slots, scale: Fraction | None = None) -> engine.Plaintext:
    return engine.encode_slots(
        ring.parameters, values, scale or ring.scale, ring.parameters.limbs, transformed=True
    )


@cache
def keys_of(name: str) -> list[Keys]:
    generator = np.random.default_rng(7)
    return [Keys.generate(RINGS[name], generator) for _ in range(RINGS[name].keys)]


def encoded(ring: Ring) -> NoiseEstimate:
    return noise.encoded(ring.parameters, 1.0, ring.scale)


def errors(secret: SecretKey, ciphertext: Ciphertext, expected: Slots) -> NDArray[np.float64]:
    """Absolute values of the slots' errors, in integers of the ciphertext."""
    values = engine.decode(secret.decrypt_raw_do_not_publish(ciphertext))
    return np.abs(values - expected) * float(ciphertext.scale)


def assert_predicted(
    found: list[NDArray[np.float64]], prediction: NoiseEstimate, bias: float = 0.0
) -> None:
    """Errors of some runs against their prediction; `bias` is in all of them."""
    flat = np.concatenate(found)
    measured = math.sqrt(float(np.mean(flat**2)))
    expected = math.hypot(prediction.slot_deviation, bias)
    assert abs(math.log2(expected / measured)) <= TOLERANCE_BITS
    assert flat.max() <= prediction.slot_bound
