"""`strongroom verify`: every factor is printed, and the exit status says whether all hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from model_owner import OWNER
from served_proofs import ProvenHost, identity
from sklearn.linear_model import LogisticRegression

import strongroom
from strongroom.cli import app
from strongroom.package.protected import Package


@dataclass
class Shown:
    """A server on this machine that shows a model's metadata."""

    url: str
    document: dict[str, Any]


@pytest.fixture(scope="module")
def package() -> Package:
    """A model whose plan clients accept."""
    rows = np.random.default_rng(7).normal(size=(100, 3))
    model = LogisticRegression().fit(rows, rows.sum(axis=1) > 0)
    return strongroom.protect(model, sample=rows, name="m", owner=OWNER)


@pytest.fixture
def shown(package: Package) -> Iterator[Shown]:
    host = ProvenHost(package)
    document = {
        "name": "m",
        "parameters": msgspec.to_builtins(host.proof()) | {"package_digest": host.package.digest},
        "inputs": [],
        "outputs": [],
    }

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield Shown(f"http://127.0.0.1:{server.server_port}", document)
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def owner(tmp_path: Path) -> str:
    path = tmp_path / "vendor.pub"
    path.write_text(OWNER.public.to_text() + "\n")
    return str(path)


def verify(shown: Shown, *options: str) -> list[str]:
    return ["verify", shown.url, "--model", "m", *options]


def test_a_server_that_proves_itself_passes(
    shown: Shown, owner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(verify(shown, "--trust", owner)) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, outcome in (
        ("tls", "skipped"),
        ("package", "pass"),
        ("authority", "pass"),
        ("keys", "pass"),
        ("attestation", "skipped"),
        ("guarantee", "pass"),
    ):
        assert any(line.split()[:2] == [name, outcome] for line in lines), name


def test_json_names_every_factor_with_its_reason(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(verify(shown, "--trust", OWNER.fingerprint, "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is True
    assert [one["name"] for one in found["factors"]][:3] == ["tls", "package", "model"]
    assert all(one["reason"] for one in found["factors"])


def test_one_failing_factor_makes_the_command_fail(
    shown: Shown, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = identity("stranger").fingerprint
    assert app.run(verify(shown, "--trust", stranger, "--json")) == 10
    found = json.loads(capsys.readouterr().out)
    assert found["holds"] is False
    outcomes = {one["name"]: one["outcome"] for one in found["factors"]}
    assert outcomes["package"] == "fail"
    assert outcomes["keys"] == "skipped"
    shown.document["parameters"]["authority"] = ""
    assert app.run(verify(shown, "--trust", OWNER.fingerprint)) == 10


def test_a_policy_demands_evidence(
    shown: Shown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text(
        json.dumps(
            {
                "format": "strongroom-broker-policy-1",
                "attestation": [
                    {
                        "type": "sev-snp",
                        "measurements": ["00" * 48],
                        "least_firmware": {"microcode": 1},
                    }
                ],
                "models": [{"owner": OWNER.fingerprint, "name": "m"}],
                "not_after": "2999-01-01T00:00:00Z",
            }
        )
    )
    arguments = verify(shown, "--trust", OWNER.fingerprint, "--policy", str(policy), "--json")
    assert app.run(arguments) == 10
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["factors"] if one["outcome"] == "fail"] == ["attestation"]


def test_first_use_proves_nothing_and_is_refused(shown: Shown) -> None:
    assert app.run(verify(shown, "--trust", "first-use")) == 2


def test_nothing_is_remembered_of_a_server_that_was_only_verified(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path))
    assert app.run(verify(shown, "--trust", OWNER.fingerprint)) == 0
    (remembered,) = [one for one in tmp_path.iterdir() if one.suffix == ".json"]
    marks = json.loads(remembered.read_text())
    assert marks.pop("latest")
    assert not any(value for key, value in marks.items() if key != "format_version")
