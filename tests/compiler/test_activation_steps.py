"""Comparisons by compositions of odd polynomials."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from small_rings import chain, unchecked

from strongroom.compiler.activation_fits import fits
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.activation_steps import MOST_LEVELS, step_within
from strongroom.compiler.minimax import nearest_to_sign
from strongroom.engine import (
    RELINEARISATION,
    Evaluator,
    Polynomial,
    SecretKey,
    decode,
    encode_slots,
    evaluate_polynomial,
)
from strongroom.errors import PolicyError
from strongroom.models.activations import Activation

STEP = Activation("Step")
SAMPLE = Arguments.of(np.linspace(-8, 8, 101), 0.0)


@pytest.mark.parametrize("degree", [1, 3, 7, 15, 31])
@pytest.mark.parametrize("least", [0.5, 0.1, 0.01, 2.0**-10])
def test_the_nearest_polynomial_errs_equally_with_alternating_signs(
    least: float, degree: int
) -> None:
    polynomial, error = nearest_to_sign(least, degree)
    t = (1 - np.cos(np.pi * np.linspace(0, 1, 40001))) / 2
    x = np.unique(np.concatenate([least + (1 - least) * t, least ** (1 - t)]))
    found = polynomial(x) - 1
    assert np.abs(found).max() == pytest.approx(error, rel=1e-3, abs=1e-13)
    assert polynomial(-x) == pytest.approx(-polynomial(x), abs=1e-12)
    if error > 1e-11:
        peaks = found[np.abs(found) > 0.99 * error]
        # As many as there are coefficients and one: no other polynomial is nearer (Chebyshev).
        assert 1 + np.count_nonzero(np.diff(np.sign(peaks))) >= (degree + 1) // 2 + 1


def test_the_nearest_cubic_is_the_one_that_is_known() -> None:
    """On [a, 1], x -> c x (1 + a + a^2 - x^2) takes the same values at both ends."""
    a = 0.3
    polynomial, _ = nearest_to_sign(a, 3)
    x = np.array([0.2, 0.6, 0.9])
    shape = x * (1 + a + a * a - x * x)
    ratio = polynomial(x) / shape
    assert ratio == pytest.approx(np.full(3, ratio[0]), rel=1e-5)


@pytest.mark.parametrize(("least", "degree"), [(0.0, 3), (1.0, 3), (0.5, 4), (0.5, -1)])
def test_what_has_no_nearest_polynomial_is_refused(least: float, degree: int) -> None:
    with pytest.raises(ValueError, match="an odd degree"):
        nearest_to_sign(least, degree)


@pytest.mark.parametrize(("gap_bits", "error_bits", "levels"), [(4, 6, 6), (6, 8, 9), (8, 10, 11)])
def test_a_comparison_is_as_precise_as_was_asked(
    gap_bits: int, error_bits: int, levels: int
) -> None:
    fit = step_within(SAMPLE, 2.0**-gap_bits, 2.0**-error_bits)
    assert fit.levels == levels
    x = np.linspace(8 * 2.0**-gap_bits, 8, 5001)
    assert np.abs(fit(x) - 1).max() <= fit.error * (1 + 1e-3) <= 2.0**-error_bits
    assert np.abs(fit(-x)).max() <= 2.0**-error_bits
    between = np.linspace(-x[0], x[0], 501)
    assert np.abs(fit(between) - 0.5).max() <= 0.5 + 2.0**-error_bits
    assert fit.products == sum(
        {3: 2, 5: 3, 7: 4, 15: 7, 31: 10, 63: 13}[stage.degree] for stage in fit.circuits
    )


def test_more_levels_than_there_are_is_refused() -> None:
    with pytest.raises(PolicyError, match="SR-POLICY-PRECISION"):
        step_within(SAMPLE, 2.0**-20, 2.0**-20)
    with pytest.raises(ValueError, match="a gap lies between"):
        step_within(SAMPLE, 0.0, 0.1)


def test_candidates_by_sample_err_less_with_every_level() -> None:
    generator = np.random.default_rng(0)
    x = np.concatenate([generator.uniform(0.2, 5, 300), -generator.uniform(0.2, 3, 300)])
    found = fits(STEP, x, 0.1)
    assert found[-1].levels <= MOST_LEVELS
    errors = [float(np.mean(fit.errors(STEP, x) ** 2)) for fit in found]
    assert errors == sorted(errors, reverse=True)
    good = next(fit for fit in found if np.abs(fit.errors(STEP, x)).max() < 0.01)
    assert good.levels <= 9


def test_units_are_compared_over_their_own_ranges() -> None:
    x = np.linspace(-1, 1, 200)[:, None] * np.array([0.01, 1.0, 100.0])
    fit = fits(STEP, x, 0.0)[-1]
    assert np.abs(fit.errors(STEP, x[np.abs(x[:, 1]) > 0.1])).max() < 1e-3


def test_what_is_encrypted_is_compared() -> None:
    primes = chain(256, (50,) + (40,) * 8 + (45, 45, 45))
    parameters = unchecked(256, primes[:-3], primes[-3:])
    secret = SecretKey.generate(parameters)
    evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    fit = step_within(SAMPLE, 2.0**-3, 2.0**-6)
    x = np.linspace(-8, 8, 128)
    scale = Fraction(2) ** 40
    t = fit.argument_factor * x + fit.argument_offset
    c = secret.encrypt(encode_slots(parameters, t, scale, parameters.limbs))
    for circuit in fit.circuits:
        assert isinstance(circuit, Polynomial)
        c = evaluate_polynomial(evaluator, c, circuit)
    assert c.limbs == parameters.limbs - fit.levels
    found = fit.value_factor * decode(secret.decrypt_raw_do_not_publish(c)).real + fit.value_offset
    assert np.abs(found - fit(x)).max() < 2.0**-18
