"""What an owner demands: every factor that fails is named, and nothing can allow debugging."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from amd_hardware import FIRMWARE, MEASUREMENT, Chip

from strongroom.attestation.development import DevelopmentAttester, DevelopmentVerifier
from strongroom.attestation.evidence import (
    KEY_CONFIGURATION,
    RELEASE,
    SevSnpEvidence,
    TdxEvidence,
    report_data,
)
from strongroom.attestation.interface import Claims, Factor, require
from strongroom.attestation.rules import (
    DevelopmentRule,
    Rule,
    SevSnpRule,
    TdxMeasurement,
    TdxRule,
    judge,
)
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.attestation.tdx import TdxVerifier
from strongroom.attestation.verification import verify_evidence
from strongroom.errors import AttestationError

NOW = datetime(2027, 1, 1, tzinfo=UTC)
NONCE, SERVER = "ab" * 32, "identity:" + "cd" * 32
DATA = report_data(NONCE, SERVER, RELEASE)
RULE = SevSnpRule((MEASUREMENT.hex(),), dict(FIRMWARE))  # type: ignore[arg-type]


def failing(factors: Sequence[Factor]) -> list[str]:
    return [one.name for one in factors if one.outcome == "fail"]


def judged(chip: Chip, rule: Rule = RULE, data: bytes = DATA, **changes: Any) -> list[str]:
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(data, **changes), NOW)
    return failing(judge((rule,), claims, DATA))


def test_evidence_that_is_all_that_is_demanded_passes(chip: Chip) -> None:
    assert judged(chip) == []


@pytest.mark.parametrize(
    "data",
    [
        report_data("ac" * 32, SERVER, RELEASE),
        report_data(NONCE, "identity:" + "ce" * 32, RELEASE),
        report_data(NONCE, SERVER, KEY_CONFIGURATION),
        bytes(64),
    ],
    ids=["another nonce", "another identity", "another use", "nothing"],
)
def test_evidence_for_somebody_or_something_else_fails_by_its_binding(
    chip: Chip, data: bytes
) -> None:
    assert judged(chip, data=data) == ["binding"]


def test_debugging_and_migration_fail_whatever_the_rule_says(chip: Chip) -> None:
    assert judged(chip, policy=0x3001F | 1 << 19) == ["debug"]
    assert judged(chip, policy=0x3001F | 1 << 18) == ["migration"]
    for word in ("debug", "allow_debug", "migration"):
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert(msgspec.to_builtins(RULE) | {word: True}, SevSnpRule)


def test_another_measurement_fails_and_is_shown(chip: Chip) -> None:
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA, measurement=b"m" * 48), NOW)
    factors = judge((RULE,), claims, DATA)
    assert failing(factors) == ["measurement"]
    assert (b"m" * 48).hex() in "".join(one.reason for one in factors)


@pytest.mark.parametrize("part", list(FIRMWARE))
def test_firmware_older_than_demanded_fails_and_names_the_part(chip: Chip, part: str) -> None:
    least = FIRMWARE | {part: FIRMWARE[part] + 1}
    rule = SevSnpRule((MEASUREMENT.hex(),), least)  # type: ignore[arg-type]
    claims = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA), NOW)
    factors = judge((rule,), claims, DATA)
    assert failing(factors) == ["firmware"]
    assert any(part in one.reason for one in factors if one.name == "firmware")


def test_firmware_of_a_part_that_the_chip_does_not_state_fails(chip: Chip) -> None:
    assert judged(chip, SevSnpRule((MEASUREMENT.hex(),), {"fmc": 0})) == ["firmware"]


def test_privilege_host_data_and_revocation_lists_are_demanded(chip: Chip) -> None:
    change = msgspec.structs.replace
    assert judged(chip, vmpl=1) == ["privilege"]
    assert judged(chip, change(RULE, largest_privilege_level=1), vmpl=1) == []
    host = change(RULE, host_data=(b"h" * 32).hex())
    assert judged(chip, host) == ["host-data"]
    assert judged(chip, host, host_data=b"h" * 32) == []
    strict = change(RULE, require_revocations=True)
    assert judged(chip, strict) == ["revocation-list"]
    assert judged(chip, strict, revocations=chip.revocations()) == []


def test_every_failing_factor_is_named_not_only_the_first(chip: Chip) -> None:
    names = judged(chip, data=bytes(64), policy=0x3001F | 1 << 19, measurement=b"m" * 48, vmpl=3)
    assert names == ["binding", "debug", "measurement", "privilege"]


def test_a_technology_without_a_rule_is_refused(
    chip: Chip, tdx: Callable[[str], TdxEvidence]
) -> None:
    other = TdxRule((TdxMeasurement("00" * 48, (None, None, None, None)),), 1)
    assert judged(chip, other) == ["technology"]
    claims = TdxVerifier().verify(tdx("version_4"), datetime(2025, 6, 25, tzinfo=UTC))
    assert failing(judge((RULE,), claims, claims.report_data)) == ["technology"]


def test_recorded_evidence_of_amd_is_judged(sev_snp: SevSnpEvidence) -> None:
    claims = verify_evidence(sev_snp, NOW)
    fitting = SevSnpRule((claims.measurement.hex(),), {"microcode": 219, "snp": 24})
    assert failing(judge((fitting,), claims, claims.report_data)) == []
    newer = SevSnpRule((claims.measurement.hex(),), {"microcode": 220})
    assert failing(judge((newer,), claims, claims.report_data)) == ["firmware"]
    assert failing(judge((fitting,), claims, DATA)) == ["binding"]


def test_recorded_evidence_of_intel_is_judged(tdx: Callable[[str], TdxEvidence]) -> None:
    claims = verify_evidence(tdx("version_5"), datetime(2026, 10, 20, tzinfo=UTC))

    def names(rule: TdxRule, claimed: Claims = claims) -> list[str]:
        return failing(judge((rule,), claimed, claims.report_data))

    def measured(*registers: str | None) -> tuple[TdxMeasurement, ...]:
        return (TdxMeasurement(claims.measurement.hex(), registers),)  # type: ignore[arg-type]

    exact = measured(*(one.hex() for one in claims.registers))
    assert names(TdxRule(exact, 20)) == []
    assert names(TdxRule(measured(None, None, None, None), 20)) == []
    assert names(TdxRule(measured(None, None, None, "00" * 48), 20)) == ["measurement"]
    assert names(TdxRule(exact, 21)) == ["evaluation"]
    assert names(TdxRule(exact, 20, least_firmware={"module": 16})) == ["firmware"]
    assert names(TdxRule(exact, 20, statuses=("SWHardeningNeeded",))) == ["status"]


def test_an_outdated_platform_of_intel_fails_by_platform_and_status(
    tdx: Callable[[str], TdxEvidence],
) -> None:
    claims = verify_evidence(tdx("outdated"), datetime(2026, 3, 1, tzinfo=UTC))
    rule = TdxRule((TdxMeasurement(claims.measurement.hex(), (None, None, None, None)),), 1)
    assert failing(judge((rule,), claims, claims.report_data)) == ["platform", "status"]


@pytest.mark.parametrize("status", ["OutOfDate", "Revoked", "ConfigurationAndSWHardeningNeeded"])
def test_no_rule_can_accept_an_outdated_status(status: str) -> None:
    rule = TdxRule((TdxMeasurement("00" * 48, (None, None, None, None)),), 1)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(rule) | {"statuses": [status]}, TdxRule)


def test_development_evidence_passes_no_rule_and_hardware_no_development_rule(chip: Chip) -> None:
    attester = DevelopmentAttester(MEASUREMENT)
    now = datetime.now(UTC)
    claims = DevelopmentVerifier().verify(attester.evidence(DATA), now)
    assert failing(judge((RULE,), claims, DATA)) == ["technology"]
    development = DevelopmentRule((MEASUREMENT.hex(),))
    assert failing(judge(development, claims, DATA)) == []
    real = SevSnpVerifier(chip.roots).verify(chip.evidence(DATA), NOW)
    assert failing(judge(development, real, DATA)) == ["technology"]
    stale = DevelopmentVerifier().verify(attester.evidence(DATA), now + timedelta(minutes=6))
    assert failing(judge(development, stale, DATA)) == ["validity"]


def test_an_error_tells_what_does_not_hold_from_what_is_not_wanted() -> None:
    held = Factor("chain", "pass", "it leads to a root")
    broken = Factor("signature", "fail", "it is not signed")
    unwanted = Factor("debug", "fail", "the host may debug it")
    require((held,))
    with pytest.raises(AttestationError, match="debug: the host may debug it") as policy:
        require((held, unwanted))
    assert policy.value.code == "SR-ATTESTATION-POLICY"
    with pytest.raises(AttestationError, match=r"signature.*debug") as evidence:
        require((held, broken, unwanted))
    assert evidence.value.code == "SR-ATTESTATION-EVIDENCE"
