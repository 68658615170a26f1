"""How much primitive work an operation does, counted as the core does it.

The unit of all counts is a row: N words, the residues of one polynomial modulo one prime. So counts
depend on primes and levels, and what a row of each kind takes depends on the ring degree and the
machine (`cost_model`). Tests count again what the core's loops do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final

from strongroom.engine import operation_memory as memory
from strongroom.engine.digits import digit_primes
from strongroom.engine.linear_transforms import StepPlan
from strongroom.engine.matrix_products import MatrixLayout
from strongroom.engine.parameters import Parameters

CACHED_BYTES: Final = 32 << 20
"""An operation that holds so much finds nothing in the caches of what an earlier phase left, one
that holds less all but that share. About the cache that the cores of a server's processor share."""

NARROW_PRIME: Final = 2**46
"""Below it some kernels have a faster transform."""

_KEPT: Final = 1024
"""Counts of so many operations of each kind are remembered: a planner asks for the same ones again
and again."""


@dataclass(frozen=True, slots=True)
class Work:
    """Rows of work of each kind.

    Attributes:
        transforms: forward and inverse, modulo primes below 2^46.
        wide_transforms: modulo larger primes.
        conversions: multiply-adds between residues of different primes, and by constants.
        streamed: rows of keys and diagonals, each multiplied by another.
        fetched: those of them that come from memory, since a program's keys and diagonals push each
            other out of the caches; none in the counts of single operations (`fetching`).
        passes: rows that are read or written by sums, products and permutations.
        uniform: rows expanded from a seed.
        samples: rows of errors or ternary numbers from the system's randomness.
        embeddings: canonical embeddings, N/2 complex numbers each.
        handed: rows that one phase of an operation leaves for the next.
        distant: those of them that come back from memory: `handed` times the share that the
            operation holds of `CACHED_BYTES`.
        calls: calls of the core.
    """

    transforms: int = 0
    wide_transforms: int = 0
    conversions: int = 0
    streamed: int = 0
    fetched: float = 0.0
    passes: int = 0
    uniform: int = 0
    samples: int = 0
    embeddings: int = 0
    handed: int = 0
    distant: float = 0.0
    calls: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Work)))

    def __mul__(self, times: int) -> Work:
        return Work(*(getattr(self, f.name) * times for f in fields(Work)))


def fetching(work: Work, held_bytes: int) -> Work:
    """The same work in a program whose keys and diagonals take so many bytes: each row is read once
    in a while, and by then others have taken its place in the caches."""
    return replace(work, fetched=work.streamed * min(1.0, held_bytes / CACHED_BYTES))


# Operations


def rotate(parameters: Parameters, limbs: int) -> Work:
    """`Evaluator.rotate`, `conjugate` and `automorphism`."""
    return rotate_many(parameters, limbs, 1)


def add_rotated(parameters: Parameters, limbs: int) -> Work:
    """`Evaluator.add_automorphism`."""
    return rotate(parameters, limbs) + Work(passes=6 * limbs)


@lru_cache(maxsize=_KEPT)
def rotate_many(parameters: Parameters, limbs: int, count: int) -> Work:
    """`Evaluator.rotate_many` by `count` steps that are not zero."""
    work = _rotations(parameters, limbs, count)
    return _call(parameters, work, 2 * limbs, memory.rotate_peak(parameters, limbs, count=count))


def multiply(parameters: Parameters, limbs: int, drop: int = 0) -> Work:
    """`Evaluator.multiply` and `square`."""
    return sum_of_products(parameters, limbs, 1, drop)


@lru_cache(maxsize=_KEPT)
def sum_of_products(parameters: Parameters, limbs: int, count: int, drop: int = 0) -> Work:
    """`Evaluator.sum_of_products` of `count` pairs."""
    work = Work(passes=limbs * (8 * count + 3), handed=limbs)
    work += _decomposition(parameters, limbs) + _key_product(parameters, limbs, added=2)
    work += _finish(parameters, limbs, drop)
    return _call(parameters, work, 4 * count * limbs, memory.multiply_peak(parameters, limbs, drop))


@lru_cache(maxsize=_KEPT)
def rescale(parameters: Parameters, limbs: int, drop: int) -> Work:
    """`Evaluator.rescale`."""
    kept, dropped = parameters.primes[: limbs - drop], parameters.primes[limbs - drop : limbs]
    work = _division(kept, dropped) * 2
    return _call(parameters, work, 2 * limbs, memory.rescale_peak(parameters, limbs, drop))


def multiply_plain(parameters: Parameters, limbs: int, drop: int = 0) -> Work:
    """`Evaluator.multiply_plain`, with a plaintext in values form."""
    work = Work(calls=1, passes=6 * limbs)
    return work + rescale(parameters, limbs, drop) if drop else work


@lru_cache(maxsize=_KEPT)
def linear_combination(parameters: Parameters, limbs: int, count: int, drop: int = 0) -> Work:
    """`Evaluator.linear_combination` of `count` ciphertexts, and sums, which are such."""
    # The interpreter's part is as much as several calls.
    work = Work(calls=3, conversions=2 * limbs * count, passes=2 * limbs * (count + 1))
    return work + rescale(parameters, limbs, drop) if drop else work


def sum_slots(parameters: Parameters, limbs: int, count: int) -> Work:
    """`Evaluator.sum_slots`."""
    return add_rotated(parameters, limbs) * (count.bit_length() + count.bit_count() - 2)


@lru_cache(maxsize=_KEPT)
def transform(
    parameters: Parameters,
    limbs: int,
    plan: StepPlan,
    diagonals: frozenset[int],
    *,
    encrypted: bool = False,
    drop: int = 0,
    kept_share: float = 1.0,
) -> Work:
    """`apply_transform` of a map with some diagonals, by their rotations.

    Args:
        kept_share: how much of a plaintext diagonal is kept (`PeriodicLayout.kept_share`).
    """
    rows = limbs + len(parameters.special_primes)
    # Where the plan has each rotation first.
    giant_of: dict[int, int] = {}
    for giant, middle, baby in plan.rotations:
        giant_of.setdefault(giant + middle + baby, giant)
    giants = {giant_of[rotation] for rotation in diagonals}
    turning = len(giants - {0})
    babies = len(set(plan.babies) - {0})
    decomposition = _decomposition(parameters, limbs)
    if encrypted:
        work = _rotations(parameters, limbs, babies) * len(plan.middles)
        # Each row of a diagonal is in two products, and a giant step has three sums.
        work += Work(streamed=2 * limbs, passes=6 * limbs) * len(diagonals)
        step = Work(passes=3 * limbs, handed=3 * limbs)
        step += decomposition + _key_product(parameters, limbs, added=2)
        work += step * len(giants)
    else:
        work = decomposition
        work += (_key_product(parameters, limbs, added=1) + Work(passes=4 * rows)) * babies
        work += Work(passes=2 * limbs + 2 * rows) * (len(plan.babies) - babies)
        # A row of a key is read once for all inputs.
        work += replace(work, streamed=0) * (len(plan.middles) - 1)
        streamed = math.ceil(rows * len(diagonals) * kept_share)
        work += Work(streamed=streamed, passes=3 * rows * len(diagonals))
        work += Work(passes=2 * rows, handed=2 * rows) * len(giants)
    # The sum of giant steps. Those that turn divide their second part and switch from there.
    work += Work(passes=2 * rows, handed=2 * rows)
    work += Work(passes=6 * rows) * (len(giants) - turning)
    turn = _division(parameters.primes[:limbs], parameters.special_primes) + decomposition
    turn += _key_product(parameters, limbs, added=0) + Work(passes=13 * rows)
    work += turn * turning + _finish(parameters, limbs, drop)
    peak = memory.transform_peak(parameters, limbs, plan, encrypted=encrypted, drop=drop)
    work = _call(parameters, work, 2 * limbs, peak)
    return work + rotate(parameters, limbs) * (len(plan.middles) - 1)


def matrix_product(
    parameters: Parameters,
    limbs: int,
    layout: MatrixLayout,
    plan: StepPlan,
    *,
    encrypted: bool = False,
    drop: int = 0,
) -> Work:
    """`MatrixProduct.apply`."""
    diagonals = frozenset(layout.diagonal_steps)
    product = transform(parameters, limbs, plan, diagonals, encrypted=encrypted, drop=drop)
    return product + sum_slots(parameters, limbs - drop, layout.terms)


def encode(parameters: Parameters, limbs: int, *, extended: bool = False) -> Work:
    """`encode_slots`, transformed, and over the special primes too where it is `extended`."""
    primes = parameters.primes[:limbs] + (parameters.special_primes if extended else ())
    rows = len(primes)
    return Work(calls=1, embeddings=1, passes=2 * rows) + _transforms(primes)


def decode(parameters: Parameters, limbs: int) -> Work:
    """`decode` of slots of a plaintext in values form."""
    composed = Work(
        conversions=_mixed_radix(limbs),
        embeddings=1,
        passes=5 * limbs + _mixed_radix(limbs),
        handed=limbs,
    )
    work = composed + _transforms(parameters.primes[:limbs])
    return _call(parameters, work, limbs, memory.decode_peak(parameters, limbs))


def encrypt(parameters: Parameters, limbs: int) -> Work:
    """`SecretKey.encrypt` of a transformed plaintext."""
    work = Work(uniform=limbs, samples=1, passes=13 * limbs, handed=3 * limbs)
    work += _transforms(parameters.primes[:limbs])
    return _call(parameters, work, 2 * limbs, memory.encrypt_peak(parameters, limbs))


def encrypt_public(parameters: Parameters, limbs: int) -> Work:
    """`PublicKey.encrypt` of a transformed plaintext: an encryption of zero over all primes,
    divided by the special ones if there are any."""
    data, special = parameters.primes[:limbs], parameters.special_primes
    rows = limbs + len(special)
    if special:
        # Row by row; errors go through the transforms of the remainders.
        work = Work(samples=3, passes=8 * rows + 8 * limbs)
        work += _transforms(data + special) + _division(data, special) * 2
    else:
        work = Work(samples=3, passes=23 * limbs, handed=6 * limbs)
        work += _transforms(data) * 5
    peak = memory.encrypt_peak(parameters, limbs, public=True)
    return _call(parameters, work, 2 * rows + limbs, peak)


def decrypt(limbs: int) -> Work:
    """`SecretKey.decrypt_raw_do_not_publish`, of a ciphertext in values form."""
    return Work(calls=1, passes=5 * limbs)


# Phases


def _call(parameters: Parameters, work: Work, operand_rows: int, peak_bytes: int) -> Work:
    """One call of the core, from what it holds at once."""
    held = operand_rows * memory.row_bytes(parameters.ring_degree) + peak_bytes
    share = min(1.0, held / CACHED_BYTES)
    return replace(work, calls=work.calls + 1, distant=work.handed * share)


def _transforms(primes: Sequence[int]) -> Work:
    wide = sum(prime >= NARROW_PRIME for prime in primes)
    return Work(transforms=len(primes) - wide, wide_transforms=wide)


def _mixed_radix(primes: int) -> int:
    """Multiply-adds from residues to mixed-radix digits."""
    return primes * (primes + 1) // 2


def _conversion(sources: int, targets: int) -> Work:
    """Digits, then one sum of products for each target."""
    return Work(conversions=_mixed_radix(sources) + sources * targets)


def _division(kept: tuple[int, ...], dropped: tuple[int, ...]) -> Work:
    """One polynomial in values form, divided by the product of the dropped primes."""
    rows = len(kept)
    passes = Work(passes=3 * rows, handed=len(dropped) + rows)
    return passes + _conversion(len(dropped), rows) + _transforms(dropped) + _transforms(kept)


@lru_cache(maxsize=_KEPT)
def _decomposition(parameters: Parameters, limbs: int) -> Work:
    """Into digits over all primes, all in values form."""
    data = parameters.primes[:limbs]
    every = data + parameters.special_primes
    work = Work(handed=limbs) + _transforms(data)
    for digit in digit_primes(parameters.primes, parameters.special_primes, limbs):
        others = [prime for prime in every if prime not in digit]
        work += _conversion(len(digit), len(others)) + _transforms(others)
        work += Work(handed=len(others))
    return work


def _key_product(parameters: Parameters, limbs: int, *, added: int) -> Work:
    """Digits times both halves of a key, plus `added` polynomials times the special primes."""
    digits = len(digit_primes(parameters.primes, parameters.special_primes, limbs))
    rows = limbs + len(parameters.special_primes)
    return Work(streamed=2 * digits * rows, passes=2 * rows + added * limbs)


def _finish(parameters: Parameters, limbs: int, drop: int) -> Work:
    """Both sums of a key product divided by the special primes and the dropped ones, row by row."""
    kept = parameters.primes[: limbs - drop]
    dropped = parameters.primes[limbs - drop : limbs] + parameters.special_primes
    return _division(kept, dropped) * 2


def _rotations(parameters: Parameters, limbs: int, count: int) -> Work:
    """One decomposition; for each rotation a key, divisions and a permutation."""
    one = _key_product(parameters, limbs, added=1) + _finish(parameters, limbs, 0)
    return _decomposition(parameters, limbs) + (one + Work(passes=4 * limbs)) * count
