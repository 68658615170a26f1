"""Canonical JSON: one value, one sequence of bytes, so that a digest names a value.

The rules: UTF-8 without a byte order mark; no white space; the keys of every object sorted by
code point, none twice; strings with the escapes that JSON demands and no others; integers in
decimal; floating-point numbers in the shortest form that reads back as the same double, with
".0" or an exponent (Python's `repr`); no NaN, no infinity.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

import msgspec
import numpy as np

Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]{64}\Z")]
"""A digest as `digest` writes it."""


def canonical_json(value: Any) -> bytes:
    """The canonical bytes of a msgspec struct or of plain JSON values; NumPy scalars are numbers.

    Raises:
        ValueError: a number is NaN or infinite, or a string is not valid Unicode.
        TypeError: the value holds something that JSON can't.
    """
    plain = msgspec.to_builtins(value, enc_hook=_number)
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def digest(data: bytes | bytearray | memoryview) -> str:
    """The SHA-256 digest of bytes as it is written everywhere: "sha256:" and 64 hex digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _number(value: Any) -> bool | int | float:
    number = value.item() if isinstance(value, np.generic) else None
    if isinstance(number, bool | int | float):
        return number
    raise TypeError(f"{type(value).__name__} has no canonical form")
