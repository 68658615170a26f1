"""Packages of two models that take keys, servers of them, and clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from key_fakes import RotatingProtection
from key_servers import KeyServer
from model_owner import OWNER

from strongroom import protections
from strongroom.client.client import Client
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package

PASSPHRASE = "of the tests"


@pytest.fixture
def pauses() -> None:
    """Real pauses here."""


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    monkeypatch.setattr(protections, "by_name", lambda name: RotatingProtection("m"))


@pytest.fixture
def packages(package: Package, tmp_path: Path) -> dict[str, Package]:
    """Packages m and grown, saved."""
    named = {}
    for name in ("m", "grown"):
        plan = msgspec.structs.replace(
            package.manifest.plan,
            costs=msgspec.structs.replace(package.manifest.plan.costs, full_response_bytes=1 << 20),
        )
        named[name] = Package.create(
            name=name, plan=plan, payload={"model": b""}, parity=package.manifest.parity
        )
        named[name].save(tmp_path / f"{name}.strongroom", owner=OWNER)
    return named


@pytest.fixture
def serve(packages: dict[str, Package], tmp_path: Path) -> Iterator[Callable[..., KeyServer]]:
    running: list[KeyServer] = []

    def run(**fields: Any) -> KeyServer:
        folder = tmp_path / f"server-{len(running)}"
        folder.mkdir()
        paths = [str(tmp_path / f"{name}.strongroom") for name in packages]
        running.append(KeyServer(folder, paths, **fields))
        return running[-1]

    yield run
    for server in running:
        server.kill()


@pytest.fixture
def connect(packages: dict[str, Package], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    def run(server: KeyServer, model: str = "m", **options: Any) -> Client:
        monkeypatch.setattr(protections, "by_name", lambda name: RotatingProtection(model))
        settings = {"token": server.token, "keys": options.pop("keys", None) or KeyStore.open()}
        return Client(server.url, model=model, trust=packages[model].digest, **(settings | options))

    return run
