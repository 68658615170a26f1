"""Sealed models behind `Client`: rows, named tensors, keys that change, servers that misbehave."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import numpy as np
import pytest
from model_owner import OWNER
from sealed_servers import SealedServer, row_server, tensor_server
from sklearn.linear_model import LogisticRegression

from strongroom.errors import (
    CiphertextError,
    InputError,
    ModelError,
    PackageError,
    PolicyError,
    ServerError,
    StrongroomError,
)
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.receipts.receipt import verify_receipt

A = np.array([[1.0, 2.0], [30.5, 4.0]], np.float32)
B = np.ones((2, 2), np.float32)


@pytest.fixture
def tensors() -> SealedServer:
    return tensor_server()


@pytest.fixture(scope="module")
def X() -> Any:
    return np.random.default_rng(3).normal(size=(60, 4))


@pytest.fixture(scope="module")
def model(X: Any) -> LogisticRegression:
    return LogisticRegression().fit(X, np.where(X[:, 0] > 0.1, "ill", "well"))


def test_rows_are_answered_as_the_plain_model_would(model: LogisticRegression, X: Any) -> None:
    with row_server(model, X).connect() as client:
        np.testing.assert_array_equal(client.predict(X), model.predict(X))
        np.testing.assert_allclose(client.predict_proba(X), model.predict_proba(X), rtol=1e-9)
        with pytest.raises(ModelError) as caught:
            client.infer({"rows": X})
        assert caught.value.code == "SR-MODEL-METHOD"


def test_tensors_are_answered_by_name(tensors: SealedServer) -> None:
    with tensors.connect(receipts=True) as client:
        found = client.infer({"a": A, "b": B})
        np.testing.assert_array_equal(found["total"], A + B)
        assert found["most"] == 30
        assert client.timings.requests == 1
        (receipt,) = client.receipts
        assert verify_receipt(receipt.text, OWNER.public) == receipt
        with pytest.raises(ModelError) as caught:
            client.predict(A)
        assert caught.value.code == "SR-MODEL-METHOD"


def test_lists_are_tensors_too(tensors: SealedServer) -> None:
    with tensors.connect() as client:
        np.testing.assert_array_equal(
            client.infer({"a": A.tolist(), "b": B.tolist()})["total"], A + B
        )


@pytest.mark.parametrize(
    "inputs",
    [{}, {"a": A}, {"a": A, "c": B}, {"a": A, "b": B.astype(np.float64)}, {"a": A, "b": A[0]}],
)
def test_wrong_tensors_are_refused_before_anything_is_sent(
    tensors: SealedServer, inputs: dict[str, Any]
) -> None:
    with tensors.connect() as client:
        with pytest.raises(InputError) as caught:
            client.infer(inputs)
        assert caught.value.code == "SR-INPUT-SHAPE"
    assert [request.method for request in tensors.requests] == ["GET"]


def test_what_the_model_says_of_a_request_comes_sealed(tensors: SealedServer) -> None:
    """Rows that do not fit each other: only the model itself finds out."""
    with tensors.connect() as client, pytest.raises(ServerError) as caught:
        client.infer({"a": A, "b": np.ones((3, 2), np.float32)})
    assert "the server says" in str(caught.value)
    posts = [request for request in tensors.requests if request.method == "POST"]
    assert len(posts) == 1


def test_nothing_that_is_asked_or_answered_is_seen_on_the_way(tensors: SealedServer) -> None:
    canary = np.full((8, 2), 1234.5, np.float32)
    with tensors.connect() as client:
        client.infer({"a": canary, "b": canary})
    assert canary[:1].tobytes() not in b"".join(tensors.bodies)


def test_keys_that_were_exchanged_are_fetched_and_the_request_sealed_afresh(
    tensors: SealedServer,
) -> None:
    with tensors.connect() as client:
        client.infer({"a": A, "b": B})
        tensors.host.rotate_keys()
        client.infer({"a": A, "b": B})
        client.infer({"a": A, "b": B})
    methods = [request.method for request in tensors.requests]
    assert methods == ["GET", "POST", "POST", "GET", "POST", "POST"]
    posts = [body for body in tensors.bodies if body]
    assert len({body[-64:] for body in posts}) == len(posts)


def test_a_server_that_never_knows_its_keys_is_asked_twice(tensors: SealedServer) -> None:
    tensors.opening_key = lambda key_id: None  # type: ignore[method-assign]
    with tensors.connect() as client, pytest.raises(ServerError) as caught:
        client.infer({"a": A, "b": B})
    assert caught.value.code == "SR-SEALED-KEY"
    assert [request.method for request in tensors.requests] == ["GET", "POST", "GET", "POST"]


def test_an_older_configuration_does_not_come_back_by_that_way(tensors: SealedServer) -> None:
    """Who can answer SR-SEALED-KEY can not make a client seal to a key that was there before."""
    old = tensors.host.proof()
    tensors.host.rotate_keys()
    with tensors.connect() as client:
        tensors.host.proof = lambda: old  # type: ignore[method-assign]
        tensors.opening_key = lambda key_id: None  # type: ignore[method-assign]
        with pytest.raises(ServerError) as caught:
            client.infer({"a": A, "b": B})
    assert caught.value.code == "SR-SERVER-KEYS"
    assert [request.method for request in tensors.requests] == ["GET", "POST", "GET"]


def test_a_response_that_does_not_open_is_never_followed_by_a_repetition(
    tensors: SealedServer,
) -> None:
    with tensors.connect() as client:
        tensors.change = lambda header, rest: (header, rest[:-1] + bytes([rest[-1] ^ 1]))
        with pytest.raises(CiphertextError) as caught:
            client.infer({"a": A, "b": B})
    assert caught.value.code == "SR-SEALED-OPEN"
    assert [request.method for request in tensors.requests] == ["GET", "POST"]


def test_response_replayed_to_another_request(tensors: SealedServer) -> None:
    kept: list[bytes] = []

    def replay(header: dict[str, Any], rest: bytes) -> tuple[dict[str, Any], bytes]:
        kept.append(rest)
        return header, kept[0]

    tensors.change = replay
    with tensors.connect() as client:
        client.infer({"a": A, "b": B})
        with pytest.raises(CiphertextError) as caught:
            client.infer({"a": A, "b": B})
    assert caught.value.code == "SR-SEALED-OPEN"


def test_a_request_that_is_sent_twice_is_answered_once(tensors: SealedServer) -> None:
    """A front repeats what it saw."""
    with tensors.connect() as client:
        client.infer({"a": A, "b": B})
    posted = tensors.requests[-1]
    again = tensors.handle(
        httpx.Request("POST", posted.url, headers=posted.headers, content=tensors.bodies[-1])
    )
    assert again.status_code == 409
    assert json.loads(again.content)["code"] == "SR-SEALED-REPLAY"


def test_a_grant_that_ends_while_a_client_is_open_ends_its_asking(
    tensors: SealedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = datetime.now(UTC) - timedelta(hours=1)
    tensors.serve(tensors.package, time=begun, lasts=timedelta(hours=1, seconds=2))
    with tensors.connect() as client:
        client.infer({"a": A, "b": B})
        monkeypatch.setattr(client._serving, "_verified_at", -1e9)
        monkeypatch.setattr(
            client._serving._verifier._seen, "_clock", lambda: begun + timedelta(hours=2)
        )
        asked = len(tensors.requests)
        with pytest.raises(PackageError) as caught:
            client.infer({"a": A, "b": B})
        assert caught.value.code == "SR-PACKAGE-EXPIRED"
        assert {request.method for request in tensors.requests[asked:]} == {"GET"}


def test_a_client_that_is_closed_asks_nobody(tensors: SealedServer) -> None:
    client = tensors.connect()
    client.close()
    with pytest.raises(StrongroomError, match="closed"):
        client.infer({"a": A, "b": B})


def test_a_model_does_not_change_its_protection_unnoticed(tensors: SealedServer) -> None:
    keys = KeyStore.in_memory()
    owner = tensors.host.owner.fingerprint
    keys.seen.saw_protection(owner, "m", "fhe")
    with pytest.raises(PolicyError, match="under the protection sealed, it was fhe") as caught:
        tensors.connect(keys=keys)
    assert caught.value.code == "SR-PLAN-GUARANTEE"
    assert keys.seen.protection(owner, "m") == "fhe"
    with tensors.connect(keys=keys, policy=Policy(protection="sealed")) as client:
        assert client.infer({"a": A, "b": B})["most"] == 30
    # Who agreed once has agreed.
    tensors.connect(keys=keys).close()


def test_a_policy_that_names_a_protection_takes_no_other(tensors: SealedServer) -> None:
    for trust in (OWNER.public, tensors.package.digest, "first-use"):
        with pytest.raises(PolicyError, match="the policy demands fhe") as caught:
            tensors.connect(trust=trust, policy=Policy(protection="fhe"))
        assert caught.value.code == "SR-PLAN-GUARANTEE"
    assert tensors.seen_requests == set()
