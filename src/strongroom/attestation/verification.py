"""The verifier for each kind of evidence."""

from __future__ import annotations

from datetime import datetime

from strongroom.attestation.development import DevelopmentVerifier
from strongroom.attestation.evidence import Evidence, SevSnpEvidence, TdxEvidence
from strongroom.attestation.interface import Claims, Verifier
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.attestation.tdx import TdxVerifier


def verify_evidence(evidence: Evidence, now: datetime) -> Claims:
    """What evidence says, and which of its factors hold; see `interface.Verifier`.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if it has not the form of such evidence.
        ModelError: SR-MODEL-EXTRA if a library for it is not installed.
    """
    return _verifier(evidence).verify(evidence, now)


def _verifier(evidence: Evidence) -> Verifier:
    # Those of hardware are made when they are needed: a library may be missing.
    if isinstance(evidence, SevSnpEvidence):
        return SevSnpVerifier()
    return TdxVerifier() if isinstance(evidence, TdxEvidence) else DevelopmentVerifier()
