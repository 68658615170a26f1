"""AMD SEV-SNP: recorded evidence, and evidence of a chip of the tests' own."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from amd_hardware import BEGIN, END, FIRMWARE, MEASUREMENT, Chip

from strongroom.attestation.evidence import SevSnpEvidence, TdxEvidence
from strongroom.attestation.interface import Claims
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.errors import AttestationError

RECORDED = datetime(2026, 7, 21, tzinfo=UTC)
NOW = datetime(2027, 1, 1, tzinfo=UTC)
DATA = bytes(range(64))


def outcomes(claims: Claims) -> dict[str, str]:
    return {one.name: one.outcome for one in claims.factors}


def failing(claims: Claims) -> list[str]:
    return [one.name for one in claims.failed]


def failing_or_refused(evidence: SevSnpEvidence) -> list[str]:
    """Failing factors, or the code of what can't be read at all."""
    try:
        return failing(SevSnpVerifier().verify(evidence, RECORDED))
    except AttestationError as error:
        return [error.code]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_recorded_evidence_holds_at_its_date(sev_snp: SevSnpEvidence) -> None:
    claims = SevSnpVerifier().verify(sev_snp, RECORDED)
    assert outcomes(claims) == {
        "chain": "pass",
        "validity": "pass",
        "revocation": "skipped",
        "signature": "pass",
        "platform": "pass",
    }
    assert claims.measurement.hex().startswith("5b0ce64ad1c1f637")
    assert claims.report_data.hex().startswith("4e0322978924ee2fd130ba98")
    assert claims.firmware == {"bootloader": 4, "tee": 0, "snp": 24, "microcode": 219}
    assert not claims.debug
    assert not claims.migratable


@pytest.mark.parametrize(
    "now", [datetime(2026, 7, 19, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)]
)
def test_recorded_evidence_outside_of_its_certificates_fails_by_validity_alone(
    sev_snp: SevSnpEvidence, now: datetime
) -> None:
    claims = SevSnpVerifier().verify(sev_snp, now)
    assert failing(claims) == ["validity"]
    assert f"{now:%Y-%m-%d}" in claims.failed[0].reason


REGIONS = {
    "guest version": 0x04,
    "policy": 0x08,
    "family": 0x10,
    "image": 0x20,
    "level": 0x30,
    "current firmware": 0x38,
    "platform": 0x40,
    "report data": 0x50,
    "report data's end": 0x8F,
    "measurement": 0x90,
    "host data": 0xC0,
    "id key": 0xE0,
    "author key": 0x110,
    "report id": 0x140,
    "reported firmware": 0x180,
    "processor": 0x189,
    "chip": 0x1A0,
    "committed firmware": 0x1E0,
    "launch firmware": 0x1F0,
    "reserved": 0x29F,
    "signature's first number": 0x2A0,
    "signature's second number": 0x2E8,
    "after the signature": 0x330,
    "last byte": 0x49F,
}


@pytest.mark.parametrize("place", REGIONS.values(), ids=REGIONS.keys())
def test_a_flipped_bit_in_any_region_of_a_recorded_report_breaks_its_signature(
    sev_snp: SevSnpEvidence, place: int
) -> None:
    for bit in (0, 7):
        changed = msgspec.structs.replace(sev_snp, report=flipped(sev_snp.report, 8 * place + bit))
        assert "signature" in failing(SevSnpVerifier().verify(changed, RECORDED))


@pytest.mark.parametrize("place", [0x00, 0x34, 0x48])
def test_a_flipped_bit_in_version_algorithm_or_kind_of_key_is_no_evidence(
    sev_snp: SevSnpEvidence, place: int
) -> None:
    changed = msgspec.structs.replace(sev_snp, report=flipped(sev_snp.report, 8 * place + 4))
    with pytest.raises(AttestationError) as error:
        SevSnpVerifier().verify(changed, RECORDED)
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_flipped_bit_anywhere_in_a_recorded_certificate_fails(
    sev_snp: SevSnpEvidence, index: int
) -> None:
    certificate = sev_snp.certificates[index]
    for bit in range(0, 8 * len(certificate), 397):
        chain = list(sev_snp.certificates)
        chain[index] = flipped(certificate, bit)
        changed = SevSnpEvidence(sev_snp.report, (chain[0], chain[1], chain[2]))
        assert failing_or_refused(changed)


def test_certificates_in_another_order_fail(sev_snp: SevSnpEvidence) -> None:
    leaf, issuer, root = sev_snp.certificates
    swapped = SevSnpEvidence(sev_snp.report, (leaf, root, issuer))
    assert "chain" in failing(SevSnpVerifier().verify(swapped, RECORDED))


def test_a_chip_whose_root_is_not_amds_fails_by_its_chain_alone(chip: Chip) -> None:
    evidence = chip.evidence(DATA)
    assert failing(SevSnpVerifier().verify(evidence, NOW)) == ["chain"]
    assert not SevSnpVerifier(chip.roots).verify(evidence, NOW).failed


@pytest.mark.parametrize(
    ("product", "kind"),
    [("Milan", "VLEK"), ("Genoa", "VCEK"), ("Turin", "VCEK"), ("Turin", "VLEK")],
)
def test_every_product_and_kind_of_key_is_judged_by_its_own_layout(product: str, kind: str) -> None:
    chip = Chip.make(product, kind)
    versions = FIRMWARE | ({"fmc": 2} if product == "Turin" else {})
    evidence = chip.evidence(DATA, firmware=versions, certified={"firmware": versions})
    claims = SevSnpVerifier(chip.roots).verify(evidence, NOW)
    assert not claims.failed
    assert claims.firmware == versions
    other = versions | {"microcode": 218}
    outdated = chip.evidence(DATA, firmware=other, certified={"firmware": versions})
    assert failing(SevSnpVerifier(chip.roots).verify(outdated, NOW)) == ["platform"]


@pytest.mark.parametrize("part", list(FIRMWARE))
def test_a_certificate_for_other_firmware_than_the_reports_fails_by_platform(
    chip: Chip, part: str
) -> None:
    certified = {"firmware": FIRMWARE | {part: FIRMWARE[part] + 1}}
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA, certified=certified), NOW)
    assert failing(claims) == ["platform"]
    assert part in claims.failed[0].reason


@pytest.mark.parametrize(
    "changes",
    [
        {"chip_id": bytes(63) + b"\1"},
        {"flags": 1 << 1},
        {"chip_id": bytes(64)},
    ],
    ids=["another chip", "masked", "zero"],
)
def test_the_certificate_of_another_chip_fails_by_platform(
    chip: Chip, changes: dict[str, Any]
) -> None:
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA, **changes), NOW)
    assert failing(claims) == ["platform"]


def test_a_report_that_names_another_kind_of_key_fails_by_platform(chip: Chip) -> None:
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA, flags=1 << 2), NOW)
    assert failing(claims) == ["platform"]


def test_a_key_whose_issuer_issues_another_kind_fails_by_its_chain(chip: Chip) -> None:
    vlek = Chip.make("Milan", "VLEK")
    mixed = Chip("Milan", "VCEK", vlek.key, chip.chip_id, vlek.issuer, vlek.root)
    claims = SevSnpVerifier(mixed.roots).verify(mixed.evidence(DATA), NOW)
    assert failing(claims) == ["chain"]


def test_an_expired_certificate_fails_by_validity_alone(chip: Chip) -> None:
    certified = {"end": datetime(2026, 6, 1, tzinfo=UTC)}
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA, certified=certified), NOW)
    assert failing(claims) == ["validity"]


def test_a_list_of_revoked_certificates_is_applied_and_checked(chip: Chip) -> None:
    verifier = SevSnpVerifier(chip.roots)

    def outcome(revocations: bytes, now: datetime = NOW) -> str:
        claims = verifier.verify(chip.evidence(DATA, revocations=revocations), now)
        assert set(failing(claims)) <= {"revocation"}
        return outcomes(claims)["revocation"]

    assert outcome(chip.revocations()) == "pass"
    assert outcome(chip.revocations(99)) == "pass"
    assert outcome(chip.revocations(chip.issuer.serial_number)) == "fail"
    assert outcome(chip.revocations(signer="issuer")) == "fail"
    assert outcome(chip.revocations(end=datetime(2026, 6, 1, tzinfo=UTC))) == "fail"
    assert outcome(chip.revocations(begin=datetime(2028, 1, 1, tzinfo=UTC))) == "fail"
    assert outcome(b"none") == "fail"


def test_claims_say_debugging_migration_level_and_host_data(chip: Chip) -> None:
    verifier = SevSnpVerifier(chip.roots)
    changes: dict[str, Any] = {"policy": 0x3001F | 1 << 18 | 1 << 19, "vmpl": 2}
    claims = verifier.verify(chip.evidence(DATA, host_data=b"h" * 32, **changes), NOW)
    assert (claims.debug, claims.migratable, claims.privilege_level) == (True, True, 2)
    assert claims.host_data == b"h" * 32
    assert claims.measurement == MEASUREMENT
    assert (claims.not_before, claims.not_after) == (BEGIN, END)


def test_evidence_of_another_technology_is_refused() -> None:
    with pytest.raises(AttestationError) as error:
        SevSnpVerifier().verify(TdxEvidence(bytes(64), "{}"), NOW)
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"
