"""Named tensors come back as they were, and nothing else is read as tensors."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from strongroom.canonical import canonical_json
from strongroom.errors import CiphertextError
from strongroom.protections.sealed.tensors import (
    DTYPES,
    content_bytes,
    tensors_from_bytes,
    tensors_to_bytes,
)

ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=20), ARRAYS, max_size=4), st.integers(0, 7))
def test_tensors_come_back_as_they_were(tensors: dict[str, Any], offset: int) -> None:
    content = tensors_to_bytes(tensors)
    # at whatever place a message puts them
    found = tensors_from_bytes(memoryview(bytes(offset) + content)[offset:])
    assert list(found) == list(tensors)
    for name, array in tensors.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.aligned
        assert not found[name].flags.writeable
    shapes = {name: (array.dtype.name, array.shape) for name, array in tensors.items()}
    assert content_bytes(shapes) == len(content)


def test_arrays_in_another_order_of_memory_are_the_same_numbers() -> None:
    array = np.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(2, 0, 1)
    found = tensors_from_bytes(memoryview(tensors_to_bytes({"x": array})))["x"]
    assert np.array_equal(found, array)
    assert found.dtype == np.dtype("float32")


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), unique=True, max_size=4))
def test_headers_are_canonical_json_whatever_the_names(names: list[str]) -> None:
    content = tensors_to_bytes({name: np.zeros((2, 0), np.float16) for name in names})
    wanted = canonical_json([{"dtype": "float16", "name": name, "shape": [2, 0]} for name in names])
    assert content[8 : 8 + int.from_bytes(content[:8], "little")] == wanted


@pytest.mark.parametrize("dtype", [">f4", ">i8", "<u2"])
def test_types_have_one_name_in_every_order_of_bytes(dtype: str) -> None:
    numbers = np.arange(3, dtype=dtype)
    back = tensors_from_bytes(memoryview(tensors_to_bytes({"x": numbers})))["x"]
    assert back.dtype.name == numbers.dtype.name
    assert np.array_equal(back, numbers)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array([None])], ids=str)
def test_other_types_are_not_written(array: Any) -> None:
    with pytest.raises(ValueError, match="tensor 'x' has type"):
        tensors_to_bytes({"x": array})


def assembled(header: Any, bodies: bytes) -> bytes:
    text = header if isinstance(header, bytes) else canonical_json(header)
    return len(text).to_bytes(8, "little") + text + bytes(-len(text) % 8) + bodies


ENTRY = {"dtype": "float32", "name": "x", "shape": [2]}
MALFORMED: dict[str, bytes] = {
    "nothing": b"",
    "no header": (0).to_bytes(8, "little"),
    "a header beyond the end": (2**62).to_bytes(8, "little") + bytes(100),
    "a huge header": (2**30).to_bytes(8, "little") + bytes(64),
    "no JSON": assembled(b"\xff{", b""),
    "not canonical": assembled(json.dumps([ENTRY]).encode(), bytes(8)),
    "no list": assembled({"x": 1}, b""),
    "a field too many": assembled([ENTRY | {"more": 1}], bytes(8)),
    "an unknown type": assembled([ENTRY | {"dtype": "complex64"}], bytes(16)),
    "a type of objects": assembled([ENTRY | {"dtype": "object"}], bytes(16)),
    "no name": assembled([ENTRY | {"name": ""}], bytes(8)),
    "one name twice": assembled([ENTRY, ENTRY], bytes(16)),
    "a negative size": assembled([ENTRY | {"shape": [-2]}], bytes(8)),
    "a huge size": assembled([ENTRY | {"shape": [2**40]}], bytes(8)),
    "huge sizes": assembled([ENTRY | {"shape": [2**40] * 30}], bytes(8)),
    "no numbers in a huge shape": assembled([ENTRY | {"shape": [0, *[2**40] * 3]}], b""),
    "too many axes": assembled([ENTRY | {"shape": [1] * 33}], bytes(8)),
    "a body that is cut": assembled([ENTRY], bytes(7)),
    "a body that is longer": assembled([ENTRY], bytes(16)),
    "what lies between is not zero": assembled([ENTRY | {"shape": [1]}], b"\0\0\0\0\0\0\0\1"),
    "a truth value of 2": assembled([ENTRY | {"dtype": "bool"}], b"\1\2" + bytes(6)),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_tensors_are_refused(what: str) -> None:
    with pytest.raises(CiphertextError) as caught:
        tensors_from_bytes(memoryview(MALFORMED[what]))
    assert caught.value.code == "SR-SEALED-FORMAT"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_do_harm(content: bytes) -> None:
    # anything but these, a reading error of NumPy say, would end the test
    with contextlib.suppress(CiphertextError):
        found = tensors_from_bytes(memoryview(content))
        assert tensors_to_bytes(found) == content
