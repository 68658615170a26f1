"""A protected model answers as the plain one does: labels the same, scores within the error that
its plan states. Over TLS, through a server process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from server_processes import RunningServer
from trained_models import MODELS, Trained, trained

from strongroom import Client, Package
from strongroom.protections.fhe.circuit import LinearCircuit

Connect = Callable[..., Client]

CLASSIFIERS = ["binary", "margins", "named-classes", "many-classes", "wide"]
REGRESSORS = ["regression", "several-targets", "many-outputs"]
SERVED = CLASSIFIERS + REGRESSORS
assert {*SERVED, "memory-hungry"} == set(MODELS)


def with_small_requests(package: Package) -> Package:
    """The same model under a plan with two blocks of rows a request."""
    plan = package.manifest.plan
    sizes = LinearCircuit.of(plan).sizes
    rows = 2 * plan.layout.rows_per_ciphertext
    costs = msgspec.structs.replace(
        plan.costs,
        rows_per_request=rows,
        full_request_bytes=sizes.request(rows),
        full_response_bytes=sizes.response(rows),
    )
    layout = msgspec.structs.replace(plan.layout, blocks_per_request=2)
    return Package.create(
        name="small-requests",
        plan=msgspec.structs.replace(plan, layout=layout, costs=costs),
        payload=package.payload,
        parity=package.manifest.parity,
    )


@pytest.fixture(scope="module")
def small_requests(binary: Trained) -> Package:
    return with_small_requests(binary.package)


@pytest.fixture(scope="module")
def server(serve: Callable[..., RunningServer], small_requests: Package) -> RunningServer:
    packages = [trained(name).package for name in SERVED]
    return serve([*packages, small_requests], tls=True, workers=2)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier(server: RunningServer, connect: Connect, name: str) -> None:
    known = trained(name)
    client = connect(server, known.package)
    assert server.url.startswith("https://")
    labels, plain = client.predict(known.held_out), known.model.predict(known.held_out)
    assert labels.dtype == plain.dtype
    np.testing.assert_array_equal(labels, plain)
    scores, plain = (m.decision_function(known.held_out) for m in (client, known.model))
    assert scores.shape == plain.shape
    assert np.abs(scores - plain).max() <= known.score_error
    if hasattr(known.model, "predict_proba"):
        shares, plain = (m.predict_proba(known.held_out) for m in (client, known.model))
        assert shares.shape == plain.shape
        assert np.abs(shares - plain).max() <= known.score_error
        np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor(server: RunningServer, connect: Connect, name: str) -> None:
    known = trained(name)
    values, plain = (
        model.predict(known.held_out) for model in (connect(server, known.package), known.model)
    )
    assert (values.dtype, values.shape) == (plain.dtype, plain.shape)
    assert np.abs(values - plain).max() <= known.score_error


def test_one_row_after_the_other_is_answered_as_all_at_once(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    client = connect(server, binary.package)
    one_by_one = [client.predict(binary.held_out[i : i + 1])[0] for i in range(25)]
    np.testing.assert_array_equal(one_by_one, binary.model.predict(binary.held_out[:25]))


def test_frames_arrays_and_lists_are_answered_alike(
    server: RunningServer, connect: Connect
) -> None:
    named = trained("named-classes")
    client = connect(server, named.package)
    expected = named.model.predict(named.held_out)
    forms: list[Any] = [
        named.held_out,
        named.held_out.to_numpy(),
        named.held_out.to_numpy().tolist(),
        pd.DataFrame(named.held_out.to_numpy()),
        np.asfortranarray(named.held_out.to_numpy()),
        named.held_out.astype(object),
    ]
    for rows in forms:
        np.testing.assert_array_equal(client.predict(rows), expected)


def test_a_batch_of_several_ciphertexts_and_requests_keeps_its_order(
    server: RunningServer, connect: Connect, binary: Trained, small_requests: Package
) -> None:
    client = connect(server, small_requests)
    rows = np.vstack([binary.held_out, binary.sample])
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    block = small_requests.manifest.plan.layout.rows_per_ciphertext
    full, rest = divmod(len(rows), 2 * block)
    assert full >= 2
    assert rest > 0
    scores = client.decision_function(rows)
    assert np.abs(scores - binary.model.decision_function(rows)).max() <= binary.score_error
    assert client.timings.requests == full + 1


def test_more_rows_than_a_full_request_holds(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    client = connect(server, binary.package)
    most = client.plan.costs.rows_per_request
    rows = binary.sample[np.random.default_rng(1).integers(0, len(binary.sample), most + 7)]
    scores = client.decision_function(rows)
    assert client.timings.requests == 2
    assert np.abs(scores - binary.model.decision_function(rows)).max() <= binary.score_error


def test_clients_with_keys_of_their_own_share_a_server(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    clients = [connect(server, binary.package) for _ in range(3)]
    expected = binary.model.predict(binary.held_out)
    for client in clients + clients[::-1]:
        np.testing.assert_array_equal(client.predict(binary.held_out), expected)


def test_the_served_manifest_is_the_packages(
    server: RunningServer, connect: Connect, binary: Trained
) -> None:
    client = connect(server, binary.package)
    assert client.manifest == binary.package.manifest
    assert client.package_digest == binary.package.digest
    assert client.guarantee.inputs_from_server == "hidden"
    assert client.manifest.parity.agreement == 1.0
