"""The client's face: same answers as the plain model, checked before anything leaves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from served_proofs import package_of

from strongroom.client.client import Client
from strongroom.client.timings import Timings
from strongroom.errors import InputError, KeyStoreError, ModelError, PolicyError, ServerError
from strongroom.keys.store import KeyStore

Connect = Callable[..., Client]
WEIGHTS = np.array([0.5, -2.0])


@pytest.fixture
def rows() -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(1).normal(size=(8, 2))


def test_answers_are_those_of_the_plain_model(connect: Connect, rows: Any) -> None:
    scores = rows @ WEIGHTS
    with connect() as client:
        np.testing.assert_allclose(client.decision_function(rows), scores)
        np.testing.assert_array_equal(client.predict(rows), (scores > 0).astype(np.int64))
        np.testing.assert_allclose(
            client.predict_proba(rows)[:, 1], 1 / (1 + np.exp(-scores)), rtol=1e-12
        )
        np.testing.assert_allclose(client.scores(rows), scores[:, None])


def test_frames_are_taken_by_their_names(connect: Connect, server: Any, rows: Any) -> None:
    with connect() as client:
        frame = pd.DataFrame(rows, columns=["größe", "weight"])
        np.testing.assert_allclose(client.decision_function(frame), rows @ WEIGHTS)
        asked = len(server.requests)
        with pytest.raises(InputError) as caught:
            client.predict(frame[["weight", "größe"]])
        assert caught.value.code == "SR-INPUT-COLUMNS"
        assert len(server.requests) == asked


def test_rows_are_split_into_full_requests(connect: Connect, server: Any, rows: Any) -> None:
    with connect() as client:
        client.predict(rows)
        assert client.timings.requests == 3
        assert len(server.requests) == 4
        assert len({body[:60] for body in server.bodies[1:]}) == 3


def test_timings_add_up_to_what_was_sent(connect: Connect, server: Any, rows: Any) -> None:
    with connect() as client:
        assert client.timings == Timings()
        client.predict(rows)
        timings = client.timings
    assert timings.bytes_sent == sum(map(len, server.bodies))
    assert timings.bytes_received > 3 * 40
    assert timings.compute_seconds == pytest.approx(3 * 7e-6)
    assert timings.queue_seconds == pytest.approx(3 * 3e-6)
    spans = [getattr(timings, name) for name in Timings.__slots__ if name.endswith("seconds")]
    assert len(spans) == 7
    assert min(spans) > 0


def test_a_server_can_not_claim_more_time_than_passed(
    connect: Connect, server: Any, rows: Any
) -> None:
    def boast(header: dict[str, Any], rest: bytes) -> tuple[dict[str, Any], bytes]:
        header["parameters"] = {"compute_microseconds": 2**53, "queue_microseconds": 2**53}
        return header, rest

    server.change = boast
    with connect() as client:
        client.predict(rows[:1])
        assert 0 < client.timings.compute_seconds < 60
        assert client.timings.send_seconds >= 0


def test_a_call_that_fails_leaves_the_timings_of_the_last_good_one(
    connect: Connect, server: Any, rows: Any
) -> None:
    with connect() as client:
        client.predict(rows)
        good = client.timings
        server.change = lambda header, rest: (header, b"")
        with pytest.raises(ServerError):
            client.predict(rows)
        assert client.timings == good


@pytest.mark.parametrize(
    ("value", "code"),
    [(np.nan, "SR-INPUT-MISSING"), (np.inf, "SR-INPUT-INFINITE"), ("canary", "SR-INPUT-TYPE")],
)
def test_rows_are_checked_before_anything_is_sent(
    connect: Connect, server: Any, value: Any, code: str
) -> None:
    with connect() as client:
        with pytest.raises(InputError) as caught:
            client.predict([[1.0, 2.0], [value, 4.0]])
        assert caught.value.code == code
        assert "canary" not in str(caught.value)
        assert [request.method for request in server.requests] == ["GET"]


def test_a_method_that_the_plain_model_lacks_is_refused_before_anything_is_sent(
    connect: Connect, server: Any, rows: Any
) -> None:
    plan = server.package.manifest.plan
    output = msgspec.structs.replace(
        plan.output, link="identity", methods=("predict", "decision_function")
    )
    prediction = msgspec.structs.replace(plan.prediction, output=output)
    server.serve(package_of(plan=msgspec.structs.replace(plan, prediction=prediction)))
    with connect(trust=server.package) as client:
        with pytest.raises(ModelError) as caught:
            client.predict_proba(rows)
        assert caught.value.code == "SR-MODEL-METHOD"
        assert len(server.requests) == 1


def test_plan_guarantee_and_digest_are_those_of_the_package(connect: Connect, server: Any) -> None:
    with connect() as client:
        assert client.manifest == server.package.manifest
        assert client.plan == server.package.manifest.plan
        assert client.guarantee == server.package.manifest.plan.guarantee
        assert client.package_digest == server.package.digest


def test_a_plan_below_the_policy_is_refused_before_a_key_is_made(
    connect: Connect, server: Any, protection: Any
) -> None:
    keys = KeyStore.in_memory()
    protection.problem = PolicyError("SR-PARAMETERS-INSECURE", "below the floor")
    with pytest.raises(PolicyError) as caught:
        connect(keys=keys)
    assert caught.value.code == "SR-PARAMETERS-INSECURE"
    assert keys.entries() == ()
    assert [request.method for request in server.requests] == ["GET"]


def test_keys_are_kept_in_the_home_folder_and_used_again(
    connect: Connect, home: Path, protection: Any, rows: Any
) -> None:
    for _ in range(2):
        with connect(keys=None, passphrase="p") as client:
            client.predict(rows)
    assert [path.name for path in (home / "keys").iterdir()] == ["test-4096.key"]
    with pytest.raises(KeyStoreError) as caught:
        connect(keys=None, passphrase="wrong")
    assert caught.value.code == "SR-KEYS-PASSPHRASE"


def test_a_key_store_and_a_passphrase_together_are_refused(connect: Connect) -> None:
    with pytest.raises(KeyStoreError) as caught:
        connect(keys=KeyStore.in_memory(), passphrase="canary")
    assert "canary" not in str(caught.value)


def test_a_closed_client_says_so(connect: Connect, rows: Any) -> None:
    client = connect()
    client.close()
    with pytest.raises(ServerError, match="closed"):
        client.predict(rows)


def test_the_token_goes_to_the_server_as_a_bearer_token(connect: Connect, server: Any) -> None:
    connect(token="abc").close()
    assert server.requests[0].headers["authorization"] == "Bearer abc"
    connect(token=None).close()
    assert "authorization" not in server.requests[1].headers


def test_secrets_and_rows_are_neither_on_disk_nor_in_logs(
    connect: Connect, server: Any, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    rows = np.array([[123456.75, 987654.25]])
    with connect(keys=None, passphrase="canary-passphrase") as client:
        client.predict(rows)
        shown = repr(client) + caplog.text
    on_disk = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    sent = b"".join(server.bodies)
    for canary in (b"canary", b"123456", rows.tobytes(), rows[:, :1].tobytes()):
        assert canary not in on_disk
        assert canary not in sent
    assert "canary" not in shown
    assert "123456" not in shown


@pytest.mark.parametrize("rate", [0.5, float("nan")])
def test_shares_of_a_model_without_a_committee_can_not_be_checked(
    connect: Callable[..., Client], rate: float
) -> None:
    with pytest.raises(PolicyError, match="no committee") as error:
        connect(share_checks=rate)
    assert error.value.code == "SR-POLICY-VALUE"
