"""A server whose model takes keys, and a client's keys for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from key_exchanges import ROTATING, Server, client_keys

from strongroom.keys.key_sets import ClientKeySet


@pytest.fixture(scope="module")
def server(start: Callable[..., Server]) -> Server:
    """One for all tests of a module that leave it as it was."""
    return start(**ROTATING, workers=2)


@pytest.fixture
def source() -> ClientKeySet:
    """Of a new client, for rotations by 1."""
    return client_keys(1)
