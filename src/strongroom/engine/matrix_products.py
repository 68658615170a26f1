"""Matrix times vector in slots, with as few diagonals as there can be.

An m x n matrix has m n entries and a diagonal holds one for each of the S slots, so m n / S
diagonals are the least. The layout below reaches that. With m and n padded to powers of two,
R = S / n copies of the vector and w = m / R diagonals, slot j holds entry

    column(j) = (j mod m + w floor(j / m)) mod n

of the vector, and the diagonal of rotation k < w holds M[j mod m, column(j + k)]. The slots that
belong to one row lie m apart; summing them (log2(S / m) rotations) gives the row's inner product.
Each column occurs once for each row: the windows [column(j), column(j + w)) of a row's slots start
w apart, and where one is cut by the jump of `column` at a multiple of m, its two parts fall where
the parts of its neighbours end and begin.

A block-diagonal matrix of B blocks interleaves them: slot j B + b is slot j of block b in S / B
slots. All rotations are then multiples of B, and blocks do not meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.evaluator import Evaluator, sum_steps
from strongroom.engine.galois import rotation_elements
from strongroom.engine.keys import PublicKey, SecretKey
from strongroom.engine.linear_transforms import (
    EncryptedLinearTransform,
    LinearTransform,
    apply_transform,
)
from strongroom.engine.parameters import Parameters


@dataclass(frozen=True, slots=True)
class MatrixLayout:
    """Where a vector's and a product's entries lie.

    Attributes:
        slots: S, a power of two.
        rows, columns: of each block.
        blocks: how many blocks, 1 for a full matrix.
    """

    slots: int
    rows: int
    columns: int
    blocks: int = 1

    def __post_init__(self) -> None:
        if min(self.rows, self.columns, self.blocks) < 1:
            raise ValueError("a matrix has rows and columns")
        if _power_of_two(self.blocks) * max(self._m, self._n) > self.slots:
            raise ValueError(
                f"{self.blocks} blocks of {self.rows} x {self.columns} do not fit {self.slots} "
                f"slots"
            )

    @property
    def diagonals(self) -> int:
        """How many diagonals the matrix takes."""
        return max(1, self._m * self._n * self._stride // self.slots)

    @property
    def terms(self) -> int:
        """How many slots are summed for an entry of the product; a power of two."""
        return self._n // self.diagonals

    @property
    def diagonal_steps(self) -> tuple[int, ...]:
        """Rotations of the diagonals."""
        return tuple(k * self._stride for k in range(self.diagonals))

    @property
    def fold_steps(self) -> frozenset[int]:
        """Rotations of the final sum."""
        return sum_steps(self.terms, self._m * self._stride)

    def spread(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The slots, shape (S,), for a vector of shape (columns,), or (blocks, columns)."""
        padded = np.zeros((self._stride, self._n))
        expected = (self.blocks, self.columns)
        if vectors.shape != expected and (self.blocks, *vectors.shape) != expected:
            raise ValueError(f"vectors of shape {vectors.shape} where {expected} belongs")
        padded[: self.blocks, : self.columns] = vectors
        return padded[:, self._column(np.arange(self.slots // self._stride))].T.reshape(-1)

    def gather(self, slots: NDArray[np.float64]) -> NDArray[np.float64]:
        """The product, shape (rows,) or (blocks, rows), from slots of shape (S,)."""
        table = slots.reshape(-1, self._stride)[: self.rows, : self.blocks].T
        return np.ascontiguousarray(table[0] if self.blocks == 1 else table)

    def diagonal_values(self, matrices: NDArray[np.float64]) -> dict[int, NDArray[np.float64]]:
        """Diagonals, each of shape (S,), by rotation, of a matrix of shape (rows, columns), or
        (blocks, rows, columns)."""
        padded = np.zeros((self._stride, self._m, self._n))
        expected = (self.blocks, self.rows, self.columns)
        if matrices.shape != expected and (self.blocks, *matrices.shape) != expected:
            raise ValueError(f"matrices of shape {matrices.shape} where {expected} belongs")
        padded[: self.blocks, : self.rows, : self.columns] = matrices
        j = np.arange(self.slots // self._stride)
        return {
            steps: padded[:, j % self._m, self._column(j + k)].T.reshape(-1)
            for k, steps in enumerate(self.diagonal_steps)
        }

    @property
    def _stride(self) -> int:
        return _power_of_two(self.blocks)

    @property
    def _m(self) -> int:
        return _power_of_two(self.rows)

    @property
    def _n(self) -> int:
        return _power_of_two(self.columns)

    def _column(self, j: NDArray[np.int64]) -> NDArray[np.int64]:
        result: NDArray[np.int64] = (j % self._m + self.diagonals * (j // self._m)) % self._n
        return result


@dataclass(frozen=True, slots=True)
class MatrixProduct:
    """A matrix, encoded or encrypted, ready to be multiplied by encrypted vectors.

    Attributes:
        layout: how vectors are spread over slots before encryption, and where products are.
    """

    layout: MatrixLayout
    transform: LinearTransform | EncryptedLinearTransform

    @classmethod
    def plain(
        cls,
        parameters: Parameters,
        matrices: NDArray[np.float64],
        *,
        scale: Fraction,
        limbs: int | None = None,
    ) -> MatrixProduct:
        """A matrix of shape (rows, columns), or blocks of shape (blocks, rows, columns)."""
        layout = _layout(parameters, matrices)
        diagonals = layout.diagonal_values(matrices)
        return cls(
            layout,
            LinearTransform.from_diagonals(parameters, diagonals, scale=scale, limbs=limbs),
        )

    @classmethod
    def encrypted(
        cls,
        key: PublicKey | SecretKey,
        matrices: NDArray[np.float64],
        *,
        scale: Fraction,
        limbs: int | None = None,
    ) -> MatrixProduct:
        """The same, encrypted: whoever multiplies by it does not learn it."""
        layout = _layout(key.parameters, matrices)
        diagonals = layout.diagonal_values(matrices)
        return cls(
            layout,
            EncryptedLinearTransform.from_diagonals(key, diagonals, scale=scale, limbs=limbs),
        )

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements (and `RELINEARISATION`, if encrypted) that keys are needed for."""
        folds = rotation_elements(self.transform.parameters, self.layout.fold_steps)
        return self.transform.elements | folds

    def apply(self, evaluator: Evaluator, vector: Ciphertext, *, drop: int = 0) -> Ciphertext:
        """The product with an encrypted, spread vector, rescaled by the last `drop` primes; every
        row's entry is in all slots that `layout.gather` could read it from."""
        product = apply_transform(evaluator, vector, self.transform, drop=drop)
        stride = min(self.layout.fold_steps, default=1)
        return evaluator.sum_slots(product, self.layout.terms, stride)


def _layout(parameters: Parameters, matrices: NDArray[np.float64]) -> MatrixLayout:
    if matrices.ndim not in (2, 3):
        raise ValueError("a matrix has two dimensions, blocks of matrices three")
    blocks = matrices.shape[0] if matrices.ndim == 3 else 1
    rows, columns = matrices.shape[-2:]
    return MatrixLayout(parameters.ring_degree // 2, rows, columns, blocks)


def _power_of_two(x: int) -> int:
    """The smallest power of two that is not below x."""
    return 1 << (x - 1).bit_length()
