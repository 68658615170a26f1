"""The routes, over real connections to a real server."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from strongroom.server.app import application
from strongroom.server.catalogue import Catalogue, CatalogueEntry
from strongroom.server.config import ServerConfig
from strongroom.server.tokens import TokenFile, create_token, list_tokens, revoke_token
from strongroom.server.workers import WorkerPool


def _error(response: httpx.Response) -> tuple[int, str]:
    document = response.json()
    assert set(document) == {"error", "code"}
    assert "\n" not in document["error"]
    assert document["code"] in document["error"]
    return response.status_code, document["code"]


def test_health_and_server_metadata_need_no_token(server) -> None:
    with httpx.Client(base_url=server.url) as nobody:
        assert nobody.get("/v2/health/live").json() == {"live": True}
        assert nobody.get("/v2/health/ready").json() == {"ready": True}
        metadata = nobody.get("/v2").json()
    assert metadata["name"] == "strongroom"
    assert metadata["extensions"] == ["binary_tensor_data"]


def test_model_metadata_carries_the_exact_manifest(server) -> None:
    metadata = server.client.get("/v2/models/obedient").json()
    assert metadata == {
        "name": "obedient",
        "versions": ["1", "2"],
        "platform": "strongroom_test",
        "inputs": [{"name": "protected_request", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "protected_response", "datatype": "BYTES", "shape": [1]}],
        "parameters": {
            "package_digest": "sha256:" + "ab" * 32,
            "manifest": '{"guarantee":{"protection":"test"},"name":"obedient"}',
        },
    }
    assert server.client.get("/v2/models/obedient/versions/1").json() == metadata
    assert server.client.get("/v2/models/obedient/ready").json() == {
        "name": "obedient",
        "ready": True,
    }


def test_an_echo_travels_both_ways_in_binary(server, parse_answer) -> None:
    content = bytes(range(256)) * 200
    response = server.call(content)
    assert parse_answer(response) == content
    end = int(response.headers["inference-header-content-length"])
    head = json.loads(response.content[:end])
    assert head["model_name"] == "obedient"
    assert head["model_version"] == "2"
    assert head["parameters"].pop("package_digest") == "sha256:" + "ab" * 32
    assert head["parameters"].keys() == {"compute_microseconds", "queue_microseconds"}
    assert all(type(value) is int for value in head["parameters"].values())


def test_an_echo_travels_both_ways_in_json(server) -> None:
    tensor = {"name": "protected_request", "shape": [1], "datatype": "BYTES", "data": ["AP8="]}
    response = server.client.post(
        "/v2/models/obedient/versions/1/infer", json={"id": "seven", "inputs": [tensor]}
    )
    document = response.json()
    assert (document["id"], document["model_version"]) == ("seven", "1")
    assert base64.b64decode(document["outputs"][0]["data"][0]) == b"\x00\xff"


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ("sha256:" + "ab" * 32, (200, None)),
        ("sha256:" + "cd" * 32, (409, "SR-PACKAGE-DIGEST")),
        (5, (400, "SR-REQUEST-FORMAT")),
    ],
)
def test_a_request_for_another_package_is_not_answered(server, digest, expected) -> None:
    tensor = {"name": "protected_request", "shape": [1], "datatype": "BYTES", "data": ["AP8="]}
    response = server.client.post(
        "/v2/models/obedient/infer",
        json={"inputs": [tensor], "parameters": {"package_digest": digest}},
    )
    assert (response.status_code, response.json().get("code")) == expected


def test_who_has_no_committee_proves_nothing(server) -> None:
    tensor = {"name": "protected_request", "shape": [1], "datatype": "BYTES", "data": ["AP8="]}
    response = server.client.post(
        "/v2/models/obedient/infer",
        json={"inputs": [tensor], "parameters": {"proof_demand": "{}"}},
    )
    assert (response.status_code, response.json()["code"]) == (400, "SR-REQUEST-FORMAT")
    assert "no committee" in response.json()["error"]


def test_compute_time_is_the_workers(server) -> None:
    response = server.call(b"sleep 0.2")
    end = int(response.headers["inference-header-content-length"])
    parameters = json.loads(response.content[:end])["parameters"]
    assert 200_000 <= parameters["compute_microseconds"] < 2_000_000
    assert parameters["queue_microseconds"] < 200_000


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x"],
)
def test_without_a_valid_token_there_is_one_answer_for_any_model(server, authorization) -> None:
    headers = {}
    if authorization is not None:
        headers["authorization"] = authorization.format(token=server.token)
    answers = []
    with httpx.Client(base_url=server.url, headers=headers) as nobody:
        for model in ("obedient", "unheard-of"):
            for path in ("", "/ready", "/versions/9", "/versions/9/ready"):
                answers.append(nobody.get(f"/v2/models/{model}{path}"))
            answers.append(server.call(b"x", model, client=nobody))
            answers.append(nobody.post(f"/v2/models/{model}/infer", content=b"x"))
    assert {_error(answer) for answer in answers} == {(401, "SR-SERVER-TOKEN")}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


def test_two_authorization_headers_are_refused(server) -> None:
    headers = [("authorization", f"Bearer {server.token}"), ("authorization", "Bearer x")]
    response = httpx.get(f"{server.url}/v2/models/obedient", headers=headers)
    assert _error(response) == (400, "SR-REQUEST-FORMAT")


async def _refuse_to_look(app: Starlette) -> list[int]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as nobody:
        paths = [f"/v2/models/{model}{path}" for model in "ab" for path in ("", "/ready")]
        answers = [await nobody.get(path) for path in paths]
        answers.append(await nobody.post("/v2/models/a/infer", content=b"x"))
    return [answer.status_code for answer in answers]


def test_without_a_token_no_model_is_looked_up(tmp_path: Path) -> None:
    class Untouched(Catalogue):
        def find(self, name: str, version: str | None) -> CatalogueEntry:
            raise AssertionError("looked up a model for somebody without a token")

    tokens = tmp_path / "tokens.json"
    create_token(tokens, "hospital")
    config = ServerConfig(packages=("a",), tokens=str(tokens))
    app = application(config, Untouched([], 1024), WorkerPool(config), TokenFile(tokens))
    assert asyncio.run(_refuse_to_look(app)) == [401] * 5


def test_refused_tokens_leave_a_trace_without_the_token(server, eventually) -> None:
    before = server.log().count('"token refused"')
    with httpx.Client(base_url=server.url, verify=False) as stranger:
        stranger.get("/v2/models/obedient", headers={"authorization": "Bearer canary-guess"})
    eventually(lambda: server.log().count('"token refused"') == before + 1)
    assert "canary-guess" not in server.log()


def test_an_unknown_model_is_named_to_those_who_have_a_token(server) -> None:
    refused = server.client.get("/v2/models/unheard-of")
    assert _error(refused) == (404, "SR-SERVER-MODEL")
    assert "Ask for one of: obedient, other." in refused.json()["error"]
    with httpx.Client(base_url=server.url, verify=False) as stranger:
        assert "obedient" not in stranger.get("/v2/models/unheard-of").text
    assert _error(server.call(b"x", "unheard-of")) == (404, "SR-SERVER-MODEL")
    assert _error(server.client.get("/v2/models/obedient/versions/7")) == (404, "SR-SERVER-MODEL")


def test_a_revoked_token_stops_working_at_once(server) -> None:
    path = server.folder / "tokens.json"
    token = create_token(path, "leaver")
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=server.url, headers=headers) as leaver:
        assert leaver.get("/v2/models/obedient").status_code == 200
        (entry,) = (entry for entry in list_tokens(path) if entry.tenant == "leaver")
        revoke_token(path, entry.id)
        assert _error(leaver.get("/v2/models/obedient")) == (401, "SR-SERVER-TOKEN")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1", 404),
        ("GET", "/v2/", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/obedient/infer", 405),
        ("POST", "/v2/health/live", 405),
        ("GET", "/v2/models/a%2Fb/c", 404),
    ],
)
def test_other_paths_and_methods_give_the_same_kind_of_error(server, method, path, status) -> None:
    assert _error(server.client.request(method, path)) == (status, "SR-REQUEST-FORMAT")


def test_a_models_own_refusal_reaches_the_client_with_its_code(server) -> None:
    assert _error(server.call(b"refuse")) == (400, "SR-CIPHERTEXT-RANGE")
    assert "a coefficient is too large" in server.call(b"refuse").json()["error"]


def test_one_connection_survives_every_kind_of_error(server, binary) -> None:
    head, body = binary(b"still here")
    good = {
        "authorization": f"Bearer {server.token}",
        "inference-header-content-length": str(head),
    }
    path = "/v2/models/obedient/infer"
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    first = connection.sock.getsockname()
    _, refusal = binary(b"refuse")
    attempts = [
        (path, body, {}, 401),
        (path, body, good | {"authorization": "Bearer x"}, 401),
        ("/v2/models/unheard-of/infer", body, good, 404),
        (path, body, good | {"inference-header-content-length": "999999"}, 400),
        (path, body + b"x", good, 400),
        (path, b"", good, 400),
        (path, b"x" * 200_000, good, 400),
        (path, refusal, good | {"inference-header-content-length": str(head - 1)}, 400),
        ("/nowhere", body, good, 404),
        (path, body, good, 200),
    ]
    for target, content, headers, status in attempts:
        connection.request("POST", target, content, headers)
        response = connection.getresponse()
        text = response.read()
        assert response.status == status, text
        assert connection.sock is not None, "the server closed the connection"
        assert connection.sock.getsockname() == first
    assert text.endswith(b"still here")
    connection.close()
