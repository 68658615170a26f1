"""Lattice reduction, as an attacker would use it: LLL in doubles, and Babai's nearest plane.

A basis is reduced while its large part is revealed a few bits at a time, so that doubles suffice
at each step (the idea of van Hoeij and Novocin, "Gradual sub-lattice reduction", LATIN 2010).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DELTA = 0.99
_HALF = 0.51
_STEP_BITS = 10

Integers = NDArray[np.object_]


def bounded_distance_secret(
    coefficients: Integers, modulus: int, observed: Integers, log_error: int, log_secret: int
) -> list[int]:
    """The secret w with coefficients @ w = observed + error modulo a number.

    Args:
        coefficients: shape (m, n), integers.
        observed: shape (m,).
        log_error, log_secret: base-2 sizes of errors and of the entries of w.
    """
    m, n = coefficients.shape
    # Rows (balance I | A^T) and (0 | modulus I): the vector (balance w | A w) is within a ball of
    # some 2^max(log_error, log_secret) of (0 | observed).
    balance = 1 << max(0, log_error - log_secret)
    stretch = 1 << max(0, log_secret - log_error)
    basis = np.zeros((n + m, n + m), dtype=object)
    basis[:n, :n] = np.identity(n, dtype=object) * balance
    basis[:n, n:] = coefficients.T % modulus * stretch
    basis[n:, n:] = np.identity(m, dtype=object) * (modulus * stretch)
    basis = _reduced(basis, n)
    target = np.concatenate([np.zeros(n, dtype=object), observed * stretch])
    for _ in range(8):  # doubles round, so the nearest plane is approached in a few steps
        target = target - _nearest(basis, target)
    return [-int(x) // balance for x in target[:n]]


def _reduced(basis: Integers, n: int) -> Integers:
    """An LLL-reduced basis of the same lattice. Columns from n on are the ones with large
    entries."""
    large = max(int(x).bit_length() for x in basis[:, n:].ravel())
    shift = large - _STEP_BITS
    while shift > 0:
        rough = basis.copy()
        rough[:, n:] = rough[:, n:] >> shift
        basis = _lll(rough.astype(np.float64)) @ basis
        shift -= _STEP_BITS
    return _lll(basis.astype(np.float64)) @ basis


def _lll(basis: NDArray[np.float64]) -> Integers:
    """The unimodular matrix that LLL-reduces a basis (Lenstra, Lenstra, Lovász 1982)."""
    size, width = basis.shape
    # Steps are done to the basis and to an identity beside it, exactly: all stay below 2^53.
    rows = np.hstack([basis, np.identity(size)])
    star = np.zeros_like(basis)  # Gram-Schmidt
    scaled = np.zeros_like(basis)  # the same rows, each over its squared norm
    norm = np.zeros(size)
    mu = np.zeros((size, size))
    k = 0
    while k < size:
        for _ in range(3):  # doubles round, so what is left is measured again
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


def _nearest(basis: Integers, target: Integers) -> Integers:
    """A lattice vector near a target: Babai's nearest plane (1986)."""
    upper = np.linalg.qr(basis.astype(np.float64).T)
    rest = target.copy()
    for j in range(len(basis) - 1, -1, -1):
        along = float(upper.Q[:, j] @ rest.astype(np.float64)) / upper.R[j, j]
        rest = rest - round(along) * basis[j]
    return target - rest
