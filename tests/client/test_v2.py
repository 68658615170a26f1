"""The V2 codec: what is sent is right, what comes is bounded and exact."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client.v2 import decode_metadata, decode_response, encode_request
from strongroom.errors import PackageError, ServerError, StrongroomError
from strongroom.server import v2 as server_v2

DIGEST = "sha256:" + "0" * 64

Answer = dict[str, Any]


def _answer(content: bytes = b"content") -> Answer:
    return {
        "model_name": "m",
        "id": "7",
        "parameters": {"compute_microseconds": 1500, "queue_microseconds": 20},
        "outputs": [
            {
                "name": "protected_response",
                "datatype": "BYTES",
                "shape": [1],
                "parameters": {"binary_data_size": 4 + len(content)},
            }
        ],
    }


def _tensor(content: bytes = b"content") -> bytes:
    return struct.pack("<I", len(content)) + content


@given(content=st.binary(max_size=2000), request_id=st.text("abc-ü", max_size=40))
def test_the_server_reads_what_the_client_writes_and_back(content: bytes, request_id: str) -> None:
    body, header_bytes = encode_request(request_id, content, DIGEST)
    parsed = server_v2.parse_request(memoryview(body), str(header_bytes))
    assert bytes(parsed.content) == content
    assert parsed.id == request_id
    assert parsed.binary_output
    parameters: dict[str, bool | int | float | str] = {"compute_microseconds": 1_000_000}
    answer, headers = server_v2.response_body("m", "1", parsed, content, parameters)
    response = decode_response(
        answer, headers["inference-header-content-length"], request_id, DIGEST
    )
    assert response.content == content
    assert (response.compute_seconds, response.queue_seconds) == (1.0, 0.0)


@given(body=st.binary(max_size=200), length=st.integers(0, 300))
def test_arbitrary_bytes_are_refused_and_nothing_else(body: bytes, length: int) -> None:
    with pytest.raises(ServerError) as caught:
        decode_response(body, str(length), "7", DIGEST)
    assert caught.value.code == "SR-SERVER-PROTOCOL"


def test_unknown_fields_and_a_missing_id_are_accepted() -> None:
    answer = _answer() | {"from_a_later_version": [1]}
    del answer["id"], answer["parameters"]
    text = json.dumps(answer).encode()
    found = decode_response(text + _tensor(), str(len(text)), "7", DIGEST)
    assert (found.content, found.compute_seconds) == (b"content", 0.0)


def _without(*path: str | int) -> Callable[[Answer], None]:
    def apply(answer: Any) -> None:
        for step in path[:-1]:
            answer = answer[step]
        del answer[path[-1]]

    return apply


def _with(value: Any, *path: str | int) -> Callable[[Answer], None]:
    def apply(answer: Any) -> None:
        for step in path[:-1]:
            answer = answer[step]
        answer[path[-1]] = value

    return apply


HEADER_FAULTS: dict[str, Callable[[Answer], None]] = {
    "another_request": _with("8", "id"),
    "id_no_text": _with(7, "id"),
    "no_outputs": _with([], "outputs"),
    "outputs_missing": _without("outputs"),
    "two_outputs": lambda answer: answer["outputs"].append(answer["outputs"][0]),
    "other_output": _with("label", "outputs", 0, "name"),
    "other_datatype": _with("UINT8", "outputs", 0, "datatype"),
    "other_shape": _with([2], "outputs", 0, "shape"),
    "no_shape": _with([], "outputs", 0, "shape"),
    "size_missing": _without("outputs", 0, "parameters", "binary_data_size"),
    "size_too_large": _with(12, "outputs", 0, "parameters", "binary_data_size"),
    "size_too_small": _with(10, "outputs", 0, "parameters", "binary_data_size"),
    "size_negative": _with(-1, "outputs", 0, "parameters", "binary_data_size"),
    "size_text": _with("11", "outputs", 0, "parameters", "binary_data_size"),
    "size_enormous": _with(2**70, "outputs", 0, "parameters", "binary_data_size"),
    "time_negative": _with(-1, "parameters", "compute_microseconds"),
    "time_not_a_number": _with("soon", "parameters", "queue_microseconds"),
}


@pytest.mark.parametrize("fault", HEADER_FAULTS)
def test_a_wrong_header_is_refused(fault: str) -> None:
    answer = _answer()
    HEADER_FAULTS[fault](answer)
    text = json.dumps(answer).encode()
    with pytest.raises(ServerError) as caught:
        decode_response(text + _tensor(), str(len(text)), "7", DIGEST)
    assert caught.value.code == "SR-SERVER-PROTOCOL"


_TEXT = json.dumps(_answer()).encode()

BODY_FAULTS: dict[str, tuple[bytes, str | None]] = {
    "no_length": (_TEXT + _tensor(), None),
    "length_zero": (_TEXT + _tensor(), "0"),
    "length_negative": (_TEXT + _tensor(), "-1"),
    "length_signed": (_TEXT + _tensor(), f"+{len(_TEXT)}"),
    "length_in_other_digits": (_TEXT + _tensor(), "٣"),
    "length_beyond_body": (_TEXT + _tensor(), str(len(_TEXT) + 100)),
    "length_enormous": (_TEXT + _tensor(), "9" * 30),
    "length_one_short": (_TEXT + _tensor(), str(len(_TEXT) - 1)),
    "json_oversize": (b" " * 70_000 + _TEXT + _tensor(), str(70_000 + len(_TEXT))),
    "json_nested": (b'{"outputs":' + b"[" * 60_000 + _tensor(), "60000"),
    "not_utf8": (_TEXT.replace(b"model_name", b"model\xff\xfe"), str(len(_TEXT) - 3)),
    "tensor_missing": (_TEXT, str(len(_TEXT))),
    "tensor_cut_in_length": (_TEXT + b"\0\0", str(len(_TEXT))),
    "tensor_truncated": (_TEXT + _tensor()[:-1], str(len(_TEXT))),
    "trailing_byte": (_TEXT + _tensor() + b"\0", str(len(_TEXT))),
    "element_longer": (_TEXT + b"\x08\0\0\0content", str(len(_TEXT))),
    "element_shorter": (_TEXT + b"\x06\0\0\0content", str(len(_TEXT))),
    "element_all_ones": (_TEXT + b"\xff\xff\xff\xffcontent", str(len(_TEXT))),
}


@pytest.mark.parametrize("fault", BODY_FAULTS)
def test_a_wrong_body_is_refused(fault: str) -> None:
    body, length = BODY_FAULTS[fault]
    with pytest.raises(ServerError) as caught:
        decode_response(body, length, "7", DIGEST)
    assert caught.value.code == "SR-SERVER-PROTOCOL"


def test_an_answer_of_another_package_is_refused() -> None:
    answer = _answer()
    answer["parameters"]["package_digest"] = "sha256:" + "1" * 64
    text = json.dumps(answer).encode()
    with pytest.raises(PackageError) as caught:
        decode_response(text + _tensor(), str(len(text)), "7", DIGEST)
    assert caught.value.code == "SR-PACKAGE-DIGEST"


METADATA_FAULTS = {
    "not_json": b"<html>",
    "no_parameters": b'{"name":"m"}',
    "no_manifest": b'{"name":"m","parameters":{"package_digest":"x"}}',
    "manifest_no_text": b'{"name":"m","parameters":{"package_digest":"x","manifest":{}}}',
    "other_model": b'{"name":"n","parameters":{"package_digest":"x","manifest":"{}"}}',
    "nested": b'{"name":' + b"[" * 100_000,
}


@pytest.mark.parametrize("fault", METADATA_FAULTS)
def test_metadata_of_something_else_is_refused(fault: str) -> None:
    with pytest.raises(StrongroomError) as caught:
        decode_metadata(METADATA_FAULTS[fault], "m")
    assert caught.value.code == "SR-SERVER-PROTOCOL"
