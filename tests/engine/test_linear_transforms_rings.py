"""Linear maps at every ring degree and with every kernel: diagonals that repeat, several vectors of
baby steps, and giant steps made one from the other; and repeating diagonals bit for bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact_evaluation import Exact, plaintext_integers, random_ciphertext
from small_rings import parts, switching_parameters
from small_worlds import Slots

from strongroom import engine
from strongroom.engine import (
    Ciphertext,
    Evaluator,
    LinearTransform,
    SecretKey,
    StepPlan,
    apply_transform,
    rotation_element,
)

EVERY_DEGREE = [2**k for k in range(4, 18)]
every_kernel = pytest.mark.parametrize("kernel", engine.available_kernels())
SCALE = Fraction(2) ** 40
PLAN = StepPlan((0, 1), (0, 4, 8), chained=True, middles=(0, 2))


def image(diagonals: dict[int, Slots], x: Slots) -> Slots:
    """y[s] = sum over k of d_k[s] x[s + k]."""
    return np.sum([d * np.roll(x, -k) for k, d in diagonals.items()], axis=0)


def tiled(generator: np.random.Generator, slots: int, period: int) -> Slots:
    """Random slots that begin again after `period` of them."""
    values = generator.uniform(-1, 1, (2, period))
    return np.tile(values[0] + 1j * values[1], slots // period)


@every_kernel
@pytest.mark.parametrize("ring_degree", EVERY_DEGREE)
def test_maps_have_numpys_result_at_every_ring_degree(ring_degree: int, kernel: str) -> None:
    parameters = switching_parameters(ring_degree, (50, 40), (50,), kernel)
    generator = np.random.default_rng(ring_degree)
    slots = ring_degree // 2
    secret = SecretKey.generate(parameters)
    x = tiled(generator, slots, slots)
    ciphertext = secret.encrypt(engine.encode_slots(parameters, x, SCALE, 2))
    steps = [k for k in (0, 1, 2, 5, 6, 10, 11) if k < slots]
    evaluator: Evaluator | None = None
    # Of the least period that repeats within a vector of eight words, at the border of a slice of
    # diagonals, all alike, and none.
    for period in sorted({1, slots // 8, slots // 2, min(slots, 1024), slots}):
        diagonals = {k: tiled(generator, slots, period) for k in steps}
        transform = LinearTransform.from_diagonals(
            parameters, diagonals, scale=Fraction(2) ** 30, plan=PLAN if slots > 11 else None
        )
        assert transform.native.log_run == (slots // period).bit_length() - 1
        evaluator = evaluator or Evaluator(secret.evaluation_keys(transform.elements), threads=2)
        result = apply_transform(evaluator, ciphertext, transform)
        got = engine.decode(secret.decrypt_raw_do_not_publish(result))
        assert np.abs(got - image(diagonals, x)).max() < 2.0**-8


@every_kernel
@pytest.mark.parametrize("period", [1, 2, 4, 8])
@pytest.mark.parametrize(("limbs", "drop"), [(4, 0), (4, 3), (3, 1), (1, 0)])
def test_results_of_repeating_diagonals_are_those_of_big_integers(
    kernel: str, period: int, limbs: int, drop: int
) -> None:
    parameters = switching_parameters(16, (50, 20, 33, 16), (50, 24), kernel)
    generator = np.random.default_rng(period)
    secret = SecretKey.generate(parameters)
    plan = StepPlan((0, 1, 3), (0, 2))
    scale = Fraction(2) ** 13
    diagonals = {k: tiled(generator, 8, period) for k in (0, 3, 5)}
    transform = LinearTransform.from_diagonals(parameters, diagonals, scale=scale, plan=plan)
    assert transform.native.log_run == (8 // period).bit_length() - 1
    keys = secret.evaluation_keys(transform.elements)
    x = random_ciphertext(parameters, generator, limbs)
    encoded = {}
    for place, (giant, _, baby) in enumerate(plan.rotations):
        if transform.present[place]:
            values = np.roll(diagonals[giant + baby], giant)
            native = engine.encode_slots(parameters, values, scale, parameters.limbs).native
            encoded[divmod(place, 3)] = plaintext_integers(native, parameters.primes)
    babies, giants = (
        [keys.key(rotation_element(parameters, k)) if k else None for k in its]
        for its in (plan.babies, plan.giants)
    )
    result = apply_transform(
        Evaluator(keys, threads=1),
        Ciphertext(x.native, parameters, x.scale, "slots"),
        transform,
        drop=drop,
    )
    exact = Exact(parameters, limbs)
    assert parts(result) == exact.transformed_plain(x, babies, giants, encoded, drop)


@pytest.mark.parametrize("log_scale", [20, 45, 80])
@pytest.mark.parametrize("ring_degree", [2**4, 2**11, 2**16])
def test_repetitions_survive_encoding_at_any_scale(ring_degree: int, log_scale: int) -> None:
    parameters = switching_parameters(ring_degree, (50, 50, 50), (50,))
    generator = np.random.default_rng(log_scale)
    slots = ring_degree // 2
    for log_repeats in range(slots.bit_length()):
        period = slots >> log_repeats
        values = tiled(generator, slots, period) * 10.0 ** generator.uniform(-3, 3)
        # Zeros of either sign are equal, and so are their encodings.
        repeats = values.reshape(-1, period)
        repeats[0::2, 1::3] = 0.0
        repeats[1::2, 1::3] = complex(-0.0, -0.0)
        transform = LinearTransform.from_diagonals(
            parameters, {0: values}, scale=Fraction(2) ** log_scale
        )
        assert transform.native.log_run == log_repeats
