"""Real servers and clients, and modules beside the tests made importable."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from model_owner import write_identity

from strongroom import Client, KeyStore, Package

sys.path.insert(0, str(Path(__file__).parent))
# The map of messages that the protection's own tests use.
sys.path.insert(0, str(Path(__file__).parents[1] / "protections" / "fhe"))

# The committee of the members' own tests.
sys.path.insert(0, str(Path(__file__).parents[1] / "member"))

from server_processes import RunningServer, start_server
from trained_models import Trained, trained

Serve = Callable[..., RunningServer]
Connect = Callable[..., Client]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test sees the keys of whoever runs it."""
    write_identity(tmp_path / "home")
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STRONGROOM_PASSPHRASE", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts servers, which end with the module."""
    running: list[RunningServer] = []

    def start(packages: list[Package], **fields: Any) -> RunningServer:
        running.append(start_server(tmp_path_factory.mktemp("server"), packages, **fields))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens clients with fresh keys in memory, which are closed after the test."""
    opened: list[Client] = []

    def open_client(server: RunningServer, package: Package, **options: Any) -> Client:
        settings = {
            "model": package.manifest.name,
            "trust": package,
            "token": server.token,
            "keys": KeyStore.in_memory(),
            "ca": server.certificate,
            **options,
        }
        opened.append(Client(settings.pop("url", server.url), **settings))
        return opened[-1]

    yield open_client
    for client in opened:
        client.close()


@pytest.fixture(scope="session")
def binary() -> Trained:
    """A binary classifier of breast cancer: scaling, then logistic regression."""
    return trained("binary")
