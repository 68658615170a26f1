"""A broker in the test's own process, and a serving process that asks it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amd_hardware import Chip

from strongroom.attestation.evidence import SevSnpEvidence
from strongroom.broker.decision import Broker
from strongroom.broker.exchange import ReleaseAnswer, ReleaseRequest, new_request
from strongroom.keys.identity import Identity
from strongroom.keys.seen import Seen

NOW = datetime.now(UTC).replace(microsecond=0)
"""When a test begins (`conftest.at_the_present_time`): evidence and grants that are made with the
machine's clock hold for minutes, and a run of all tests takes longer."""

MODEL = "readmission"


@dataclass
class GuestAttester:
    """Attests on the tests' own chip; what a test changes goes into the report."""

    chip: Chip
    changes: dict[str, Any] = field(default_factory=dict)

    def evidence(self, report_data: bytes) -> SevSnpEvidence:
        return self.chip.evidence(report_data, **self.changes)


@dataclass
class Desk:
    """A broker in this process, with a clock that a test sets."""

    broker: Broker
    folder: Path
    seen: Seen
    clock: list[datetime]
    chip: Chip
    server: Identity

    def request(self, package: str, **options: Any) -> ReleaseRequest:
        attester = options.get("attester") or GuestAttester(self.chip, options.get("changes", {}))
        return new_request(
            options.get("nonce") or self.broker.nonces.issue(),
            package,
            options.get("server", self.server).public,
            attester,
        )

    def ask(self, package: str, **options: Any) -> ReleaseAnswer:
        return self.broker.release(self.request(package, **options))
