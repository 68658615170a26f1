"""What there is to do for a polynomial: products, linear combinations, their levels and scales.

Values, without a ciphertext; `polynomial_planning` makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.polynomials import Basis


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """A linear combination of powers plus a constant, rescaled.

    Attributes:
        factors: by the index of the power; shape (), or (slots,).
        constant: likewise.
        limbs, scale: before the rescaling.
        drop: how many primes to rescale by.
    """

    factors: dict[int, NDArray[np.float64]]
    constant: NDArray[np.float64]
    limbs: int
    scale: Fraction
    drop: int


@dataclass(frozen=True, slots=True, eq=False)
class ProductSum:
    """The sum of values times powers plus a linear combination: one relinearisation.

    Attributes:
        products: values, and the indices of the powers that they are multiplied by.
        rest: without a rescaling of its own; None for zero.
        limbs, drop: level of the factors, and the primes to rescale by.
    """

    products: tuple[tuple[Value, int], ...]
    rest: Combination | None
    limbs: int
    drop: int


Value = Combination | ProductSum


@dataclass(frozen=True, slots=True)
class Power:
    """t^index, or 2 T_index(t).

    Attributes:
        left, right: indices of the factors.
        limbs, drop: level of the product, and the primes to rescale by.
        scale: after the rescaling.
    """

    index: int
    left: int
    right: int
    limbs: int
    drop: int
    scale: Fraction


@dataclass(frozen=True, slots=True, eq=False)
class PolynomialPlan:
    """What an evaluation does and what it consumes.

    Attributes:
        basis: of the polynomial.
        input_limbs, input_scale: of the ciphertext.
        factor, offset, first_scale, first_drop: power 1 is factor times the argument plus offset,
            at such a scale that the ciphertext is multiplied by an integer, and rescaled by the
            last `first_drop` primes.
        powers: in the order of evaluation.
        value: the polynomial.
        levels: how many primes each level drops.
        scale, limbs: of the result.
        lowest_scale: of all ciphertexts on the way, which bounds the precision.
    """

    basis: Basis
    input_limbs: int
    input_scale: Fraction
    factor: Fraction
    offset: Fraction
    first_scale: Fraction
    first_drop: int
    powers: tuple[Power, ...]
    value: Value
    levels: tuple[int, ...]
    scale: Fraction
    limbs: int
    lowest_scale: Fraction

    @property
    def combinations(self) -> list[Combination]:
        """All linear combinations."""
        return _combinations(self.value)

    @property
    def products(self) -> int:
        """How many relinearisations: what the time goes into."""
        return len(self.powers) + _relinearisations(self.value)

    @property
    def rescalings(self) -> int:
        """How many linear combinations are rescaled on their own."""
        return sum(c.drop > 0 for c in self.combinations)

    @property
    def primes(self) -> int:
        """How many primes the evaluation consumes."""
        return self.input_limbs - self.limbs

    def scale_of(self, index: int) -> Fraction:
        """The scale of a power."""
        if index == 1:
            return self.first_scale
        return next(p.scale for p in self.powers if p.index == index)


def _combinations(value: Value) -> list[Combination]:
    if isinstance(value, Combination):
        return [value]
    found = [c for quotient, _ in value.products for c in _combinations(quotient)]
    return found if value.rest is None else [*found, value.rest]


def _relinearisations(value: Value) -> int:
    if isinstance(value, Combination):
        return 0
    return 1 + sum(_relinearisations(quotient) for quotient, _ in value.products)
