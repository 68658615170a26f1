"""Weighted sums over slots without a rotation: the last layer, read from coefficients.

A slot vector that repeats with period T is a polynomial in X^g, g = N / (2 T): its coefficients lie
g apart. The coefficient of X^0 is the mean of all slots, so a product with a plaintext has there
the weighted sum of the slots, and a plaintext that is the sum of X^r D_r, r < g, has the sums of up
to g outputs in the coefficients 0 to g - 1: nothing that belongs to one output reaches another's.

With q vectors interleaved, slot u q + i belonging to vector i, the sums of all come out at once:
the coefficients at multiples of N / (2 q) are the projection to the subring of degree 2 q, whose
slot i is the mean over the slots of vector i. For real slots the first q of them say it all, the
others are their mirror image; so each declared coefficient is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.ciphertext import Ciphertext, Plaintext
from strongroom.engine.encoding import encode_coefficients
from strongroom.engine.evaluator import Evaluator
from strongroom.engine.parameters import Parameters


@dataclass(frozen=True, slots=True)
class SumLayout:
    """Where sums come out.

    Attributes:
        ring_degree: N.
        period: T, a power of two: slots after which the ciphertext repeats.
        vectors: q, a power of two not above T: how many are interleaved.
        outputs: of each vector.
    """

    ring_degree: int
    period: int
    vectors: int
    outputs: int

    def __post_init__(self) -> None:
        if not 1 <= self.vectors <= self.period <= self.ring_degree // 2:
            raise ValueError("vectors are no more than a period's slots, and those than a ring's")
        if not self.outputs >= 1:
            raise ValueError("a sum has an output")

    @property
    def together(self) -> int:
        """How many outputs one ciphertext holds."""
        return min(self.outputs, self.ring_degree // 2 // self.period)

    @property
    def groups(self) -> int:
        """How many ciphertexts the outputs take."""
        return -(-self.outputs // self.together)

    def group_outputs(self, group: int) -> int:
        """How many outputs a ciphertext holds: the last may have fewer."""
        return min(self.together, self.outputs - group * self.together)

    def positions(self, group: int) -> NDArray[np.uint32]:
        """The declared coefficients of a ciphertext, vector index first: shape (vectors *
        outputs of the group,)."""
        starts = np.arange(self.vectors) * (self.ring_degree // 2 // self.vectors)
        places = starts[:, None] + np.arange(self.group_outputs(group))
        return places.reshape(-1).astype(np.uint32)

    def coefficients(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """A plaintext's coefficients, shape (N,), for weights of shape (outputs, T): those of one
        group, and of the T slots of a period."""
        scale = self.period // self.vectors
        result = np.zeros(self.ring_degree)
        for output, row in enumerate(weights):
            slots = np.tile(row * scale, self.ring_degree // 2 // self.period)
            shifted = np.roll(_from_slots(slots), output)
            shifted[:output] *= -1.0
            result += shifted
        return result

    def offsets(self, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values at the declared coefficients that add a bias, shape (outputs of a group,), to
        every vector's sums: a constant is in the coefficient 0 alone."""
        values = np.zeros((self.vectors, len(bias)))
        values[0] = bias
        return values.reshape(-1)

    def sums(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums of shape (vectors, outputs of a group) from what the declared coefficients hold."""
        values = coefficients.reshape(self.vectors, -1)
        return np.asarray(_projection(self.vectors) @ values)


@dataclass(frozen=True, slots=True)
class SlotSums:
    """Weights, encoded, ready to be multiplied by: one plaintext for each group of outputs.

    Attributes:
        layout: where sums come out.
        scale: of the weights.
    """

    layout: SumLayout
    scale: Fraction
    plaintexts: tuple[Plaintext, ...]

    @classmethod
    def encode(
        cls,
        parameters: Parameters,
        layout: SumLayout,
        weights: NDArray[np.float64],
        *,
        scale: Fraction,
        limbs: int,
    ) -> SlotSums:
        """Weights of shape (outputs, T), for ciphertexts of up to `limbs` primes."""
        if weights.shape != (layout.outputs, layout.period):
            raise ValueError(f"weights of shape {weights.shape}")
        step = layout.together
        plaintexts = tuple(
            encode_coefficients(
                parameters,
                layout.coefficients(weights[begin : begin + step]),
                scale,
                limbs,
                transformed=True,
            )
            for begin in range(0, layout.outputs, step)
        )
        return cls(layout, scale, plaintexts)

    def apply(self, evaluator: Evaluator, vector: Ciphertext, group: int) -> Ciphertext:
        """A group's sums, packed by coefficients, not rescaled and not sanitised."""
        return evaluator.multiply_plain(_as_coefficients(vector), self.plaintexts[group])


def hidden_sums(
    evaluator: Evaluator,
    vectors: Sequence[Ciphertext],
    weights: Sequence[Ciphertext],
    *,
    drop: int = 0,
) -> Ciphertext:
    """A group's sums over several vectors with encrypted weights, packed by coefficients: one
    relinearisation for all.

    Args:
        vectors: packed by slots.
        weights: of each, an encryption of `SumLayout.coefficients`.
        drop: how many primes to rescale by.
    """
    pairs = [(_as_coefficients(v), w) for v, w in zip(vectors, weights, strict=True)]
    return evaluator.sum_of_products(pairs, drop=drop)


def _as_coefficients(vector: Ciphertext) -> Ciphertext:
    """The same polynomial, of which other numbers are read."""
    if vector.packing != "slots":
        raise ValueError("sums are over slots")
    return Ciphertext(vector.native, vector.parameters, vector.scale, "coefficients")


def _from_slots(slots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients, shape (N,), of the real polynomial with real slots, shape (N/2,): the inverse
    of evaluation at zeta^(5^j), zeta = exp(i pi / N)."""
    n = 2 * len(slots)
    exponents = np.ones(len(slots), dtype=np.int64)
    for j in range(1, len(slots)):
        exponents[j] = exponents[j - 1] * 5 % (2 * n)
    values = np.zeros(2 * n)
    values[exponents] = slots
    values[2 * n - exponents] = slots
    return np.fft.fft(values).real[:n] / n


def _projection(vectors: int) -> NDArray[np.float64]:
    """Slots of the subring of degree 2 q from its first q coefficients, for real slots: c_(2q-t) is
    -c_t, so that slot i is c_0 + 2 sum over t of c_t cos(pi t 5^i / (2 q))."""
    powers = np.array([pow(5, i, 4 * vectors) for i in range(vectors)], dtype=np.float64)
    t = np.arange(vectors)
    matrix = 2.0 * np.cos(np.pi * np.outer(powers, t) / (2 * vectors))
    matrix[:, 0] = 1.0
    return np.asarray(matrix)
