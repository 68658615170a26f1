"""Reading an ONNX file that nobody vouches for.

Rules: a bounded size; no data outside the file; no subgraphs, functions or sparse tensors; every
tensor as large as its shape says; nodes in topological order, each value made once. What comes
out are plain values: nothing after this module touches protobuf.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.rows import shown

MAXIMUM_FILE_BYTES = 2**30
MAXIMUM_NODES = 100_000
OPSETS = {"": range(7, 29), "ai.onnx.ml": range(1, 7)}
"""Versions of the operators whose meaning this importer knows."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64"}
DTYPES |= {8: "str", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
"""ONNX's element types (TensorProto.DataType) that a model may hold, by their NumPy names."""


@dataclass(frozen=True, slots=True)
class OnnxValue:
    """An input or output of the model. `shape` has None where the file states no number."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """A node; tensors among its attributes are arrays, strings are `str`."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """How a message names the node."""
        return f"operator {shown(self.operator)[1:-1]} (node {shown(self.name)})"


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A checked model: nodes in topological order, constants by name."""

    name: str
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, NDArray[Any]]


def malformed(problem: str) -> ModelError:
    """The error for a file that contradicts itself or the rules above."""
    return ModelError("SR-MODEL-FILE", f"the ONNX model {problem}", "Export the model again")


def read_onnx(source: Any) -> OnnxModel:
    """Read and check a model.

    Args:
        source: an `onnx.ModelProto`, its bytes, or the path of a file.

    Raises:
        ModelError: SR-MODEL-FILE.
    """
    proto = _parsed(source)
    for opset in proto.opset_import:
        domain = "" if opset.domain == "ai.onnx" else opset.domain
        if domain in OPSETS and opset.version not in OPSETS[domain]:
            raise malformed(f"uses version {opset.version} of the operators {domain or 'ai.onnx'}")
    graph = proto.graph
    if proto.functions or graph.sparse_initializer:
        raise malformed("holds functions or sparse tensors, which are not read")
    if len(graph.node) > MAXIMUM_NODES:
        raise malformed(f"has {len(graph.node)} nodes, allowed are {MAXIMUM_NODES}")
    constants = {_text(tensor.name): _array(tensor) for tensor in graph.initializer}
    nodes = tuple(_node(node, number) for number, node in enumerate(graph.node))
    inputs = tuple(_value(value) for value in graph.input if value.name not in constants)
    _check_order(inputs, constants, nodes)
    outputs = tuple(_value(value) for value in graph.output)
    return OnnxModel(_text(graph.name), inputs, outputs, nodes, constants)


def _parsed(source: Any) -> Any:
    onnx = extra("onnx")
    if isinstance(source, onnx.ModelProto):
        return source
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            if path.stat().st_size > MAXIMUM_FILE_BYTES:
                raise malformed(f"is larger than {MAXIMUM_FILE_BYTES} bytes")
            source = path.read_bytes()
        except OSError as error:
            raise ModelError(
                "SR-MODEL-FILE",
                f"the file {shown(str(path))} can't be read: {error.strerror}",
                "Check the path",
            ) from error
    if len(source) > MAXIMUM_FILE_BYTES:
        raise malformed(f"is larger than {MAXIMUM_FILE_BYTES} bytes")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(bytes(source))
    except Exception as error:  # protobuf's DecodeError differs between its implementations
        raise ModelError("SR-MODEL-FILE", "the file is not an ONNX model", "Check it") from error
    if not proto.graph.node:
        raise malformed("has no nodes")
    return proto


def _array(tensor: Any) -> NDArray[Any]:
    name = shown(tensor.name)
    onnx = extra("onnx")
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise ModelError(
            "SR-MODEL-FILE",
            f"the ONNX model keeps tensor {name} in another file, which is not read",
            "Save the model as one file, from PyTorch with external_data=False",
        )
    if tensor.data_type not in DTYPES:
        raise malformed(f"has tensor {name} of an element type that is not read")
    shape = tuple(tensor.dims)
    dtype = DTYPES[tensor.data_type]
    size = math.prod(shape) if min(shape, default=0) >= 0 else -1
    if tensor.HasField("raw_data"):
        held = len(tensor.raw_data) / np.dtype(dtype).itemsize if dtype != "str" else -1
    elif dtype == "str":
        held = len(tensor.string_data)
    else:
        # every other list of numbers of the format; a tensor uses one
        lists = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
        held = max(len(getattr(tensor, field)) for field in lists)
    if size != held:
        raise malformed(f"has tensor {name} whose data does not fill its shape")
    try:
        if dtype == "str":
            texts = np.empty(size, dtype=object)
            texts[:] = [text.decode("utf-8") for text in tensor.string_data]
            return texts.reshape(shape)
        return np.asarray(onnx.numpy_helper.to_array(tensor)).astype(dtype, copy=False)
    except (ValueError, TypeError, OverflowError) as error:
        raise malformed(f"has tensor {name} that can't be read") from error


def _node(node: Any, number: int) -> OnnxNode:
    domain = "" if node.domain in ("", "ai.onnx") else f"{_text(node.domain)}."
    return OnnxNode(
        operator=domain + _text(node.op_type),
        name=_text(node.name) or f"number {number}",
        inputs=tuple(map(_text, node.input)),
        outputs=tuple(map(_text, node.output)),
        attributes={_text(attribute.name): _attribute(attribute) for attribute in node.attribute},
    )


def _attribute(attribute: Any) -> Any:
    kinds = extra("onnx").AttributeProto
    match attribute.type:
        case kinds.FLOAT:
            return float(attribute.f)
        case kinds.INT:
            return int(attribute.i)
        case kinds.STRING:
            return attribute.s.decode("utf-8", errors="replace")
        case kinds.FLOATS:
            return np.array(attribute.floats, dtype=np.float64)
        case kinds.INTS:
            return np.array(attribute.ints, dtype=np.int64)
        case kinds.STRINGS:
            return tuple(text.decode("utf-8", errors="replace") for text in attribute.strings)
        case kinds.TENSOR:
            return _array(attribute.t)
        case _:
            raise malformed(f"has attribute {shown(attribute.name)} of a kind that is not read")


def _text(text: Any) -> str:
    """A name; protobuf hands out bytes where a damaged file has no UTF-8."""
    if not isinstance(text, str):
        raise malformed("has a name that is not text")
    return text


def _value(value: Any) -> OnnxValue:
    # sequences of maps (ZipMap) carry no tensor type
    tensor = value.type.tensor_type
    shape = tuple(
        dimension.dim_value if dimension.HasField("dim_value") else None
        for dimension in tensor.shape.dim
    )
    return OnnxValue(_text(value.name), DTYPES.get(tensor.elem_type, ""), shape)


def _check_order(
    inputs: tuple[OnnxValue, ...],
    constants: Mapping[str, NDArray[Any]],
    nodes: tuple[OnnxNode, ...],
) -> None:
    made = {value.name for value in inputs} | set(constants)
    for node in nodes:
        for name in node.inputs:
            if name and name not in made:
                raise malformed(
                    f"is cyclic or not in order: {node.label} uses {shown(name)} before it is made"
                )
        for name in node.outputs:
            if name in made:
                raise malformed(f"makes {shown(name)} more than once")
            if name:
                made.add(name)
