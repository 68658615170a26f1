"""The noise of polynomials, argument by argument (see measured_noise for the tolerance)."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from measured_noise import assert_predicted, errors
from numpy.typing import NDArray
from small_rings import chain, unchecked

from strongroom.engine import RELINEARISATION, Evaluator, SecretKey, encode_slots
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import NoiseEstimate
from strongroom.engine.polynomial_evaluation import PreparedPolynomial
from strongroom.engine.polynomial_noise import polynomial
from strongroom.engine.polynomials import Polynomial

Values = NDArray[np.float64]

CHAIN = chain(256, (50, *[40] * 8, 45, 45, 45))
PARAMETERS = unchecked(256, CHAIN[:9], CHAIN[9:])
SLOTS = 128
SCALE = Fraction(2) ** 40
RUNS = 64


def random_polynomial(
    degree: int, basis: Literal["power", "chebyshev"], slots: int | None = None
) -> Polynomial:
    generator = np.random.default_rng(degree)
    shape = (degree + 1,) if slots is None else (degree + 1, 1)
    coefficients = generator.normal(size=shape)
    coefficients = coefficients / (1 + np.arange(degree + 1)).reshape(-1, *[1] * (len(shape) - 1))
    return Polynomial(
        coefficients if slots is None else np.repeat(coefficients, slots, axis=1), basis
    )


def argument(x: Values) -> NoiseEstimate:
    magnitude = float(np.sqrt(np.mean(x**2)))
    return noise.encrypted(noise.encoded(PARAMETERS, magnitude, SCALE))


def measured(prepared: PreparedPolynomial, expected: Values, x: Values) -> list[Values]:
    found = []
    for _ in range(RUNS):
        secret = SecretKey.generate(PARAMETERS)
        evaluator = Evaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
        result = prepared.evaluate(
            evaluator, secret.encrypt(encode_slots(PARAMETERS, x, SCALE, PARAMETERS.limbs))
        )
        found.append(errors(secret, result, expected.astype(np.complex128)))
    return found


@pytest.mark.parametrize("slots", [None, SLOTS], ids=["one for all", "one a slot"])
@pytest.mark.parametrize("at", [1.0, 0.3, -0.8])
@pytest.mark.parametrize("basis", ["chebyshev", "power"])
@pytest.mark.parametrize("degree", [1, 7, 13])
def test_noise_at_an_argument_is_as_predicted(
    degree: int, basis: Literal["power", "chebyshev"], at: float, slots: int | None
) -> None:
    plain = random_polynomial(degree, basis, slots)
    prepared = PreparedPolynomial(PARAMETERS, plain, PARAMETERS.limbs, SCALE)
    x = np.full(SLOTS, at)
    prediction = polynomial(argument(x), prepared.plan, np.array([at]))
    assert (prediction.scale, prediction.limbs) == (prepared.plan.scale, prepared.plan.limbs)
    assert prediction.magnitude == pytest.approx(np.abs(plain(x)).max(), rel=1e-6)
    found = measured(prepared, plain(x), x)
    assert_predicted(found, prediction, bias=prediction.bias)


@pytest.mark.parametrize("degree", [7, 31])
def test_arguments_all_over_the_interval_keep_the_bound(degree: int) -> None:
    plain = random_polynomial(degree, "chebyshev")
    prepared = PreparedPolynomial(PARAMETERS, plain, PARAMETERS.limbs, SCALE)
    x = np.random.default_rng(0).uniform(-1, 1, SLOTS)
    prediction = polynomial(argument(x), prepared.plan)
    found = np.concatenate(measured(prepared, plain(x), x))
    assert found.max() <= prediction.slot_bound
    # No bound by magnitudes: those would be some ten bits above.
    assert prediction.slot_bound <= 2**7 * found.max()
    assert prediction.magnitude == pytest.approx(plain.largest_value(), rel=0.1)


def test_of_polynomials_by_slot_the_noisiest_counts() -> None:
    coefficients = np.ones((3, 1)) * np.array([1.0] * (SLOTS - 1) + [64.0])
    mixed = PreparedPolynomial(PARAMETERS, Polynomial(coefficients), PARAMETERS.limbs, SCALE)
    alike = PreparedPolynomial(
        PARAMETERS, Polynomial(np.full((3, SLOTS), 64.0)), PARAMETERS.limbs, SCALE
    )
    x = argument(np.ones(SLOTS))
    found, bound = polynomial(x, mixed.plan), polynomial(x, alike.plan)
    assert found.slot_deviation == pytest.approx(bound.slot_deviation, rel=0.05)
    assert found.magnitude == pytest.approx(3 * 64.0)


def test_another_level_or_scale_is_refused() -> None:
    plan = PreparedPolynomial(
        PARAMETERS, random_polynomial(7, "power"), PARAMETERS.limbs, SCALE
    ).plan
    x = argument(np.ones(SLOTS))
    with pytest.raises(ValueError, match="another level or scale"):
        polynomial(noise.truncate(x, x.limbs - 1), plan)
    with pytest.raises(ValueError, match="another level or scale"):
        polynomial(noise.encrypted(noise.encoded(PARAMETERS, 1.0, 2 * SCALE)), plan)
