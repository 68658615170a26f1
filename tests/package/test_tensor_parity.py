"""Named tensors agree where all numbers do, but for the order of additions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from strongroom.package.tensor_parity import tensor_parity

NUMBERS = np.array([1.0, -200.0, np.inf], dtype=np.float32)


@pytest.mark.parametrize(
    ("plain", "agreement", "error"),
    [
        ({"y": NUMBERS}, 1.0, 0.0),
        ({"y": NUMBERS * np.float32(1 + 1e-6)}, 1.0, 2e-4),
        ({"y": NUMBERS + np.float32(0.1)}, 0.0, 0.1),
        ({"y": NUMBERS[:2]}, 0.0, 0.0),
        ({"y": np.array([1.0, -200.0, 0.0])}, 0.0, 0.0),
        ({"z": NUMBERS}, 0.0, 0.0),
        ({"y": NUMBERS, "z": NUMBERS}, 0.0, 0.0),
    ],
)
def test_one_number_that_differs_is_no_agreement(
    plain: dict[str, Any], agreement: float, error: float
) -> None:
    parity = tensor_parity({"y": NUMBERS}, plain)
    assert (parity.rows, parity.agreement) == (1, agreement)
    assert parity.max_score_error == pytest.approx(error, rel=0.5)
