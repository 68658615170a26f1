"""Evidence on the wire, and what it is bound to.

Evidence is canonical JSON of one of the structures below, tagged by its technology. To be of use
it must be fresh and somebody's: the 64 bytes of *report data*, which the hardware signs along with
everything else, are a digest of a nonce, of the identity that the process serves with, and of a
label that says what for. Evidence that was made for another nonce, another identity or another
use has other report data.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, Literal

import msgspec

from strongroom.canonical import canonical_json, digest
from strongroom.errors import AttestationError
from strongroom.moments import Moment

REPORT_DATA_BYTES: Final = 64

MAXIMUM_TEXT: Final = 128 * 2**10
"""Longest evidence that is parsed at all, in characters."""

Label = Literal["strongroom release 1", "strongroom key configuration 1"]
"""What evidence is for: a broker's release, or the key configuration that a server publishes."""

RELEASE: Final[Label] = "strongroom release 1"
KEY_CONFIGURATION: Final[Label] = "strongroom key configuration 1"

_MAXIMUM_CERTIFICATE: Final = 8192
_MAXIMUM_QUOTE: Final = 24 * 2**10
_MAXIMUM_COLLATERAL: Final = 80 * 2**10
_MAXIMUM_REVOCATIONS: Final = 32 * 2**10

Certificate = Annotated[bytes, msgspec.Meta(min_length=1, max_length=_MAXIMUM_CERTIFICATE)]


class SevSnpEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="sev-snp"):
    """What an AMD SEV-SNP guest shows.

    Attributes:
        report: the attestation report, 1184 bytes as the firmware made them.
        certificates: DER: of the key that signed the report (VCEK or VLEK), of its issuer (ASK or
            ASVK), of AMD's root (ARK).
        revocations: AMD's list of revoked certificates, DER, or None.
    """

    report: Annotated[bytes, msgspec.Meta(min_length=1184, max_length=1184)]
    certificates: tuple[Certificate, Certificate, Certificate]
    revocations: (
        Annotated[bytes, msgspec.Meta(min_length=1, max_length=_MAXIMUM_REVOCATIONS)] | None
    ) = None


class TdxEvidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="tdx"):
    """What an Intel TDX guest shows.

    Attributes:
        quote: as the quoting enclave made it, version 4 or 5.
        collateral: what Intel says of this platform and its revocations, the JSON text of
            dcap-qvl's `QuoteCollateralV3`.
    """

    quote: Annotated[bytes, msgspec.Meta(min_length=48, max_length=_MAXIMUM_QUOTE)]
    collateral: Annotated[str, msgspec.Meta(min_length=2, max_length=_MAXIMUM_COLLATERAL)]


class DevelopmentEvidence(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="development"
):
    """What a process says of itself where there is no hardware to ask. Proves nothing.

    Attributes:
        measurement: any 48 bytes, in hex.
        report_data: 64 bytes, in hex.
        issued: UTC.
    """

    measurement: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{96}\Z")]
    report_data: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}\Z")]
    issued: Moment


Evidence = SevSnpEvidence | TdxEvidence | DevelopmentEvidence


def report_data(nonce: str, server: str, label: Label) -> bytes:
    """What evidence has to be bound to: 64 bytes, the SHA-512 of canonical JSON.

    Args:
        nonce: of the one who asks, in hex; or for a key configuration what
            `keys.serving.evidence_binding` gives, in hex.
        server: fingerprint of the identity that the process serves with.
        label: what for.
    """
    return hashlib.sha512(
        canonical_json({"nonce": nonce, "protocol": label, "server": server})
    ).digest()


def evidence_text(evidence: Evidence) -> str:
    """The canonical text of evidence, at most `MAXIMUM_TEXT` characters.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if it is longer.
    """
    text = canonical_json(evidence).decode()
    if len(text) > MAXIMUM_TEXT:
        raise malformed(f"it has {len(text)} characters")
    return text


def evidence_digest(evidence: Evidence) -> str:
    """Names evidence: the digest of its text."""
    return digest(canonical_json(evidence))


def decode_evidence(text: str | bytes) -> Evidence:
    """Read untrusted evidence. Says nothing yet of whether it holds.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > MAXIMUM_TEXT:
        raise malformed(f"it has {len(data)} bytes")
    try:
        evidence: Evidence = msgspec.json.decode(data, type=Evidence)
        canonical = canonical_json(evidence)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise malformed(ascii(str(error))[1:-1][:200]) from error
    if canonical != data:
        raise malformed("it is not in canonical form")
    return evidence


def malformed(what: str) -> AttestationError:
    """The error for evidence that has not the form of any."""
    return AttestationError(
        "SR-ATTESTATION-EVIDENCE",
        f"the evidence can't be read: {what}",
        "Attest again; if it stays, the server runs another version of Strongroom",
    )
