"""Padding hides lengths, costs less than an eighth, and is the only padding that is accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import CiphertextError
from strongroom.protections.sealed.padding import (
    LEAST_BYTES,
    padded_bytes,
    padding_of,
    padme,
    unpadded,
)


@given(st.integers(0, 2**50))
def test_a_padded_length_grows_by_less_than_an_eighth(length: int) -> None:
    padded = padme(length)
    assert padded >= max(length, LEAST_BYTES)
    assert padded == LEAST_BYTES or padded * 8 < length * 9
    assert padme(padded) == padded


def test_few_lengths_show() -> None:
    lengths = {padme(length) for length in range(2**16)}
    assert len(lengths) < 130
    assert [padme(n) for n in (0, 256, 257, 300, 4104, 65537)] == [256, 256, 272, 304, 4352, 67584]


@given(st.binary(max_size=2000))
def test_what_is_padded_is_unpadded(content: bytes) -> None:
    head, tail = padding_of(len(content))
    padded = head + content + tail
    assert len(padded) == padded_bytes(len(content))
    assert unpadded(memoryview(padded)) == content


def test_other_paddings_are_refused() -> None:
    head, tail = padding_of(500)
    good = head + bytes(500) + tail
    bad = {
        "empty": b"",
        "cut": good[:-1],
        "longer": good + b"\0",
        "not zero": good[:-1] + b"\1",
        "a shorter content": padding_of(300)[0] + good[8:],
        "a content beyond the end": (2**60).to_bytes(8, "little") + good[8:],
        "less than the least": padding_of(10)[0] + bytes(18),
    }
    for what, padded in bad.items():
        with pytest.raises(CiphertextError) as caught:
            unpadded(memoryview(padded))
        assert caught.value.code == "SR-SEALED-FORMAT", what
