"""Plain tensors of the Open Inference Protocol V2, for clients that know nothing of Strongroom.

Sources: KServe's "Open Inference Protocol"; Triton's "Binary Tensor Data Extension". A request
names tensors with their datatype, shape and values, in JSON or, binary, behind it: row-major,
little-endian, one after the other in the order of the JSON. A response has the same form; its
tensors are binary where the request asks for it.

This module reads such a request and writes such a response; `client.sealed_transport` is what lies
between. A sealed model takes neither texts (BYTES) nor BF16; labels that are texts are written.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.client.v2 import HEADER_LENGTH
from strongroom.errors import ServerError

DATATYPES: Final[Mapping[str, np.dtype[Any]]] = MappingProxyType(
    {
        "BOOL": np.dtype("?"),
        "UINT8": np.dtype("u1"),
        "UINT16": np.dtype("<u2"),
        "UINT32": np.dtype("<u4"),
        "UINT64": np.dtype("<u8"),
        "INT8": np.dtype("i1"),
        "INT16": np.dtype("<i2"),
        "INT32": np.dtype("<i4"),
        "INT64": np.dtype("<i8"),
        "FP16": np.dtype("<f2"),
        "FP32": np.dtype("<f4"),
        "FP64": np.dtype("<f8"),
    }
)
"""The datatypes of V2 that are read and written, with their element in memory."""

_NAMES: Final = {dtype: name for name, dtype in DATATYPES.items()}
_ELEMENT: Final = struct.Struct("<I")
_MAXIMUM_TENSORS: Final = 1024
_MAXIMUM_DIMENSIONS: Final = 32

Scalar = bool | int | float | str
Length = Annotated[int, msgspec.Meta(ge=0, le=2**40)]


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    datatype: str
    shape: Annotated[tuple[Length, ...], msgspec.Meta(max_length=_MAXIMUM_DIMENSIONS)]
    parameters: dict[str, Scalar] = {}
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: dict[str, Scalar] = {}


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Annotated[list[_Input], msgspec.Meta(min_length=1, max_length=_MAXIMUM_TENSORS)]
    id: str | None = None
    parameters: dict[str, Scalar] = {}
    outputs: Annotated[list[_Output], msgspec.Meta(max_length=_MAXIMUM_TENSORS)] | None = None


@dataclass(frozen=True, slots=True)
class TensorRequest:
    """A plain inference request.

    Attributes:
        id: the caller's, or None.
        inputs: arrays by name, in the order of the request.
        outputs: names of the tensors that are asked for, each with whether it shall be binary;
            None asks for all of them.
        binary: whether those that `outputs` says nothing of shall be binary.
        receipt: whether a receipt is asked for.
    """

    id: str | None
    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, bool] | None
    binary: bool
    receipt: bool


def datatype_of(dtype: np.dtype[Any]) -> str:
    """The datatype of V2 for an element type, of either byte order; BYTES for texts.

    Raises:
        ServerError: SR-REQUEST-FORMAT if there is none.
    """
    if dtype.kind == "U":
        return "BYTES"
    name = _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise malformed(f"tensors of {dtype} can't be written in the protocol")
    return name


def decode_request(body: bytes, header_length: str | None) -> TensorRequest:
    """Read a plain inference request.

    Args:
        body: all bytes of the body.
        header_length: value of `Inference-Header-Content-Length`; None: the body is JSON alone.

    Raises:
        ServerError: SR-REQUEST-FORMAT.
    """
    end = _json_end(header_length, len(body))
    try:
        request = msgspec.json.decode(memoryview(body)[:end], type=_Request)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise malformed("the JSON of the request is not that of an inference") from error
    binary = _flag(request.parameters, "binary_data_output")
    outputs: dict[str, bool] | None = None
    if request.outputs:
        outputs = {
            one.name: _flag(one.parameters, "binary_data", binary) for one in request.outputs
        }
        if len(outputs) != len(request.outputs):
            raise malformed("an output is asked for twice")
    return TensorRequest(
        request.id,
        _inputs(request.inputs, memoryview(body)[end:]),
        outputs,
        binary,
        _flag(request.parameters, "receipt"),
    )


def encode_response(
    model: str,
    version: str,
    request: TensorRequest,
    outputs: Mapping[str, NDArray[Any]],
    parameters: Mapping[str, Scalar],
) -> tuple[bytes, dict[str, str]]:
    """The body of a plain response, and the HTTP headers that belong to it.

    Raises:
        ServerError: SR-REQUEST-FORMAT if an output is asked for that the model has not, or one
            holds NaN or infinities, which JSON can't, and is not asked for in binary.
    """
    wanted = request.outputs or dict.fromkeys(outputs, request.binary)
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name, as_binary in wanted.items():
        if name not in outputs:
            raise malformed(f"the model has no output {name[:64]!r}")
        values = outputs[name]
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": datatype_of(values.dtype),
            "shape": list(values.shape),
        }
        if as_binary:
            binary.append(_binary_values(values))
            tensor["parameters"] = {"binary_data_size": len(binary[-1])}
        else:
            tensor["data"] = _json_values(name, values)
        tensors.append(tensor)
    answer: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": tensors}
    if request.id is not None:
        answer["id"] = request.id
    if parameters:
        answer["parameters"] = dict(parameters)
    head = msgspec.json.encode(answer)
    if not binary:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH.lower(): str(len(head))}
    return b"".join((head, *binary)), headers


def malformed(what: str) -> ServerError:
    """The error for a request that is not what the protocol says."""
    return ServerError(
        "SR-REQUEST-FORMAT",
        what,
        "Send what the Open Inference Protocol and its binary tensor data extension say",
        http_status=400,
    )


def _json_end(header_length: str | None, body_bytes: int) -> int:
    if header_length is None:
        return body_bytes
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= 10):
        raise malformed(f"the header {HEADER_LENGTH} is no number")
    end = int(header_length)
    if not 1 <= end <= body_bytes:
        raise malformed(f"the header {HEADER_LENGTH} says {end} bytes, the body has {body_bytes}")
    return end


def _flag(parameters: Mapping[str, Scalar], name: str, default: bool = False) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise malformed(f"{name} is neither true nor false")
    return value


def _inputs(tensors: list[_Input], rest: memoryview) -> dict[str, NDArray[Any]]:
    inputs: dict[str, NDArray[Any]] = {}
    for tensor in tensors:
        if tensor.name in inputs:
            raise malformed(f"input {tensor.name[:64]!r} is there twice")
        dtype = DATATYPES.get(tensor.datatype)
        if dtype is None:
            raise malformed(
                f"input {tensor.name[:64]!r} has the datatype {tensor.datatype[:16]!r}, which a "
                "sealed model does not take"
            )
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            inputs[tensor.name] = _from_json(tensor, dtype)
            continue
        needed = math.prod(tensor.shape) * dtype.itemsize
        if tensor.data is not msgspec.UNSET or type(size) is not int or size != needed:
            raise malformed(
                f"binary_data_size of input {tensor.name[:64]!r} is not its {needed} bytes, or it "
                "has data too"
            )
        if size > len(rest):
            raise malformed(f"the body ends before input {tensor.name[:64]!r} does")
        inputs[tensor.name] = np.frombuffer(rest[:size], dtype).reshape(tensor.shape)
        rest = rest[size:]
    if len(rest):
        raise malformed(f"{len(rest)} bytes follow the JSON that no tensor declares")
    return inputs


def _from_json(tensor: _Input, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in JSON, nested or flat; integers exactly, floating point rounded to the datatype."""
    name = tensor.name[:64]
    if tensor.data is msgspec.UNSET:
        raise malformed(f"input {name!r} has neither data nor binary_data_size")
    try:
        # As objects, integers: NumPy turns a list with very large ones into floating point.
        values = np.asarray(tensor.data, dtype=object if dtype.kind in "iu" else None)
        if values.size and not _fit(values, dtype):
            raise malformed(f"input {name!r} has values that are not of {tensor.datatype}")
        with np.errstate(over="ignore"):
            array = values.astype(dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise malformed(f"the data of input {name!r} are not of {tensor.datatype}") from error
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise malformed(f"input {name!r} has values that {tensor.datatype} can't hold")
    if array.size != math.prod(tensor.shape):
        raise malformed(
            f"input {name!r} has {array.size} values, its shape says {math.prod(tensor.shape)}"
        )
    return array.reshape(tensor.shape)


def _fit(values: NDArray[Any], dtype: np.dtype[Any]) -> bool:
    if dtype.kind in "iu":
        flat = values.ravel().tolist()
        bounds = np.iinfo(dtype)
        return all(type(one) is int and bounds.min <= one <= bounds.max for one in flat)
    return values.dtype.kind in ("b" if dtype.kind == "b" else "iuf")


def _binary_values(values: NDArray[Any]) -> bytes:
    if values.dtype.kind != "U":
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    texts = [text.encode() for text in values.ravel().tolist()]
    return b"".join(_ELEMENT.pack(len(text)) + text for text in texts)


def _json_values(name: str, values: NDArray[Any]) -> list[Any]:
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise malformed(f"output {name[:64]!r} holds values that JSON can't: ask for binary data")
    flat: list[Any] = values.ravel().tolist()
    return flat
