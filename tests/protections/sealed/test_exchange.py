"""Both sides of a sealed model: plans that lie, refusals inside, and what is never said."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import numpy as np
import pytest
from onnx_models import sentences, transformer
from sealed_ends import OTHER_PACKAGE, PACKAGE, Ends
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

import strongroom
from strongroom import protections
from strongroom.compiler.plan import Plan, TensorSpec
from strongroom.errors import CiphertextError, InputError, PackageError, PolicyError, ServerError
from strongroom.keys.identity import Identity
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package
from strongroom.protections.sealed.message import WINDOW
from strongroom.protections.sealed.tensors import tensors_to_bytes

SEALED = protections.by_name("sealed")
OWNER = Identity.generate("owner")
X, Y = load_wine(return_X_y=True)


@pytest.fixture(scope="module")
def rows() -> Package:
    """A model of rows."""
    model = LogisticRegression(max_iter=50).fit(X / X.max(axis=0), Y)
    return strongroom.protect(model, sample=X, protection="sealed", owner=OWNER)


@pytest.fixture(scope="module")
def tensors() -> Package:
    """A model of named tensors."""
    return strongroom.protect(transformer(), protection="sealed", name="m", owner=OWNER)


def sides(package: Package, ends: Ends, plan: Plan | None = None) -> tuple[Any, Any]:
    plan = plan or package.manifest.plan
    server = SEALED.open_server(plan, package.payload, package=PACKAGE, serving=ends.serving)
    client = SEALED.open_client(
        plan, KeyStore.in_memory(), strongroom.Policy(), package=PACKAGE, serving=ends
    )
    return server, client


def test_full_requests_keep_to_what_the_plan_says(rows: Package) -> None:
    ends, plan = Ends(), rows.manifest.plan
    server, client = sides(rows, ends)
    asked = np.tile(X, (30, 1))[: client.rows_per_request]
    assert len(asked) == plan.layout.rows_per_request == plan.costs.rows_per_request
    pending = client.encrypt(client.encode(asked))
    response = server.answer(pending.body)
    assert len(pending.body) <= SEALED.request_limit(plan) == plan.costs.full_request_bytes
    assert len(response) <= plan.costs.full_response_bytes
    assert client.decrypt(pending, response).shape == (len(asked), 3)


def test_the_same_request_is_answered_once(rows: Package) -> None:
    server, client = sides(rows, Ends())
    pending = client.encrypt(client.encode(X[:1]))
    server.answer(pending.body)
    with pytest.raises(ServerError) as caught:
        server.answer(pending.body)
    assert caught.value.code == "SR-SEALED-REPLAY"


def test_rows_sealed_anew_to_a_new_key_are_answered(rows: Package) -> None:
    ends = Ends(1)
    server, client = sides(rows, ends)
    encoded = client.encode(X[:1])
    before = client.encrypt(encoded)
    ends.keys = Ends(2).keys
    with pytest.raises(ServerError) as caught:
        server.answer(before.body)
    assert caught.value.code == "SR-SEALED-KEY"
    after = client.encrypt(encoded)
    assert client.decrypt(after, server.answer(after.body)).shape == (1, 3)


def test_what_the_model_refuses_is_said_inside(tensors: Package) -> None:
    ends = Ends()
    server, client = sides(tensors, ends)
    pending = client.encrypt(client.encode({"ids": [[999]], "mask": [[1]]}))
    response = server.answer(pending.body)
    assert b"SR-" not in response
    with pytest.raises(ServerError) as caught:
        client.decrypt(pending, response)
    assert caught.value.code == "SR-MODEL-VALUES"


@pytest.mark.parametrize(
    "content",
    [
        tensors_to_bytes({"ids": np.zeros((1, 1), "i8")}),
        tensors_to_bytes({"ids": np.zeros((1, 1), "i4"), "mask": np.zeros((1, 1), "i8")}),
        tensors_to_bytes({"ids": np.zeros(1, "i8"), "mask": np.zeros((1, 1), "i8")}),
        b"no tensors",
        b"",
    ],
    ids=["a name less", "another type", "another shape", "no tensors", "nothing"],
)
def test_contents_that_are_no_inputs_are_refused_inside(tensors: Package, content: bytes) -> None:
    ends = Ends()
    server, _ = sides(tensors, ends)
    pending = ends.seal(content)
    with pytest.raises(ServerError) as caught:
        pending.open_response(server.answer(pending.body))
    assert caught.value.code in ("SR-INPUT-SHAPE", "SR-SEALED-FORMAT")


def test_an_answer_beyond_the_plans_limit_is_refused(tensors: Package) -> None:
    plan = tensors.manifest.plan
    ends = Ends()
    small = msgspec.structs.replace(plan.layout, response_content_bytes=200)
    server = SEALED.open_server(
        msgspec.structs.replace(plan, layout=small),
        tensors.payload,
        package=PACKAGE,
        serving=ends.serving,
    )
    pending = ends.seal(tensors_to_bytes(sentences(9, 3)))
    with pytest.raises(ServerError, match="the plan allows 200"):
        pending.open_response(server.answer(pending.body))


def test_an_answer_that_is_not_what_was_asked_for_is_refused(rows: Package) -> None:
    ends = Ends()
    _, client = sides(rows, ends)
    name = rows.manifest.plan.layout.outputs[0].name
    wrong = [
        {name: np.zeros((2, 3))},
        {name: np.zeros((1, 3), "f4")},
        {name: np.zeros(3)},
        {"other": np.zeros((1, 3))},
        {},
    ]
    for answer in wrong:
        pending = client.encrypt(client.encode(X[:1]))
        response = ends.open(pending.body).respond(tensors_to_bytes(answer))
        with pytest.raises(CiphertextError) as caught:
            client.decrypt(pending, response)
        assert caught.value.code == "SR-SEALED-FORMAT"


def test_a_request_for_one_package_is_refused_by_another(rows: Package) -> None:
    ends = Ends()
    server = SEALED.open_server(
        rows.manifest.plan, rows.payload, package=OTHER_PACKAGE, serving=ends.serving
    )
    _, client = sides(rows, ends)
    with pytest.raises(CiphertextError) as caught:
        server.answer(client.encrypt(client.encode(X[:1])).body)
    assert caught.value.code == "SR-SEALED-OPEN"


def test_neither_side_opens_without_keys(rows: Package) -> None:
    plan = rows.manifest.plan
    with pytest.raises(ServerError) as caught:
        SEALED.open_server(plan, rows.payload, package=PACKAGE)
    assert caught.value.code == "SR-SERVER-CONFIG"
    with pytest.raises(ServerError) as caught:
        SEALED.open_client(plan, KeyStore.in_memory(), strongroom.Policy(), package=PACKAGE)
    assert caught.value.code == "SR-SERVER-KEYS"


def test_a_payload_of_another_model_is_refused(rows: Package, tensors: Package) -> None:
    with pytest.raises(PackageError) as caught:
        SEALED.open_server(
            rows.manifest.plan, tensors.payload, package=PACKAGE, serving=Ends().serving
        )
    assert caught.value.code == "SR-PACKAGE-FILE"


HUGE = 2**40
LIES: dict[str, dict[str, Any]] = {
    "more rows a request": {"layout__rows_per_request": 10_000},
    "larger requests": {"layout__request_content_bytes": HUGE},
    "larger answers": {"layout__response_content_bytes": HUGE},
    "two tables in": {"layout__inputs": (TensorSpec("a", "float64", (None, 13)),) * 2},
    "another width": {"layout__inputs": (TensorSpec("features", "float64", (None, 14)),)},
    "another number of scores": {"layout__outputs": (TensorSpec("s", "float64", (None, 2)),)},
    "a type of objects": {"layout__inputs": (TensorSpec("features", "object", (None, 13)),)},
    "integers for rows": {"layout__inputs": (TensorSpec("features", "int64", (None, 13)),)},
    "smaller requests in the costs": {"costs__full_request_bytes": 10},
    "larger answers in the costs": {"costs__full_response_bytes": HUGE},
    "inputs that nobody sees": {"guarantee__inputs_from_server": "hidden"},
    "answers that nobody sees": {"guarantee__outputs_from_server": "hidden"},
    "weights that nobody sees": {"guarantee__weights_from_server": "hidden-while-computing"},
    "a lattice": {"guarantee__ring_degree": 4096},
    "sanitised answers": {"guarantee__sanitising_bits": 30},
    "another protection's statement": {"guarantee__protection": "fhe"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_plan_that_lies_is_refused_before_anything_is_sealed(rows: Package, lie: str) -> None:
    plan = rows.manifest.plan
    for path, value in LIES[lie].items():
        part, _, name = path.partition("__")
        changed = msgspec.structs.replace(getattr(plan, part), **{name: value})
        plan = msgspec.structs.replace(plan, **{part: changed})
    with pytest.raises(PolicyError) as caught:
        SEALED.open_client(
            plan, KeyStore.in_memory(), strongroom.Policy(), package=PACKAGE, serving=Ends()
        )
    assert caught.value.code in ("SR-PLAN-INVALID", "SR-PLAN-GUARANTEE")


def test_a_plan_of_one_protection_is_none_of_the_other(rows: Package) -> None:
    with pytest.raises(PolicyError):
        protections.by_name("fhe").check(rows.manifest.plan, strongroom.Policy())


def test_canaries_are_in_no_message_error_or_log(
    tensors: Package, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    ends, said, sent = Ends(), [], []
    server, client = sides(tensors, ends)
    canaries = [271_828_182, 314_159_265]
    with caplog.at_level(logging.DEBUG):
        for asked in (
            {"ids": [canaries], "mask": [[1, 1]]},
            {"ids": [canaries], "mask": [[1]]},
            {"ids": canaries, "mask": canaries},
        ):
            try:
                pending = client.encrypt(client.encode(asked))
                response = server.answer(pending.body)
                sent += [pending.body, response]
                client.decrypt(pending, response)
            except (InputError, ServerError) as error:
                said += [str(error), repr(error.__cause__)]
    assert len(said) == 6
    said += [caplog.text, *capfd.readouterr()]
    for canary in canaries:
        assert not any(str(canary) in text for text in said)
        assert not any(canary.to_bytes(8, "little") in message for message in sent)


def test_the_window_is_what_the_specification_says() -> None:
    assert WINDOW.total_seconds() == 300
