"""The client's half of the Open Inference Protocol V2 with the binary tensor data extension.

Sources: KServe's "Open Inference Protocol"; Triton's "Binary Tensor Data Extension". A protected
exchange is one BYTES tensor of shape [1] each way: a JSON header whose length stands in the HTTP
header `Inference-Header-Content-Length`, then the tensor, one element of a 4-byte little-endian
length and that many bytes. What a server sends is untrusted: unknown fields of its JSON are
skipped, everything else must be exactly so.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from strongroom.errors import PackageError, ServerError
from strongroom.package.manifest import MAXIMUM_MANIFEST_BYTES
from strongroom.receipts.proof import Proof
from strongroom.receipts.statement import MAXIMUM_STATEMENT_BYTES

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
INPUT_NAME: Final = "protected_request"
OUTPUT_NAME: Final = "protected_response"

MAXIMUM_HEADER_BYTES: Final = 64 * 2**10
"""Longest JSON header of a response."""

MAXIMUM_METADATA_BYTES: Final = 2 * MAXIMUM_MANIFEST_BYTES + 2 * 2**20
"""Longest metadata of a model: a manifest whose quotation marks are escaped, and the rest, of
which evidence in a key configuration is the most."""

_PREFIX: Final = struct.Struct("<I")
_LARGEST_TENSOR: Final = 2**32 - 1

Microseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _ModelParameters(msgspec.Struct):
    manifest: str
    package_digest: str
    # Empty texts are refused where they are verified, each as what it should have been.
    owner: str = ""
    signatures: str = ""
    authority: str = ""
    key_configuration: str = ""


class _Model(msgspec.Struct):
    name: str
    parameters: _ModelParameters


class _TensorParameters(msgspec.Struct):
    binary_data_size: int


class _Tensor(msgspec.Struct):
    name: str
    datatype: str
    shape: tuple[int, ...]
    parameters: _TensorParameters


class _ResponseParameters(msgspec.Struct, frozen=True):
    compute_microseconds: Microseconds = 0
    queue_microseconds: Microseconds = 0
    package_digest: str | None = None
    receipt: Annotated[str, msgspec.Meta(max_length=MAXIMUM_STATEMENT_BYTES)] | None = None


class _Response(msgspec.Struct):
    outputs: tuple[_Tensor, ...]
    id: str | None = None
    parameters: _ResponseParameters = _ResponseParameters()


# Writes what `canonical` would, in a tenth of the time: there are only texts and integers.
_encoder: Final = msgspec.json.Encoder(order="sorted")
_response_decoder: Final = msgspec.json.Decoder(_Response)


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """What a server says of a model, as far as a client looks at it; nothing of it is checked.

    Attributes:
        proof: what the package is and who serves it, supposedly.
        package_digest: what the server claims to be the package's digest.
    """

    proof: Proof
    package_digest: str


@dataclass(frozen=True, slots=True)
class InferResponse:
    """A parsed response.

    Attributes:
        content: the opaque protected response.
        compute_seconds, queue_seconds: what the server says that it took.
        receipt: a signed statement of the answer, supposedly; None if there is none.
    """

    content: bytes
    compute_seconds: float
    queue_seconds: float
    receipt: str | None


def decode_metadata(body: bytes, model: str) -> ModelMetadata:
    """Read V2 model metadata.

    Raises:
        ServerError: SR-SERVER-PROTOCOL.
    """
    try:
        found = msgspec.json.decode(body, type=_Model)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise wrong("the model's metadata is not that of a protected model") from error
    if found.name != model:
        raise wrong("the model's metadata is that of another model")
    shown = found.parameters
    proof = Proof(
        shown.manifest, shown.owner, shown.signatures, shown.authority, shown.key_configuration
    )
    return ModelMetadata(proof, shown.package_digest)


def encode_request(
    request_id: str,
    content: bytes,
    package_digest: str,
    *,
    receipt: bool = False,
    query: str = "",
    proof_demand: str = "",
) -> tuple[bytes, int]:
    """The body of an inference request, and the length of the JSON in front.

    The package's digest goes along, so that a server which has replaced the model meanwhile can
    refuse rather than answer with another one.

    Args:
        receipt: whether a receipt is asked for.
        query: text of a signed query; "" for none.
        proof_demand: text of a signed demand for proofs; "" for none.

    Raises:
        ServerError: SR-REQUEST-SIZE if the content is longer than a tensor can be.
    """
    if len(content) > _LARGEST_TENSOR - _PREFIX.size:
        raise ServerError(
            "SR-REQUEST-SIZE",
            f"a protected request of {len(content)} bytes is longer than the protocol allows",
            "Send fewer rows at once",
        )
    header = _encoder.encode(
        {
            "id": request_id,
            "parameters": {"package_digest": package_digest}
            | ({"receipt": True} if receipt else {})
            | ({"query": query} if query else {})
            | ({"proof_demand": proof_demand} if proof_demand else {}),
            "inputs": [
                {
                    "name": INPUT_NAME,
                    "datatype": "BYTES",
                    "shape": [1],
                    "parameters": {"binary_data_size": _PREFIX.size + len(content)},
                }
            ],
            "outputs": [{"name": OUTPUT_NAME, "parameters": {"binary_data": True}}],
        }
    )
    return b"".join((header, _PREFIX.pack(len(content)), content)), len(header)


def decode_response(
    body: bytes, header_length: str | None, request_id: str, package_digest: str
) -> InferResponse:
    """Read the body of an inference response.

    Args:
        body: all bytes of the body.
        header_length: value of the HTTP header `Inference-Header-Content-Length`.
        request_id: of the request that it must answer.
        package_digest: of the package that must have answered, where the response names one.

    Raises:
        ServerError: SR-SERVER-PROTOCOL.
        PackageError: SR-PACKAGE-DIGEST if another package answered.
    """
    if header_length is None:
        raise wrong(f"the header {HEADER_LENGTH} is missing")
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= 10):
        raise wrong(f"the header {HEADER_LENGTH} is no number")
    end = int(header_length)
    if not 1 <= end <= min(len(body), MAXIMUM_HEADER_BYTES):
        raise wrong(f"the header {HEADER_LENGTH} says {end} bytes of a body of {len(body)}")
    try:
        response = _response_decoder.decode(memoryview(body)[:end])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise wrong("the JSON of the response is not that of an inference") from error
    if response.id is not None and response.id != request_id:
        raise wrong("the response is to another request")
    if response.parameters.package_digest not in (None, package_digest):
        raise PackageError(
            "SR-PACKAGE-DIGEST",
            "the server answered with another package than the one that is trusted",
            "Open a new client, and compare the package's digest with its owner's",
        )
    if len(response.outputs) != 1:
        raise wrong(f"the response has {len(response.outputs)} outputs instead of one")
    tensor = response.outputs[0]
    if (tensor.name, tensor.datatype, tensor.shape) != (OUTPUT_NAME, "BYTES", (1,)):
        raise wrong(f"the output is not {OUTPUT_NAME} of type BYTES and shape [1]")
    rest = memoryview(body)[end:]
    if tensor.parameters.binary_data_size != len(rest) or len(rest) < _PREFIX.size:
        raise wrong(f"binary_data_size does not fit the {len(rest)} bytes after the JSON")
    (element_bytes,) = _PREFIX.unpack_from(rest)
    if element_bytes != len(rest) - _PREFIX.size:
        raise wrong(f"the tensor's element does not fit its {len(rest)} bytes")
    return InferResponse(
        bytes(rest[_PREFIX.size :]),
        response.parameters.compute_microseconds / 1e6,
        response.parameters.queue_microseconds / 1e6,
        response.parameters.receipt,
    )


def wrong(what: str) -> ServerError:
    """The error for an answer that is not what the protocol says."""
    return ServerError(
        "SR-SERVER-PROTOCOL",
        what,
        "Check that the URL is that of a Strongroom server of this version",
    )
