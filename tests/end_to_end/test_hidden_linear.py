"""A hidden linear model on a real server: answers are right, and no weight turns up in the server's
memory, files, logs or traffic. The same search finds them where the model is not hidden."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from canaries import Needle, files, found_in, found_in_memory
from numpy.typing import NDArray
from recorded_traffic import RecordingProxy
from server_processes import RunningServer
from trained_models import Trained

from strongroom import Client, KeyStore, Package
from strongroom.compiler.affine import Affine
from strongroom.compiler.hidden_linear import hidden_weights
from strongroom.compiler.linear import ScaledAffine
from strongroom.errors import KeyStoreError
from strongroom.keys.model_holder import OwnerHolder
from strongroom.package.build import protect
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]

COLUMNS = slice(4, 6)
"""The columns whose weights are looked for."""

LEAST_MEMORY = 20 << 20  # of a process: a search that saw less did not look


@pytest.fixture(scope="module")
def owner() -> KeyStore:
    """Where the owner's key is."""
    return KeyStore.in_memory()


@pytest.fixture(scope="module")
def hidden(binary: Trained, owner: KeyStore) -> Package:
    return protect(
        binary.model, sample=binary.sample, hide="model", holder=OwnerHolder(owner), name="hidden"
    )


@pytest.fixture(scope="module")
def server(serve: Serve, hidden: Package) -> RunningServer:
    return serve([hidden])


def needles_of_weights(model: Any, circuit: HiddenLinearCircuit) -> list[Needle]:
    """All forms of a pipeline's weights, those of `COLUMNS`, that come to be on the way to their
    ciphertexts."""
    layout = circuit.layout
    scaler, regression = model[0], model[-1]
    raw = regression.coef_ / scaler.scale_
    bias = regression.intercept_ - raw @ scaler.mean_
    centre, half_width = np.array(layout.centre), np.array(layout.half_width)
    scaled = ScaledAffine.of(Affine(raw, bias), centre, half_width)
    encrypted = hidden_weights(scaled, layout.headroom, layout.log_bound)[0]
    forms = {
        "of the estimator": regression.coef_[0],
        "raw": raw[0],
        "scaled": scaled.weights[0],
        "encrypted": encrypted,
    }
    found = []
    for form, weights in forms.items():
        values = weights[COLUMNS]
        found += [Needle(f"{form} float64", value.tobytes()) for value in values]
        decimals = (repr(float(value)).lstrip("-")[:17] for value in values)
        found += [Needle(f"{form} decimal", decimal.encode()) for decimal in decimals]
    scale = Fraction(2) ** layout.log_weight_scale
    integers = [round(Fraction(float(value)) * scale) for value in encrypted[COLUMNS]]
    for prime in circuit.parameters.primes[: layout.input_limbs]:
        residues = np.array([integer % prime for integer in integers], np.uint64)
        found += _pairs(f"residues modulo {prime}", residues)
        found += _pairs(f"reversed residues modulo {prime}", residues[::-1].copy())
    return found


def _pairs(form: str, values: NDArray[np.uint64]) -> list[Needle]:
    return [
        Needle(form, values[start : start + 2].tobytes().strip(b"\0"))
        for start in range(len(values) - 1)
    ]


def searched(server: RunningServer, needles: list[Needle]) -> set[tuple[str, str]]:
    """Look into every process and file."""
    found = found_in(needles, *files(server.folder))
    for pid in server.pids():
        in_memory, looked_at = found_in_memory([pid], needles)
        assert looked_at > LEAST_MEMORY
        found |= in_memory
    return found


def test_canary_weights_are_nowhere_at_the_server_and_answers_are_right(
    server: RunningServer, connect: Connect, hidden: Package, binary: Trained, owner: KeyStore
) -> None:
    circuit = HiddenLinearCircuit.of(hidden.manifest.plan)
    needles = needles_of_weights(binary.model, circuit)
    assert found_in(needles, ("payload", bytes(hidden.payload["model"]))) == set()
    rows = binary.held_out
    with RecordingProxy(server.port) as proxy, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = connect(server, hidden, url=proxy.url, keys=owner)
        assert (client.predict(rows) == binary.model.predict(rows)).all()
        error = np.abs(client.decision_function(rows) - binary.model.decision_function(rows)).max()
        assert error <= hidden.manifest.plan.costs.score_error
        assert len(proxy.sent) > circuit.sizes.request(len(rows))
        traffic = ("sent", bytes(proxy.sent)), ("received", bytes(proxy.received))
        assert found_in(needles, *traffic) == set()
    assert searched(server, needles) == set()


def test_the_search_finds_the_weights_of_a_model_that_is_not_hidden(
    serve: Serve, hidden: Package, binary: Trained
) -> None:
    needles = needles_of_weights(binary.model, HiddenLinearCircuit.of(hidden.manifest.plan))
    some = [needle for needle in needles if needle.form == "scaled float64"]
    found = searched(serve([binary.package]), some)
    assert found, "the search is blind"


def test_an_asker_with_another_key_is_told_whose_the_model_is(
    server: RunningServer, connect: Connect, hidden: Package, binary: Trained
) -> None:
    with pytest.raises(KeyStoreError) as refused:
        connect(server, hidden).predict(binary.held_out[:1])
    assert refused.value.code == "SR-KEYS-HOLDER"
