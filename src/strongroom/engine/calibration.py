"""The self-measurement behind the cost model: about three seconds, five with the portable kernel.

For each ring degree from 2^12 to 2^16 there are parameters, a key pair and three evaluation keys.
Whole operations, at a high level and at a low one, take turns, so that each finds the caches as
others left them; one of them has a key that comes from memory. The fastest run of each counts, in
time of the processor: whatever else a machine does comes and goes, and makes things slower only.
Where others took much of it the model says so (`CostModel.quiet`). From their counted work
(`operation_work`) and their times, the times of rows are the least-squares solution in relative
errors that is nowhere negative. Kinds of work come together, so that small errors of measurement
could make one of them dear at the cost of another; what decides there are ratios as they usually
are, with a small weight.
"""

from __future__ import annotations

import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine import operation_work as work
from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.cost_model import KINDS, CostModel, RowTimes
from strongroom.engine.encoding import decode, encode_slots
from strongroom.engine.evaluator import Evaluator, available_threads
from strongroom.engine.galois import RELINEARISATION, rotation_element
from strongroom.engine.keys import SecretKey
from strongroom.engine.operation_work import Work
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import EvaluationKeys, SwitchingKey

# All are 1 modulo 2^18: of the right form for every ring degree.
_PRIMES_OF_45_BITS: Final = tuple(
    (2**27 - k) * 2**18 + 1
    for k in (26, 83, 103, 125, 160, 164, 196, 206, 211, 218, 248, 251, 271, 284)
)
_PRIMES_OF_35_BITS: Final = tuple((2**17 - k) * 2**18 + 1 for k in (2, 10, 14))
_PRIMES_OF_50_BITS: Final = tuple((2**32 - k) * 2**18 + 1 for k in (18, 78))

_CHAINS: Final = {12: (2, 1), 13: (3, 1), 14: (6, 3), 15: (10, 4), 16: (10, 4)}
"""Numbers of data and special primes by log2 of the ring degree, within the security table."""

_LEAST_GAIN: Final = 1.2
_USUAL_GAIN: Final = 1.65
"""Stands for a gain below the least: the second processor was somebody else's at the time."""

_SCALE: Final = Fraction(2) ** 30
_ROUNDS: Final = 40
_RING_SECONDS: Final = 0.3
"""After so much, no further round is begun."""

_UNCACHED_BYTES: Final = 2 * work.CACHED_BYTES
"""Copies of one key that take so much are never in the caches when their turn comes."""

_QUIET_SHARE: Final = 0.9
"""A process that got less of the time that passed had neighbours."""

_USUAL: Final = RowTimes(
    transforms=1.0,
    wide_transforms=1.3,
    conversions=0.02,
    streamed=0.2,
    passes=0.08,
    uniform=2.0,
    samples=10.0,
    embeddings=1.3,
    distant=0.5,
    fetched=0.2,
    calls=0.0,
)
"""Ratios, as they were on an AMD EPYC of 2023 with AVX-512."""

_USUAL_WEIGHT: Final = 0.03
"""A kind of work at twice its usual time counts as an operation that is predicted 3 % wrong."""

Array = NDArray[np.float64]


def measure(kernel: str) -> CostModel:
    """Measure a kernel on this machine, now.

    Args:
        kernel: its name, or empty for the fastest.
    """
    rows: dict[int, RowTimes] = {}
    gains: dict[int, float] = {}
    passed = worked = 0.0
    quiet = True
    collecting = gc.isenabled()
    gc.disable()
    try:
        for log_degree in _CHAINS:
            ring = _Ring(log_degree, kernel)
            works, runs = zip(*ring.operations(), strict=True)
            begun, began_work = time.perf_counter(), time.thread_time()
            times = microseconds(runs, time.thread_time)
            passed += time.perf_counter() - begun
            worked += time.thread_time() - began_work
            rows[2**log_degree] = row_times(works, times)
            gain = ring.parallel_gain()
            if available_threads() > 1 and gain < _LEAST_GAIN:
                gain, quiet = _USUAL_GAIN, False
            gains[2**log_degree] = gain
    finally:
        if collecting:
            gc.enable()
    quiet = quiet and worked >= _QUIET_SHARE * passed
    return CostModel(ring.parameters.kernel, rows, gains, quiet)


def chain_parameters(log_degree: int, kernel: str) -> Parameters:
    """The parameters that a ring degree is measured with."""
    data, special = _CHAINS[log_degree]
    primes = _PRIMES_OF_35_BITS if log_degree == 12 else _PRIMES_OF_45_BITS
    # Special primes are the largest, so that digits have as many primes as there are.
    return Parameters(
        2**log_degree, primes[special : special + data], primes[:special], kernel=kernel
    )


class _Ring:
    """A ring degree's parameters, keys and ciphertexts."""

    def __init__(self, log_degree: int, kernel: str) -> None:
        self.parameters = parameters = chain_parameters(log_degree, kernel)
        degree = parameters.ring_degree
        self.wide = Parameters(degree, _PRIMES_OF_50_BITS, kernel=kernel)
        self.secret = SecretKey.generate(parameters)
        self.public = self.secret.public_key(parameters.limbs)
        rotations = [rotation_element(parameters, steps) for steps in (1, 2)]
        self.keys = self.secret.evaluation_keys([RELINEARISATION, *rotations])
        self.evaluator = Evaluator(self.keys, threads=1)
        element = rotation_element(parameters, 1)
        count = max(2, -(-_UNCACHED_BYTES // self.keys.key(element).native.words.nbytes))
        self.copies = [_copy(self.keys.key(element)) for _ in range(count)]
        self.values = np.random.default_rng(0).uniform(-1.0, 1.0, degree // 2)

    def operations(self) -> Iterator[tuple[Work, Callable[[], object]]]:
        """What is timed, and its work."""
        p, e = self.parameters, self.evaluator
        for limbs in (p.limbs, max(2, p.limbs // 3)):
            x = encode_slots(p, self.values, _SCALE, limbs, transformed=True)
            c = self.secret.encrypt(x)
            d = e.add(c, c)
            yield work.rotate(p, limbs), partial(e.rotate, c, 1)
            yield work.fetching(work.rotate(p, limbs), _UNCACHED_BYTES), self._rotation(c, 1)
            yield work.rotate_many(p, limbs, 2), partial(e.rotate_many, c, [1, 2])
            yield work.multiply(p, limbs), partial(e.multiply, c, d)
            yield work.rescale(p, limbs, 1), partial(e.rescale, c, 1)
            yield work.multiply_plain(p, limbs), partial(e.multiply_plain, c, x)
            yield work.linear_combination(p, limbs, 2), partial(e.add, c, d)
            yield work.encode(p, limbs), self._encoding(p, limbs)
            yield work.decode(p, limbs), partial(decode, x)
            yield work.encrypt(p, limbs), partial(self.secret.encrypt, x)
            yield work.encrypt_public(p, limbs), partial(self.public.encrypt, x)
            yield work.decrypt(limbs), partial(self.secret.decrypt_raw_do_not_publish, c)
        for limbs in (1, 2):
            x = encode_slots(self.wide, self.values, _SCALE, limbs, transformed=True)
            yield work.encode(self.wide, limbs), self._encoding(self.wide, limbs)
            yield work.decode(self.wide, limbs), partial(decode, x)

    def parallel_gain(self) -> float:
        """How many times faster two threads are than one at operations in the proportions of a
        program, up to twice; 1 on one processor."""
        if available_threads() < 2:
            return 1.0
        limbs = self.parameters.limbs
        x = encode_slots(self.parameters, self.values, _SCALE, limbs, transformed=True)
        c = self.secret.encrypt(x)
        d = self.evaluator.add(c, c)
        both = Evaluator(self.keys, threads=2)
        operations: list[Callable[[], object]] = []
        for threads, e in ((1, self.evaluator), (2, both)):
            operations += [self._rotation(c, threads), partial(e.multiply, c, d)]
            operations += [partial(e.add, c, d), partial(e.rescale, c, 1)]
        times = microseconds(operations, time.perf_counter)
        half = len(times) // 2
        return min(2.0, max(1.0, sum(times[:half]) / sum(times[half:])))

    def _rotation(self, ciphertext: Ciphertext, threads: int) -> Callable[[], object]:
        """With another copy of the key every time."""
        evaluators = [Evaluator(copy, threads) for copy in self.copies]
        turns = itertools.cycle(evaluators)
        return lambda: next(turns).rotate(ciphertext, 1)

    def _encoding(self, parameters: Parameters, limbs: int) -> Callable[[], object]:
        return partial(encode_slots, parameters, self.values, _SCALE, limbs, transformed=True)


def _copy(key: SwitchingKey) -> EvaluationKeys:
    """The same key in memory of its own."""
    words = key.native.words.copy()
    native = _native.SwitchingKey(key.parameters.native, key.element, key.limbs, words)
    copy = SwitchingKey(native, key.parameters, key.element)
    return EvaluationKeys(key.parameters, {key.element: copy})


def microseconds(
    operations: Sequence[Callable[[], object]], clock: Callable[[], float]
) -> list[float]:
    """The fastest run of each operation: one to warm up, then rounds in which all take turns.

    Args:
        clock: seconds, of the world or of this thread.
    """
    best = [float("inf")] * len(operations)
    for operation in operations:
        operation()
    begun = time.perf_counter()
    for _ in range(_ROUNDS):
        for i, operation in enumerate(operations):
            start = clock()
            operation()
            best[i] = min(best[i], clock() - start)
        if time.perf_counter() - begun > _RING_SECONDS:
            break
    return [1e6 * seconds for seconds in best]


def row_times(works: Sequence[Work], times: Sequence[float]) -> RowTimes:
    """The times of rows that explain some operations' microseconds best."""
    counts = np.array([[getattr(work, kind) for kind in KINDS] for work in works])
    relative = counts / np.array(times)[:, None]
    usual = np.array([getattr(_USUAL, kind) for kind in KINDS])
    predicted = relative @ usual
    usual *= predicted.sum() / (predicted @ predicted)
    known = usual > 0.0
    towards_usual = np.diag(np.where(known, _USUAL_WEIGHT / np.where(known, usual, 1.0), 0.0))
    solution = nonnegative_solution(
        np.vstack([relative, towards_usual]),
        np.concatenate([np.ones(len(works)), np.where(known, _USUAL_WEIGHT, 0.0)]),
    )
    return RowTimes(*map(float, solution))


def nonnegative_solution(a: Array, b: Array) -> Array:
    """The x without negative entries that minimises |a x - b|, columns of zeros getting zero
    (Lawson, Hanson, "Solving least squares problems", 1974, chapter 23)."""
    norms = np.linalg.norm(a, axis=0)
    scaled = a / np.where(norms == 0.0, 1.0, norms)
    x = np.zeros(a.shape[1])
    free = np.zeros(a.shape[1], dtype=bool)
    for _ in range(3 * a.shape[1]):
        gradient = np.where(free, 0.0, scaled.T @ (b - scaled @ x))
        entering = int(np.argmax(gradient))
        if gradient[entering] <= 1e-9:
            break
        free[entering] = True
        while True:
            wanted = np.zeros_like(x)
            wanted[free] = np.linalg.lstsq(scaled[:, free], b, rcond=None)[0]
            blocking = free & (wanted <= 0.0)
            if not blocking.any():
                x = wanted
                break
            # As far as the first entry that would become negative, which leaves.
            steps = x[blocking] / (x[blocking] - wanted[blocking])
            x += float(steps.min()) * (wanted - x)
            free &= x > 1e-12
            x[~free] = 0.0
    return np.asarray(x / np.where(norms == 0.0, 1.0, norms))
