"""What an owner demands of attested processes, and the judgement.

Rules, one a technology:

1. A technology that no rule names is refused.
2. What was started must be on the list of measurements. There is no rule without such a list.
3. Firmware must be at least as new as the rule says: now, when the guest was started, and what the
   host can go back to. A guest that began under a flaw, or can be put under it, is not helped by a
   patch.
4. A guest that its host may debug, or move to another machine, is refused. Nothing can allow it.
5. The report data must be the expected ones: evidence for somebody else, or of yesterday, is none.

`DevelopmentRule` is no `Rule`: it has its own place, in a policy of another format, and a
production policy that tries to name it can't be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from strongroom.attestation.interface import Claims, Factor, factor, failed, passed

Hex48 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{96}\Z")]
Hex32 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Part = Literal["bootloader", "tee", "snp", "microcode", "fmc"]
TdxPart = Literal["module", "module_major", "microcode"]
Version = Annotated[int, msgspec.Meta(ge=0, le=255)]

TdxStatus = Literal["UpToDate", "SWHardeningNeeded", "ConfigurationNeeded"]
"""Of Intel's words those that an owner may accept; one of them alone is not outdated."""


class SevSnpRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sev-snp"):
    """What must hold of an AMD SEV-SNP guest.

    Attributes:
        measurements: launch measurements, in hex, of which it must show one.
        least_firmware: least security versions by part; all that is named must be there.
        host_data: that it must show, in hex; None for any.
        largest_privilege_level: VMPL at which the serving process may run; 0 is the highest.
        require_revocations: whether AMD's list of revoked certificates must come along.
    """

    measurements: Annotated[tuple[Hex48, ...], msgspec.Meta(min_length=1, max_length=1024)]
    least_firmware: Annotated[dict[Part, Version], msgspec.Meta(min_length=1)]
    host_data: Hex32 | None = None
    largest_privilege_level: Annotated[int, msgspec.Meta(ge=0, le=3)] = 0
    require_revocations: bool = False


class TdxMeasurement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was started in an Intel TDX guest.

    MRTD alone covers the guest's firmware; the kernel and what it starts are in the registers.

    Attributes:
        mr_td: MRTD, in hex.
        registers: RTMR0 to RTMR3, in hex; None for any value.
    """

    mr_td: Hex48
    registers: tuple[Hex48 | None, Hex48 | None, Hex48 | None, Hex48 | None]

    def matches(self, claims: Claims) -> bool:
        """Whether a guest shows this."""
        return claims.measurement.hex() == self.mr_td and all(
            wanted is None or wanted == found.hex()
            for wanted, found in zip(self.registers, claims.registers, strict=True)
        )


class TdxRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tdx"):
    """What must hold of an Intel TDX guest.

    Attributes:
        measurements: of which it must show one.
        least_evaluation_number: least number of Intel's TCB evaluation that the platform is
            judged by: an older one knows less of what is outdated.
        statuses: Intel's words for the TCB that are accepted.
        least_firmware: least security versions by part.
    """

    measurements: Annotated[tuple[TdxMeasurement, ...], msgspec.Meta(min_length=1, max_length=1024)]
    least_evaluation_number: Annotated[int, msgspec.Meta(ge=1, le=2**31)]
    statuses: Annotated[tuple[TdxStatus, ...], msgspec.Meta(min_length=1)] = ("UpToDate",)
    least_firmware: dict[TdxPart, Version] = {}


class DevelopmentRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What must hold of a process that runs anywhere. Proves nothing.

    Attributes:
        measurements: in hex, of which it must state one.
    """

    measurements: Annotated[tuple[Hex48, ...], msgspec.Meta(min_length=1, max_length=1024)]


Rule = SevSnpRule | TdxRule


def judge(
    rules: Sequence[Rule] | DevelopmentRule, claims: Claims, report_data: bytes
) -> tuple[Factor, ...]:
    """All factors: those of the evidence, then those of the rules.

    Args:
        rules: at most one of each technology; or a development rule, which takes nothing else.
        claims: from a `Verifier`.
        report_data: what the evidence has to be bound to, from `evidence.report_data`.
    """
    return (
        *claims.factors,
        factor(
            "binding",
            claims.report_data == report_data,
            "the evidence is bound to this nonce, this identity and this use",
            "the evidence is for another nonce, another identity or another use",
        ),
        factor("debug", not claims.debug, "the host can't debug it", "the host may debug it"),
        factor(
            "migration",
            not claims.migratable,
            "it stays on its machine",
            "it may be moved to another machine",
        ),
        *_judged(rules, claims),
    )


def _judged(rules: Sequence[Rule] | DevelopmentRule, claims: Claims) -> tuple[Factor, ...]:
    if isinstance(rules, DevelopmentRule):
        if claims.technology == "development":
            return (_listed(claims, rules.measurements),)
    else:
        for rule in rules:
            if isinstance(rule, SevSnpRule) and claims.technology == "sev-snp":
                return _sev_snp(rule, claims)
            if isinstance(rule, TdxRule) and claims.technology == "tdx":
                return _tdx(rule, claims)
    return (failed("technology", f"the policy does not name {claims.technology}"),)


def _sev_snp(rule: SevSnpRule, claims: Claims) -> tuple[Factor, ...]:
    level = claims.privilege_level
    factors = [
        _listed(claims, rule.measurements),
        _firmware(rule.least_firmware, claims),
        factor(
            "privilege",
            level <= rule.largest_privilege_level,
            f"it runs at VMPL {level}",
            f"it runs at VMPL {level}, allowed is {rule.largest_privilege_level}",
        ),
    ]
    if rule.host_data is not None:
        same = claims.host_data.hex() == rule.host_data
        factors.append(
            factor("host-data", same, "the host's data are as demanded", "the host's data differ")
        )
    if rule.require_revocations:
        looked = any(
            one.name == "revocation" and one.outcome != "skipped" for one in claims.factors
        )
        factors.append(
            factor(
                "revocation-list",
                looked,
                "a list of revoked certificates came along",
                "no list of revoked certificates came along, and the policy demands one",
            )
        )
    return tuple(factors)


def _tdx(rule: TdxRule, claims: Claims) -> tuple[Factor, ...]:
    number, least = claims.evaluation_number, rule.least_evaluation_number
    status = claims.status or "unknown"
    return (
        factor(
            "measurement",
            any(one.matches(claims) for one in rule.measurements),
            "what was started is on the policy's list",
            f"what was started, {claims.measurement.hex()}, is not on the policy's list",
        ),
        _firmware(rule.least_firmware, claims),
        factor(
            "status",
            claims.status in rule.statuses,
            f"Intel's word for the TCB is {status}",
            f"Intel's word for the TCB is {status}, accepted is {', '.join(rule.statuses)}",
        ),
        factor(
            "evaluation",
            number >= least,
            f"judged by Intel's TCB evaluation {number}",
            f"judged by Intel's TCB evaluation {number}, demanded is {least} or newer",
        ),
    )


def _listed(claims: Claims, measurements: Sequence[str]) -> Factor:
    return factor(
        "measurement",
        claims.measurement.hex() in measurements,
        "what was started is on the policy's list",
        f"what was started, {claims.measurement.hex()}, is not on the policy's list",
    )


def _firmware(least: Mapping[Any, int], claims: Claims) -> Factor:
    every = (claims.firmware, *claims.earlier_firmware)
    for part, version in least.items():
        found = min(one.get(part, -1) for one in every)
        if found < version:
            have = "not stated" if found < 0 else f"at {found}"
            return failed("firmware", f"{part} is {have}, demanded is {version} or newer")
    return passed("firmware", "security versions are as new as the policy demands")
