"""Clients of the server in memory, and homes of their own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fake_server import TOKEN, URL, FakeProtection, FakeServer, streamed
from model_owner import write_identity
from served_proofs import package_of

from strongroom import protections
from strongroom.client import transport as transport_module
from strongroom.client.client import Client
from strongroom.keys.store import KeyStore
from strongroom.package.protected import Package


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_identity(tmp_path / "home")
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STRONGROOM_PASSPHRASE", raising=False)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """No test waits for the pauses between attempts; they are written down instead."""
    waited: list[float] = []

    class Clock:
        perf_counter = staticmethod(transport_module.time.perf_counter)

        @staticmethod
        def monotonic() -> float:
            return sum(waited) + 1.0

        @staticmethod
        def sleep(seconds: float) -> None:
            waited.append(seconds)

    monkeypatch.setattr(transport_module, "time", Clock)
    return waited


@pytest.fixture
def package() -> Package:
    return package_of()


@pytest.fixture
def protection(monkeypatch: pytest.MonkeyPatch) -> FakeProtection:
    fake = FakeProtection()
    monkeypatch.setattr(protections, "by_name", lambda name: fake, raising=False)
    return fake


@pytest.fixture
def server(package: Package, protection: FakeProtection) -> FakeServer:
    return FakeServer(package)


@pytest.fixture
def connect(server: FakeServer) -> Callable[..., Client]:
    def make(**options: Any) -> Client:
        settings = {
            "model": "m",
            "trust": server.package.digest,
            "token": TOKEN,
            "keys": KeyStore.in_memory(),
            "transport": httpx.MockTransport(streamed(server.handle)),
        }
        return Client(options.pop("url", URL), **(settings | options))

    return make
