"""Members without a network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from member_world import Member


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Callable[..., Member]]:
    """Starts members; each has a folder of its own."""
    made: list[Member] = []

    def _member(name: str = "vendor", **options: Any) -> Member:
        made.append(Member(name, options.pop("folder", tmp_path / name), **options))
        return made[-1]

    yield _member
    for one in made:
        one.ledger.close()
