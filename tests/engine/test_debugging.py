"""The debugging decryptor against the reference."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from slow_reference import decrypt, from_residues
from small_rings import parts, secret_coefficients, small_parameters

from strongroom import engine
from strongroom.engine import SecretKey
from strongroom.engine.debugging import noise_report


def test_a_report_tells_level_scale_noise_and_what_is_left() -> None:
    parameters = small_parameters(64, (50, 40, 30))
    secret = SecretKey.generate(parameters)
    scale = Fraction(2**40)
    integers = np.random.default_rng(0).integers(-100, 100, 64).astype(np.float64)
    ciphertext = engine.truncate(
        secret.encrypt(engine.encode_coefficients(parameters, integers, scale, 3)), 2
    )
    primes = parameters.primes[:2]
    modulus = math.prod(primes)
    c0, c1 = (from_residues(part, primes) for part in parts(ciphertext))
    opened = decrypt(c0, c1, secret_coefficients(secret), modulus)
    noise = max(abs(x - int(m) * 2**40) for x, m in zip(opened, integers, strict=True))
    report = noise_report(ciphertext, secret, integers)
    assert report.limbs == 2
    assert report.log_scale == 40
    assert report.log_modulus == pytest.approx(math.log2(modulus))
    # A double holds 2^47 to 2^-6 of the noise's units.
    assert report.log_noise == pytest.approx(math.log2(noise), abs=0.05)
    assert report.precision_bits == pytest.approx(40 - math.log2(noise), abs=0.05)
    largest = max(map(abs, opened))
    assert report.budget_bits == pytest.approx(math.log2(modulus / 2 / largest), abs=1e-6)


def test_a_report_compares_slots_and_prefixes() -> None:
    parameters = small_parameters(64, (50, 40))
    secret = SecretKey.generate(parameters)
    values = np.exp(2j * np.pi * np.arange(5) / 5)
    ciphertext = secret.encrypt(engine.encode_slots(parameters, values, Fraction(2**40), 2))
    good = noise_report(ciphertext, secret, values)
    # 64 errors of 3.2 in a slot: some five bits of noise.
    assert 30 < good.precision_bits < 40
    bad = noise_report(ciphertext, secret, values + 2.0**-10)
    assert bad.precision_bits == pytest.approx(10, abs=0.01)
