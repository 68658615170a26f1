"""A client of one hostile or honest server in memory, for attacks on trust and on receipts."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fake_server import TOKEN, URL, FakeProtection, FakeServer, streamed
from served_proofs import package_of

from strongroom import protections
from strongroom.client.client import Client
from strongroom.errors import StrongroomError
from strongroom.keys.store import KeyStore


class World:
    """One server, one client's memory of what it saw, and the clients that it opens."""

    def __init__(self) -> None:
        self.server = FakeServer(package_of())
        self.keys = KeyStore.in_memory()

    def connect(self, **options: Any) -> Client:
        settings: dict[str, Any] = {
            "model": "m",
            "trust": self.server.host.owner.public,
            "token": TOKEN,
            "keys": self.keys,
            "transport": httpx.MockTransport(streamed(self.server.handle)),
        }
        return Client(URL, **settings | options)

    def refused(self, **options: Any) -> StrongroomError:
        """The error that opening a client ends in; nothing but questions was sent."""
        asked = len(self.server.requests)
        with pytest.raises(StrongroomError) as caught:
            self.connect(**options)
        assert {request.method for request in self.server.requests[asked:]} <= {"GET"}
        return caught.value


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    fake = FakeProtection()
    monkeypatch.setattr(protections, "by_name", lambda name: fake)
    return World()
