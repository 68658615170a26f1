"""An owner, a broker, a server, and packages between them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.attestation.evidence import Evidence, SevSnpEvidence
from strongroom.attestation.rules import DevelopmentRule, SevSnpRule
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.attestation.verification import verify_evidence
from strongroom.broker.decision import Broker
from strongroom.broker.policy import BrokerPolicy, DevelopmentPolicy, ModelRule, Policy
from strongroom.broker.shelf import Shelf
from strongroom.compiler.plan import Plan
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen
from strongroom.package.file import Package
from strongroom.package.manifest import Parity

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "attestation"))

import broker_desk
from amd_hardware import FIRMWARE, MEASUREMENT, Chip
from broker_desk import MODEL, NOW, Desk

TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def at_the_present_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """`broker_desk.NOW`, wherever it was imported."""
    now = datetime.now(UTC).replace(microsecond=0)
    for module in (broker_desk, sys.modules[__name__], request.module):
        if hasattr(module, "NOW"):
            monkeypatch.setattr(module, "NOW", now)


@pytest.fixture(scope="session")
def owner() -> Identity:
    return Identity.generate("vendor")


@pytest.fixture(scope="session")
def keeper() -> Identity:
    """The broker's identity."""
    return Identity.generate("broker")


@pytest.fixture(scope="session")
def server() -> Identity:
    return Identity.generate("server")


@pytest.fixture(scope="session")
def chip() -> Chip:
    return Chip.make("Milan")


@pytest.fixture
def pack(owner: Identity) -> Callable[..., Package]:
    """Writes a package of the owner's, granted to somebody."""
    plan = msgspec.json.decode((TESTS / "package" / "plan.json").read_bytes(), type=Plan)

    def _pack(path: Path, *recipients: Identity, **options: Any) -> Package:
        package = Package.create(
            name=options.pop("name", MODEL),
            plan=plan,
            payload={"model": b"weights" * 999},
            parity=Parity(rows=171, agreement=1.0, max_score_error=0.0001),
            release=options.pop("release", 1),
            owner=options.get("owner", owner),
        )
        package.save(
            path,
            owner=options.pop("owner", owner),
            recipients=[one.public for one in recipients],
            purpose=options.pop("purpose", "broker"),
            **options,
        )
        return package

    return _pack


@pytest.fixture
def terms(owner: Identity) -> dict[str, Any]:
    """What both kinds of policy say."""
    return {
        "models": (ModelRule(owner.fingerprint, MODEL),),
        "not_after": f"{NOW + timedelta(days=30):%Y-%m-%dT%H:%M:%SZ}",
    }


@pytest.fixture
def production(terms: dict[str, Any]) -> BrokerPolicy:
    rule = SevSnpRule((MEASUREMENT.hex(),), dict(FIRMWARE))  # type: ignore[arg-type]
    return BrokerPolicy(attestation=(rule,), **terms)


@pytest.fixture
def development(terms: dict[str, Any]) -> DevelopmentPolicy:
    return DevelopmentPolicy(development=DevelopmentRule(("00" * 48,)), **terms)


@pytest.fixture
def open_desk(
    keeper: Identity, server: Identity, chip: Chip, tmp_path: Path
) -> Callable[[Policy], Desk]:
    def verify(evidence: Evidence, now: datetime) -> Any:
        if isinstance(evidence, SevSnpEvidence):
            return SevSnpVerifier(chip.roots).verify(evidence, now)
        return verify_evidence(evidence, now)

    def _open(policy: Policy) -> Desk:
        folder = tmp_path / "packages"
        folder.mkdir(exist_ok=True)
        clock = [NOW]
        seen = Seen(None, lambda: clock[0])
        broker = Broker(keeper, policy, Shelf(folder, seen), seen, verify=verify)
        return Desk(broker, folder, seen, clock, chip, server)

    return _open


@pytest.fixture
def desk(open_desk: Callable[[Policy], Desk], production: BrokerPolicy) -> Desk:
    """A broker under a production policy."""
    return open_desk(production)
