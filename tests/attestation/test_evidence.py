"""Evidence on the wire: one form, bounded, and bound to nonce, identity and use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from strongroom.attestation.development import DevelopmentAttester, DevelopmentVerifier
from strongroom.attestation.evidence import (
    MAXIMUM_TEXT,
    RELEASE,
    SevSnpEvidence,
    decode_evidence,
    evidence_digest,
    evidence_text,
    report_data,
)
from strongroom.errors import AttestationError


def test_report_data_are_the_digest_of_canonical_json() -> None:
    text = b'{"nonce":"ab","protocol":"strongroom release 1","server":"identity:cd"}'
    assert report_data("ab", "identity:cd", RELEASE) == hashlib.sha512(text).digest()


def test_evidence_reads_back_as_what_was_written(sev_snp: SevSnpEvidence) -> None:
    text = evidence_text(sev_snp)
    assert decode_evidence(text) == sev_snp
    assert evidence_digest(sev_snp) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + " ",
        lambda text: text.replace("{", "{ ", 1),
        lambda text: text.replace('"sev-snp"', '"sev"'),
        lambda text: text.replace('"report":', '"extra":1,"report":'),
        lambda text: text[:-10],
        lambda text: "",
        lambda text: "[" * 5000,
        lambda text: "\ud800",
        lambda text: " " * (MAXIMUM_TEXT + 1),
    ],
)
def test_other_forms_are_refused(sev_snp: SevSnpEvidence, change: Callable[[str], str]) -> None:
    with pytest.raises(AttestationError) as error:
        decode_evidence(change(evidence_text(sev_snp)))
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"


def test_development_evidence_needs_a_real_time_and_its_own_verifier(
    sev_snp: SevSnpEvidence,
) -> None:
    good = DevelopmentAttester().evidence(bytes(64))
    text = evidence_text(good).replace(good.issued, "2026-13-40T00:00:00Z")
    wrong = decode_evidence(text)
    for evidence in (wrong, sev_snp):
        with pytest.raises(AttestationError) as error:
            DevelopmentVerifier().verify(evidence, datetime.now(UTC))
        assert error.value.code == "SR-ATTESTATION-EVIDENCE"
