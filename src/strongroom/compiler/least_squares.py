"""Weighted linear least squares, many at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def least_squares(matrix: Array, values: Array, weights: Array) -> Array:
    """Minimises sum_i w_i (sum_j matrix_ij c_j - values_i)^2 for each unit.

    By QR factorisation of columns of length one.

    Args:
        matrix: shape (n, units, columns).
        values: shape (n, units).
        weights: shape (n,).

    Returns:
        c, shape (columns, units).
    """
    root = np.sqrt(weights)
    scaled = np.moveaxis(matrix, 0, 1) * root[:, None]
    lengths = np.sqrt(np.square(scaled).sum(axis=1, keepdims=True))
    lengths[lengths == 0] = 1.0
    q, r = np.linalg.qr(scaled / lengths)
    right = np.einsum("unc,nu->uc", q, values * root[:, None])
    solved = np.linalg.solve(r, right[..., None])[..., 0]
    return np.asarray((solved / lengths[:, 0]).T)
