"""Lattice reduction, as an attacker would use it: LLL in doubles, and Babai's nearest plane.

A basis is reduced while its large part is revealed some bits at a time, so that doubles suffice at
each step (the idea of van Hoeij and Novocin, "Gradual sub-lattice reduction", LATIN 2010).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DELTA = 0.8
_HALF = 0.51
_STEP_BITS = 24

Integers = NDArray[np.object_]


@dataclass(frozen=True)
class NoisyEquations:
    """Equations coefficients @ w = observed + error modulo a number, for small w and errors."""

    unknowns: int
    balance: int
    stretch: int
    basis: Integers

    @classmethod
    def reduced(
        cls, coefficients: Integers, modulus: int, *, log_error: int, log_secret: int
    ) -> NoisyEquations:
        """Prepare for equations whose coefficients, shape (m, n), are known.

        Args:
            log_error, log_secret: base-2 sizes of the errors and of the entries of w.
        """
        m, n = coefficients.shape
        # Rows (balance I | stretch A^T) and (0 | stretch modulus I): the lattice has the vector
        # (balance w | stretch A w), about as far from (0 | stretch observed) in each coordinate.
        balance = 1 << max(0, log_error - log_secret)
        stretch = 1 << max(0, log_secret - log_error)
        basis = np.zeros((n + m, n + m), dtype=object)
        basis[:n, :n] = np.identity(n, dtype=object) * balance
        basis[:n, n:] = coefficients.T % modulus * stretch
        basis[n:, n:] = np.identity(m, dtype=object) * (modulus * stretch)
        shift = (modulus * stretch).bit_length() - _STEP_BITS
        while shift > -_STEP_BITS:
            rough = basis.copy()
            rough[:, n:] = rough[:, n:] >> max(shift, 0)
            basis = _lll(rough.astype(np.float64)) @ basis
            shift -= _STEP_BITS
        return cls(n, balance, stretch, basis)

    def solve(self, observed: Integers) -> list[int]:
        """The w for which the equations nearly hold; observed has shape (m,)."""
        zeros = np.zeros(self.unknowns, dtype=object)
        rest = np.concatenate([zeros, observed * self.stretch])
        orthogonal, upper = np.linalg.qr(self.basis.astype(np.float64).T)
        for _ in range(8):  # doubles round, so the nearest plane is approached in a few steps
            for j in range(len(self.basis) - 1, -1, -1):
                along = float(orthogonal[:, j] @ rest.astype(np.float64)) / upper[j, j]
                rest = rest - round(along) * self.basis[j]
        return [-int(x) // self.balance for x in rest[: self.unknowns]]


def _lll(basis: NDArray[np.float64]) -> Integers:
    """The unimodular matrix that LLL-reduces a basis (Lenstra, Lenstra, Lovász 1982)."""
    size, width = basis.shape
    # Every step is done to the basis, nearly, and to an identity beside it, exactly.
    rows = np.hstack([basis, np.identity(size)])
    star = np.zeros_like(basis)  # Gram-Schmidt
    scaled = np.zeros_like(basis)  # the same rows, each over its squared norm
    norm = np.zeros(size)
    mu = np.zeros((size, size))
    k = 0
    while k < size:
        for _ in range(3):  # what rounding left is measured again
            mu[k, :k] = scaled[:k] @ rows[k, :width]
            wide = np.flatnonzero(np.abs(mu[k, :k]) > _HALF)
            if not wide.size:
                break
            while wide.size:
                j = wide[-1]
                x = np.rint(mu[k, j])
                mu[k, :j] -= x * mu[j, :j]
                mu[k, j] -= x
                rows[k] -= x * rows[j]
                wide = np.flatnonzero(np.abs(mu[k, :j]) > _HALF)
        star[k] = rows[k, :width] - mu[k, :k] @ star[:k]
        norm[k] = star[k] @ star[k]
        scaled[k] = star[k] / norm[k]
        if k == 0 or norm[k] >= (_DELTA - mu[k, k - 1] ** 2) * norm[k - 1]:
            k += 1
        else:
            rows[[k - 1, k]] = rows[[k, k - 1]]
            k -= 1
    return np.array([[int(x) for x in row] for row in rows[:, width:]], dtype=object)
