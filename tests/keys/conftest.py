"""A home of its own, a cheap key derivation, and no keyring but a test's own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Iterator
from pathlib import Path

import keyring
import keyring.backend
import keyring.backends.fail
import pytest

from strongroom.engine import CATALOGUE
from strongroom.keys import custody
from strongroom.keys.sealing import Passphrase

sys.path.insert(0, str(Path(__file__).parent))


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring that keeps."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("STRONGROOM_HOME", str(home))
    monkeypatch.delenv("STRONGROOM_PASSPHRASE", raising=False)
    return home


@pytest.fixture(autouse=True)
def cheap_derivation(monkeypatch: pytest.MonkeyPatch) -> None:
    def lock() -> Passphrase:
        return Passphrase(salt=secrets.token_hex(16), iterations=1, lanes=1, memory_kib=128)

    monkeypatch.setattr(custody, "fresh_lock", lock)


@pytest.fixture(autouse=True)
def no_keyring() -> Iterator[None]:
    earlier = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    yield
    keyring.set_keyring(earlier)


@pytest.fixture
def memory_keyring(no_keyring: None) -> MemoryKeyring:
    backend = MemoryKeyring()
    keyring.set_keyring(backend)
    return backend


@pytest.fixture
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring in the catalogue that key sets of tests are over."""
    from small_key_sets import ENTRY

    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)
