"""The two sides of attestation, and what comes out: claims, factor by factor.

`Attester` is what the serving process asks for evidence; `Verifier` is what everybody else judges
it by. A verifier says what evidence shows and whether it shows it, nothing about whether that is
wanted: what an owner demands is compared afterwards, by `rules.judge`.

A *factor* is one thing that must hold, and each is named whether it held or not. Nothing here
stops at the first fault: somebody who has to repair a machine wants to see all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, Protocol

from strongroom.attestation.evidence import Evidence
from strongroom.errors import AttestationError

Technology = Literal["sev-snp", "tdx", "development"]

Outcome = Literal["pass", "fail", "skipped"]

UNPROVEN: Final = "nothing is known of it, since what precedes it does not hold"


@dataclass(frozen=True, slots=True)
class Factor:
    """One thing that must hold.

    Attributes:
        name: stable, for programs: "signature", "debug".
        outcome: whether it held; "skipped" if it was not looked at.
        reason: one sentence for people, without a closing full stop.
    """

    name: str
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What evidence says. Worth something only as far as `factors` say so.

    Attributes:
        technology: of the evidence.
        measurement: digest of what was started: of SEV-SNP the launch measurement; of TDX MRTD.
        registers: of TDX the four run-time registers RTMR0 to RTMR3; else empty.
        host_data: of SEV-SNP what the host stated at the start (32 bytes); else empty.
        privilege_level: of SEV-SNP the VMPL, 0 to 3; else 0.
        firmware: security versions by the name of the part, as far as the technology has such.
        earlier_firmware: of SEV-SNP, the same of the firmware at the guest's start, and of that to
            which the host can go back; else empty.
        status: of TDX, Intel's word for the platform's TCB: "UpToDate"; else empty.
        evaluation_number: of TDX, of the TCB evaluation that `status` is from; else 0.
        debug: whether the host can read the guest's memory by the debugging interface.
        migratable: whether the guest's memory may be moved to another machine.
        report_data: 64 bytes.
        not_before, not_after: within which all that vouches for it is valid, if known.
        factors: what was looked at.
    """

    technology: Technology
    measurement: bytes
    report_data: bytes
    debug: bool
    migratable: bool
    registers: tuple[bytes, ...] = ()
    host_data: bytes = b""
    privilege_level: int = 0
    firmware: dict[str, int] = field(default_factory=dict)
    earlier_firmware: tuple[dict[str, int], ...] = ()
    status: str = ""
    evaluation_number: int = 0
    not_before: datetime | None = None
    not_after: datetime | None = None
    factors: tuple[Factor, ...] = ()

    @property
    def failed(self) -> tuple[Factor, ...]:
        """The factors that did not hold."""
        return tuple(one for one in self.factors if one.outcome == "fail")


class Attester(Protocol):
    """Makes evidence in the process that it is about."""

    def evidence(self, report_data: bytes) -> Evidence:
        """Evidence that holds these 64 bytes.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if the hardware gives none.
        """
        ...


class Verifier(Protocol):
    """Judges evidence of one technology. Needs no network."""

    def verify(self, evidence: Evidence, now: datetime) -> Claims:
        """What the evidence says, and which factors of it hold.

        Args:
            now: UTC; certificates must be valid then.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if it has not the form of such evidence at
                all, so that there is nothing to be claimed.
        """
        ...


def passed(name: str, reason: str) -> Factor:
    """A factor that held."""
    return Factor(name, "pass", reason)


def failed(name: str, reason: str) -> Factor:
    """A factor that did not."""
    return Factor(name, "fail", reason)


def skipped(name: str, reason: str) -> Factor:
    """A factor that nobody looked at."""
    return Factor(name, "skipped", reason)


def factor(name: str, holds: bool, reason: str, otherwise: str) -> Factor:
    """A factor that held, for one reason, or did not, for the other."""
    return passed(name, reason) if holds else failed(name, otherwise)


def require(factors: tuple[Factor, ...]) -> None:
    """Nothing, if no factor failed; else an error that names every one that did.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if the evidence itself does not hold,
            SR-ATTESTATION-POLICY if it holds but is not what is demanded.
    """
    failures = [one for one in factors if one.outcome == "fail"]
    if not failures:
        return
    broken = any(one.name in EVIDENCE_FACTORS for one in failures)
    raise AttestationError(
        "SR-ATTESTATION-EVIDENCE" if broken else "SR-ATTESTATION-POLICY",
        "; ".join(f"{one.name}: {one.reason}" for one in failures),
        "Attest again, on a machine and with software that the owner's policy names",
    )


EVIDENCE_FACTORS: Final = frozenset({"chain", "validity", "revocation", "signature", "platform"})
"""Names of the factors that say whether evidence holds; the others compare it with a policy."""
