"""Linear models by coefficients: where rows, weights and inner products sit in a polynomial.

With d columns and g outputs a ciphertext, a row takes a block of B = g d coefficients and fills
its first d. The weights of output c, reversed, take the coefficients c d to c d + d - 1 of one
polynomial. In the product, coefficient r B + c d + d - 1 is the inner product of row r and output
c: every other pair of a row and an output lands elsewhere, and what wraps around X^N = -1 lands on
the first d - 1 coefficients, where nothing is read (Huang, Lu, Hong, Ding, "Cheetah", USENIX
Security 2022, has the same for one matrix).

A model with more columns than coefficients cuts them into chunks, one ciphertext each; one with
more outputs than fit makes several results from the same ciphertexts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LinearPacking:
    """The packing of one model.

    Attributes:
        ring_degree: N.
        columns, outputs: of the model.
        column_chunks: ciphertexts that one row is cut into.
        outputs_per_ciphertext: g.
        rows_per_ciphertext: how many blocks fit.
    """

    ring_degree: int
    columns: int
    outputs: int
    column_chunks: int
    outputs_per_ciphertext: int
    rows_per_ciphertext: int

    @classmethod
    def choose(cls, ring_degree: int, columns: int, outputs: int) -> LinearPacking:
        """The fewest results for one row: as many outputs a ciphertext as fit."""
        chunks = -(-columns // ring_degree)
        chunk_columns = -(-columns // chunks)
        together = min(outputs, ring_degree // chunk_columns)
        rows = ring_degree // (together * chunk_columns)
        return cls(ring_degree, columns, outputs, chunks, together, rows)

    @property
    def chunk_columns(self) -> int:
        """d: columns of one chunk; the last chunk is filled up with zeros."""
        return -(-self.columns // self.column_chunks)

    @property
    def block(self) -> int:
        """B: coefficients of one row."""
        return self.chunk_columns * self.outputs_per_ciphertext

    @property
    def groups(self) -> int:
        """How many results a block of rows gives."""
        return -(-self.outputs // self.outputs_per_ciphertext)

    def group_outputs(self, group: int) -> int:
        """How many outputs one result holds: g, or what is left in the last group."""
        return min(self.outputs_per_ciphertext, self.outputs - group * self.outputs_per_ciphertext)

    def row_coefficients(self, rows: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Rows, shape (n, columns), n at most `rows_per_ciphertext`, as coefficients of each
        chunk's polynomial."""
        d = self.chunk_columns
        polynomials = []
        for chunk in range(self.column_chunks):
            part = rows[:, chunk * d : (chunk + 1) * d]
            blocks = np.zeros((len(rows), self.block))
            blocks[:, : part.shape[1]] = part
            polynomials.append(blocks.ravel())
        return polynomials

    def weight_coefficients(
        self, weights: NDArray[np.float64], group: int, chunk: int
    ) -> NDArray[np.float64]:
        """Weights, shape (outputs, columns), as coefficients of one group's and chunk's
        polynomial."""
        d, g = self.chunk_columns, self.outputs_per_ciphertext
        part = weights[group * g : (group + 1) * g, chunk * d : (chunk + 1) * d]
        blocks = np.zeros((len(part), d))
        blocks[:, d - part.shape[1] :] = part[:, ::-1]
        return blocks.ravel()

    def request_count(self, rows: int) -> int:
        """How many coefficients of c0 the inner products of some rows read.

        Inner product r B + c d + d - 1 reads the g d coefficients up to it, so all of them
        together read one run, from g - 1 rows' widths before the first block.
        """
        run = (rows - 1) * self.block + (2 * self.outputs_per_ciphertext - 1) * self.chunk_columns
        return min(run, self.ring_degree)

    def request_positions(self, rows: int) -> NDArray[np.uint32] | None:
        """Those coefficients, ascending, read-only; None if they are all. The others need not
        travel."""
        return _request_positions(self, rows)

    def result_positions(self, rows: int, group: int) -> NDArray[np.uint32]:
        """The declared coefficients of one result, row by row, shape (rows * outputs,),
        read-only."""
        return _result_positions(self, rows, group)


# A server asks for the same few over and over, and making one costs as much as a transform.


@lru_cache(maxsize=128)
def _request_positions(packing: LinearPacking, rows: int) -> NDArray[np.uint32] | None:
    count = packing.request_count(rows)
    if count == packing.ring_degree:
        return None
    run = np.arange(count) - (packing.outputs_per_ciphertext - 1) * packing.chunk_columns
    return _read_only(np.sort(run % packing.ring_degree))


@lru_cache(maxsize=128)
def _result_positions(packing: LinearPacking, rows: int, group: int) -> NDArray[np.uint32]:
    d = packing.chunk_columns
    outputs = np.arange(packing.group_outputs(group)) * d + d - 1
    starts = np.arange(rows)[:, None] * packing.block
    return _read_only((starts + outputs).ravel())


def _read_only(positions: NDArray[np.intp]) -> NDArray[np.uint32]:
    result = positions.astype(np.uint32)
    result.flags.writeable = False
    return result
