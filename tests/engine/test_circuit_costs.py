"""Work and memory of circuits against what their evaluation does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from small_rings import chain, unchecked

from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    Evaluator,
    Plaintext,
    Polynomial,
    PreparedPolynomial,
    SecretKey,
    encode_slots,
)
from strongroom.engine import operation_memory as memory
from strongroom.engine import operation_work as work
from strongroom.engine.circuit_costs import circuit_work, encoded_bytes
from strongroom.engine.operation_work import Work
from strongroom.engine.square_tower_evaluation import PreparedSquareTower
from strongroom.engine.square_towers import SquareTower

PRIMES = chain(64, (50,) + (40,) * 7 + (45, 45))
PARAMETERS = unchecked(64, PRIMES[:8], PRIMES[8:])
SLOTS = 32
SCALE = Fraction(2) ** 40
Prepared = PreparedSquareTower | PreparedPolynomial


class RecordingEvaluator(Evaluator):
    """Adds up the work of the operations that it is asked for."""

    done = Work()

    def sum_of_products(
        self, pairs: Sequence[tuple[Ciphertext, Ciphertext]], *, drop: int = 0
    ) -> Ciphertext:
        limbs = min(c.limbs for pair in pairs for c in pair)
        self.done += work.sum_of_products(self.parameters, limbs, len(pairs), drop)
        return super().sum_of_products(pairs, drop=drop)

    def _combined(
        self,
        ciphertexts: Sequence[Ciphertext],
        integers: Sequence[int],
        constant: int,
        limbs: int,
        scale: Fraction,
    ) -> Ciphertext:
        self.done += work.linear_combination(self.parameters, limbs, len(ciphertexts))
        return super()._combined(ciphertexts, integers, constant, limbs, scale)

    def multiply_plain(self, a: Ciphertext, b: Plaintext, *, drop: int = 0) -> Ciphertext:
        self.done += work.multiply_plain(self.parameters, a.limbs)
        return super().multiply_plain(a, b, drop=drop)

    def rescale(self, a: Ciphertext, drop: int) -> Ciphertext:
        self.done += work.rescale(self.parameters, a.limbs, drop)
        return super().rescale(a, drop)


def tower(depth: int, slots: int | None) -> Prepared:
    generator = np.random.default_rng(depth)
    shape = () if slots is None else (slots,)
    factors = generator.uniform(-1, 1, (depth, depth, *shape))
    factors[np.triu_indices(depth, 1)] = 0.0
    factors[0] = 0.0
    constants = generator.uniform(-1, 1, (depth, *shape))
    plain = SquareTower(factors, constants, np.array([-1.0, 1.0]))
    return PreparedSquareTower(PARAMETERS, plain, PARAMETERS.limbs, SCALE)


def polynomial(degree: int, slots: int | None, basis: str = "chebyshev") -> Prepared:
    shape = (degree + 1,) if slots is None else (degree + 1, slots)
    coefficients = np.random.default_rng(degree).uniform(-1, 1, shape)
    plain = Polynomial(coefficients, basis)  # type: ignore[arg-type]
    return PreparedPolynomial(PARAMETERS, plain, PARAMETERS.limbs, SCALE)


CIRCUITS = {
    "parabola": tower(1, None),
    "quartic": tower(2, None),
    "octic": tower(3, None),
    "quartics by slot": tower(2, SLOTS),
    "octics by slot": tower(3, SLOTS),
    "degree 1": polynomial(1, None),
    "degree 7": polynomial(7, None),
    "degree 13": polynomial(13, None, "power"),
    "degree 15": polynomial(15, None),
    "degree 7 by slot": polynomial(7, SLOTS),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_work_is_that_of_the_operations(name: str) -> None:
    circuit = CIRCUITS[name]
    secret = SecretKey.generate(PARAMETERS)
    evaluator = RecordingEvaluator(secret.evaluation_keys([RELINEARISATION]), threads=1)
    argument = secret.encrypt(encode_slots(PARAMETERS, np.zeros(SLOTS), SCALE, PARAMETERS.limbs))
    circuit.evaluate(evaluator, argument)
    found = circuit_work(PARAMETERS, circuit.plan)
    for kind in ("transforms", "wide_transforms", "streamed", "handed"):
        assert getattr(found, kind) == getattr(evaluator.done, kind), kind
    # Linear combinations take powers of higher levels as they are.
    assert found.conversions == pytest.approx(evaluator.done.conversions, rel=0.1)
    # Sums with plaintexts are none of the evaluator's operations.
    assert 0.95 * evaluator.done.passes <= found.passes <= 1.25 * evaluator.done.passes


def test_slots_with_their_own_coefficients_keep_plaintexts() -> None:
    for name in ("octic", "degree 7"):
        assert encoded_bytes(PARAMETERS, CIRCUITS[name].plan) == 0
    # A constant after the first level; in the second two factors and a constant before it.
    expected = memory.plaintext_bytes(PARAMETERS, 7) * (1 + 3)
    assert encoded_bytes(PARAMETERS, CIRCUITS["quartics by slot"].plan) == expected
    assert encoded_bytes(PARAMETERS, CIRCUITS["degree 7 by slot"].plan) > expected


def test_peaks_are_what_a_process_takes() -> None:
    """In a process of its own. A thread keeps what an operation released, and each level has blocks
    of other sizes; so what it takes is more than what is held at once, but less than the sum of all
    levels."""
    script = Path(__file__).with_name("measuring_circuit_peaks.py")
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(script.parent), *sys.path])
    run = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, check=True, timeout=120
    )
    found = json.loads(run.stdout)
    assert len(found) == 4
    for name, (measured, predicted) in found.items():
        assert predicted / 1.15 <= measured <= 2.5 * predicted, (name, measured, predicted)
