"""The self-measurement: what it solves, and that what it measures makes sense."""

from __future__ import annotations

import math
import time
from dataclasses import astuple
from itertools import combinations

import numpy as np
import pytest
from slow_reference import is_prime

from strongroom.engine import available_kernels, catalogued
from strongroom.engine import calibration as module
from strongroom.engine import operation_work as work
from strongroom.engine.calibration import (
    chain_parameters,
    measure,
    microseconds,
    nonnegative_solution,
    row_times,
)
from strongroom.engine.cost_model import KINDS, CostModel, RowTimes
from strongroom.engine.operation_work import Work

TRUE = RowTimes(
    transforms=22.0,
    wide_transforms=30.0,
    conversions=0.9,
    streamed=5.0,
    passes=1.7,
    uniform=55.0,
    samples=290.0,
    embeddings=38.0,
    distant=14.0,
    fetched=3.0,
    calls=2.0,
)


def brute_force(a: np.ndarray, b: np.ndarray) -> float:
    """The least residual of any set of columns whose own solution is nowhere negative."""
    best = float(np.linalg.norm(b))
    columns = a.shape[1]
    for count in range(1, columns + 1):
        for chosen in combinations(range(columns), count):
            x = np.linalg.lstsq(a[:, chosen], b, rcond=None)[0]
            if (x >= -1e-12).all():
                best = min(best, float(np.linalg.norm(a[:, chosen] @ x - b)))
    return best


@pytest.mark.parametrize("seed", range(40))
def test_the_solution_is_the_best_of_all_without_negative_entries(seed: int) -> None:
    generator = np.random.default_rng(seed)
    a = generator.normal(size=(9, 5)) * 10.0 ** generator.uniform(-3, 3, 5)
    if seed % 2:
        a = np.abs(a)
        a[:, 1] = a[:, 0] * generator.uniform(0.9, 1.1, 9)
    b = generator.normal(size=9) + (2.0 if seed % 3 else 0.0)
    x = nonnegative_solution(a, b)
    assert (x >= 0).all()
    assert np.linalg.norm(a @ x - b) == pytest.approx(brute_force(a, b), rel=1e-6)


def test_columns_of_zeros_get_zero() -> None:
    a = np.array([[1.0, 0.0], [2.0, 0.0]])
    assert nonnegative_solution(a, np.array([2.0, 4.0])).tolist() == pytest.approx([2.0, 0.0])


def works() -> list[Work]:
    ring = module._Ring(13, "")
    return [counted for counted, _ in ring.operations()]


def exact(counted: Work) -> float:
    return sum(getattr(counted, kind) * getattr(TRUE, kind) for kind in KINDS)


@pytest.mark.parametrize("error", [0.0, 0.05])
def test_known_row_times_predict_what_they_made(error: float) -> None:
    """Also operations that were not measured, and from times that are 5 % wrong."""
    counted = works()
    generator = np.random.default_rng(3)
    times = [exact(w) * (1 + error * generator.uniform(-1, 1)) for w in counted]
    model = CostModel(catalogued("n13-q144-v1").kernel, {2**13: row_times(counted, times)}, {})
    other = module._Ring(13, "").parameters
    for unseen in (work.rotate_many(other, 3, 9), work.multiply(other, 3, 1)):
        found = model.milliseconds(other, unseen)
        assert found == pytest.approx(exact(unseen) / 1000, rel=0.03 + 2 * error)


def test_the_fastest_run_counts() -> None:
    calls = {"slow at first": 0, "steady": 0}

    def slow_at_first() -> None:
        calls["slow at first"] += 1
        time.sleep(0.02 if calls["slow at first"] < 3 else 0.002)

    def steady() -> None:
        calls["steady"] += 1
        time.sleep(0.002)

    first, second = microseconds([slow_at_first, steady], time.perf_counter)
    assert 2000 <= first < 20000
    assert second >= 2000
    assert min(calls.values()) >= 2


def test_all_chains_are_of_primes_and_pass_the_security_table() -> None:
    primes = {
        *module._PRIMES_OF_35_BITS,
        *module._PRIMES_OF_45_BITS,
        *module._PRIMES_OF_50_BITS,
    }
    assert all(is_prime(prime) and prime % 2**18 == 1 for prime in primes)
    assert len(primes) == 19
    for log_degree, (data, special) in module._CHAINS.items():
        parameters = chain_parameters(log_degree, "")
        assert parameters.ring_degree == 2**log_degree
        assert (parameters.limbs, len(parameters.special_primes)) == (data, special)


@pytest.mark.parametrize("kernel", available_kernels())
def test_a_measurement_has_times_for_all_it_can_see(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHAINS", {12: (2, 1)})
    model = measure(kernel)
    assert model.kernel == kernel
    assert set(model.rows) == {2**12}
    times = model.rows[2**12]
    assert all(math.isfinite(time) and time >= 0 for time in astuple(times))
    assert times.transforms > 0
    assert times.samples > 0
    assert 1.0 <= model.parallel_gains[2**12] <= 2.0


@pytest.mark.parametrize(("share", "quiet"), [(1.0, True), (0.5, False)])
def test_a_process_that_got_less_than_the_time_that_passed_was_not_alone(
    share: float, quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = time.perf_counter()
    monkeypatch.setattr(module, "_CHAINS", {12: (2, 1)})
    monkeypatch.setattr(module, "available_threads", lambda: 1)
    monkeypatch.setattr(module.time, "thread_time", lambda: share * (time.perf_counter() - begun))
    assert measure("").quiet == quiet


@pytest.mark.parametrize("threads", [1, 2])
def test_a_key_that_comes_from_memory_is_another_copy_every_time(threads: int) -> None:
    ring = module._Ring(12, "")
    key_bytes = ring.copies[0].key(min(ring.copies[0].elements)).native.words.nbytes
    assert len(ring.copies) * key_bytes >= module._UNCACHED_BYTES
    zero = ring.secret.encrypt(
        module.encode_slots(ring.parameters, ring.values, module._SCALE, 2, transformed=True)
    )
    turned = [ring._rotation(zero, threads)() for _ in range(2)]
    expected = np.roll(ring.values, -1)
    for result in turned:
        found = module.decode(ring.secret.decrypt_raw_do_not_publish(result))
        assert np.abs(found.real - expected).max() < 1e-3


@pytest.mark.parametrize(("measured", "counts"), [(1.0, 1.65), (1.1, 1.65), (1.5, 1.5)])
def test_a_gain_that_says_that_a_processor_was_busy_does_not_count(
    measured: float, counts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHAINS", {12: (2, 1)})
    monkeypatch.setattr(module._Ring, "parallel_gain", lambda ring: measured)
    monkeypatch.setattr(module, "available_threads", lambda: 2)
    model = measure("")
    assert model.parallel_gains == {2**12: counts}
    assert counts == measured or not model.quiet
    monkeypatch.setattr(module, "available_threads", lambda: 1)
    assert measure("").parallel_gains == {2**12: measured}
