"""A server whose package a key broker releases: real processes, and what the broker refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from model_owner import OWNER, PASSPHRASE, write_identity
from served_proofs import package_of
from sklearn.linear_model import LinearRegression

import strongroom
from strongroom.attestation.rules import DevelopmentRule
from strongroom.broker.policy import DevelopmentPolicy, ModelRule
from strongroom.broker.release import ReleaseAuthority, verify_released
from strongroom.errors import ServerError, StrongroomError
from strongroom.keys.identity import Identity
from strongroom.keys.serving import verify_configuration
from strongroom.moments import write_moment
from strongroom.package.protected import Package
from strongroom.receipts.authority import verify_authority
from strongroom.server.broker_relay import BrokerRelay
from strongroom.server.config import ServerConfig

SOURCES = Path(__file__).parents[2] / "src"
DESK = Identity.generate("desk")


@dataclass
class RunningBroker:
    url: str
    folder: Path
    process: subprocess.Popen[str]


@pytest.fixture(scope="module")
def package() -> Package:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    model = LinearRegression().fit(rows, rows @ [1.0, 2.0, 3.0])
    return strongroom.protect(model, sample=rows, name="released", owner=OWNER.public)


@pytest.fixture(scope="module")
def desk(package: Package, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningBroker]:
    """A broker for development, to which the package is granted."""
    folder = tmp_path_factory.mktemp("desk")
    write_identity(folder / "home", DESK)
    (folder / "packages").mkdir()
    package.save(
        folder / "packages" / "released.strongroom",
        owner=OWNER,
        recipients=[DESK.public],
        purpose="broker",
    )
    policy = DevelopmentPolicy(
        models=(ModelRule(OWNER.fingerprint, "released"),),
        not_after=write_moment(datetime.now(UTC) + timedelta(days=1)),
        development=DevelopmentRule(("00" * 48,)),
    )
    (folder / "policy.json").write_bytes(msgspec.json.encode(policy))
    options = ["--policy", str(folder / "policy.json"), "--packages", str(folder / "packages")]
    options += ["--identity", "desk", "--port", "0", "--json"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "strongroom.cli", "broker", *options],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": str(SOURCES),
                "STRONGROOM_HOME": str(folder / "home"),
                "STRONGROOM_PASSPHRASE": PASSPHRASE,
            },
        )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, (folder / "log").read_text()
    yield RunningBroker(json.loads(line)["url"], folder, process)
    process.kill()
    process.wait(10)
    process.stdout.close()


@pytest.fixture
def fields(desk: RunningBroker, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "home").mkdir(mode=0o700)
    return {
        "packages": [str(desk.folder / "packages" / "released.strongroom")],
        "loader": "strongroom.server.open:open_served",
        "identity": "default",
        "home": str(tmp_path / "home"),
        "attestation": "development",
        "broker": desk.url,
    }


def test_a_server_has_its_package_released_and_proves_so(start, fields, package, tmp_path) -> None:
    server = start(**fields, workers=2)
    shown = server.client.get("/v2/models/released").json()["parameters"]
    now = datetime.now(UTC)
    authority = msgspec.json.decode(shown["authority"], type=ReleaseAuthority)
    who = verify_released(authority, OWNER.public, package.digest, now, development=True)
    assert (who.name, list((tmp_path / "home").glob("identities/*"))) == ("attested", [])
    verify_configuration(shown["key_configuration"], who, package.digest, now)
    # Development evidence proves nothing, and nobody takes it for more unasked.
    with pytest.raises(StrongroomError) as caught:
        verify_authority(shown["authority"], OWNER.public, package.digest, now)
    assert caught.value.code == "SR-ATTESTATION-POLICY"


def test_a_server_that_the_broker_refuses_does_not_start(refused, fields, tmp_path) -> None:
    other = package_of(name="another")
    path = tmp_path / "another.strongroom"
    other.save(path, owner=OWNER, recipients=[DESK.public], purpose="broker")
    status, said = refused(**fields | {"packages": [str(path)]})
    assert status == 10
    assert "SR-BROKER-REFUSED" in said
    assert "Traceback" not in said


def test_a_server_whose_broker_is_away_does_not_start(refused, fields) -> None:
    status, said = refused(**fields | {"broker": "http://127.0.0.1:9"})
    assert status == 9
    assert "SR-SERVER-UNREACHABLE" in said


@pytest.mark.parametrize(
    "missing", [{"attestation": None}, {"identity": None}, {"attestation": None, "identity": None}]
)
def test_a_broker_needs_somebody_who_asks(missing: dict[str, None]) -> None:
    complete: dict[str, Any] = {"packages": ("a",), "tokens": "t", "broker": "https://desk"}
    ServerConfig(**complete, attestation="tsm")
    with pytest.raises(ServerError) as caught:
        ServerConfig(**complete | {"attestation": "tsm"} | missing)
    assert caught.value.code == "SR-SERVER-CONFIG"


@pytest.mark.parametrize(
    ("url", "code"),
    [("http://desk.example", "SR-SERVER-TLS"), ("ftp://desk", "SR-SERVER-URL")],
)
def test_a_broker_is_asked_over_tls_or_on_this_machine(url: str, code: str) -> None:
    with pytest.raises(ServerError) as caught:
        BrokerRelay(url, None, None)
    assert caught.value.code == code


def test_a_token_that_can_not_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as caught:
        BrokerRelay("https://desk.example", str(tmp_path / "absent"), None)
    assert caught.value.code == "SR-SERVER-CONFIG"
