"""Canaries in the rows, the secret key, the passphrase and the token: none of them may turn up in a
server's memory, files, logs or traffic. The same search is then shown to find them when a client is
broken on purpose."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canaries import (
    COLUMNS,
    Needle,
    canary_rows,
    files,
    found_in,
    found_in_memory,
    needles_of_key,
    needles_of_row,
)
from numpy.typing import NDArray
from recorded_traffic import RecordingProxy
from server_processes import RunningServer
from trained_models import Trained

import strongroom
from strongroom import Client, KeyStore, StrongroomError
from strongroom.protections.fhe.circuit import LinearCircuit

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]

LEAST_MEMORY = 20 << 20  # of a process: a search that saw less did not look


@pytest.fixture(scope="module")
def server(serve: Serve, binary: Trained) -> RunningServer:
    return serve([binary.package])


@pytest.fixture(scope="module")
def circuit(binary: Trained) -> LinearCircuit:
    return LinearCircuit.of(binary.package.manifest.plan)


def served_digest(server: RunningServer) -> str:
    """What front and workers are known to have in memory."""
    return strongroom.read(server.config["packages"][0]).digest


def search(server: RunningServer, needles: list[Needle], traffic: RecordingProxy) -> set[Any]:
    """Look everywhere. What is known to be in every process must be found, or this is blind."""
    known = Needle("known", served_digest(server).encode())
    found = found_in(needles, ("sent", bytes(traffic.sent)), ("received", bytes(traffic.received)))
    found |= found_in(needles, *files(server.folder))
    for pid in server.pids():
        in_memory, looked_at = found_in_memory([pid], [known, *needles])
        assert looked_at > LEAST_MEMORY
        assert any(form == "known" for form, _ in in_memory), "the search is blind"
        found |= {(form, place) for form, place in in_memory if form != "known"}
    return found


def test_canary_rows_never_reach_the_server(
    server: RunningServer, connect: Connect, binary: Trained, circuit: LinearCircuit
) -> None:
    rows = canary_rows(circuit, 5)
    scores = binary.model.decision_function(rows)
    needles = needles_of_row(circuit, rows[2])
    needles += [Needle("score", score.tobytes()) for score in scores]
    stop = threading.Event()
    with RecordingProxy(server.port) as proxy:
        client = connect(server, binary.package, url=proxy.url)

        def ask() -> None:
            while not stop.is_set():
                client.predict(rows)
                client.predict_proba(rows[2:3])
                time.sleep(0.01)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            during = search(server, needles, proxy)
        finally:
            stop.set()
            asking.join(60)
        assert np.abs(client.decision_function(rows) - scores).max() <= binary.score_error
        assert len(proxy.sent) > 3 * circuit.sizes.request(5)
        after = search(server, needles, proxy)
    assert during == after == set()


def test_canary_keys_passphrase_and_token_stay_where_they_belong(
    server: RunningServer,
    connect: Connect,
    binary: Trained,
    circuit: LinearCircuit,
    tmp_path: Path,
) -> None:
    passphrase = f"correct horse {secrets.token_hex(16)}"
    keys = KeyStore.open(tmp_path / "asker", passphrase)
    with RecordingProxy(server.port) as proxy:
        client = connect(server, binary.package, url=proxy.url, keys=keys)
        client.predict(binary.held_out)
        secret = keys.secret(binary.package.manifest.plan.parameters)
        assert secret is not None
        needles = [*needles_of_key(secret, circuit), Needle("passphrase", passphrase.encode())]
        assert search(server, needles, proxy) == set()
        token = [Needle("token", server.token.encode())]
        # A token has to travel; what must not happen is that it is kept.
        assert found_in(token, ("sent", bytes(proxy.sent))) == {("token", "sent")}
        assert found_in(token, ("received", bytes(proxy.received))) == set()
    assert found_in(token, *files(server.folder)) == set()
    # At home, too, the key and its passphrase are never in the clear.
    at_home = files(tmp_path / "asker")
    assert at_home
    assert found_in([*needles, *token], *at_home) == set()


@dataclass(frozen=True)
class CarelessSide:
    """A client's side that sends what it should have encrypted."""

    rows_per_request: int
    plaintext: Callable[[NDArray[np.float64]], bytes]

    def check(self, rows: NDArray[np.float64]) -> None:
        pass

    def encode(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        return rows

    def encrypt(self, rows: NDArray[np.float64]) -> CarelessSide.Pending:
        return self.Pending(self.plaintext(rows))

    @dataclass(frozen=True)
    class Pending:
        body: bytes


def make_careless(client: Client, plaintext: Callable[[NDArray[np.float64]], bytes]) -> None:
    side: Any = CarelessSide(5, plaintext)
    asker: Any = client._asker
    client._side = asker._side = side


def z_scaled(circuit: LinearCircuit, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(
        (rows - np.array(circuit.layout.centre)) / np.array(circuit.layout.half_width)
    )


def fixed_point(circuit: LinearCircuit, rows: NDArray[np.float64]) -> list[int]:
    scaled = z_scaled(circuit, rows) * 2.0**circuit.layout.log_input_scale
    return [round(float(value)) for value in scaled.ravel()]


def residues(circuit: LinearCircuit, rows: NDArray[np.float64]) -> bytes:
    integers = fixed_point(circuit, rows)
    primes = circuit.parameters.primes
    return b"".join(np.array([i % p for i in integers], np.uint64).tobytes() for p in primes)


CARELESS: dict[str, Callable[[LinearCircuit, NDArray[np.float64]], bytes]] = {
    "raw float64": lambda circuit, rows: rows.tobytes(),
    "raw float32": lambda circuit, rows: rows.astype(np.float32).tobytes(),
    "raw decimal": lambda circuit, rows: repr(rows.tolist()).encode(),
    "z-scaled float64": lambda circuit, rows: z_scaled(circuit, rows).tobytes(),
    "fixed-point integer": lambda circuit, rows: b"".join(
        integer.to_bytes(16, "little", signed=True) for integer in fixed_point(circuit, rows)
    ),
    "residues modulo": residues,
}


@pytest.mark.parametrize("form", CARELESS)
def test_canary_search_finds_the_rows_of_a_client_that_does_not_encrypt(
    server: RunningServer,
    connect: Connect,
    binary: Trained,
    circuit: LinearCircuit,
    form: str,
) -> None:
    rows = canary_rows(circuit, 5)
    needles = [n for n in needles_of_row(circuit, rows[2]) if n.form.startswith(form)]
    with RecordingProxy(server.port) as proxy:
        client = connect(server, binary.package, url=proxy.url)
        make_careless(client, lambda rows: CARELESS[form](circuit, rows))
        with pytest.raises(StrongroomError) as caught:
            client.predict(rows)
        assert caught.value.code == "SR-CIPHERTEXT-FORMAT", "the server computes on no plaintext"
        found = search(server, needles, proxy)
    places = {place for _, place in found}
    assert "sent" in places
    assert any("memory" in place for place in places)
    assert not any(place.startswith("file") for place in places), "even then nothing is logged"
    assert {name for name, _ in found} == {needle.form for needle in needles}


def test_canary_search_finds_a_secret_key_that_is_sent(
    server: RunningServer, connect: Connect, binary: Trained, circuit: LinearCircuit
) -> None:
    keys = KeyStore.in_memory()
    with RecordingProxy(server.port) as proxy:
        client = connect(server, binary.package, url=proxy.url, keys=keys)
        secret = keys.secret(binary.package.manifest.plan.parameters)
        assert secret is not None
        make_careless(client, lambda rows: secret)
        with pytest.raises(StrongroomError):
            client.predict(binary.held_out)
        needles = [n for n in needles_of_key(secret, circuit) if n.form == "secret key"]
        found = {place for _, place in search(server, needles, proxy)}
    assert "sent" in found
    assert any("memory" in place for place in found)


def test_canary_search_finds_what_a_server_leaves_on_its_disk(
    server: RunningServer, circuit: LinearCircuit, tmp_path: Path
) -> None:
    row = canary_rows(circuit, 1)[0]
    needles = needles_of_row(circuit, row)
    left = server.folder / "tmp" / "dump"
    left.write_bytes(b"request: " + row[COLUMNS].tobytes())
    try:
        assert ("raw float64", "file dump") in found_in(needles, *files(server.folder))
    finally:
        left.unlink()
    assert found_in(needles, *files(server.folder)) == set()
