"""A small plan and package that every test of the file format starts from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from strongroom.compiler.plan import Plan
from strongroom.package.file import Package
from strongroom.package.manifest import Parity


@pytest.fixture
def plan() -> Plan:
    return msgspec.json.decode(Path(__file__).with_name("plan.json").read_bytes(), type=Plan)


@pytest.fixture
def parity() -> Parity:
    return Parity(rows=171, agreement=1.0, max_score_error=0.0001)


@pytest.fixture
def package(plan: Plan, parity: Parity) -> Package:
    return Package.create(name="breast-cancer", plan=plan, payload=b"weights" * 9, parity=parity)
