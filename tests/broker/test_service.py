"""`strongroom broker` as a process, asked over HTTP."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from model_owner import PASSPHRASE, write_identity

from strongroom.attestation.development import DevelopmentAttester
from strongroom.broker.exchange import (
    MAXIMUM_REQUEST_BYTES,
    accept,
    decode_about,
    decode_challenge,
    encode_request,
    new_request,
)
from strongroom.broker.policy import BrokerPolicy, DevelopmentPolicy, Policy
from strongroom.cli import app
from strongroom.keys.identity import Identity
from strongroom.package.file import Package, read
from strongroom.server.tokens import create_token

SOURCES = Path(__file__).parents[2] / "src"


@dataclass
class RunningBroker:
    """A broker's process."""

    process: subprocess.Popen[str]
    client: httpx.Client
    ready: dict[str, Any]
    folder: Path
    identity: Identity

    def log(self) -> str:
        return (self.folder / "broker.log").read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def command(folder: Path, *options: str, home: Path | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {
        "PYTHONPATH": str(SOURCES),
        "STRONGROOM_HOME": str(home or folder / "home"),
        "STRONGROOM_PASSPHRASE": PASSPHRASE,
    }
    with (folder / "broker.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "strongroom.cli", "broker", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
        )


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RunningBroker]]:
    """Starts a broker under a policy; it ends with the test."""
    running: list[RunningBroker] = []

    def _start(policy: Policy, *options: str) -> RunningBroker:
        identity = Identity.generate("desk")
        write_identity(tmp_path / "home", identity)
        packages = tmp_path / "packages"
        packages.mkdir()
        (tmp_path / "policy.json").write_bytes(msgspec.json.encode(policy))
        process = command(
            tmp_path,
            *("--identity", "desk", "--policy", str(tmp_path / "policy.json")),
            *("--packages", str(packages), "--port", "0", "--json", *options),
        )
        lines: queue.Queue[str] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(
            target=lambda: lines.put(process.stdout.readline()),  # type: ignore[union-attr]
            daemon=True,
        ).start()
        line = lines.get(timeout=30)
        assert line, (tmp_path / "broker.log").read_text()
        ready = json.loads(line)
        client = httpx.Client(base_url=ready["url"], timeout=30)
        running.append(RunningBroker(process, client, ready, tmp_path, identity))
        return running[-1]

    yield _start
    for one in running:
        one.client.close()
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait(10)
        if one.process.stdout:
            one.process.stdout.close()


def test_a_key_goes_from_the_owner_over_the_broker_to_a_serving_process(
    start: Callable[..., RunningBroker],
    development: DevelopmentPolicy,
    pack: Callable[..., Package],
    owner: Identity,
    server: Identity,
) -> None:
    broker = start(development)
    path = broker.folder / "packages" / "model.strongroom"
    package = pack(path, broker.identity)
    about = decode_about(broker.client.get("/v1/about").content)
    assert about.identity == broker.identity.public.to_text()
    assert (about.policy, about.development) == (development.digest, True)
    challenge = decode_challenge(broker.client.post("/v1/challenge").content)
    request = new_request(challenge.nonce, package.digest, server.public, DevelopmentAttester())
    response = broker.client.post("/v1/release", content=encode_request(request))
    assert response.status_code == 200, response.text
    now = datetime.now(UTC)
    released = accept(response.content, request, owner.public, server, now, development=True)
    opened = read(path).open_with_key(released.file_key)
    assert bytes(opened.payload["model"]) == b"weights" * 999
    again = broker.client.post("/v1/release", content=encode_request(request))
    assert again.status_code == 403
    assert again.json()["code"] == "SR-BROKER-REFUSED"
    assert broker.stop() == 0
    log = broker.log()
    assert "DEVELOPMENT POLICY" in log
    events = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (audit,) = [one for one in events if one["event"] == "key released"]
    assert audit["package"] == package.digest
    assert audit["server"] == server.fingerprint
    assert audit["technology"] == "development"
    assert any(one["event"] == "key refused" for one in events)
    assert released.file_key.hex() not in log
    assert broker.ready["development"] is True


def test_a_production_broker_refuses_development_evidence_over_http(
    start: Callable[..., RunningBroker],
    production: BrokerPolicy,
    pack: Callable[..., Package],
    server: Identity,
) -> None:
    broker = start(production)
    package = pack(broker.folder / "packages" / "model.strongroom", broker.identity)
    challenge = decode_challenge(broker.client.post("/v1/challenge").content)
    request = new_request(challenge.nonce, package.digest, server.public, DevelopmentAttester())
    response = broker.client.post("/v1/release", content=encode_request(request))
    assert response.status_code == 403
    assert response.json()["code"] == "SR-ATTESTATION-POLICY"
    assert "technology: the policy does not name development" in response.json()["error"]
    assert broker.ready["development"] is False
    assert broker.ready["packages"] == []
    assert broker.stop() == 0
    assert "DEVELOPMENT" not in broker.log()
    assert "is granted to desk for the purpose broker" in broker.log()


def test_requests_are_bounded_and_unknown_paths_refused(
    start: Callable[..., RunningBroker], production: BrokerPolicy
) -> None:
    client = start(production).client
    assert client.get("/v1/none").status_code == 404
    assert client.get("/v1/challenge").status_code == 405
    assert client.get("/v1/release").status_code == 405
    large = client.post("/v1/release", content=b" " * (MAXIMUM_REQUEST_BYTES + 1))
    assert (large.status_code, large.json()["code"]) == (413, "SR-REQUEST-SIZE")
    chunked = client.post("/v1/release", content=iter([b"{}"]))
    assert chunked.status_code == 411
    wrong = client.post("/v1/release", content=b"{}")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "SR-REQUEST-FORMAT")
    assert client.post("/v1/challenge").status_code == 200


def test_with_a_token_file_nobody_asks_without_a_token(
    start: Callable[..., RunningBroker], production: BrokerPolicy, tmp_path: Path
) -> None:
    tokens = tmp_path / "tokens.json"
    token = create_token(tokens, "host")
    client = start(production, "--tokens", str(tokens)).client
    for path in ("/v1/challenge", "/v1/release"):
        assert client.post(path).status_code == 401
    headers = {"authorization": f"Bearer {token}"}
    assert client.post("/v1/challenge", headers=headers).status_code == 200
    assert client.get("/v1/about").status_code == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"--policy": "none.json"}, "SR-BROKER-CONFIG"),
        ({"--packages": "none"}, "SR-BROKER-CONFIG"),
        ({"--port": "70000"}, "SR-BROKER-CONFIG"),
        ({"--identity": "nobody"}, "SR-IDENTITY-MISSING"),
        ({"--host": "0.0.0.0"}, "SR-SERVER-TLS"),
        ({"--tls-cert": "only.pem"}, "SR-BROKER-CONFIG"),
        ({"--tls-cert": "none.pem", "--tls-key": "none.pem"}, "SR-SERVER-CONFIG"),
        ({"--tokens": "none.json"}, "SR-SERVER-CONFIG"),
    ],
)
def test_a_broker_that_is_told_nonsense_does_not_start(
    tmp_path: Path,
    production: BrokerPolicy,
    change: dict[str, str],
    code: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "policy.json").write_bytes(msgspec.json.encode(production))
    options = {
        "--policy": str(tmp_path / "policy.json"),
        "--packages": str(tmp_path),
        "--port": "0",
    }
    arguments = [word for pair in (options | change).items() for word in pair]
    assert app.run(["broker", *arguments]) != 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert f"[{code}]" in shown.err
