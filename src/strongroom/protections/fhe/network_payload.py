"""The payload of a network: its maps and circuits, as the server side needs them.

magic     4  "SRNW"
version   2  1, little-endian
length    4  of the text that follows: canonical JSON, the kinds and shapes of all arrays
numbers      float64 little-endian, array after array, compressed by zlib

Most weights of a tree ensemble are zero.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.canonical import canonical_json
from strongroom.compiler.activation_circuits import Circuit
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.compiler.plan import NetworkLayout
from strongroom.engine import Polynomial
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import PackageError

Array = NDArray[np.float64]

_HEADER: Final = struct.Struct("<4sHI")
_MAGIC: Final = b"SRNW"
_VERSION: Final = 1
_LARGEST_TEXT: Final = 1 << 20
_LARGEST_NUMBERS: Final = 1 << 31
_DIMENSION = Annotated[int, msgspec.Meta(ge=1, le=2**28)]


class _CircuitText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A circuit without its numbers: arrays follow in the order of its constructor."""

    kind: Literal["tower", "power", "chebyshev"]
    interval: tuple[float, float] | None
    shapes: tuple[tuple[_DIMENSION, ...], ...]


class _Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All shapes: of each step its weights, then its circuits."""

    steps: tuple[tuple[_DIMENSION, _DIMENSION, _DIMENSION], ...]
    circuits: tuple[tuple[_CircuitText, ...], ...]
    outputs: _DIMENSION


def payload_to_bytes(model: NetworkModel) -> bytes:
    """Write a model."""
    text = _Text(
        steps=tuple((s.blocks, s.units, s.inputs) for s in model.steps),
        circuits=tuple(tuple(_circuit_text(c) for c in s.circuits) for s in model.steps),
        outputs=len(model.bias),
    )
    header = canonical_json(text)
    numbers = b"".join(array.astype("<f8").tobytes() for array in _arrays(model))
    return _HEADER.pack(_MAGIC, _VERSION, len(header)) + header + zlib.compress(numbers, 1)


def payload_from_bytes(data: bytes | memoryview, layout: NetworkLayout) -> NetworkModel:
    """Read a model of the shape that its plan says.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    if len(data) < _HEADER.size:
        raise _damaged("it is too short")
    magic, version, length = _HEADER.unpack_from(data)
    if (magic, version) != (_MAGIC, _VERSION) or length > _LARGEST_TEXT:
        raise _damaged("its header is not that of a network")
    body = data[_HEADER.size :]
    try:
        text = msgspec.json.decode(body[:length], type=_Text)
    except msgspec.MsgspecError as error:
        raise _damaged("its shapes can't be read") from error
    _require_shapes(text, layout)
    shapes = list(_shapes(text))
    count = sum(int(np.prod(shape, dtype=object)) for shape in shapes)
    if 8 * count > _LARGEST_NUMBERS:
        raise _damaged("it has too many numbers")
    numbers = _decompressed(body[length:], 8 * count)
    if not np.isfinite(numbers).all():
        raise _damaged("a number is not finite")
    reader = _Reader(numbers)
    steps = []
    for shape, circuits in zip(text.steps, text.circuits, strict=True):
        weights, bias = reader.take(shape), reader.take(shape[:2])
        its_circuits = tuple(_circuit(reader, circuit, bias.size) for circuit in circuits)
        steps.append(HiddenStep(weights, bias, its_circuits))
    width = text.steps[-1][0] * text.steps[-1][1]
    return NetworkModel(
        tuple(steps), reader.take((text.outputs, width)), reader.take((text.outputs,))
    )


class _Reader:
    """Arrays one after the other."""

    def __init__(self, numbers: Array) -> None:
        self._left = numbers

    def take(self, shape: tuple[int, ...]) -> Array:
        """The next array."""
        count = int(np.prod(shape))
        taken, self._left = self._left[:count], self._left[count:]
        return taken.reshape(shape)


def _arrays(model: NetworkModel) -> Iterator[Array]:
    for step in model.steps:
        yield step.weights
        yield step.bias
        for circuit in step.circuits:
            if isinstance(circuit, SquareTower):
                yield from (circuit.factors, circuit.constants, circuit.interval)
            else:
                yield circuit.coefficients
    yield model.weights
    yield model.bias


def _shapes(text: _Text) -> Iterator[tuple[int, ...]]:
    for shape, circuits in zip(text.steps, text.circuits, strict=True):
        yield shape
        yield shape[:2]
        for circuit in circuits:
            yield from circuit.shapes
    yield (text.outputs, text.steps[-1][0] * text.steps[-1][1])
    yield (text.outputs,)


def _circuit_text(circuit: Circuit) -> _CircuitText:
    if isinstance(circuit, SquareTower):
        arrays = (circuit.factors, circuit.constants, circuit.interval)
        return _CircuitText("tower", None, tuple(a.shape for a in arrays))
    return _CircuitText(circuit.basis, circuit.interval, (circuit.coefficients.shape,))


def _circuit(reader: _Reader, text: _CircuitText, units: int) -> Circuit:
    arrays = [reader.take(shape) for shape in text.shapes]
    circuit: Circuit
    try:
        if text.kind == "tower":
            factors, constants, interval = arrays
            circuit = SquareTower(factors, constants, interval)
        else:
            (coefficients,) = arrays
            circuit = Polynomial(coefficients, text.kind, text.interval or (-1.0, 1.0))
    except ValueError as error:
        raise _damaged("a circuit's numbers contradict each other") from error
    if circuit.slots not in (None, units):
        raise _damaged("a circuit is for another number of units")
    return circuit


def _require_shapes(text: _Text, layout: NetworkLayout) -> None:
    of_plan = tuple((step.blocks, step.units, step.inputs) for step in layout.steps)
    kinds = tuple(
        tuple("tower" if circuit.kind == "tower" else "polynomial" for circuit in circuits)
        for circuits in text.circuits
    )
    planned = tuple(tuple(circuit.kind for circuit in step.circuits) for step in layout.steps)
    if text.steps != of_plan or kinds != planned or text.outputs != layout.outputs:
        raise _damaged("its shapes are not those of its plan")


def _decompressed(data: bytes | memoryview, length: int) -> Array:
    unpacker = zlib.decompressobj()
    try:
        numbers = unpacker.decompress(data, length + 1)
    except zlib.error as error:
        raise _damaged("its numbers can't be unpacked") from error
    if len(numbers) != length or not unpacker.eof or unpacker.unused_data:
        raise _damaged(f"its numbers are not the {length} bytes that belong there")
    return np.frombuffer(numbers, "<f8").astype(np.float64)


def _damaged(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-FILE",
        f"the payload of the package is damaged: {what}",
        "Fetch the package again from its owner",
    )
