from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.errors import ServerError
from strongroom.server import v2


def _parse(body: bytes, header: int | str | None) -> v2.InferRequest:
    return v2.parse_request(memoryview(body), None if header is None else str(header))


def _json_body(**changes: Any) -> bytes:
    tensor = {"name": "protected_request", "shape": [1], "datatype": "BYTES", "data": ["aGk="]}
    return json.dumps({"inputs": [tensor | changes]}).encode()


def test_a_binary_tensor_is_found_without_a_copy(binary: Callable[..., Any]) -> None:
    head, body = binary(b"\x00ciphertext\xff", id="seven")
    view = memoryview(body)
    request = v2.parse_request(view, str(head))
    assert bytes(request.content) == b"\x00ciphertext\xff"
    assert request.content.obj is body
    assert (request.id, request.binary_output) == ("seven", True)


def test_a_tensor_in_json_is_base64() -> None:
    request = _parse(_json_body(), None)
    assert bytes(request.content) == b"hi"
    assert (request.id, request.binary_output) == (None, False)
    marked = _json_body(parameters={"content_type": "base64"})
    assert bytes(_parse(marked, None).content) == b"hi"


def test_json_alone_may_come_with_the_header_too() -> None:
    body = _json_body()
    assert bytes(_parse(body, len(body)).content) == b"hi"


@pytest.mark.parametrize(
    ("top", "outputs", "binary_output"),
    [
        ({}, None, False),
        ({"binary_data_output": True}, None, True),
        ({"binary_data_output": True}, {"binary_data": False}, False),
        ({}, {"binary_data": True}, True),
        ({"priority": 3}, {}, False),
    ],
)
def test_the_request_says_whether_the_response_is_binary(
    binary: Callable[..., Any], top: dict[str, Any], outputs: Any, binary_output: bool
) -> None:
    extra: dict[str, Any] = {"parameters": top}
    if outputs is not None:
        extra["outputs"] = [{"name": "protected_response", "parameters": outputs}]
    head, body = binary(b"x", **extra)
    assert _parse(body, head).binary_output is binary_output


@pytest.mark.parametrize(
    "header", ["", "abc", "-1", "0", "+5", "1e3", "1_0", "٣", "0x10", "99999999999999999999"]
)
def test_a_header_length_that_is_no_length_is_refused(
    binary: Callable[..., Any], header: str
) -> None:
    _, body = binary(b"x")
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body, header)


def test_a_header_length_beyond_the_body_is_refused(binary: Callable[..., Any]) -> None:
    _, body = binary(b"x")
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body, len(body) + 1)


@pytest.mark.parametrize("shift", [-1, 1, 2])
def test_a_header_length_that_cuts_elsewhere_is_refused(
    binary: Callable[..., Any], shift: int
) -> None:
    head, body = binary(b"x")
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body, head + shift)


@pytest.mark.parametrize(
    "lie",
    [
        {"declared": 4},
        {"declared": 6},
        {"declared": -1},
        {"declared": 2**63},
        {"declared": True},
        {"declared": 5.0},
        {"declared": "5"},
        {"element": 0},
        {"element": 2},
        {"element": 2**32 - 1},
    ],
)
def test_a_binary_size_that_is_not_the_actual_one_is_refused(
    binary: Callable[..., Any], lie: dict[str, Any]
) -> None:
    head, body = binary(b"x", **lie)
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body, head)


def test_a_binary_tensor_too_short_for_its_length_is_refused(binary: Callable[..., Any]) -> None:
    head, body = binary(b"", declared=3)
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body[:-1], head)


def test_bytes_after_the_tensor_are_refused(binary: Callable[..., Any]) -> None:
    head, body = binary(b"x")
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(body + b"y", head)
    plain = _json_body()
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(plain + b"y", len(plain))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "image"},
        {"datatype": "UINT8"},
        {"shape": [2]},
        {"shape": [1, 1]},
        {"shape": []},
        {"shape": [True]},
        {"shape": "1"},
        {"data": []},
        {"data": ["aGk=", "aGk="]},
        {"data": ["not base64!"]},
        {"data": [5]},
        {"data": None},
        {"parameters": {"content_type": "str"}},
        {"parameters": {"binary_data_size": 6}},
        {"parameters": {"nested": {}}},
        {"extra": 1},
    ],
)
def test_an_input_that_is_not_the_models_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
        _parse(_json_body(**changes), None)


@pytest.mark.parametrize("name", ["query", "proof_demand"])
def test_what_is_for_members_is_a_text_or_missing(name: str) -> None:
    def parse(parameters: dict[str, Any]) -> str:
        body = json.loads(_json_body()) | {"parameters": parameters}
        found: str = getattr(_parse(json.dumps(body).encode(), None), name)
        return found

    assert parse({}) == ""
    assert parse({name: "signed"}) == "signed"
    for wrong in (5, True):
        with pytest.raises(ServerError, match=f"{name} is no text"):
            parse({name: wrong})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"inputs":[]}',
        b'{"inputs":{}}',
        b"\xff\xfe",
        b'{"inputs":[],"id":5}',
        b"[" * 100_000,
    ],
)
def test_json_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(ServerError, match="SR-REQUEST-FORMAT") as caught:
        _parse(body, None)
    assert "\n" not in str(caught.value)
    assert caught.value.http_status == 400


def test_a_second_input_and_an_unknown_output_are_refused(binary: Callable[..., Any]) -> None:
    tensor = json.loads(_json_body())["inputs"][0]
    for document in (
        {"inputs": [tensor, tensor]},
        {"inputs": [tensor], "outputs": [{"name": "weights"}]},
        {"inputs": [tensor], "outputs": [{"name": "protected_response"}] * 2},
        {"inputs": [tensor], "parameters": {"binary_data_output": "yes"}},
    ):
        with pytest.raises(ServerError, match="SR-REQUEST-FORMAT"):
            _parse(json.dumps(document).encode(), None)


def test_too_much_json_is_refused_by_its_length() -> None:
    with pytest.raises(ServerError, match="SR-REQUEST-SIZE"):
        v2.json_length(None, v2.JSON_BODY_LIMIT_BYTES + 1)
    with pytest.raises(ServerError, match="SR-REQUEST-SIZE"):
        v2.json_length(str(v2.BODY_OVERHEAD_BYTES + 1), 1 << 30)


@given(st.binary(max_size=200), st.one_of(st.none(), st.integers(-2, 300)))
def test_arbitrary_bytes_are_refused_and_nothing_else_happens(
    body: bytes, header: int | None
) -> None:
    with pytest.raises(ServerError):
        _parse(body, header)


@given(
    content=st.binary(max_size=64),
    position=st.integers(0, 400),
    flip=st.integers(1, 255),
)
def test_a_flipped_byte_gives_a_refusal_or_a_request_of_the_same_size(
    content: bytes, position: int, flip: int, binary: Callable[..., Any]
) -> None:
    head, body = binary(content)
    damaged = bytearray(body)
    damaged[position % len(body)] ^= flip
    try:
        outcome: int | str = len(_parse(bytes(damaged), head).content)
    except ServerError as error:
        outcome = error.code
    assert outcome in (len(content), "SR-REQUEST-FORMAT")


def test_a_response_is_json_with_base64_unless_binary_was_asked_for() -> None:
    request = _parse(_json_body(), None)
    body, headers = v2.response_body("m", "1", request, b"\x00\xff", {"compute_microseconds": 5})
    document = json.loads(body)
    assert headers == {"content-type": "application/json"}
    assert base64.b64decode(document["outputs"][0]["data"][0]) == b"\x00\xff"
    assert document["parameters"] == {"compute_microseconds": 5}
    assert (document["model_name"], document["model_version"]) == ("m", "1")
    assert "id" not in document


def test_a_binary_response_declares_every_length(binary: Callable[..., Any]) -> None:
    head, body = binary(b"x", id="seven")
    answer, headers = v2.response_body("m", "1", _parse(body, head), b"\x00\xff", {})
    end = int(headers["inference-header-content-length"])
    document = json.loads(answer[:end])
    assert document["id"] == "seven"
    assert document["outputs"][0]["parameters"]["binary_data_size"] == len(answer) - end
    assert answer[end:] == struct.pack("<I", 2) + b"\x00\xff"
