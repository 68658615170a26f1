"""The verifier of AMD SEV-SNP, on `cryptography` alone.

Factors, in their order:

    chain       the three certificates lead to one of AMD's roots
    validity    all three are valid now
    revocation  the issuer is not on AMD's list, if a list came along
    signature   the certified key signed the report
    platform    the key is of the kind, the chip and the security versions that the report names
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography.exceptions import UnsupportedAlgorithm

from strongroom.attestation.amd_certificates import AMD_ROOTS, Chain, parse_chain
from strongroom.attestation.evidence import Evidence, SevSnpEvidence, malformed
from strongroom.attestation.interface import Claims, Factor, factor, failed, passed, skipped
from strongroom.attestation.sev_snp_report import Report, parse_report


class SevSnpVerifier:
    """Judges what an AMD SEV-SNP guest shows.

    Args:
        roots: AMD's, by digest; others for tests of what hardware of one's own never shows.
    """

    def __init__(self, roots: Mapping[str, str] = AMD_ROOTS) -> None:
        self._roots = roots

    def verify(self, evidence: Evidence, now: datetime) -> Claims:
        """See `interface.Verifier`.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if it is not such evidence.
        """
        if not isinstance(evidence, SevSnpEvidence):
            raise malformed("it is not that of AMD SEV-SNP")
        report, chain = parse_report(evidence.report), parse_chain(evidence.certificates)
        try:
            return self._claims(report, chain, evidence.revocations, now)
        except (ValueError, UnsupportedAlgorithm) as error:
            # Certificates are parsed part by part, each when it is asked for.
            raise malformed("a certificate can't be read") from error

    def _claims(
        self, report: Report, chain: Chain, revocations: bytes | None, now: datetime
    ) -> Claims:
        broken = chain.broken(self._roots)
        return Claims(
            technology="sev-snp",
            measurement=report.measurement,
            report_data=report.report_data,
            debug=report.debug,
            migratable=report.migratable,
            host_data=report.host_data,
            privilege_level=report.privilege_level,
            firmware=report.firmware,
            earlier_firmware=report.earlier_firmware,
            not_before=chain.not_before,
            not_after=chain.not_after,
            factors=(
                factor("chain", not broken, "the certificates lead to a root of AMD's", broken),
                _validity(chain, now),
                _revocation(chain, revocations, now),
                factor(
                    "signature",
                    report.signed_by(chain.key),
                    "the report is signed by the certified key",
                    "the report is not signed by the certified key",
                ),
                _platform(report, chain),
            ),
        )


def _validity(chain: Chain, now: datetime) -> Factor:
    text = (
        f"the certificates are valid from {chain.not_before:%Y-%m-%d} to {chain.not_after:%Y-%m-%d}"
    )
    if chain.not_before <= now < chain.not_after:
        return passed("validity", text)
    return failed("validity", f"{text}, and now is {now:%Y-%m-%d}")


def _revocation(chain: Chain, revocations: bytes | None, now: datetime) -> Factor:
    if revocations is None:
        return skipped("revocation", "no list of revoked certificates came along")
    revoked, reason = chain.revoked(revocations, now)
    return failed("revocation", reason) if revoked else passed("revocation", reason)


def _platform(report: Report, chain: Chain) -> Factor:
    """Whether the certificate is of the key that this chip, at this level, would sign with."""
    if report.by_vlek != chain.of_vlek:
        return failed("platform", "the report names another kind of key than the certificate")
    for part, version in report.firmware.items():
        if chain.firmware(part) != version:
            return failed(
                "platform",
                f"the report says {part} {version}, the certificate {chain.firmware(part)}",
            )
    if chain.of_vlek:
        return passed("platform", "the certificate is for these security versions")
    chip = chain.chip_id
    # From Turin on, a chip's identifier has 8 bytes, and the rest of the field is zero.
    if len(chip) not in (8, 64) or report.chip_id != chip.ljust(64, b"\0"):
        return failed("platform", "the certificate is of another chip, or the host hides which")
    return passed("platform", "the certificate is of this chip and these security versions")
