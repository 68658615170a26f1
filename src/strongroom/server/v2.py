"""The bodies of an inference request and response: Open Inference Protocol V2.

Source: KServe's "Open Inference Protocol", and the binary tensor data extension of Triton
Inference Server. A body is JSON alone, or JSON followed by the raw bytes of tensors; then the
header `Inference-Header-Content-Length` tells where the JSON ends.

A protected model has one input and one output, both BYTES of shape [1]. Binary, an element is a
4-byte little-endian length and that many bytes. In JSON, which can't hold bytes, it is a base64
string (RFC 4648). The response is binary where the request asks for it (`binary_data_output`, or
`binary_data` of the output), as the extension says.

Everything that is not exactly so is refused with SR-REQUEST-FORMAT. Unknown *parameters* are
ignored: the protocol leaves them to the server, and clients send some unasked. Two are ours: a
request's `package_digest` names the package that shall answer, and a response's the one that did;
a request's `receipt`, if true, asks for a signed statement, the response's `receipt`; a request's
`query` is what the members of a committee must see before they decrypt its results; and its
`proof_demand`, beside a query that was answered, asks for proofs of what they said.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec

from strongroom.errors import ServerError

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
INPUT_NAME: Final = "protected_request"
OUTPUT_NAME: Final = "protected_response"
DATATYPE: Final = "BYTES"

BODY_OVERHEAD_BYTES: Final = 64 << 10
"""What the JSON around a protected request may take."""

JSON_BODY_LIMIT_BYTES: Final = 4 << 20
"""Largest body without the binary extension: decoding more would hold up other requests."""

_PREFIX: Final = struct.Struct("<I")

Scalar = bool | int | float | str


class _Input(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    shape: tuple[int, ...]
    datatype: str
    parameters: dict[str, Scalar] = {}
    data: list[bytes] | msgspec.UnsetType = msgspec.UNSET


class _Output(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    parameters: dict[str, Scalar] = {}


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    inputs: Annotated[list[_Input], msgspec.Meta(max_length=16)]
    id: str | None = None
    parameters: dict[str, Scalar] = {}
    outputs: Annotated[list[_Output], msgspec.Meta(max_length=16)] | None = None


@dataclass(frozen=True, slots=True)
class InferRequest:
    """A parsed request.

    Attributes:
        id: the client's, or None.
        content: the opaque protected request.
        package_digest: of the package that shall answer, or None if any may.
        binary_output: whether the response has to be binary.
        receipt: whether the answer has to come with a receipt.
        query: text of a signed query (`keys.query`); "" if there is none.
        proof_demand: text of a signed demand (`keys.share_proofs`); "" if there is none.
    """

    id: str | None
    content: memoryview
    package_digest: str | None
    binary_output: bool
    receipt: bool = False
    query: str = ""
    proof_demand: str = ""


_decoder: Final = msgspec.json.Decoder(_Request)


def json_length(header: str | None, body_bytes: int) -> int:
    """Where the JSON of a body ends.

    Args:
        header: value of `Inference-Header-Content-Length`, or None if there is none.
        body_bytes: length of the body.

    Raises:
        ServerError: SR-REQUEST-FORMAT if the header is no number from 1 to `body_bytes`;
            SR-REQUEST-SIZE if the JSON is larger than is allowed.
    """
    if header is None:
        if body_bytes > JSON_BODY_LIMIT_BYTES:
            raise ServerError(
                "SR-REQUEST-SIZE",
                f"a body of JSON alone has {body_bytes} bytes, allowed are {JSON_BODY_LIMIT_BYTES}",
                "Send the tensor with the binary tensor data extension",
                http_status=413,
            )
        return body_bytes
    if not (header.isascii() and header.isdigit() and len(header) <= 10):
        raise _malformed(f"the header {HEADER_LENGTH} is no number")
    length = int(header)
    if not 1 <= length <= body_bytes:
        raise _malformed(
            f"the header {HEADER_LENGTH} says {length} bytes, the body has {body_bytes}"
        )
    if length > BODY_OVERHEAD_BYTES:
        raise ServerError(
            "SR-REQUEST-SIZE",
            f"the JSON of the request has {length} bytes, allowed are {BODY_OVERHEAD_BYTES}",
            "Shorten the request's id and parameters",
            http_status=413,
        )
    return length


def parse_request(body: memoryview, header: str | None) -> InferRequest:
    """Parse the body of an inference request on a protected model; copies no binary tensor.

    Args:
        body: all bytes of the body.
        header: value of `Inference-Header-Content-Length`, or None if there is none.

    Raises:
        ServerError: SR-REQUEST-FORMAT for a body that is not what this module's text says;
            SR-REQUEST-SIZE for too much JSON.
    """
    end = json_length(header, len(body))
    try:
        request = _decoder.decode(body[:end])
    except msgspec.MsgspecError as error:
        raise _malformed(f"the JSON of the request is wrong: {_line(error)}") from error
    except UnicodeDecodeError as error:
        raise _malformed("the JSON of the request is not UTF-8") from error
    if len(request.inputs) != 1:
        raise _malformed(f"the request has {len(request.inputs)} inputs, the model has one")
    tensor = request.inputs[0]
    if tensor.name != INPUT_NAME:
        raise _malformed(f"an input is called {tensor.name[:64]!r}, the model's is {INPUT_NAME!r}")
    if tensor.datatype != DATATYPE:
        raise _malformed(f"the input's datatype is {tensor.datatype[:64]!r}, not {DATATYPE!r}")
    if tensor.shape != (1,):
        raise _malformed("the input's shape is not [1]")
    content = _content(tensor, body[end:], binary=header is not None)
    digest = request.parameters.get("package_digest")
    if not (digest is None or isinstance(digest, str)):
        raise _malformed("package_digest is no text")
    receipt = request.parameters.get("receipt", False)
    if not isinstance(receipt, bool):
        raise _malformed("receipt is neither true nor false")
    return InferRequest(
        request.id,
        content,
        digest,
        _wants_binary(request),
        receipt,
        _text(request, "query"),
        _text(request, "proof_demand"),
    )


def _content(tensor: _Input, rest: memoryview, *, binary: bool) -> memoryview:
    if "binary_data_size" not in tensor.parameters:
        if tensor.data is msgspec.UNSET:
            raise _malformed("the input has neither data nor binary_data_size")
        if len(tensor.data) != 1:
            raise _malformed(f"the input has {len(tensor.data)} elements, its shape says 1")
        if tensor.parameters.get("content_type", "base64") != "base64":
            raise _malformed("the input's content_type is not base64")
        if len(rest):
            raise _malformed(f"{len(rest)} bytes follow the JSON that no tensor declares")
        return memoryview(tensor.data[0])
    if tensor.data is not msgspec.UNSET:
        raise _malformed("the input has both data and binary_data_size")
    if not binary:
        raise _malformed(f"the input is binary, but the header {HEADER_LENGTH} is missing")
    declared = tensor.parameters["binary_data_size"]
    if type(declared) is not int or declared < 0:
        raise _malformed("binary_data_size is no number")
    if declared != len(rest):
        raise _malformed(f"binary_data_size says {declared} bytes, {len(rest)} follow the JSON")
    if declared < _PREFIX.size:
        raise _malformed("the binary tensor is shorter than the length of its element")
    (element_bytes,) = _PREFIX.unpack_from(rest)
    if element_bytes != declared - _PREFIX.size:
        raise _malformed(
            f"the tensor's element says {element_bytes} bytes, "
            f"{declared - _PREFIX.size} follow its length"
        )
    return rest[_PREFIX.size :]


def _text(request: _Request, name: str) -> str:
    value = request.parameters.get(name, "")
    if not isinstance(value, str):
        raise _malformed(f"{name} is no text")
    return value


def _wants_binary(request: _Request) -> bool:
    wanted = request.parameters.get("binary_data_output", False)
    if request.outputs:
        if len(request.outputs) != 1 or request.outputs[0].name != OUTPUT_NAME:
            raise _malformed(f"the model's only output is {OUTPUT_NAME!r}")
        wanted = request.outputs[0].parameters.get("binary_data", wanted)
    if not isinstance(wanted, bool):
        raise _malformed("binary_data and binary_data_output are true or false")
    return wanted


def response_body(
    name: str, version: str, request: InferRequest, response: bytes, parameters: dict[str, Scalar]
) -> tuple[bytes, dict[str, str]]:
    """The body of an inference response, and the HTTP headers that belong to it."""
    tensor: dict[str, Any] = {"name": OUTPUT_NAME, "datatype": DATATYPE, "shape": [1]}
    answer: dict[str, Any] = {"model_name": name, "model_version": version}
    if request.id is not None:
        answer["id"] = request.id
    answer |= {"parameters": parameters, "outputs": [tensor]}
    if not request.binary_output:
        tensor |= {"parameters": {"content_type": "base64"}, "data": [response]}
        return msgspec.json.encode(answer), {"content-type": "application/json"}
    tensor["parameters"] = {"binary_data_size": _PREFIX.size + len(response)}
    head = msgspec.json.encode(answer)
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH.lower(): str(len(head))}
    return b"".join((head, _PREFIX.pack(len(response)), response)), headers


def _malformed(message: str) -> ServerError:
    return ServerError(
        "SR-REQUEST-FORMAT",
        message,
        "Send what the Open Inference Protocol and its binary tensor data extension say",
        http_status=400,
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
