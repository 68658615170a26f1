"""Attacks on sealed serving: exchanges replayed, keys of others or rolled back, the keeper killed,
and what the front process could read. Each fails closed."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
from model_owner import OWNER, PASSPHRASE, write_identity
from served_proofs import ProvenHost, identity, package_of
from sklearn.linear_model import LinearRegression

import strongroom
from strongroom import Client, KeyStore, Package
from strongroom.errors import StrongroomError
from strongroom.keys.identity import Identity
from strongroom.package.file import read
from strongroom.package.grants import MAY_SERVE
from strongroom.receipts.proof import Proof, Trusted, verify_proof
from strongroom.server.tokens import create_token

SOURCES = Path(__file__).parents[2] / "src"
HOST = Identity.generate("default")
HOUR = timedelta(hours=1)


@dataclass
class SealedServer:
    """A server process of a sealed model, granted to an identity of its own."""

    folder: Path
    package: Package
    fields: dict[str, Any] = field(default_factory=dict)
    sent: list[httpx.Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        path = self.folder / "sealed.strongroom"
        self.package.save(path, owner=OWNER, recipients=[HOST.public])
        write_identity(self.folder / "home", HOST)
        self.token = create_token(self.folder / "tokens.json", "clinic")
        config = {
            "packages": [str(path)],
            "tokens": str(self.folder / "tokens.json"),
            "home": str(self.folder / "home"),
            "port": 0,
            "workers": 1,
        }
        (self.folder / "config.json").write_text(json.dumps(config | self.fields))
        self.start()

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "strongroom.server", str(self.folder / "config.json")],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONPATH": str(SOURCES), "STRONGROOM_PASSPHRASE": PASSPHRASE},
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.folder / "log").read_text()
        self.url = line.split()[-1]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()

    def client(self, **options: Any) -> Client:
        settings: dict[str, Any] = {
            "model": "sealed",
            "trust": OWNER.public,
            "token": self.token,
            "keys": KeyStore.in_memory(),
            "transport": _Recording(self.sent),
        }
        return Client(self.url, **settings | options)

    def send_again(self, request: httpx.Request) -> httpx.Response:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name in ("inference-header-content-length", "authorization", "content-type")
        }
        path = httpx.URL(request.url).path
        return httpx.post(self.url + path, content=request.content, headers=headers, timeout=30)

    def process_ids(self, what: str) -> list[int]:
        pid = self.process.pid
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(one) for one in found if what in Path(f"/proc/{one}/cmdline").read_text()]


class _Recording(httpx.HTTPTransport):
    """Keeps every request that asks a model."""

    def __init__(self, sent: list[httpx.Request]) -> None:
        super().__init__()
        self._sent = sent

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            request.read()
            self._sent.append(request)
        return super().handle_request(request)


@pytest.fixture(scope="module")
def model() -> LinearRegression:
    rows = np.random.default_rng(0).normal(size=(80, 4))
    return LinearRegression().fit(rows, rows @ [1.5, -2.25, 0.125, 3.0] + 0.75)


@pytest.fixture(scope="module")
def package(model: LinearRegression) -> Package:
    rows = np.random.default_rng(1).normal(size=(80, 4))
    return strongroom.protect(
        model, sample=rows, protection="sealed", name="sealed", owner=OWNER.public
    )


@pytest.fixture(scope="module")
def start(
    package: Package, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., SealedServer]]:
    running: list[SealedServer] = []

    def start(**fields: Any) -> SealedServer:
        running.append(SealedServer(tmp_path_factory.mktemp("sealed"), package, fields))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="module")
def server(start: Callable[..., SealedServer]) -> SealedServer:
    return start(workers=2)


def code(response: httpx.Response) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def held_up_requests(server: SealedServer, number: int) -> list[httpx.Request]:
    """Sealed requests that never reached the server."""
    held_up: list[httpx.Request] = []

    def hold_up(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.HTTPTransport().handle_request(request)
        request.read()
        held_up.append(request)
        return httpx.Response(400, stream=httpx.ByteStream(b"{}"))

    client = server.client(transport=httpx.MockTransport(hold_up))
    while len(held_up) < number:
        with pytest.raises(StrongroomError):
            client.predict(np.ones((1, 4)))
    return held_up


def refusal(proof: Proof, when: datetime) -> str:
    with pytest.raises(StrongroomError) as caught:
        verify_proof(proof, Trusted(OWNER.fingerprint, None), when)
    return caught.value.code


# Exchanges replayed.


def test_a_recorded_request_is_not_answered_again_by_any_worker(server, model) -> None:
    rows = np.ones((2, 4))
    client = server.client()
    np.testing.assert_allclose(client.predict(rows), model.predict(rows))
    recorded = server.sent[-1]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.send_again(recorded), range(16)))
    assert {code(answer) for answer in answers} == {(409, "SR-SEALED-REPLAY")}
    client.predict(rows)
    assert server.sent[-1].content != recorded.content


def test_of_many_copies_that_come_at_once_one_is_answered(server) -> None:
    (held_up,) = held_up_requests(server, 1)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.send_again(held_up), range(16)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 15


def test_a_recorded_request_is_not_answered_after_a_restart(start, package) -> None:
    server = start()
    server.client().predict(np.ones((1, 4)))
    recorded = server.sent[-1]
    server.stop()
    server.start()
    assert code(server.send_again(recorded)) == (409, "SR-SEALED-KEY")


def test_a_client_survives_that_the_server_was_started_again(start, model) -> None:
    server = start(port=0)
    client = server.client()
    rows = np.ones((1, 4))
    client.predict(rows)
    port = httpx.URL(server.url).port
    server.stop()
    config = json.loads((server.folder / "config.json").read_text()) | {"port": port}
    (server.folder / "config.json").write_text(json.dumps(config))
    server.start()
    np.testing.assert_allclose(client.predict(rows), model.predict(rows))


# Key configurations of others, and of other times.


def test_the_key_configuration_of_another_granted_server_is_refused() -> None:
    package = package_of()
    one = ProvenHost(package)
    other = ProvenHost(package, server=identity("other-host"))
    mixed = msgspec.structs.replace(one.proof(), key_configuration=other.proof().key_configuration)
    assert refusal(mixed, one.time) == "SR-SERVER-KEYS"


def test_a_key_configuration_of_the_same_server_for_another_package_is_refused() -> None:
    one, other = ProvenHost(package_of()), ProvenHost(package_of(name="n"))
    mixed = msgspec.structs.replace(one.proof(), key_configuration=other.proof().key_configuration)
    assert refusal(mixed, one.time) == "SR-SERVER-KEYS"


def test_an_expired_key_configuration_is_refused() -> None:
    host = ProvenHost(package_of())
    assert refusal(host.proof(), host.time + 13 * HOUR) == "SR-SERVER-KEYS"


def test_a_key_configuration_from_a_clock_that_is_ahead_is_refused() -> None:
    host = ProvenHost(package_of())
    assert refusal(host.proof(), host.time - HOUR) == "SR-SERVER-KEYS"


def test_an_identity_that_was_granted_nothing_proves_nothing() -> None:
    host = ProvenHost(package_of())
    thief = ProvenHost(host.package, owner=identity("thief"), server=identity("thief"))
    own = thief.proof()
    honest = host.proof()
    for proof in (
        msgspec.structs.replace(honest, key_configuration=own.key_configuration),
        msgspec.structs.replace(
            honest, key_configuration=own.key_configuration, authority=own.authority
        ),
    ):
        assert refusal(proof, host.time) in ("SR-SERVER-KEYS", "SR-PACKAGE-SIGNATURE")


def test_a_key_configuration_that_is_rolled_back_is_refused(start) -> None:
    server, keys = start(serving_key_seconds=2), KeyStore.in_memory()
    old = _metadata(server)
    deadline = time.monotonic() + 60
    while _proof(_metadata(server)) == _proof(old):
        assert time.monotonic() < deadline, "the keys are not rotated"
        time.sleep(0.1)
    server.client(keys=keys).predict(np.ones((1, 4)))

    def rolled_back(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and request.url.path.endswith("/sealed"):
            return httpx.Response(200, stream=httpx.ByteStream(old.content))
        return httpx.HTTPTransport().handle_request(request)

    asked = len(server.sent)
    with pytest.raises(StrongroomError) as caught:
        server.client(keys=keys, transport=httpx.MockTransport(rolled_back))
    assert caught.value.code == "SR-SERVER-KEYS"
    assert len(server.sent) == asked
    # The same answer is a valid one for somebody who has not seen a newer.
    verify_proof(_proof(old), Trusted(OWNER.fingerprint, None), datetime.now(UTC))


# The keeper.


def test_without_its_keeper_a_server_answers_no_sealed_request(start) -> None:
    server = start(workers=2)
    first, *others = held_up_requests(server, 20)
    assert server.send_again(first).status_code == 200
    (keeper,) = server.process_ids("server.keeper")
    os.kill(keeper, signal.SIGKILL)
    stat = Path(f"/proc/{keeper}/stat")
    while stat.exists() and ") Z" not in stat.read_text():
        time.sleep(0.001)
    for request in others:
        try:
            assert code(server.send_again(request)) == (503, "SR-WORKER-LOST")
        except httpx.TransportError:
            break
    assert server.process.wait(60) == 9


# What the front could read.


def test_canaries_are_not_in_the_front_of_a_sealed_server(start, package, model) -> None:
    server = start()
    rows = np.random.default_rng(secrets.randbits(32)).normal(size=(16, 4))
    answers = model.predict(rows)
    needles = {
        "input": rows[7].tobytes(),
        "answer": answers[4:7].tobytes(),
        "weights": model.coef_.tobytes(),
    }
    for place in range(0, 160, 16):
        needles[f"identity {place}"] = HOST.to_bytes()[place : place + 16]
    found = read(server.folder / "sealed.strongroom")
    grant = found.grant_for(HOST.fingerprint, MAY_SERVE)
    needles["file key"] = HOST.unwrap(grant.wrapped, grant.info)
    known = {"known": package.digest.encode()}
    stop = threading.Event()

    def ask() -> None:
        client = server.client()
        while not stop.is_set():
            np.testing.assert_allclose(client.predict(rows), answers)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        try:
            time.sleep(1)
            front = in_memory(server.process.pid, needles | known)
            (worker,) = server.process_ids("server.worker")
            seen_by_worker = in_memory(worker, needles | known)
        finally:
            stop.set()
        for one in asking:
            one.result(60)
    assert front == {"known"}
    assert {"known", "weights", "input"} <= seen_by_worker, "the search is blind"
    assert not any(name.startswith("identity") for name in seen_by_worker)
    log = (server.folder / "log").read_bytes()
    assert not any(needle in log for needle in needles.values())


def test_the_memory_of_a_worker_that_sees_inputs_is_closed_to_its_user(server) -> None:
    for pid in server.process_ids("server.worker"):
        assert Path(f"/proc/{pid}/mem").stat().st_uid == 0
        status = Path(f"/proc/{pid}/status").read_text()
        assert "Seccomp:\t2" in status


def in_memory(pid: int, needles: dict[str, bytes]) -> set[str]:
    """Which needles are in a process's readable memory."""
    found = set()
    with Path(f"/proc/{pid}/mem").open("rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            start, end = (int(text, 16) for text in span.split("-"))
            try:
                memory.seek(start)
                content = memory.read(end - start)
            except (OSError, ValueError, OverflowError):
                continue
            found |= {name for name, needle in needles.items() if needle in content}
    return found


def _metadata(server: SealedServer) -> httpx.Response:
    return httpx.get(
        server.url + "/v2/models/sealed", headers={"authorization": f"Bearer {server.token}"}
    )


def _proof(metadata: httpx.Response) -> Proof:
    shown = metadata.json()["parameters"]
    return Proof(**{name: shown[name] for name in Proof.__struct_fields__})
