"""Counted work against a naive recount: the core's loops, row by row, with nothing in them but
counters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields
from itertools import pairwise

import pytest
from small_rings import chain, unchecked

from strongroom.engine import MatrixLayout, Parameters, SecretKey, StepPlan, sum_steps
from strongroom.engine import operation_work as work
from strongroom.engine.digits import digit_primes
from strongroom.engine.operation_work import Work

COUNTED = ("transforms", "wide_transforms", "conversions", "streamed", "uniform", "samples")
"""Kinds that are counted exactly; `passes` are reads and writes between them."""


def parameters_of(data: tuple[int, ...], special: tuple[int, ...]) -> Parameters:
    primes = chain(64, data + special)
    return unchecked(64, primes[: len(data)], primes[len(data) :])


CHAINS = {
    "one prime a digit": parameters_of((40, 40, 40), (45,)),
    "mixed sizes": parameters_of((50, 30, 30, 30, 47, 20), (45, 45)),
    "a digit cut off": parameters_of((43,) * 7, (44,) * 3),
    "wide": parameters_of((49, 49, 48, 50), (50, 50)),
}

PLAN = StepPlan((0, 1, 2, 5), (0, 8, 16))
DIAGONALS = frozenset({0, 1, 5, 9, 10, 13})


class Core:
    """What the core does, in the order in which it does it."""

    def __init__(self, parameters: Parameters, limbs: int) -> None:
        self.parameters = parameters
        self.data = list(parameters.primes[:limbs])
        self.special = list(parameters.special_primes)
        self.counts: Counter[str] = Counter()

    def transform(self, primes: Iterable[int]) -> None:
        for prime in primes:
            self.counts["transforms" if prime < 2**46 else "wide_transforms"] += 1

    def convert(self, sources: list[int], targets: list[int]) -> None:
        for i in range(len(sources)):
            for _ in sources[i:]:
                self.counts["conversions"] += 1
        for _ in targets:
            for _ in sources:
                self.counts["conversions"] += 1

    def divide(self, rows: list[int], kept: int) -> None:
        self.transform(rows[kept:])
        self.convert(rows[kept:], rows[:kept])
        self.transform(rows[:kept])

    def digits(self) -> list[list[int]]:
        """As the core's loop has them: of all primes, then cut."""
        found, begin = [], 0
        for digit in digit_primes(
            self.parameters.primes, self.parameters.special_primes, self.parameters.limbs
        ):
            found.append(self.data[begin : begin + len(digit)])
            begin += len(digit)
            if begin >= len(self.data):
                break
        return found

    def decompose(self) -> None:
        self.transform(self.data)
        for digit in self.digits():
            targets = [prime for prime in self.data + self.special if prime not in digit]
            self.convert(digit, targets)
            self.transform(targets)

    def multiply_key(self) -> None:
        for _ in self.data + self.special:
            for _ in self.digits():
                for _ in ("b", "a"):
                    self.counts["streamed"] += 1

    def finish(self, drop: int) -> None:
        for _ in ("c0", "c1"):
            self.divide(self.data + self.special, len(self.data) - drop)

    def rotate_many(self, count: int) -> None:
        self.decompose()
        for _ in range(count):
            self.multiply_key()
            self.finish(0)

    def multiply(self, drop: int) -> None:
        self.decompose()
        self.multiply_key()
        self.finish(drop)

    def rescale(self, drop: int) -> None:
        for _ in ("c0", "c1"):
            self.divide(self.data, len(self.data) - drop)

    def giant_step(self, giant: int) -> None:
        if giant:
            self.divide(self.data + self.special, len(self.data))
            self.decompose()
            self.multiply_key()

    def transform_plain(self, drop: int) -> None:
        self.decompose()
        for baby in PLAN.babies:
            if baby:
                self.multiply_key()
        for giant in PLAN.giants:
            used = [b for b in PLAN.babies if giant + b in DIAGONALS]
            for _ in used:
                self.counts["streamed"] += len(self.data + self.special)
            if used:
                self.giant_step(giant)
        self.finish(drop)

    def transform_encrypted(self, drop: int) -> None:
        self.rotate_many(sum(baby != 0 for baby in PLAN.babies))
        for giant in PLAN.giants:
            used = [b for b in PLAN.babies if giant + b in DIAGONALS]
            for _ in used:
                self.counts["streamed"] += 2 * len(self.data)
            if used:
                self.decompose()
                self.multiply_key()
                self.giant_step(giant)
        self.finish(drop)

    def encrypt(self) -> None:
        self.counts["uniform"] += len(self.data)
        self.counts["samples"] += 1
        self.transform(self.data)

    def encrypt_public(self) -> None:
        for _ in ("u", "e0", "e1"):
            self.counts["samples"] += 1
        self.transform(self.data + self.special)
        for _ in ("c0", "c1"):
            self.transform(self.special)
            self.convert(self.special, self.data)
            self.transform(self.data)


Counted = Callable[[Parameters, int], Work]

OPERATIONS: dict[str, tuple[Counted, Callable[[Core], None]]] = {
    "rotate": (work.rotate, lambda c: c.rotate_many(1)),
    "five hoisted rotations": (lambda p, n: work.rotate_many(p, n, 5), lambda c: c.rotate_many(5)),
    "multiply": (work.multiply, lambda c: c.multiply(0)),
    "multiply and rescale": (lambda p, n: work.multiply(p, n, 1), lambda c: c.multiply(1)),
    "rescale by two": (lambda p, n: work.rescale(p, n, 2), lambda c: c.rescale(2)),
    "plaintext product": (lambda p, n: work.multiply_plain(p, n, 1), lambda c: c.rescale(1)),
    "linear map": (
        lambda p, n: work.transform(p, n, PLAN, DIAGONALS, drop=1),
        lambda c: c.transform_plain(1),
    ),
    "encrypted linear map": (
        lambda p, n: work.transform(p, n, PLAN, DIAGONALS, encrypted=True, drop=2),
        lambda c: c.transform_encrypted(2),
    ),
    "encrypt": (work.encrypt, lambda c: c.encrypt()),
    "encrypt publicly": (work.encrypt_public, lambda c: c.encrypt_public()),
    "encode": (work.encode, lambda c: c.transform(c.data)),
    "encode for a linear map": (
        lambda p, n: work.encode(p, n, extended=True),
        lambda c: c.transform(c.data + c.special),
    ),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("name", CHAINS)
def test_work_is_what_the_loops_do(name: str, operation: str) -> None:
    parameters = CHAINS[name]
    counted, recount = OPERATIONS[operation]
    for limbs in range(3, parameters.limbs + 1):
        core = Core(parameters, limbs)
        recount(core)
        found = counted(parameters, limbs)
        assert {kind: getattr(found, kind) for kind in COUNTED} == {
            kind: core.counts[kind] for kind in COUNTED
        }


@pytest.mark.parametrize("name", CHAINS)
def test_there_are_as_many_digits_as_a_key_has(name: str) -> None:
    parameters = CHAINS[name]
    secret = SecretKey.generate(parameters)
    for limbs in range(1, parameters.limbs + 1):
        digits = digit_primes(parameters.primes, parameters.special_primes, limbs)
        assert len(digits) == secret.switching_key(0, limbs).native.digits
        assert sum(digits, ()) == parameters.primes[:limbs]


def test_digits_need_special_primes_and_a_level() -> None:
    with pytest.raises(ValueError, match="no special primes"):
        digit_primes((17,), (), 1)
    with pytest.raises(ValueError, match="1 to 1 primes"):
        digit_primes((17,), (97,), 2)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_kind_of_work_shrinks_with_the_level(operation: str, name: str) -> None:
    counted, _ = OPERATIONS[operation]
    levels = [counted(CHAINS[name], limbs) for limbs in range(3, CHAINS[name].limbs + 1)]
    for lower, upper in pairwise(levels):
        for kind in fields(Work):
            assert getattr(lower, kind.name) <= getattr(upper, kind.name)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 11, 64, 127])
def test_a_sum_over_slots_is_counted_step_by_step(count: int) -> None:
    parameters = CHAINS["mixed sizes"]
    rotations = 0
    for bit in bin(count)[3:]:
        rotations += 2 if bit == "1" else 1
    expected = Work()
    for _ in range(rotations):
        expected += work.rotate(parameters, 4)
    found = work.sum_slots(parameters, 4, count)
    assert found.transforms == expected.transforms
    assert found.calls == expected.calls
    assert found.distant == pytest.approx(expected.distant)
    assert len(sum_steps(count)) <= rotations


def test_a_matrix_product_is_its_linear_map_and_its_sums() -> None:
    parameters = CHAINS["a digit cut off"]
    layout = MatrixLayout(32, 4, 16)
    plan = StepPlan((0, 1), (0,))
    found = work.matrix_product(parameters, 5, layout, plan, drop=1)
    linear_map = work.transform(parameters, 5, plan, frozenset(layout.diagonal_steps), drop=1)
    assert layout.terms == 8
    assert found == linear_map + work.sum_slots(parameters, 4, 8)


def test_rows_are_distant_in_proportion_to_what_is_held() -> None:
    primes = chain(2**15, (45,) * 16)
    shares = []
    for limbs in (1, 4, 12):
        parameters = unchecked(2**15, primes[:12], primes[12:])
        counted = work.rotate(parameters, limbs)
        shares.append(counted.distant / counted.handed)
    assert 0 < shares[0] < shares[1] < shares[2] <= 1
    small = work.rotate(CHAINS["wide"], 4)
    assert small.distant / small.handed < 0.01
