"""Damage to messages, and the codes with which it is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from strongroom.errors import StrongroomError

FORMAT: Final = "SR-CIPHERTEXT-FORMAT"
RANGE: Final = "SR-CIPHERTEXT-RANGE"
MISMATCH: Final = "SR-CIPHERTEXT-MISMATCH"

NAMES_ANOTHER_MODEL: Final = ("binding", "digest", "limbs", "count")
UNDETECTABLE: Final = ("request id", "seed")
"""Regions of a message: with another bit they name another model, or are as good as before."""


def flipped(message: bytes, bit: int) -> bytes:
    """The message with one bit turned over."""
    altered = bytearray(message)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def refusal(act: Callable[..., object], *arguments: object) -> str:
    """The code of the refusal; anything that is not a refusal fails the test."""
    with pytest.raises(StrongroomError) as caught:
        act(*arguments)
    assert "\n" not in str(caught.value)
    return caught.value.code
