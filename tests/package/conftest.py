"""A small plan and package that every test of the file format starts from."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest
from model_owner import OWNER

from strongroom.compiler.plan import Plan
from strongroom.keys.seen import Seen
from strongroom.package.manifest import Parity
from strongroom.package.protected import Package

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def plan() -> Plan:
    return msgspec.json.decode(Path(__file__).with_name("plan.json").read_bytes(), type=Plan)


@pytest.fixture
def parity() -> Parity:
    return Parity(rows=171, agreement=1.0, max_score_error=0.0001)


@pytest.fixture
def package(plan: Plan, parity: Parity) -> Package:
    return Package.create(
        name="breast-cancer",
        plan=plan,
        payload={"model": b"weights" * 9},
        parity=parity,
        owner=OWNER,
    )


@pytest.fixture
def seen() -> Seen:
    """Nothing seen yet."""
    return Seen(None)
