"""A small ring in the catalogue, a cheap key derivation, and the members' committees."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from strongroom.engine import CATALOGUE

sys.path.insert(0, str(Path(__file__).parent))

from small_committees import ENTRY


@pytest.fixture(autouse=True)
def small_ring_of_committees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)
