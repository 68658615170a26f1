"""Times from counts and row times; and, in a long test, from a measurement against the clock."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from small_rings import chain

from strongroom import engine
from strongroom.engine import Evaluator, MatrixProduct, Parameters, SecretKey
from strongroom.engine import operation_work as work
from strongroom.engine.calibration import measure
from strongroom.engine.cost_model import CostModel, RowTimes
from strongroom.engine.operation_work import Work

ROWS = RowTimes(
    transforms=10.0,
    wide_transforms=13.0,
    conversions=0.1,
    streamed=1.0,
    passes=0.5,
    uniform=20.0,
    samples=100.0,
    embeddings=15.0,
    distant=4.0,
    fetched=0.5,
    calls=3.0,
)


def parameters_of(log_degree: int, data: tuple[int, ...], special: tuple[int, ...]) -> Parameters:
    primes = chain(2**log_degree, data + special)
    return Parameters(2**log_degree, primes[: len(data)], primes[len(data) :])


RING_13 = parameters_of(13, (40, 40, 40), (45, 45))
RING_14 = parameters_of(14, (45,) * 6, (45, 45, 45))


def model_of(parameters: Parameters, gain: float = 2.0) -> CostModel:
    return CostModel(parameters.kernel, {2**13: ROWS}, {2**13: gain})


def test_a_time_is_the_sum_of_counts_times_row_times() -> None:
    counted = Work(transforms=3, wide_transforms=2, streamed=7, handed=100, distant=2.5, calls=1)
    expected = 3 * 10 + 2 * 13 + 7 * 1 + 2.5 * 4 + 3
    found = model_of(RING_13).milliseconds(RING_13, counted)
    assert found == pytest.approx(expected / 1000)


def test_a_ring_that_was_not_measured_takes_rows_in_proportion() -> None:
    found = model_of(RING_14).milliseconds(RING_14, Work(transforms=3, calls=1))
    assert found == pytest.approx((2 * 3 * 10 + 3) / 1000)
    both = CostModel(RING_14.kernel, {2**13: ROWS, 2**14: replace(ROWS, transforms=25.0)}, {})
    assert both.milliseconds(RING_14, Work(transforms=3)) == pytest.approx(0.075)


@pytest.mark.parametrize(("gain", "four"), [(2.0, 4.0), (1.6, 1 / (0.25 + 0.75 / 4)), (1.0, 1.0)])
def test_threads_divide_what_is_parallel(gain: float, four: float) -> None:
    model = model_of(RING_13, gain)
    parallel, serial = Work(transforms=8), Work(samples=1, embeddings=1, calls=2)
    one = model.milliseconds(RING_13, parallel)
    assert model.milliseconds(RING_13, parallel, 2) == pytest.approx(one / gain)
    assert model.milliseconds(RING_13, parallel, 4) == pytest.approx(one / four)
    assert model.milliseconds(RING_13, serial, 4) == model.milliseconds(RING_13, serial)


def test_each_ring_has_its_own_gain() -> None:
    model = CostModel(RING_14.kernel, {2**13: ROWS}, {2**13: 1.0, 2**14: 2.0})
    one = [model.milliseconds(ring, Work(transforms=1)) for ring in (RING_13, RING_14)]
    two = [model.milliseconds(ring, Work(transforms=1), 2) for ring in (RING_13, RING_14)]
    assert two == pytest.approx([one[0], one[1] / 2])


def test_keys_and_diagonals_that_fit_no_cache_take_longer() -> None:
    model, counted = model_of(RING_13), work.rotate(RING_13, 3)
    times = [
        model.milliseconds(RING_13, work.fetching(counted, held))
        for held in (0, work.CACHED_BYTES // 2, work.CACHED_BYTES, 9 * work.CACHED_BYTES)
    ]
    assert times[0] == model.milliseconds(RING_13, counted)
    assert times[1] - times[0] == pytest.approx(counted.streamed * 0.5 / 2 / 1000)
    assert times[2] - times[0] == pytest.approx(counted.streamed * 0.5 / 1000)
    assert times[3] == times[2]


def test_times_grow_with_levels_and_rings() -> None:
    model = model_of(RING_14)
    for counted in (work.rotate, work.multiply, work.encode, work.decode, work.encrypt):
        times = [model.milliseconds(RING_14, counted(RING_14, limbs)) for limbs in range(1, 7)]
        assert times == sorted(times)
        assert times[0] > model.milliseconds(RING_13, counted(RING_13, 1))


def test_hoisting_pays() -> None:
    model = model_of(RING_14)
    together = model.milliseconds(RING_14, work.rotate_many(RING_14, 6, 8))
    assert together < 8 * model.milliseconds(RING_14, work.rotate(RING_14, 6))


def test_another_kernel_or_no_threads_are_refused() -> None:
    other = CostModel("another", {2**13: ROWS}, {})
    with pytest.raises(ValueError, match="times of kernel another"):
        other.milliseconds(RING_13, Work())
    with pytest.raises(ValueError, match="at least one thread"):
        model_of(RING_13).milliseconds(RING_13, Work(), 0)


# Against the clock

CLOCKED = {
    12: parameters_of(12, (35, 35), (36,)),
    13: parameters_of(13, (40, 40, 40), (45, 45)),
    14: parameters_of(14, (39,) * 7, (45,) * 3),
    15: parameters_of(15, (43,) * 12, (45,) * 4),
}
ATTEMPTS = 4
QUIET, BUSY = 1.3, 1.5
"""Factors by which a prediction may be wrong."""
SHORT, SHORT_MILLISECONDS = 1.7, 0.2
"""And that of a pass or two over memory, whose time is that of the caches."""


def operations(parameters: Parameters) -> dict[str, tuple[Callable[[], object], Work]]:
    """Operations at the top level, and their work."""
    limbs, slots = parameters.limbs, parameters.ring_degree // 2
    scale = Fraction(2) ** 30
    secret = SecretKey.generate(parameters)
    generator = np.random.default_rng(0)
    values = generator.uniform(-1, 1, slots)
    matrix = MatrixProduct.plain(parameters, generator.uniform(-1, 1, (64, 64)), scale=scale)
    elements = engine.rotation_elements(parameters, (1, 2, 3, 4)) | matrix.elements
    keys = secret.evaluation_keys({engine.RELINEARISATION} | elements)
    public = secret.public_key(limbs)
    evaluator = Evaluator(keys, threads=1)
    x = engine.encode_slots(parameters, values, scale, limbs, transformed=True)
    c = secret.encrypt(x)
    d = evaluator.add(c, c)
    p, n, plan = parameters, limbs, matrix.transform.plan
    return {
        "rotate": (lambda: evaluator.rotate(c, 1), work.rotate(p, n)),
        "rotate_many": (
            lambda: evaluator.rotate_many(c, [1, 2, 3, 4]),
            work.rotate_many(p, n, 4),
        ),
        "multiply": (lambda: evaluator.multiply(c, d, drop=1), work.multiply(p, n, 1)),
        "rescale": (lambda: evaluator.rescale(c, 1), work.rescale(p, n, 1)),
        "multiply_plain": (lambda: evaluator.multiply_plain(c, x), work.multiply_plain(p, n)),
        "matrix product": (
            lambda: matrix.apply(evaluator, c, drop=1),
            work.matrix_product(p, n, matrix.layout, plan, drop=1),
        ),
        "encode": (
            lambda: engine.encode_slots(p, values, scale, n, transformed=True),
            work.encode(p, n),
        ),
        "decode": (lambda: engine.decode(x), work.decode(p, n)),
        "encrypt": (lambda: secret.encrypt(x), work.encrypt(p, n)),
        "encrypt publicly": (lambda: public.encrypt(x), work.encrypt_public(p, n)),
        "decrypt": (lambda: secret.decrypt_raw_do_not_publish(c), work.decrypt(n)),
    }


def clock(runs: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Milliseconds of some runs of each operation, the first left out.

    They take turns, as in a program, so that each finds the caches as another left them.
    """
    times: list[list[float]] = [[] for _ in runs]
    for run in runs:
        run()
    end = time.perf_counter() + 0.06 * len(runs)
    while len(times[0]) < 5 or time.perf_counter() < end:
        for run, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(1000 * (time.perf_counter() - start))
    return times


@pytest.mark.long
def test_predictions_are_within_thirty_per_cent_of_the_clock() -> None:
    """Of an operation's fastest runs in several attempts, since other processes come and go; half
    again where medians say that they did in the last attempt too."""
    rings = {degree: operations(parameters) for degree, parameters in CLOCKED.items()}
    everything = {(degree, name): ring[name] for degree, ring in rings.items() for name in ring}
    fastest = dict.fromkeys(everything, math.inf)
    for attempt in range(ATTEMPTS):
        model = measure("")
        restless = []
        for degree, ring in rings.items():
            taken = clock([run for run, _ in ring.values()])
            for name, times in zip(ring, taken, strict=True):
                fastest[degree, name] = min(fastest[degree, name], *times)
                restless.append(statistics.median(times) / fastest[degree, name])
        wrong = {}
        for (log_degree, name), (_, counted) in everything.items():
            predicted = model.milliseconds(CLOCKED[log_degree], counted)
            wrong[log_degree, name] = predicted / fastest[log_degree, name]
        last = attempt == ATTEMPTS - 1
        allowed = BUSY if last and statistics.median(restless) > 1.1 else QUIET
        outside = {}
        for key, ratio in wrong.items():
            most = max(allowed, SHORT) if fastest[key] < SHORT_MILLISECONDS else allowed
            if not 1 / most <= ratio <= most:
                outside[key] = ratio
        if not outside:
            return
    raise AssertionError(f"predicted / measured: {outside}")
