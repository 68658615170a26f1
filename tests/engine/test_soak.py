"""Very many mixed operations: memory does not grow, and what they compute stays right.

Some ciphertexts at each of three levels, all at their level's scale, next to the same slots in
numpy; operations pick operands at random and put the result in the place of another ciphertext. One
operation is one call of an evaluator.
"""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from small_rings import chain

from strongroom import engine
from strongroom.engine import (
    RELINEARISATION,
    Ciphertext,
    Evaluator,
    LinearTransform,
    Parameters,
    Plaintext,
    SecretKey,
    apply_transform,
    conjugation_element,
    rotation_elements,
)

Slots = NDArray[np.complex128]
PLACES = 4
LARGEST = 4.0
"""Slots stay below, so that the lowest level holds them."""
GROWTH_BYTES = 4 << 20
"""Of 100 000 operations, 40 bytes each would be found."""


@dataclass(frozen=True)
class Entry:
    """A ciphertext, what it should hold, and a bound on that."""

    ciphertext: Ciphertext
    slots: Slots
    largest: float


class Soak:
    """One ring and what is in it.

    Args:
        bits: of three data primes and a special one.
        close: the largest error of a slot.
    """

    def __init__(self, ring_degree: int, bits: tuple[int, ...], close: float) -> None:
        primes = chain(ring_degree, bits)
        self.parameters = Parameters(ring_degree, primes[:3], primes[3:])
        self.close = close
        self.generator = np.random.default_rng(ring_degree)
        self.slots = ring_degree // 2
        self.secret = SecretKey.generate(self.parameters)
        elements = rotation_elements(self.parameters, (1, 2, 3, -1))
        elements |= {RELINEARISATION, conjugation_element(self.parameters)}
        self.evaluator = Evaluator(self.secret.evaluation_keys(elements), threads=1)
        # scales[l - 1] at l primes: what a product that drops one prime has.
        scale = Fraction(2) ** bits[2]
        self.scales = [Fraction(0), Fraction(0), scale]
        for limbs in (3, 2):
            scale = scale * scale / primes[limbs - 1]
            self.scales[limbs - 2] = scale
        self.factors = {limbs: self.factor(limbs) for limbs in (2, 3)}
        self.inputs = [self.entry(limbs) for limbs in (1, 2, 3)]
        self.entries = [[self.entry(limbs) for _ in range(PLACES)] for limbs in (1, 2, 3)]
        self.maps = {limbs: self.map_to_lower(limbs) for limbs in (2, 3)}
        self.operations: list[tuple[float, Callable[[int], None]]] = [
            (0.25, self.add),
            (0.14, self.subtract),
            (0.12, self.negate),
            (0.12, self.combine),
            (0.14, self.multiply_plain),
            (0.06, self.rescale),
            (0.06, self.rotate),
            (0.03, self.conjugate),
            (0.02, self.rotate_two),
            (0.03, self.multiply),
            (0.01, self.square),
            (0.01, self.sum_of_products),
            (0.01, self.transform),
        ]

    def numbers(self) -> Slots:
        radius = np.sqrt(self.generator.random(self.slots))
        return np.asarray(radius * np.exp(2j * np.pi * self.generator.random(self.slots)))

    def entry(self, limbs: int) -> Entry:
        x = self.numbers()
        plain = engine.encode_slots(self.parameters, x, self.scales[limbs - 1], limbs)
        return Entry(self.secret.encrypt(plain), x, 1.0)

    def factor_scale(self, limbs: int) -> Fraction:
        """Of what a ciphertext is multiplied by to be at its level's scale one prime below."""
        return self.scales[limbs - 2] * self.parameters.primes[limbs - 1] / self.scales[limbs - 1]

    def factor(self, limbs: int) -> tuple[Plaintext, Slots]:
        x = self.numbers()
        plain = engine.encode_slots(self.parameters, x, self.factor_scale(limbs), limbs)
        return engine.prepare(plain), x

    def map_to_lower(self, limbs: int) -> tuple[LinearTransform, dict[int, Slots]]:
        diagonals = {k: self.numbers() / 4 for k in (0, 1, 2, 3)}
        scale = self.factor_scale(limbs)
        transform = LinearTransform.from_diagonals(
            self.parameters, diagonals, scale=scale, limbs=limbs
        )
        return transform, diagonals

    # Operations

    def pick(self, limbs: int) -> Entry:
        return self.entries[limbs - 1][self.generator.integers(PLACES)]

    def put(self, ciphertext: Ciphertext, slots: Slots, largest: float) -> None:
        """In the place of another; if slots became too large, an input is put back."""
        limbs = ciphertext.limbs
        assert ciphertext.scale == self.scales[limbs - 1]
        entry = Entry(ciphertext, slots, largest)
        place = self.generator.integers(PLACES)
        self.entries[limbs - 1][place] = entry if largest <= LARGEST else self.inputs[limbs - 1]

    def add(self, limbs: int) -> None:
        a, b = self.pick(limbs), self.pick(limbs)
        c = self.evaluator.add(a.ciphertext, b.ciphertext)
        self.put(c, a.slots + b.slots, a.largest + b.largest)

    def subtract(self, limbs: int) -> None:
        a, b = self.pick(limbs), self.pick(limbs)
        c = self.evaluator.subtract(a.ciphertext, b.ciphertext)
        self.put(c, a.slots - b.slots, a.largest + b.largest)

    def negate(self, limbs: int) -> None:
        a = self.pick(limbs)
        self.put(self.evaluator.negate(a.ciphertext), -a.slots, a.largest)

    def combine(self, limbs: int) -> None:
        terms = [self.pick(limbs) for _ in range(3)]
        c = self.evaluator.linear_combination(
            [t.ciphertext for t in terms], [1, -1, 2], self.scales[limbs - 1], constant=0.5
        )
        a, b, d = (t.slots for t in terms)
        largest = 0.5 + terms[0].largest + terms[1].largest + 2 * terms[2].largest
        self.put(c, a - b + 2 * d + 0.5, largest)

    def multiply_plain(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        a, (factor, x) = self.pick(limbs), self.factors[limbs]
        c = self.evaluator.multiply_plain(a.ciphertext, factor, drop=1)
        self.put(c, a.slots * x, a.largest)

    def rescale(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        a, (factor, x) = self.pick(limbs), self.factors[limbs]
        product = self.evaluator.multiply_plain(a.ciphertext, factor)
        self.put(self.evaluator.rescale(product, 1), a.slots * x, a.largest)

    def rotate(self, limbs: int) -> None:
        a = self.pick(limbs)
        self.put(self.evaluator.rotate(a.ciphertext, -1), np.roll(a.slots, 1), a.largest)

    def conjugate(self, limbs: int) -> None:
        a = self.pick(limbs)
        self.put(self.evaluator.conjugate(a.ciphertext), a.slots.conj(), a.largest)

    def rotate_two(self, limbs: int) -> None:
        a = self.pick(limbs)
        for k, c in enumerate(self.evaluator.rotate_many(a.ciphertext, [1, 2]), 1):
            self.put(c, np.roll(a.slots, -k), a.largest)

    def multiply(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        a, b = self.pick(limbs), self.pick(limbs)
        c = self.evaluator.multiply(a.ciphertext, b.ciphertext, drop=1)
        self.put(c, a.slots * b.slots, a.largest * b.largest)

    def square(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        a = self.pick(limbs)
        c = self.evaluator.square(a.ciphertext, drop=1)
        self.put(c, a.slots * a.slots, a.largest * a.largest)

    def sum_of_products(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        pairs = [(self.pick(limbs), self.pick(limbs)) for _ in range(3)]
        c = self.evaluator.sum_of_products([(a.ciphertext, b.ciphertext) for a, b in pairs], drop=1)
        slots = np.asarray(np.sum([a.slots * b.slots for a, b in pairs], axis=0))
        self.put(c, slots, sum(a.largest * b.largest for a, b in pairs))

    def transform(self, limbs: int) -> None:
        limbs = max(limbs, 2)
        a, (transform, diagonals) = self.pick(limbs), self.maps[limbs]
        c = apply_transform(self.evaluator, a.ciphertext, transform, drop=1)
        slots = np.sum([d * np.roll(a.slots, -k) for k, d in diagonals.items()], axis=0)
        self.put(c, np.asarray(slots), a.largest)

    # What is run and looked at

    def run(self, operations: int) -> None:
        """So many operations; now and then one ciphertext is opened."""
        weights, calls = zip(*self.operations, strict=True)
        picks = self.generator.choice(len(calls), operations, p=weights)
        levels = self.generator.choice((1, 2, 3), operations, p=(0.4, 0.4, 0.2))
        for pick, limbs in zip(picks, levels, strict=True):
            calls[pick](int(limbs))
        self.check(self.pick(int(self.generator.integers(1, 4))))

    def check(self, entry: Entry) -> None:
        opened = engine.decode(self.secret.decrypt_raw_do_not_publish(entry.ciphertext))
        assert np.abs(opened - entry.slots).max() < self.close

    def check_all(self) -> None:
        for entries in self.entries:
            for entry in entries:
                self.check(entry)


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def soak(rings: list[tuple[Soak, int]], operations: int, rounds: int) -> None:
    """Rounds of operations, shared between rings by their weights; the first tenth of them is for
    memory to be taken at all."""
    total = sum(weight for _, weight in rings)
    after_warm_up = 0
    done = 0
    for i in range(rounds):
        for ring, weight in rings:
            share = operations * weight // (total * rounds)
            ring.run(share)
            done += share
        if i + 1 == rounds // 10:
            after_warm_up = resident_bytes()
    assert done == operations
    assert resident_bytes() - after_warm_up < GROWTH_BYTES
    for ring, _ in rings:
        ring.check_all()


@pytest.mark.long
def test_a_hundred_thousand_operations_take_no_memory_and_stay_right() -> None:
    soak([(Soak(2**13, (45, 40, 40, 46), 2.0**-20), 1)], 100_000, 50)


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_a_million_operations_across_rings_take_no_memory_and_stay_right() -> None:
    rings = [
        (Soak(2**12, (28, 24, 24, 29), 0.05), 4),
        (Soak(2**13, (45, 40, 40, 46), 2.0**-20), 3),
        (Soak(2**14, (50, 45, 45, 50), 2.0**-20), 2),
        (Soak(2**15, (50, 45, 45, 50), 2.0**-20), 1),
    ]
    soak(rings, 1_000_000, 50)
