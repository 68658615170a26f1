"""Plain tensors of V2: what clients without Strongroom send and read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from strongroom.client.v2_tensors import (
    DATATYPES,
    TensorRequest,
    decode_request,
    encode_response,
)
from strongroom.errors import ServerError


def _json_body(**fields: Any) -> bytes:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3, 4.5]}
    return json.dumps({"inputs": [tensor | fields]}).encode()


def _binary_body(arrays: dict[str, tuple[str, NDArray[Any]]], **fields: Any) -> tuple[bytes, str]:
    rest = b"".join(array.tobytes() for _, array in arrays.values())
    tensors = [
        {
            "name": name,
            "datatype": datatype,
            "shape": list(array.shape),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, (datatype, array) in arrays.items()
    ]
    head = json.dumps({"inputs": tensors} | fields).encode()
    return head + rest, str(len(head))


def _refused(body: bytes, header: str | None = None) -> str:
    with pytest.raises(ServerError) as caught:
        decode_request(body, header)
    assert caught.value.code == "SR-REQUEST-FORMAT"
    assert caught.value.http_status == 400
    return caught.value.message


def _asking(**fields: Any) -> TensorRequest:
    return decode_request(json.dumps(json.loads(_json_body()) | fields).encode(), None)


@pytest.mark.parametrize("data", [[1, 2, 3, 4.5], [[1, 2], [3, 4.5]]])
def test_json_data_may_be_flat_or_nested(data: list[Any]) -> None:
    (array,) = decode_request(_json_body(data=data), None).inputs.values()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, np.array([[1, 2], [3, 4.5]], np.float32))


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back_as_it_was_sent(datatype: str) -> None:
    array = np.array([[0, 1, 1]], DATATYPES[datatype])
    body, header = _binary_body({"a": (datatype, array), "b": (datatype, array[:, :2])})
    found = decode_request(body, header).inputs
    assert [value.dtype for value in found.values()] == [array.dtype, array.dtype]
    np.testing.assert_array_equal(found["a"], array)
    np.testing.assert_array_equal(found["b"], array[:, :2])
    for binary in (False, True):
        answer, headers = encode_response("m", "1", _asking(), {"y": array}, {})
        request = _asking(parameters={"binary_data_output": binary})
        answer, headers = encode_response("m", "1", request, {"y": array}, {})
        end = int(headers.get("inference-header-content-length", len(answer)))
        (tensor,) = json.loads(answer[:end])["outputs"]
        assert (tensor["datatype"], tensor["shape"]) == (datatype, [1, 3])
        values = (
            np.frombuffer(answer[end:], array.dtype)
            if binary
            else np.array(tensor["data"], array.dtype)
        )
        np.testing.assert_array_equal(values, array.ravel())


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("INT8", [1, 2, 3, 128]),
        ("UINT8", [1, 2, 3, -1]),
        ("INT64", [1, 2, 3, 2**63]),
        ("INT32", [1, 2, 3, 4.5]),
        ("BOOL", [1, 0, 1, 0]),
        ("FP32", [1, 2, 3, "4"]),
        ("FP32", [1, 2, 3, None]),
        ("FP32", [1, 2, 3, 1e39]),
        ("FP32", [[1, 2], [3]]),
        ("FP32", [1, 2, 3]),
        ("BYTES", ["a", "b", "c", "d"]),
        ("BF16", [1, 2, 3, 4]),
    ],
)
def test_values_that_are_not_of_the_datatype_are_refused(datatype: str, data: list[Any]) -> None:
    assert "'x'" in _refused(_json_body(datatype=datatype, data=data))


def test_large_integers_keep_every_digit() -> None:
    body = _json_body(datatype="UINT64", data=[1, 2, 3, 2**64 - 1])
    assert int(decode_request(body, None).inputs["x"].max()) == 2**64 - 1


def test_empty_tensors_are_tensors() -> None:
    body = _json_body(shape=[0, 2], data=[])
    assert decode_request(body, None).inputs["x"].shape == (0, 2)


def test_bytes_that_no_tensor_declares_are_refused() -> None:
    body, header = _binary_body({"x": ("FP32", np.zeros(2, np.float32))})
    _refused(body + b"\0", header)
    _refused(body[:-1], header)
    _refused(body, str(len(body) + 1))
    _refused(body, "ten")
    _refused(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"inputs":[]}',
        b'{"inputs":[{"name":"x"}]}',
        b"{" * 100_000,
        _json_body(shape=[-1, 4]),
        _json_body(surplus=1),
        _json_body(parameters={"binary_data_size": 16}),
        json.dumps({"inputs": [json.loads(_json_body())["inputs"][0]] * 2}).encode(),
        json.dumps(json.loads(_json_body()) | {"parameters": {"receipt": "yes"}}).encode(),
    ],
)
def test_what_is_no_request_is_refused(body: bytes) -> None:
    _refused(body)


def test_a_response_has_the_outputs_that_were_asked_for_in_their_order() -> None:
    outputs = {"a": np.zeros(1, np.float32), "b": np.ones((1, 2), np.int64), "c": np.ones(1)}
    request = _asking(
        id="7", outputs=[{"name": "c"}, {"name": "b", "parameters": {"binary_data": True}}]
    )
    body, headers = encode_response("m", "3", request, outputs, {"receipt": "r"})
    end = int(headers["inference-header-content-length"])
    answer = json.loads(body[:end])
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("7", "m", "3")
    assert answer["parameters"] == {"receipt": "r"}
    assert [tensor["name"] for tensor in answer["outputs"]] == ["c", "b"]
    assert answer["outputs"][0]["data"] == [1.0]
    np.testing.assert_array_equal(np.frombuffer(body[end:], np.int64), [1, 1])
    with pytest.raises(ServerError, match="no output 'd'"):
        encode_response("m", "3", _asking(outputs=[{"name": "d"}]), outputs, {})


def test_what_json_cannot_say_has_to_be_asked_for_in_binary() -> None:
    outputs = {"y": np.array([np.nan, 1.0])}
    with pytest.raises(ServerError, match="binary"):
        encode_response("m", "1", _asking(), outputs, {})
    body, headers = encode_response(
        "m", "1", _asking(parameters={"binary_data_output": True}), outputs, {}
    )
    end = int(headers["inference-header-content-length"])
    np.testing.assert_array_equal(np.frombuffer(body[end:]), [np.nan, 1.0])


def test_labels_that_are_texts_are_written_both_ways() -> None:
    outputs = {"predict": np.array(["ill", "wohlauf"])}
    body, _ = encode_response("m", "1", _asking(), outputs, {})
    (tensor,) = json.loads(body)["outputs"]
    assert (tensor["datatype"], tensor["data"]) == ("BYTES", ["ill", "wohlauf"])
    asked = _asking(parameters={"binary_data_output": True})
    body, headers = encode_response("m", "1", asked, outputs, {})
    end = int(headers["inference-header-content-length"])
    assert body[end:] == b"\3\0\0\0ill\7\0\0\0wohlauf"
