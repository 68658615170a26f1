"""Intel TDX: recorded evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from strongroom.attestation.evidence import SevSnpEvidence, TdxEvidence
from strongroom.attestation.interface import Claims
from strongroom.attestation.tdx import TdxVerifier
from strongroom.errors import AttestationError, ModelError

Recorded = Callable[[str], TdxEvidence]
DATES = {
    "version_4": datetime(2025, 6, 25, tzinfo=UTC),
    "version_5": datetime(2026, 10, 20, tzinfo=UTC),
    "outdated": datetime(2026, 3, 1, tzinfo=UTC),
}


def failing(claims: Claims) -> list[str]:
    return [one.name for one in claims.failed]


def failing_or_refused(evidence: TdxEvidence, name: str) -> list[str]:
    """Failing factors, or the code of what can't be read at all."""
    try:
        return failing(TdxVerifier().verify(evidence, DATES[name]))
    except AttestationError as error:
        return [error.code]


def flipped(data: bytes, byte: int) -> bytes:
    return data[:byte] + bytes((data[byte] ^ 1,)) + data[byte + 1 :]


@pytest.mark.parametrize(("name", "number"), [("version_4", 17), ("version_5", 20)])
def test_recorded_evidence_holds_at_its_date(tdx: Recorded, name: str, number: int) -> None:
    claims = TdxVerifier().verify(tdx(name), DATES[name])
    assert {one.outcome for one in claims.factors} == {"pass"}
    assert claims.status == "UpToDate"
    assert claims.evaluation_number == number
    assert (claims.debug, claims.migratable) == (False, False)
    assert len(claims.measurement) == 48
    assert [len(one) for one in claims.registers] == [48] * 4
    assert len(claims.report_data) == 64


@pytest.mark.parametrize("name", ["version_4", "version_5"])
@pytest.mark.parametrize("year", [2024, 2030])
def test_expired_or_future_collateral_fails_by_validity_alone(
    tdx: Recorded, name: str, year: int
) -> None:
    claims = TdxVerifier().verify(tdx(name), datetime(year, 1, 1, tzinfo=UTC))
    assert failing(claims) == ["validity"]
    assert not claims.status


def test_a_platform_below_every_level_that_intel_lists_fails_by_platform_alone(
    tdx: Recorded,
) -> None:
    claims = TdxVerifier().verify(tdx("outdated"), DATES["outdated"])
    assert failing(claims) == ["platform"]
    late = TdxVerifier().verify(tdx("outdated"), datetime(2026, 12, 1, tzinfo=UTC))
    assert failing(late) == ["validity", "platform"]


REGIONS = {
    "quoting enclave's vendor": 12,
    "user data": 30,
    "module's versions": 48,
    "module": 48 + 16,
    "attributes": 48 + 120,
    "features": 48 + 128,
    "MRTD": 48 + 136,
    "RTMR0": 48 + 328,
    "RTMR3": 48 + 472,
    "report data": 48 + 520,
    "signature": 48 + 584 + 4,
    "attestation key": 48 + 584 + 4 + 64,
    "quoting enclave's report": 48 + 584 + 4 + 128 + 6,
    "quoting enclave's signature": 48 + 584 + 4 + 128 + 6 + 384,
}


@pytest.mark.parametrize("place", REGIONS.values(), ids=REGIONS.keys())
def test_a_flipped_bit_in_any_region_of_a_recorded_quote_fails(tdx: Recorded, place: int) -> None:
    recorded = tdx("version_4")
    changed = TdxEvidence(flipped(recorded.quote, place), recorded.collateral)
    claims = TdxVerifier().verify(changed, DATES["version_4"])
    assert failing(claims) == ["signature"]


def test_a_flipped_bit_in_the_certificates_of_a_recorded_quote_fails(tdx: Recorded) -> None:
    recorded = tdx("version_4")
    start = recorded.quote.index(b"-----BEGIN CERTIFICATE") + 100
    for place in range(start, start + 1500, 300):
        changed = TdxEvidence(flipped(recorded.quote, place), recorded.collateral)
        assert {"signature", "SR-ATTESTATION-EVIDENCE"} & set(
            failing_or_refused(changed, "version_4")
        )


@pytest.mark.parametrize(
    "field",
    [
        "tcb_info",
        "tcb_info_signature",
        "qe_identity",
        "qe_identity_signature",
        "pck_crl",
        "root_ca_crl",
        "tcb_info_issuer_chain",
    ],
)
def test_collateral_that_intel_did_not_sign_fails(tdx: Recorded, field: str) -> None:
    recorded = tdx("version_4")
    collateral = json.loads(recorded.collateral)
    text = collateral[field]
    if field in ("tcb_info", "qe_identity"):
        changed = text.replace('"isvsvn":4', '"isvsvn":0')
        assert changed != text
    elif "chain" in field:
        # One character of the base64 in the middle of the first certificate.
        changed = text[:400] + ("A" if text[400] != "A" else "B") + text[401:]
    else:
        middle = len(text) // 2
        changed = text[:middle] + ("0" if text[middle] != "0" else "1") + text[middle + 1 :]
    evidence = TdxEvidence(recorded.quote, json.dumps(collateral | {field: changed}))
    assert {"signature", "SR-ATTESTATION-EVIDENCE"} & set(failing_or_refused(evidence, "version_4"))


def test_collateral_of_another_platform_fails(tdx: Recorded) -> None:
    foreign = TdxEvidence(tdx("version_4").quote, tdx("outdated").collateral)
    assert failing(TdxVerifier().verify(foreign, DATES["outdated"])) == ["signature"]


def test_a_guest_in_debug_mode_says_so_even_where_the_signature_is_broken(tdx: Recorded) -> None:
    recorded = tdx("version_4")
    changed = TdxEvidence(flipped(recorded.quote, 48 + 120), recorded.collateral)
    assert TdxVerifier().verify(changed, DATES["version_4"]).debug


@pytest.mark.parametrize(
    "change",
    [
        {"quote": b"\0" * 64},
        {"quote": b"\4\0\2\0" + bytes(60)},
        {"collateral": "{}"},
        {"collateral": "[" * 100},
        {"collateral": '{"tcb_info": "{}", "qe_identity": "{}"}'},
    ],
)
def test_what_is_no_quote_or_no_collateral_is_no_evidence(
    tdx: Recorded, change: dict[str, object]
) -> None:
    changed = msgspec.structs.replace(tdx("version_4"), **change)
    with pytest.raises(AttestationError) as error:
        TdxVerifier().verify(changed, DATES["version_4"])
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"


def test_a_quote_cut_anywhere_is_refused(tdx: Recorded) -> None:
    recorded = tdx("version_4")
    for length in (48, 100, 631, 640, 1100, 2000):
        cut = TdxEvidence(recorded.quote[:length], recorded.collateral)
        assert failing_or_refused(cut, "version_4")


def test_evidence_of_another_technology_is_refused(sev_snp: SevSnpEvidence) -> None:
    with pytest.raises(AttestationError) as error:
        TdxVerifier().verify(sev_snp, DATES["version_4"])
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"


def test_without_the_library_it_says_which_extra_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "dcap_qvl", None)
    with pytest.raises(ModelError, match=r"strongroom\[tdx\]") as error:
        TdxVerifier()
    assert error.value.code == "SR-MODEL-EXTRA"
