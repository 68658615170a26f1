"""Which powers of its argument a polynomial is evaluated from, and how it is taken apart.

Paterson and Stockmeyer (SIAM J. Comput. 2, 1973): p = q g + r with g a power that is there,
and q and r again, until what is left is a linear combination of powers, which costs no product of
ciphertexts. Two things are particular to ciphertexts. A sum of products is relinearised once, so
that r's products join those of q g and cost nothing of their own. And levels are scarce: at the
least depth, coefficients included, the quotients that come first must be split down to degree one
(Bossuat, Mouchet, Troncoso-Pastoriza, Hubaux, EUROCRYPT 2021, section 4).

"Power i" is t^i, or 2 T_i(t) in the Chebyshev basis. Its depth is ceil(log2 i). A linear
combination is one level below its deepest power, since coefficients are rescaled by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from strongroom.engine.polynomials import Basis

_MOST_GIANTS = 8


@dataclass(frozen=True, slots=True)
class Support:
    """Which coefficients a polynomial has: those at odd indices, or at multiples of `step`.

    All quotients and rests by powers that are multiples of `step` have the same support.
    """

    step: int
    odd: bool

    def indices(self, last: int) -> list[int]:
        """Those from 1 to `last`."""
        return list(range(1 if self.odd else self.step, last + 1, self.step))


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a product and of a rescaling whose results have depth 1, 2, ... (entry 0 is depth 1)."""

    products: tuple[int, ...]
    rescalings: tuple[int, ...]


def support_of(indices: list[int]) -> Support:
    """The narrowest support with these indices."""
    positive = [i for i in indices if i]
    if positive and 0 not in indices and all(i % 2 for i in positive):
        return Support(2, True)
    divisor = math.gcd(*positive) or 1
    return Support(divisor & -divisor, False)


def power_depth(index: int) -> int:
    """Levels that a power takes: ceil(log2 index)."""
    return (index - 1).bit_length()


@dataclass(slots=True)
class Shape:
    """A choice of powers, and how polynomials of any degree are split by them.

    Attributes:
        babies: linear combinations take powers up to this one, a power of two.
        powers: the indices that there are.
    """

    support: Support
    basis: Basis
    costs: Costs
    babies: int
    powers: frozenset[int]
    _splits: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)

    def is_linear(self, degree: int, depth: int) -> bool:
        """Whether a polynomial is a linear combination of powers of at most this depth."""
        return degree == 0 or (degree <= self.babies and power_depth(degree) <= depth)

    def divisor(self, degree: int, depth: int) -> int:
        """The index of the power to divide by, for a sum of products of this depth."""
        return self._split(degree, depth)[1]

    def cost(self, degree: int, depth: int) -> float:
        """Of a polynomial as a ciphertext of this depth, its powers included."""
        used: set[int] = set()
        cost = self._value_cost(degree, depth)
        if math.isinf(cost):
            return cost
        self._use(degree, depth, used)
        return cost + sum(self.costs.products[power_depth(i) - 1] for i in self.closure(used))

    def factors(self, index: int) -> tuple[int, int]:
        """(i, j), i >= j: power `index` is the product of powers i and j, minus power i - j in
        the Chebyshev basis. As balanced as there are powers for, for the least noise."""
        depth = power_depth(index) - 1
        for j in range(index // 2, 0, -1):
            i = index - j
            if power_depth(i) > depth:
                break
            needed = {i, j, i - j} - {0} if self.basis == "chebyshev" else {i, j}
            if needed <= self.powers:
                return i, j
        raise AssertionError("a shape has the factors of its powers")

    def closure(self, used: set[int]) -> list[int]:
        """All powers above 1 that these are computed from, and themselves, in order."""
        needed, pending = set[int](), set(used)
        while pending:
            index = pending.pop()
            if index <= 1 or index in needed:
                continue
            needed.add(index)
            i, j = self.factors(index)
            pending |= {i, j, i - j} if self.basis == "chebyshev" else {i, j}
        return sorted(needed)

    def _rest_degree(self, degree: int, index: int) -> int:
        below = index - (1 if self.support.odd else self.support.step)
        return below if self.basis == "power" else max(below, degree - 2 * index)

    def _split(self, degree: int, depth: int) -> tuple[float, int]:
        """(cost, divisor) of a sum of products of this depth, before its relinearisation."""
        if self.is_linear(degree, depth - 1):
            return 0.0, 0
        known = self._splits.get((degree, depth))
        if known is not None:
            return known
        best = (math.inf, 0)
        for index in sorted(self.powers, reverse=True):
            usable = index <= degree and power_depth(index) < depth
            if not usable or index % self.support.step:
                continue
            cost = self._value_cost(degree - index, depth - 1)
            if cost < best[0]:
                cost += self._split(self._rest_degree(degree, index), depth)[0]
                best = min(best, (cost, index), key=lambda found: found[0])
        self._splits[degree, depth] = best
        return best

    def _value_cost(self, degree: int, depth: int) -> float:
        if degree == 0:
            return 0.0
        if depth == 0:
            return math.inf
        if self.is_linear(degree, depth - 1):
            return self.costs.rescalings[depth - 1]
        return self.costs.products[depth - 1] + self._split(degree, depth)[0]

    def _use(self, degree: int, depth: int, used: set[int]) -> None:
        """Collect the powers for a ciphertext of this depth."""
        while not self.is_linear(degree, depth - 1):
            index = self.divisor(degree, depth)
            used.add(index)
            if degree > index:
                self._use(degree - index, depth - 1, used)
            degree = self._rest_degree(degree, index)
        used.update(self.support.indices(degree))


@lru_cache(maxsize=256)
def best_shape(degree: int, support: Support, basis: Basis, costs: Costs) -> Shape:
    """The cheapest shape for a polynomial, as deep as there are costs.

    Tried are baby steps up to each power of two, and giant steps at all powers of two and the
    first few multiples of the largest baby step.
    """
    depth = len(costs.products)
    best: tuple[float, Shape] | None = None
    twos = {1 << k for k in range(degree.bit_length())}
    for babies in sorted(twos | {2}):
        if babies < support.step:
            continue
        for giants in range(1, min(_MOST_GIANTS, max(degree // babies, 1)) + 1):
            powers = twos | set(support.indices(babies)) | {babies * k for k in range(1, giants)}
            shape = Shape(support, basis, costs, babies, frozenset(powers))
            cost = shape.cost(degree, depth)
            if best is None or cost < best[0]:
                best = cost, shape
    if best is None or math.isinf(best[0]):
        raise ValueError(f"degree {degree} needs more than {depth} levels")
    return best[1]
