"""The weights as bytes: what was written is read, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from strongroom.compiler.linear import ScaledAffine
from strongroom.errors import PackageError
from strongroom.protections.fhe.payload import payload_from_bytes, payload_to_bytes

OUTPUTS, COLUMNS, HEADER = 3, 5, 14


@pytest.fixture
def model() -> ScaledAffine:
    generator = np.random.default_rng(5)
    return ScaledAffine(generator.normal(size=(OUTPUTS, COLUMNS)), generator.normal(size=OUTPUTS))


def test_what_was_written_is_read_exactly(model: ScaledAffine) -> None:
    read = payload_from_bytes(payload_to_bytes(model), OUTPUTS, COLUMNS)
    np.testing.assert_array_equal(read.weights, model.weights)
    np.testing.assert_array_equal(read.bias, model.bias)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "nothing": lambda data: b"",
    "only a header": lambda data: data[:HEADER],
    "a byte too few": lambda data: data[:-1],
    "a byte too many": lambda data: data + b"\0",
    "another magic": lambda data: b"SRLX" + data[4:],
    "another version": lambda data: data[:4] + b"\2\0" + data[6:],
    "another shape of the same size": lambda data: data[:6] + b"\2\0\0\0\x08\0\0\0" + data[14:],
    "a weight that is no number": lambda data: data[:-8] + np.float64("nan").tobytes(),
    "an infinite bias": lambda data: data[:14] + np.float64("inf").tobytes() + data[22:],
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_payload_is_refused(model: ScaledAffine, damage: str) -> None:
    data = DAMAGE[damage](payload_to_bytes(model))
    with pytest.raises(PackageError, match="the payload of the package is damaged") as caught:
        payload_from_bytes(data, OUTPUTS, COLUMNS)
    assert caught.value.code == "SR-PACKAGE-FILE"
