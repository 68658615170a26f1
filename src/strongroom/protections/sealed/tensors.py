"""Named tensors as bytes: what sealed requests and responses contain.

Integers little-endian:

    header length  8
    header            canonical JSON: a list of {dtype, name, shape}, in the order of the bodies
    bodies            of each tensor the numbers, in C order, little-endian

The header and each body are followed by zeros up to a multiple of 8 bytes, so that numbers can be
used where they lie. Types are those that ONNX and NumPy both have, but for complex numbers and
texts.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import CiphertextError

DTYPES: Final = (
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
"""By the names of both."""

_OF_NAMES: Final = {name: np.dtype(name) for name in DTYPES}
_LITTLE: Final = {name: dtype.newbyteorder("<") for name, dtype in _OF_NAMES.items()}
# NumPy builds a type's name anew each time; there are several to ask for in every exchange.
_NAMES: Final = MappingProxyType({dtype: name for name, dtype in _OF_NAMES.items()})

_LENGTH: Final = struct.Struct("<Q")
_ALIGNMENT: Final = 8
_MAXIMUM_TENSORS: Final = 1024
_MAXIMUM_HEADER_BYTES: Final = 2**20

Tensors = Mapping[str, NDArray[Any]]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
    shape: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=2**40)], ...], msgspec.Meta(max_length=32)
    ]


_Header = Annotated[tuple[_Entry, ...], msgspec.Meta(max_length=_MAXIMUM_TENSORS)]

# Of texts and integers this writes canonical JSON, as `canonical` does, in a tenth of the time.
_encoder: Final = msgspec.json.Encoder(order="sorted")
_decoder: Final = msgspec.json.Decoder(_Header)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """A type's name, one of `DTYPES` or another."""
    return _NAMES.get(dtype) or dtype.name


def tensors_to_bytes(tensors: Tensors) -> bytes:
    """Write tensors in their order.

    Raises:
        ValueError: a tensor has a type that is none of `DTYPES`.
    """
    entries = [
        _Entry(dtype_name(array.dtype), name, array.shape) for name, array in tensors.items()
    ]
    for entry in entries:
        if entry.dtype not in _LITTLE:
            raise ValueError(f"tensor {entry.name!r} has type {entry.dtype}")
    header = _encoder.encode(entries)
    parts = [_LENGTH.pack(len(header)), header, bytes(-len(header) % _ALIGNMENT)]
    for entry, array in zip(entries, tensors.values(), strict=True):
        body = array.astype(_LITTLE[entry.dtype], copy=False).tobytes()
        parts += [body, bytes(-len(body) % _ALIGNMENT)]
    return b"".join(parts)


def tensors_from_bytes(content: memoryview) -> dict[str, NDArray[Any]]:
    """Read tensors. They look at the content, where the processor can use them there; read-only.

    Raises:
        CiphertextError: SR-SEALED-FORMAT if this is not what `tensors_to_bytes` writes.
    """
    entries, place = _header(content)
    tensors: dict[str, NDArray[Any]] = {}
    for entry, body in _bodies(content, entries, place):
        if entry.dtype == "bool" and bytes(body).translate(None, b"\0\1"):
            raise _malformed("a truth value is neither 0 nor 1")
        numbers = np.frombuffer(body, _LITTLE[entry.dtype])
        try:
            array = numbers.reshape(entry.shape)
        except ValueError as error:  # no numbers, in a shape that NumPy has no strides for
            raise _malformed("one has a shape that can't be used") from error
        array = array.astype(_OF_NAMES[entry.dtype], copy=False)
        if not array.flags.aligned:
            array = array.copy()
        array.flags.writeable = False
        tensors[entry.name] = array
    return tensors


def content_bytes(dtypes_and_shapes: Mapping[str, tuple[str, tuple[int, ...]]]) -> int:
    """The length of tensors of these types and shapes, by name."""
    entries = [_Entry(dtype, name, shape) for name, (dtype, shape) in dtypes_and_shapes.items()]
    bodies = [_OF_NAMES[one.dtype].itemsize * math.prod(one.shape) for one in entries]
    lengths = [len(_encoder.encode(entries)), *bodies]
    return _LENGTH.size + sum(length + -length % _ALIGNMENT for length in lengths)


def _header(content: memoryview) -> tuple[tuple[_Entry, ...], int]:
    if len(content) < _LENGTH.size:
        raise _malformed("it is too short")
    (length,) = _LENGTH.unpack_from(content)
    end = _LENGTH.size + length
    if length > _MAXIMUM_HEADER_BYTES or end > len(content):
        raise _malformed(f"its header claims {length} bytes")
    text = bytes(content[_LENGTH.size : end])
    try:
        entries = _decoder.decode(text)
        canonical = _encoder.encode(entries)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _malformed("its header is none") from error
    if canonical != text:
        raise _malformed("its header is not in canonical form")
    if len({entry.name for entry in entries}) != len(entries):
        raise _malformed("two have one name")
    if any(entry.dtype not in _LITTLE for entry in entries):
        raise _malformed("one has a type that is not known here")
    return entries, _skipped(content, end, length)


def _bodies(
    content: memoryview, entries: tuple[_Entry, ...], place: int
) -> Iterator[tuple[_Entry, memoryview]]:
    for entry in entries:
        length = _LITTLE[entry.dtype].itemsize * math.prod(entry.shape)
        if length > len(content) - place:
            raise _malformed("one is cut")
        yield entry, content[place : place + length]
        place = _skipped(content, place + length, length)
    if place != len(content):
        raise _malformed("something follows the last one")


def _skipped(content: memoryview, end: int, length: int) -> int:
    """Where the next part begins behind one of that length."""
    start = end + -length % _ALIGNMENT
    if start > len(content) or any(content[end:start]):
        raise _malformed("what lies between two is not zero")
    return start


def _malformed(what: str) -> CiphertextError:
    return CiphertextError(
        "SR-SEALED-FORMAT",
        f"malformed tensors: {what}",
        "Send what the client library made, unaltered",
    )
