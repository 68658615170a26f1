"""Matrix times vector in slots, from a vector that repeats to a product that repeats.

A hidden layer's product has to be the next layer's vector without a rearrangement. So vectors and
products are periodic here: with S slots, slot u holds entry u mod p of the vector (p its period)
and afterwards entry u mod m of the product (m the number of rows, a power of two). The diagonal of
rotation k holds in slot u the matrix' entry of row u mod m and column (u + k) mod p, so with
diagonals 0 to w - 1 the slots of a row, which lie m apart, cover windows of w columns each; where
they overlap, all but one entry are zero. The sum over slots that lie m apart ends it. For a vector
that a client lays out, p is free, and chosen so that the windows overlap as little as they can: w
is about m n / S. Halevi, Shoup (CRYPTO 2018) and Juvekar, Vaikuntanathan, Chandrakasan (USENIX
Security 2018, "Gazelle", section 4.2) have the two ends of this, all diagonals and fewest.

The sum need not run over all slots: over a `span` of them, repeated S / span times, there are more
diagonals and fewer rotations after them.

A vector that comes from a client can also be paired: entries 2 i and 2 i + 1 are the real and the
imaginary part of one slot, and (a - i b)(x + i y) has the real part a x + b y, so that half of the
diagonals do; adding the conjugate leaves twice the real part. A vector that is a product can be
halved to the same end: rotated by half a period and multiplied by i, which is X^(N/2), it joins
itself, and slot u holds entries u and u + p / 2.

Of a matrix most of whose diagonals are zero, such as a convolution's, only the others are there:
with a vector of period p, all entries of row r and column c with one (c - r) mod min(m, p) are on
one diagonal, that of rotation c - r, in the copies of the row.

Blocks of a block-diagonal matrix, or several vectors for one matrix, are interleaved: slot u B + b
is slot u of block b in S / B slots, and all rotations are multiples of B.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import encode_slots
from strongroom.engine.evaluator import Evaluator, sum_steps
from strongroom.engine.galois import conjugation_element, rotation_elements
from strongroom.engine.linear_transforms import (
    EncryptedLinearTransform,
    LinearTransform,
    StepPlan,
    apply_transform,
    diagonals_in_order,
)
from strongroom.engine.parameters import Parameters

_KEY_COST: Final = 1.5
"""What a rotation key is worth, in the time of baby steps."""

_FOLD_COST: Final = 2.6
"""A rotation after the diagonals, in baby steps: nothing of it is shared."""

_DIAGONAL_COST: Final = 0.28
"""A diagonal, in baby steps."""

_SPARSE: Final = 0.75
"""A matrix with more of its diagonals than this share is taken as one that has all."""

_LAYOUTS: Final = 5
"""How many layouts are looked at closely for a vector that a client lays out."""


@dataclass(frozen=True, slots=True)
class PeriodicLayout:
    """Where a vector's and a product's entries lie.

    Attributes:
        slots: S, a power of two.
        blocks: how many are interleaved, a power of two.
        rows: of each block's matrix.
        columns: of each block's vector.
        span: over how many slots of a block a row is summed, a power of two.
        period: p: the vector's entries begin again after so many slots, and at a span's end.
        paired: whether a slot holds two entries, 2 i and 2 i + 1.
        halved: whether it is made to hold entries u and u + p / 2, of a vector that is a product.
        rotations: of the diagonals that are not zero, ascending; none where all are there.
    """

    slots: int
    blocks: int
    rows: int
    columns: int
    span: int
    period: int
    paired: bool = False
    halved: bool = False
    rotations: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        powers = (self.slots, self.blocks, self.span)
        if any(x < 1 or x & (x - 1) for x in powers) or min(self.rows, self.columns) < 1:
            raise ValueError("slots, blocks and spans are powers of two, and a matrix is not empty")
        if not max(self.units, self.period) <= self.span <= self.slots // self.blocks:
            raise ValueError("a span has room for all rows and columns, and a block for a span")
        if self.period < self.slot_columns:
            raise ValueError("a period has room for all columns")
        even = self.period % 2 == 0 and self.span % self.period == 0
        if self.halved and (self.paired or not even or self.columns != self.period):
            raise ValueError("a vector that is halved has an even period, filled, and no pairs")
        if self.rotations:
            self._check_rotations()

    @classmethod
    def choose(
        cls, slots: int, blocks: int, rows: int, columns: int, *, paired: bool
    ) -> PeriodicLayout | None:
        """The cheapest layout for a vector that a client lays out; None if it does not fit."""
        slot_columns = -(-columns // 2) if paired else columns
        units = _power_of_two(rows)
        candidates: list[tuple[float, int, int]] = []
        span = max(units, _power_of_two(slot_columns))
        while span <= slots // blocks:
            folds = len(sum_steps(span // units)) + paired
            for diagonals, period in _periods(span, units, slot_columns):
                candidates.append((_cost(diagonals, folds), span, period))
            span *= 2
        best: tuple[float, PeriodicLayout] | None = None
        for least, span, period in sorted(candidates)[:_LAYOUTS]:
            if best is not None and least >= best[0]:
                break
            layout = cls(slots, blocks, rows, columns, span, period, paired)
            if best is None or layout.cost < best[0]:
                best = layout.cost, layout
        return best[1] if best else None

    def _check_rotations(self) -> None:
        distinct = min(self.units, self.period)
        ascending = all(a < b for a, b in itertools.pairwise(self.rotations))
        if not (ascending and self.rotations[0] >= 0 and self.rotations[-1] < distinct):
            raise ValueError(f"rotations ascend from 0 to below {distinct}")
        if self.paired or self.halved or self.period & (self.period - 1):
            raise ValueError("chosen rotations are of a vector that is a product, as it is")
        if self.span != max(self.units, self.period):
            raise ValueError("chosen rotations need a span of a period, or of all rows")

    @classmethod
    def following(
        cls,
        slots: int,
        blocks: int,
        rows: int,
        columns: int,
        period: int,
        differences: NDArray[np.intp] | None = None,
    ) -> PeriodicLayout | None:
        """The layout for a vector that is a product, of a given period, a power of two; None if it
        does not fit.

        Args:
            differences: column less row of the entries that are not zero; None if all may be.
        """
        units = _power_of_two(rows)
        span = max(units, period)
        if span > slots // blocks:
            return None
        if differences is not None:
            rotations = np.unique(differences % min(units, period)).tolist() or [0]
            if len(rotations) <= _SPARSE * min(units, period):
                return cls(slots, blocks, rows, columns, span, period, rotations=tuple(rotations))
        plain = cls(slots, blocks, rows, columns, span, period)
        if columns != period or period < 2:
            return plain
        halved = cls(slots, blocks, rows, columns, span, period, halved=True)
        return min(plain, halved, key=lambda layout: layout.cost)

    @property
    def units(self) -> int:
        """m: the period of the product, in slots of a block."""
        return _power_of_two(self.rows)

    @property
    def slot_columns(self) -> int:
        """How many slots of a period hold entries."""
        return -(-self.columns // 2) if self.paired else self.columns

    @property
    def diagonals(self) -> int:
        """w: how many diagonals the matrix takes."""
        return len(self.steps)

    @property
    def steps(self) -> tuple[int, ...]:
        """The diagonals' rotations, in entries of a block."""
        return self.rotations or tuple(range(len(self._cover())))

    @property
    def kept_share(self) -> float:
        """How much of a diagonal is kept: of one that repeats, a period."""
        return self.span * self.blocks / self.slots

    @property
    def terms(self) -> int:
        """How many slots are summed for an entry of the product."""
        return self.span // self.units

    @property
    def step_plan(self) -> StepPlan:
        """How the diagonals' rotations are made."""
        steps = frozenset(k * self.blocks for k in self.steps)
        return StepPlan.choose(steps, key_cost=_KEY_COST)

    @property
    def fold_steps(self) -> frozenset[int]:
        """Rotations of the final sum."""
        return sum_steps(self.terms, self.units * self.blocks)

    @property
    def cost(self) -> float:
        """Roughly its time, in baby steps; for comparing layouts of one matrix."""
        return _cost(self.diagonals, len(self.fold_steps) + self.paired + 2 * self.halved)

    @property
    def repeats(self) -> int:
        """How often a row meets an entry of the vector at most: slots that are none of its entries'
        places are multiplied too, by zero."""
        columns = self.period // 2 if self.halved else self.period
        starts = np.arange(self.terms) * self.units
        begins = (starts[:, None] + np.array(self.steps)[None, :]).reshape(-1)
        rows = {0, self.rows // 2, self.rows - 1}
        places = [(begins + row) % self.span % self.period % columns for row in rows]
        return max(int(np.bincount(its).max()) for its in places)

    def elements(self, parameters: Parameters) -> frozenset[int]:
        """Galois elements that keys are needed for."""
        steps = self.step_plan.steps | self.fold_steps
        if self.halved:
            steps |= {self.half_step}
        elements = rotation_elements(parameters, steps)
        return elements | {conjugation_element(parameters)} if self.complex else elements

    @property
    def complex(self) -> bool:
        """Whether slots hold two entries when they are multiplied."""
        return self.paired or self.halved

    @property
    def half_step(self) -> int:
        """The rotation that brings entry u + p / 2 to slot u."""
        return self.period // 2 * self.blocks

    def spread(self, vectors: NDArray[np.float64]) -> NDArray[np.float64] | NDArray[np.complex128]:
        """The slots, shape (S,), for vectors of shape (blocks, columns)."""
        if vectors.shape != (self.blocks, self.columns):
            raise ValueError(f"vectors of shape {vectors.shape}")
        held: NDArray[Any] = self._paired(vectors) if self.paired else vectors
        period: NDArray[Any] = np.zeros((self.blocks, self.period), dtype=held.dtype)
        period[:, : self.slot_columns] = held
        u = np.arange(self.slots // self.blocks)
        return np.ascontiguousarray(period[:, u % self.span % self.period].T.reshape(-1))

    def diagonal_values(
        self, matrices: NDArray[np.float64]
    ) -> Iterator[tuple[int, NDArray[np.float64] | NDArray[np.complex128]]]:
        """Rotations and their diagonals, each of shape (S,), of matrices of shape (blocks, rows,
        columns); one at a time, since all together may be large."""
        if matrices.shape != (self.blocks, self.rows, self.columns):
            raise ValueError(f"matrices of shape {matrices.shape}")
        held: NDArray[Any] = matrices
        if self.paired:
            held = self._paired(matrices)
        elif self.halved:
            held = matrices + 1j * np.roll(matrices, -self.period // 2, axis=2)
        if self.complex:
            # The conjugate of the product is added, which doubles.
            held = held.conj() / 2.0
        repeats = self.slots // self.blocks // self.span
        u = np.arange(self.span)
        row = u % self.units
        covers = map(self._reached, self.rotations) if self.rotations else self._cover()
        for k, covered in zip(self.steps, covers, strict=True):
            column = (u[covered] + k) % self.span % self.period
            diagonal: NDArray[Any] = np.zeros((self.blocks, self.span), dtype=held.dtype)
            diagonal[:, covered] = held[:, row[covered], column]
            yield k * self.blocks, np.tile(diagonal.T.reshape(-1), repeats)

    def repeated(self, entries: NDArray[np.float64]) -> NDArray[np.float64]:
        """Slots, shape (S,), of a product of shape (blocks, rows); a bias, for example."""
        period = np.zeros((self.blocks, self.units))
        period[:, : self.rows] = entries
        return np.tile(period.T.reshape(-1), self.slots // self.blocks // self.units)

    def _reached(self, rotation: int) -> NDArray[np.bool_]:
        """In which slots of a span a rotation has rows and columns of the matrix."""
        u = np.arange(self.span)
        return (u % self.units < self.rows) & ((u + rotation) % self.period < self.columns)

    def _cover(self) -> tuple[NDArray[np.bool_], ...]:
        """For each diagonal which slots of a span have an entry of the matrix."""
        columns = self.period // 2 if self.halved else self.slot_columns
        return _cover(self.span, self.units, self.rows, columns, self.period, self.halved)

    def _paired(self, values: NDArray[np.float64]) -> NDArray[np.complex128]:
        """Entries 2 i + i (2 i + 1) along the last axis."""
        even = np.zeros((*values.shape[:-1], 2 * self.slot_columns))
        even[..., : self.columns] = values
        return np.asarray(even[..., 0::2] + 1j * even[..., 1::2])


@dataclass(frozen=True, slots=True)
class PeriodicProduct:
    """A matrix, encoded or encrypted, ready to be multiplied by encrypted vectors.

    Attributes:
        layout: where entries lie.
        transform: the diagonals; ciphertexts where the matrix is hidden.
        imaginary: i in every slot, for a vector that is halved.
    """

    layout: PeriodicLayout
    transform: LinearTransform | EncryptedLinearTransform
    imaginary: Plaintext | None

    @classmethod
    def encode(
        cls,
        parameters: Parameters,
        layout: PeriodicLayout,
        matrices: NDArray[np.float64],
        *,
        scale: Fraction,
        limbs: int,
    ) -> PeriodicProduct:
        """Matrices of shape (blocks, rows, columns), for ciphertexts of up to `limbs` primes."""
        transform = LinearTransform.from_diagonals(
            parameters,
            dict(layout.diagonal_values(matrices)),
            scale=scale,
            limbs=limbs,
            plan=layout.step_plan,
        )
        imaginary = _imaginary(parameters, limbs) if layout.halved else None
        return cls(layout, transform, imaginary)

    @classmethod
    def from_ciphertexts(
        cls,
        parameters: Parameters,
        layout: PeriodicLayout,
        diagonals: Sequence[Ciphertext],
        *,
        scale: Fraction,
        limbs: int,
    ) -> PeriodicProduct:
        """A hidden matrix: its diagonals, encrypted at a scale and with at least so many primes, in
        the order of `diagonals_to_encrypt`."""
        transform = EncryptedLinearTransform.from_ciphertexts(
            parameters,
            diagonals,
            (k * layout.blocks for k in layout.steps),
            scale=scale,
            limbs=limbs,
            plan=layout.step_plan,
        )
        imaginary = _imaginary(parameters, limbs) if layout.halved else None
        return cls(layout, transform, imaginary)

    def apply(self, evaluator: Evaluator, vector: Ciphertext) -> Ciphertext:
        """The product with an encrypted vector. Not rescaled: what the last sum adds of noise is
        best divided away with the rest."""
        layout = self.layout
        if self.imaginary is not None:
            other = evaluator.rotate(vector, layout.half_step)
            vector = evaluator.add(vector, evaluator.multiply_plain(other, self.imaginary))
        product = apply_transform(evaluator, vector, self.transform)
        product = evaluator.sum_slots(product, layout.terms, layout.units * layout.blocks)
        if not layout.complex:
            return product
        element = conjugation_element(evaluator.parameters)
        return evaluator.add_automorphism(product, element, product)


def diagonals_to_encrypt(
    layout: PeriodicLayout, matrices: NDArray[np.float64]
) -> Iterator[NDArray[np.float64] | NDArray[np.complex128]]:
    """The diagonals of matrices of shape (blocks, rows, columns), each of shape (S,), as
    `PeriodicProduct.from_ciphertexts` takes them. As many as the layout has, whatever is zero in
    the matrices."""
    return diagonals_in_order(layout.step_plan, dict(layout.diagonal_values(matrices)))


def _imaginary(parameters: Parameters, limbs: int) -> Plaintext:
    """i in every slot: X^(N/2), exactly, at scale 1."""
    slots = np.full(parameters.ring_degree // 2, 1j)
    return encode_slots(parameters, slots, Fraction(1), limbs, transformed=True)


def _power_of_two(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 1 << (x - 1).bit_length()


def _periods(span: int, units: int, columns: int) -> list[tuple[int, int]]:
    """The least number of diagonals with a period, and the period; those with the fewest."""
    starts = np.arange(span // units) * units
    found: list[tuple[int, int]] = []
    for period in range(columns, min(span, 2 * columns + 2) + 1):
        places = np.unique(starts % period)
        gaps = np.diff(np.append(places, places[0] + period))
        # Columns beyond the last are padding, which no window needs to reach.
        least = max(int(gaps.max()) - (period - columns), -(-columns * units // span), 1)
        found.append((least, period))
    return sorted(found)[:_LAYOUTS]


@lru_cache(maxsize=4096)
def _cost(diagonals: int, folds: int) -> float:
    """Roughly the time of a product, in baby steps."""
    plan = StepPlan.choose(frozenset(range(diagonals)), key_cost=_KEY_COST)
    return plan.cost + _FOLD_COST * folds + _DIAGONAL_COST * diagonals


@lru_cache(maxsize=512)
def _cover(
    span: int, units: int, rows: int, columns: int, period: int, halved: bool
) -> tuple[NDArray[np.bool_], ...]:
    """For each diagonal which slots of a span have an entry of the matrix, shape (span,): every
    row's columns once."""
    left = np.ones((units, columns), dtype=bool)
    left[rows:] = False
    missing = rows * columns
    row = np.arange(units)
    diagonals: list[NDArray[np.bool_]] = []
    while missing:
        covered = np.zeros(span, dtype=bool)
        # Slots of one row one after the other: two of them may reach the same column.
        for start in range(0, span, units):
            column = (start + row + len(diagonals)) % span % period
            if halved:
                # Columns that are half a period apart come together.
                column %= columns
            inside = column < columns
            new = np.zeros(units, dtype=bool)
            new[inside] = left[row[inside], column[inside]]
            left[row[new], column[new]] = False
            covered[start : start + units] = new
            missing -= int(new.sum())
        covered.flags.writeable = False
        diagonals.append(covered)
    return tuple(diagonals)
