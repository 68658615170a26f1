"""What a tenant has at a server: a listing by a stranger, and the removal of a chosen set."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from strongroom.client.transport import Transport
from strongroom.client.uploaded_keys import delete_key_set, uploaded_keys
from strongroom.errors import ServerError

SET = {
    "parameters": "network-13",
    "key_set": "0f" * 16,
    "bytes": 1000,
    "keys": [[0, 3], [5, 2]],
    "public_limbs": [1],
    "last_used": "2026-11-22T10:00:00+00:00",
    "models": [{"name": "m", "version": "1"}],
}


def transport(answers: dict[str, Any], asked: list[httpx.Request]) -> Transport:
    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        content = json.dumps(answers[request.method]).encode()
        return httpx.Response(200, stream=httpx.ByteStream(content))

    return Transport("http://127.0.0.1:1", token="t", transport=httpx.MockTransport(handle))


def listing(**changes: Any) -> dict[str, Any]:
    return {"key_sets": [SET | changes], "bytes": 1000, "bytes_limit": 2000}


def test_a_set_is_listed_and_removed_by_its_own_path() -> None:
    asked: list[httpx.Request] = []
    one = transport({"GET": listing(later="field"), "DELETE": {}}, asked)
    found = uploaded_keys(one)
    assert (found.bytes, found.bytes_limit) == (1000, 2000)
    (key_set,) = found.key_sets
    assert key_set.keys == ((0, 3), (5, 2))
    assert [(model.name, model.version) for model in key_set.models] == [("m", "1")]
    delete_key_set(one, key_set)
    assert [(request.method, request.url.path) for request in asked] == [
        ("GET", "/v2/keys"),
        ("DELETE", f"/v2/keys/network-13/{'0f' * 16}"),
    ]
    assert all(request.headers["authorization"] == "Bearer t" for request in asked)


@pytest.mark.parametrize(
    "changes",
    [
        {"parameters": "../../models"},
        {"parameters": "network-13\n"},
        {"key_set": "0f" * 16 + "/objects"},
        {"key_set": "0F" * 16},
        {"bytes": -1},
        {"keys": 2},
        {"keys": [[-1, 1]]},
        {"last_used": "\x1b[2J"},
        {"models": ["m"]},
        {"models": [{"name": "m" * 1000, "version": "1"}]},
    ],
)
def test_a_listing_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ServerError) as caught:
        uploaded_keys(transport({"GET": listing(**changes)}, []))
    assert caught.value.code == "SR-SERVER-PROTOCOL"
