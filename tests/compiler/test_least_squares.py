"""Weighted least squares against numpy's, unit by unit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.compiler.least_squares import least_squares


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), columns=st.integers(1, 8), units=st.integers(1, 4))
def test_every_unit_gets_its_own_solution(seed: int, columns: int, units: int) -> None:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(30, units, columns)) * 10.0 ** generator.integers(
        -6, 6, columns
    )
    values, weights = generator.normal(size=(30, units)), generator.uniform(0.1, 2, 30)
    found = least_squares(matrix, values, weights)
    root = np.sqrt(weights)
    for unit in range(units):
        sizes = np.abs(matrix[:, unit]).max(axis=0)
        expected = np.linalg.lstsq(
            matrix[:, unit] / sizes * root[:, None], values[:, unit] * root, rcond=None
        )[0]
        assert found[:, unit] * sizes == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_a_column_of_zeros_has_no_solution() -> None:
    with pytest.raises(np.linalg.LinAlgError):
        least_squares(np.zeros((5, 1, 1)), np.ones((5, 1)), np.ones(5))
