"""People with their own httpx code: plain V2 in and out, sealed between, and nothing else."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import numpy as np
import pytest
from fake_server import URL, FakeServer, streamed
from model_owner import OWNER
from sealed_servers import SealedServer, row_server, tensor_server
from served_proofs import identity, package_of
from sklearn.linear_model import LogisticRegression

from strongroom.client.sealed_transport import SealedTransport
from strongroom.errors import CiphertextError, PackageError, PolicyError, ServerError
from strongroom.keys.store import KeyStore
from strongroom.receipts.receipt import verify_receipt

INFER = f"{URL}/v2/models/m/infer"
CANARY = 1234.5


@pytest.fixture
def server() -> SealedServer:
    return tensor_server()


def _http(server: SealedServer, **options: Any) -> httpx.Client:
    settings = server.settings() | options
    return httpx.Client(transport=SealedTransport(URL, **settings))


def _plain(**fields: Any) -> dict[str, Any]:
    values = [[CANARY, 2.0], [30.5, 4.0]]
    tensors = [{"name": name, "datatype": "FP32", "shape": [2, 2], "data": values} for name in "ab"]
    return {"inputs": tensors} | fields


def test_json_in_and_out(server: SealedServer) -> None:
    with _http(server) as http:
        response = http.post(INFER, json=_plain(id="seven"))
    assert response.status_code == 200
    answer = response.json()
    assert (answer["id"], answer["model_name"], answer["model_version"]) == ("seven", "m", "1")
    assert answer["parameters"]["package_digest"] == server.package.digest
    total, most = answer["outputs"]
    assert (total["name"], total["datatype"], total["shape"]) == ("total", "FP32", [2, 2])
    assert total["data"] == [2 * CANARY, 4.0, 61.0, 8.0]
    assert (most["datatype"], most["shape"], most["data"]) == ("INT64", [], [1234])


def test_binary_in_and_out(server: SealedServer) -> None:
    array = np.array([[CANARY, 2.0]], np.float32)
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "datatype": "FP32",
                    "shape": [1, 2],
                    "parameters": {"binary_data_size": 8},
                }
                for name in "ab"
            ],
            "outputs": [{"name": "total", "parameters": {"binary_data": True}}],
        }
    ).encode()
    headers = {"inference-header-content-length": str(len(head))}
    with _http(server) as http:
        response = http.post(INFER, content=head + 2 * array.tobytes(), headers=headers)
    end = int(response.headers["inference-header-content-length"])
    assert [tensor["name"] for tensor in json.loads(response.content[:end])["outputs"]] == ["total"]
    np.testing.assert_array_equal(
        np.frombuffer(response.content[end:], np.float32), 2 * array.ravel()
    )


def test_only_what_was_sealed_leaves(server: SealedServer) -> None:
    headers = {"x-patient": "canary-header", "authorization": "Bearer canary-token", "cookie": "c"}
    body = _plain(id="canary-id", parameters={"note": "canary-note"})
    with _http(server, token="the-tenants-token") as http:
        http.post(INFER, json=body, headers=headers)
    sent = server.requests[-1]
    said = repr((sent.url, list(sent.headers.items()))).encode() + b"".join(server.bodies)
    assert b"canary" not in said
    assert b"1234.5" not in said
    assert np.float32(CANARY).tobytes() not in said
    assert sent.headers["authorization"] == "Bearer the-tenants-token"


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("POST", "http://127.0.0.1:9/v2/models/m/infer"),
        ("POST", "https://127.0.0.1:8443/v2/models/m/infer"),
        ("POST", "http://localhost:8443/v2/models/m/infer"),
        ("POST", f"{URL}/v2/models/other/infer"),
        ("POST", f"{URL}/v2/models/m/versions/2/infer"),
        ("POST", f"{URL}/v2/models/m/infer/"),
        ("POST", f"{URL}/v2/models/m/generate"),
        ("POST", f"{URL}/v2/models/m/infer?x=1"),
        ("POST", f"{URL}/v2/models/%6d/infer"),
        ("PUT", INFER),
        ("GET", INFER),
        ("DELETE", f"{URL}/v2/models/m"),
        ("GET", f"{URL}/v2/health/ready"),
        ("GET", f"{URL}/v2"),
        ("GET", f"{URL}/v2/keys"),
    ],
)
def test_nothing_else_passes_through(server: SealedServer, method: str, url: str) -> None:
    with _http(server) as http:
        asked = len(server.requests)
        with pytest.raises(ServerError) as caught:
            http.request(method, url, json=_plain())
        assert caught.value.code == "SR-REQUEST-FORMAT"
        assert len(server.requests) == asked


def test_a_compressed_request_is_not_sent(server: SealedServer) -> None:
    with _http(server) as http, pytest.raises(ServerError, match="compressed"):
        http.post(INFER, content=b"x", headers={"content-encoding": "gzip"})


def test_the_version_may_be_named(server: SealedServer) -> None:
    with _http(server) as http:
        assert http.post(f"{URL}/v2/models/m/versions/1/infer", json=_plain()).is_success


def test_metadata_are_those_of_the_verified_package(server: SealedServer) -> None:
    with _http(server) as http:
        asked = len(server.requests)
        found = http.get(f"{URL}/v2/models/m").json()
        assert len(server.requests) == asked
    assert (found["name"], found["versions"], found["platform"]) == (
        "m",
        ["1"],
        "strongroom_sealed",
    )
    assert found["inputs"][0] == {"name": "a", "datatype": "FP32", "shape": [-1, 2]}
    assert found["outputs"][1] == {"name": "most", "datatype": "INT64", "shape": []}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"inputs": []},
        {"inputs": [{"name": "a", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3]}]},
        _plain(outputs=[{"name": "nothing"}]),
        {"inputs": _plain()["inputs"][:1]},
        {"inputs": [tensor | {"name": tensor["name"] + "x"} for tensor in _plain()["inputs"]]},
        _plain(parameters={"receipt": True}),
    ],
)
def test_wrong_requests_are_answered_as_a_plain_server_would(
    server: SealedServer, body: dict[str, Any]
) -> None:
    with _http(server) as http:
        response = http.post(INFER, json=body)
    assert response.status_code == 400
    assert response.json()["code"] in ("SR-REQUEST-FORMAT", "SR-INPUT-SHAPE")
    assert response.json()["error"].startswith(f"[{response.json()['code']}]")


def test_the_models_own_errors_are_answers(server: SealedServer) -> None:
    body = _plain()
    body["inputs"][1] |= {"shape": [1, 2], "data": [1, 2]}
    body["inputs"][0] |= {"shape": [3, 2], "data": [1, 2] * 3}
    with _http(server) as http:
        fits = http.post(INFER, json=body)
        assert fits.is_success  # one row is added to every one
        body["inputs"][1] |= {"shape": [2, 2], "data": [1, 2] * 2}
        response = http.post(INFER, json=body)
    assert response.status_code == 400
    assert response.json()["code"] == "SR-MODEL-VALUES"


def test_failures_of_protection_are_never_answers(server: SealedServer) -> None:
    server.change = lambda header, rest: (header, rest[:-1] + bytes([rest[-1] ^ 1]))
    with _http(server) as http, pytest.raises(CiphertextError):
        http.post(INFER, json=_plain())
    with pytest.raises(PackageError) as caught:
        _http(server, trust=identity("stranger").public)
    assert caught.value.code == "SR-PACKAGE-OWNER"


def test_a_model_that_is_not_sealed_is_refused(protection: Any) -> None:
    server = FakeServer(package_of())
    with pytest.raises(PolicyError, match="not sealed"):
        SealedTransport(
            URL,
            model="m",
            trust=OWNER.public,
            keys=KeyStore.in_memory(),
            transport=httpx.MockTransport(streamed(server.handle)),
        )
    assert [request.method for request in server.requests] == ["GET"]


def test_receipts_come_along_where_they_were_asked_for(server: SealedServer) -> None:
    with _http(server, receipts=True) as http:
        answer = http.post(INFER, json=_plain(parameters={"receipt": True})).json()
    receipt = verify_receipt(answer["parameters"]["receipt"], OWNER.public)
    assert receipt.statement.package == server.package.digest
    with _http(server) as http:
        assert "receipt" not in http.post(INFER, json=_plain()).json()["parameters"]


def test_a_model_of_rows_gives_what_the_plain_one_has() -> None:
    X = np.random.default_rng(3).normal(size=(20, 3))
    model = LogisticRegression().fit(X, np.where(X[:, 0] > 0, "ill", "well"))
    tensor = {"name": "x", "datatype": "FP64", "shape": [20, 3], "data": X.tolist()}
    with _http(row_server(model, X)) as http:
        labels = http.post(INFER, json={"inputs": [tensor]}).json()["outputs"]
        assert labels[0]["data"] == model.predict(X).tolist()
        wanted = [{"name": "predict_proba"}, {"name": "decision_function"}]
        both = http.post(INFER, json={"inputs": [tensor], "outputs": wanted}).json()["outputs"]
        assert both[0]["shape"] == [20, 2]
        np.testing.assert_allclose(both[0]["data"], model.predict_proba(X).ravel(), rtol=1e-9)
        np.testing.assert_allclose(both[1]["data"], model.decision_function(X), rtol=1e-9)
        for wrong in ({"outputs": [{"name": "transform"}]}, {"inputs": [tensor, tensor]}):
            assert http.post(INFER, json={"inputs": [tensor]} | wrong).status_code == 400
        found = http.get(f"{URL}/v2/models/m").json()
        assert found["inputs"] == [{"name": "rows", "datatype": "FP64", "shape": [-1, 3]}]
        assert found["outputs"][0] == {"name": "predict", "datatype": "BYTES", "shape": [-1]}


def test_threads_take_turns(server: SealedServer) -> None:
    found: list[list[float]] = []

    def ask(http: httpx.Client, value: float) -> None:
        body = _plain()
        for tensor in body["inputs"]:
            tensor["data"] = [value] * 4
        found.append(http.post(INFER, json=body).json()["outputs"][0]["data"])

    with _http(server) as http:
        threads = [threading.Thread(target=ask, args=(http, float(n))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(found) == [[2.0 * n] * 4 for n in range(8)]
