"""Both ends on the portable kernel, and each end on another: the answers are the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from server_processes import RunningServer
from trained_models import Trained, trained

from strongroom import Client
from strongroom.engine import available_kernels
from strongroom.engine.catalogue import catalogued

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]

NAMES = ["binary", "many-classes", "wide", "several-targets"]


@pytest.fixture(scope="module")
def portable_server(serve: Serve) -> RunningServer:
    packages = [trained(name).package for name in NAMES]
    return serve(packages, environment={"STRONGROOM_KERNEL": "portable"})


@pytest.fixture(params=available_kernels())
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """This process, the client, on each kernel that the processor has."""
    monkeypatch.setenv("STRONGROOM_KERNEL", request.param)
    return str(request.param)


@pytest.mark.parametrize("name", NAMES)
def test_a_server_on_the_portable_kernel_answers_a_client_on_any(
    portable_server: RunningServer, connect: Connect, kernel: str, name: str
) -> None:
    known: Trained = trained(name)
    assert catalogued(known.package.manifest.plan.parameters).kernel == kernel
    values = connect(portable_server, known.package).predict(known.held_out)
    plain = known.model.predict(known.held_out)
    if known.package.manifest.plan.output.task == "classification":
        np.testing.assert_array_equal(values, plain)
    else:
        assert np.abs(values - plain).max() <= known.score_error


def test_a_client_on_the_portable_kernel_asks_a_server_on_the_fastest(
    serve: Serve, connect: Connect, binary: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve([binary.package])
    monkeypatch.setenv("STRONGROOM_KERNEL", "portable")
    scores = connect(server, binary.package).decision_function(binary.held_out)
    assert np.abs(scores - binary.model.decision_function(binary.held_out)).max() <= (
        binary.score_error
    )
