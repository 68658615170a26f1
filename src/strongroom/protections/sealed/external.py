"""ONNX models with their weights apart: from a model, or a file with external data, to segments.

A payload of `sealed` has the segments

    model       the ONNX model, large weights as external data
    tensors     canonical JSON: a list of {dims, name, segment, type}, one for each of these
    weights/N   the numbers of one, little-endian, in C order

Protobuf holds two gigabytes at most; what is apart has no limit. Weights that lie in files beside
the model are mapped, never read as a whole.
"""

from __future__ import annotations

import math
import mmap
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec

from strongroom.canonical import canonical_json
from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.rows import shown
from strongroom.package.payload import Payload

MODEL: Final = "model"
TENSORS: Final = "tensors"

ELEMENT_BYTES: Final = MappingProxyType(
    {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2, 11: 8, 12: 4, 13: 8, 16: 2}
)
"""Bytes of an element, by the number of its type (TensorProto.DataType): float32, uint8, int8,
uint16, int16, int32, int64, bool, float16, float64, uint32, uint64, bfloat16."""

_LEAST_BYTES: Final = 1024
"""Smaller tensors stay in the model: ONNX Runtime reads shapes and axes from them."""

_MAXIMUM_MODEL_BYTES: Final = 2**31 - 2**16
_MAXIMUM_TENSORS: Final = 60_000
_EXTERNAL: Final = 1


class ExternalTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A weight that lies in a segment of its own.

    Attributes:
        name: of the initialiser.
        type: number of its element type, one of `ELEMENT_BYTES`.
        dims: its shape.
        segment: name of the segment.
    """

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=1024)]
    type: int
    dims: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=2**40)], ...], msgspec.Meta(max_length=32)
    ]
    segment: Annotated[str, msgspec.Meta(max_length=64)]

    @property
    def length(self) -> int:
        """Of the segment, in bytes."""
        return ELEMENT_BYTES[self.type] * math.prod(self.dims)


def payload_of(source: Any) -> Payload:
    """The payload of an ONNX model.

    Args:
        source: an `onnx.ModelProto`, its bytes, or the path of a file, which may have external data
            in its folder. A `ModelProto` is left as it is.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED, -EXTRA.
    """
    model, folder = _parsed(source)
    weights = _Weights(folder)
    initializers = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in initializers]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for tensor in model.graph.initializer:
        weights.take(tensor)
    for tensor in _inner_tensors(model):
        weights.put_inside(tensor)
    text = model.SerializeToString(deterministic=True)
    if len(text) > _MAXIMUM_MODEL_BYTES:
        raise _unreadable("holds more than 2 GB that are not weights")
    tensors = canonical_json(weights.tensors)
    return {MODEL: text, TENSORS: tensors, **weights.segments}


class _Weights:
    """Takes the large weights out of a model."""

    def __init__(self, folder: Path | None) -> None:
        self.tensors: list[ExternalTensor] = []
        self.segments: dict[str, bytes | memoryview] = {}
        self._folder = folder
        self._files: dict[str, memoryview] = {}

    def take(self, tensor: Any) -> None:
        """Make a large initialiser external, and a small one not."""
        size = ELEMENT_BYTES.get(tensor.data_type)
        dims = tuple(tensor.dims)
        if size is None or size * math.prod(dims) < _LEAST_BYTES:
            self.put_inside(tensor)
            return
        segment = f"weights/{len(self.tensors)}"
        taken = ExternalTensor(tensor.name, int(tensor.data_type), dims, segment)
        numbers = self._numbers(tensor)
        if len(numbers) != taken.length:
            raise _unreadable(f"has a tensor {shown(tensor.name)} that is not as long as its shape")
        if len(self.tensors) >= _MAXIMUM_TENSORS:
            raise _unreadable(f"has more than {_MAXIMUM_TENSORS} weights")
        self.tensors.append(taken)
        self.segments[segment] = numbers
        # It is found by its name; the rest says that it is elsewhere.
        apart = type(tensor)(name=tensor.name, data_type=tensor.data_type, dims=dims)
        apart.data_location = _EXTERNAL
        for key, value in (("location", segment), ("offset", "0"), ("length", str(len(numbers)))):
            entry = apart.external_data.add()
            entry.key, entry.value = key, value
        tensor.CopyFrom(apart)

    def put_inside(self, tensor: Any) -> None:
        """Read external data into the model."""
        if tensor.data_location == _EXTERNAL:
            numbers = bytes(self._numbers(tensor))
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
            tensor.raw_data = numbers

    def _numbers(self, tensor: Any) -> bytes | memoryview:
        if tensor.data_location == _EXTERNAL:
            return self._external(tensor)
        if tensor.HasField("raw_data"):
            return bytes(tensor.raw_data)
        array = extra("onnx.numpy_helper").to_array(tensor)
        return bytes(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())

    def _external(self, tensor: Any) -> memoryview:
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        try:
            start = int(entries.get("offset", "0"))
            data = self._mapped(location)
            length = int(entries.get("length", len(data) - start))
        except (OSError, ValueError) as error:
            raise _unreadable(f"has external data {shown(location)} that can't be read") from error
        if start < 0 or length < 0 or start + length > len(data):
            raise _unreadable(f"has external data beyond the end of {shown(location)}")
        return data[start : start + length]

    def _mapped(self, location: str) -> memoryview:
        """A file beside the model; of no other folder."""
        if location not in self._files:
            if self._folder is None:
                raise _unreadable("has external data, and no folder; pass the path of its file")
            folder = self._folder.resolve()
            path = (folder / location).resolve()
            if not location or not path.is_relative_to(folder):
                raise _unreadable(f"has external data {shown(location)} outside of its folder")
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise _unreadable(f"has external data {shown(location)} that is no file")
                empty = memoryview(b"")
                mapped = mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) if status.st_size else empty
            finally:
                os.close(descriptor)
            self._files[location] = memoryview(mapped)
        return self._files[location]


def _parsed(source: Any) -> tuple[Any, Path | None]:
    """The model, ours to change, and the folder of its file."""
    onnx = extra("onnx")
    if isinstance(source, onnx.ModelProto):
        model = onnx.ModelProto()
        model.CopyFrom(source)
        return model, None
    folder = None
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            if path.stat().st_size > _MAXIMUM_MODEL_BYTES:
                raise _unreadable("is larger than 2 GB; save it with external data")
            source = path.read_bytes()
        except OSError as error:
            raise ModelError(
                "SR-MODEL-FILE",
                f"the file {shown(str(path))} can't be read: {error.strerror}",
                "Check the path",
            ) from error
        folder = path.parent
    if not isinstance(source, bytes | bytearray | memoryview):
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"a {type(source).__name__[:60]} is not an ONNX model",
            "Pass an ONNX model or the path of its file, or give a sample of rows",
        )
    model = onnx.ModelProto()
    try:
        model.ParseFromString(bytes(source))
    except Exception as error:  # protobuf's own classes differ from release to release
        raise _unreadable("is not one") from error
    if not model.HasField("graph"):
        raise _unreadable("is empty")
    return model, folder


def _inner_tensors(model: Any) -> Iterator[Any]:
    """Tensors that are not initialisers of the model itself."""
    waiting = [node for function in model.functions for node in function.node]
    waiting += list(model.graph.node)
    while waiting:
        for attribute in waiting.pop().attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from graph.initializer
                waiting += list(graph.node)


def _unreadable(problem: str) -> ModelError:
    return ModelError("SR-MODEL-FILE", f"the ONNX model {problem}", "Export the model again")
