"""Recorded evidence, and evidence of a chip whose root is the tests' own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from strongroom.attestation.evidence import SevSnpEvidence, TdxEvidence, decode_evidence

sys.path.insert(0, str(Path(__file__).parent))

from amd_hardware import Chip

RECORDED = Path(__file__).parent / "recorded"


@pytest.fixture(scope="session")
def sev_snp() -> SevSnpEvidence:
    """Recorded on an AMD EPYC "Milan" on 2026-07-20."""
    evidence = decode_evidence((RECORDED / "sev_snp_milan.json").read_text())
    assert isinstance(evidence, SevSnpEvidence)
    return evidence


@pytest.fixture(scope="session")
def tdx() -> Callable[[str], TdxEvidence]:
    """Recorded on Intel processors: "version_4", "version_5", "outdated"."""

    def read(name: str) -> TdxEvidence:
        evidence = decode_evidence((RECORDED / f"tdx_{name}.json").read_text())
        assert isinstance(evidence, TdxEvidence)
        return evidence

    return read


@pytest.fixture(scope="session")
def chip() -> Chip:
    """A chip of the tests' own, "Milan" with a VCEK."""
    return Chip.make("Milan")
