"""The verifier of Intel TDX, on the library dcap-qvl (the extra "tdx").

The library checks the whole of Intel's data-centre attestation (DCAP): the chain of the PCK
certificate to Intel's root, the lists of revoked certificates, the quoting enclave and its
identity, the quote's signature, and which TCB level the platform reaches. It stops at the first
fault; here three things are told apart that people repair in different ways:

    validity   the collateral and the certificates are valid now
    signature  quote, quoting enclave and collateral are signed as they must be
    platform   the platform reaches a TCB level that Intel lists, and is not revoked

The collateral comes with the evidence. It is signed by Intel, says until when it holds, and has a
number that only grows, of which an owner can demand the least.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from strongroom.attestation.evidence import Evidence, TdxEvidence, malformed
from strongroom.attestation.interface import UNPROVEN, Claims, Factor, failed, passed, skipped
from strongroom.models.extras import extra

_UNTRUSTED_BITS: Final = 0xFF
"""Of the attributes of a TD: the group TUD, DEBUG among them. Any bit set, and the host reads."""

_MIGRATABLE_BIT: Final = 1 << 29

_LEVEL_FAULTS: Final = ("No matching TCB level", "TCB status is invalid")
"""How the library's messages begin when all signatures held, and the level is what is wrong."""


class _Statement(msgspec.Struct, frozen=True, rename="camel"):
    """What both of Intel's statements hold; the library reads the rest."""

    issue_date: datetime
    next_update: datetime
    tcb_evaluation_data_number: int


class _Collateral(msgspec.Struct, frozen=True):
    tcb_info: str
    qe_identity: str


class _Tcb(msgspec.Struct, frozen=True):
    status: str


class _Verified(msgspec.Struct, frozen=True):
    tcb: _Tcb


@dataclass(frozen=True, slots=True)
class _Period:
    """From when to when both of Intel's statements hold, and the smaller of their numbers."""

    start: datetime
    end: datetime
    number: int

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


class TdxVerifier:
    """Judges what an Intel TDX guest shows.

    Raises:
        ModelError: SR-MODEL-EXTRA if dcap-qvl is not installed.
    """

    def __init__(self) -> None:
        self._library: Any = extra("dcap_qvl")

    def verify(self, evidence: Evidence, now: datetime) -> Claims:
        """See `interface.Verifier`.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if it is not such evidence.
        """
        if not isinstance(evidence, TdxEvidence):
            raise malformed("it is not that of Intel TDX")
        period = _period(evidence.collateral)
        try:
            quote = self._library.Quote.parse(evidence.quote)
            collateral = self._library.QuoteCollateralV3.from_json(evidence.collateral)
        except ValueError as error:
            raise malformed("its quote or its collateral is none") from error
        if not quote.is_tdx():
            raise malformed("its quote is not that of Intel TDX")
        report = quote.report
        attributes = int.from_bytes(report.td_attributes, "little")
        status, factors = self._factors(evidence.quote, collateral, period, now)
        versions = report.tee_tcb_svn
        return Claims(
            technology="tdx",
            measurement=report.mr_td,
            report_data=report.report_data,
            debug=bool(attributes & _UNTRUSTED_BITS),
            migratable=bool(attributes & _MIGRATABLE_BIT),
            registers=(report.rt_mr0, report.rt_mr1, report.rt_mr2, report.rt_mr3),
            firmware={"module": versions[0], "module_major": versions[1], "microcode": versions[2]},
            status=status,
            evaluation_number=period.number,
            not_before=period.start,
            not_after=period.end,
            factors=factors,
        )

    def _factors(
        self, quote: bytes, collateral: Any, period: _Period, now: datetime
    ) -> tuple[str, tuple[Factor, ...]]:
        """The status of the TCB, "" if it is not known; and the factors."""
        status, fault = self._check(quote, collateral, now)
        if status:
            return status, (
                passed("validity", _held(period)),
                _revocation(),
                passed("signature", "quote, quoting enclave and collateral are signed by Intel"),
                passed("platform", f"Intel says of its TCB: {status}"),
            )
        # Once more, at a moment at which the collateral did hold: what fails even then is not
        # the time's fault.
        then, other = self._check(quote, collateral, period.start + timedelta(seconds=1))
        late = bool(then) or now not in period
        validity = (
            failed("validity", f"{_held(period)}, and now is {now:%Y-%m-%d}: {fault}")
            if late
            else passed("validity", _held(period))
        )
        if not then and not other.startswith(_LEVEL_FAULTS):
            unproven = failed("signature", other), skipped("platform", UNPROVEN)
            return "", (validity, skipped("revocation", UNPROVEN), *unproven)
        return "", (
            validity,
            skipped("revocation", UNPROVEN) if late else _revocation(),
            passed("signature", "quote, quoting enclave and collateral are signed by Intel"),
            passed("platform", f"Intel said of its TCB: {then}")
            if then
            else failed("platform", other),
        )

    def _check(self, quote: bytes, collateral: Any, moment: datetime) -> tuple[str, str]:
        """The status of the TCB, or else why there is none."""
        seconds = int(moment.timestamp())
        policy = self._library.QuotePolicy.claims_only(seconds)
        try:
            found = self._library.QuoteVerifier().verify_with_policy(
                quote, collateral, seconds, policy
            )
        except ValueError as error:
            # The library's words are about structure and times; its chain of causes is cut off.
            return "", str(error).partition("\n")[0].removeprefix("Verification failed: ")[:200]
        return msgspec.json.decode(found.to_json(), type=_Verified).tcb.status, ""


def _period(collateral: str) -> _Period:
    try:
        outer = msgspec.json.decode(collateral, type=_Collateral)
        both = [
            msgspec.json.decode(text, type=_Statement)
            for text in (outer.tcb_info, outer.qe_identity)
        ]
        return _Period(
            max(one.issue_date for one in both),
            min(one.next_update for one in both),
            min(one.tcb_evaluation_data_number for one in both),
        )
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise malformed("its collateral is none") from error


def _held(period: _Period) -> str:
    return f"the collateral holds from {period.start:%Y-%m-%d} to {period.end:%Y-%m-%d}"


def _revocation() -> Factor:
    return passed("revocation", "no certificate is on Intel's lists")
