"""AMD's certificates: from its root (ARK) over an issuer (ASK, ASVK) to the key that signs reports.

The names are of AMD publication 57230, "Versioned Chip Endorsement Key Certificate and KDS
Interface Specification"; so are the extensions by which a certificate says for which chip and
which security versions its key was derived. Roots are known here by the digest of their keys;
a certificate of a root comes along with the evidence.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning

from strongroom.attestation.evidence import malformed

AMD_ROOTS: Final[Mapping[str, str]] = {
    "9f056bee44377e29308cb5ffa895bdfb62d18881fa6bed8d6f075b0204089cb9": "Milan",
    "429a69c9422aa258ee4d8db5fcda9c6470ef15f8cd5a9cebd6cbc7d90b863831": "Genoa",
    "4f125410563a2ab9a50356f9243f6fe0b6f73de98603f53f90339c70e9d7ad08": "Turin",
}
"""The product that each of AMD's roots is for, by SHA-256 of its key (SubjectPublicKeyInfo)."""

_OID: Final = "1.3.6.1.4.1.3704.1."
_HARDWARE_ID: Final = _OID + "4"
_PARTS: Final = {
    "bootloader": _OID + "3.1",
    "tee": _OID + "3.2",
    "snp": _OID + "3.3",
    "microcode": _OID + "3.8",
    "fmc": _OID + "3.9",
}
_DER_INTEGER: Final = 0x02
_SALT_BYTES: Final = 48


@dataclass(frozen=True, slots=True)
class Chain:
    """Three certificates, parsed.

    Attributes:
        leaf: of the key that signs reports.
        issuer: of the key that signed `leaf`.
        root: of the key that signed `issuer`.
        key: of `leaf`, on P-384.
    """

    leaf: x509.Certificate
    issuer: x509.Certificate
    root: x509.Certificate
    key: ec.EllipticCurvePublicKey

    def broken(self, roots: Mapping[str, str]) -> str:
        """Why these do not lead to one of the roots; empty if they do.

        Args:
            roots: as `AMD_ROOTS`.
        """
        product = roots.get(_key_digest(self.root))
        if product is None:
            return "its root is none of AMD's"
        for name, certificate, signer in (
            ("root", self.root, self.root),
            ("issuer", self.issuer, self.root),
            ("signing key", self.leaf, self.issuer),
        ):
            if not _issued(certificate, signer):
                return f"the certificate of its {name} is not signed by the next one"
        if _common_name(self.leaf) not in ("SEV-VCEK", "SEV-VLEK"):
            return f"{_common_name(self.leaf)!a} is not the name of a key that signs reports"
        if _common_name(self.issuer) != ("SEV-VLEK-" if self.of_vlek else "SEV-") + product:
            return f"{_common_name(self.issuer)!a} does not issue such keys"
        return ""

    @property
    def of_vlek(self) -> bool:
        """Whether the signing key is a VLEK, else a VCEK."""
        return _common_name(self.leaf) == "SEV-VLEK"

    @property
    def not_before(self) -> datetime:
        """UTC, from when on all three are valid."""
        return max(one.not_valid_before_utc for one in (self.leaf, self.issuer, self.root))

    @property
    def not_after(self) -> datetime:
        """UTC, until when all three are."""
        return min(one.not_valid_after_utc for one in (self.leaf, self.issuer, self.root))

    @property
    def chip_id(self) -> bytes:
        """Of the chip that a VCEK belongs to; empty for a VLEK."""
        return self._extension(_HARDWARE_ID) or b""

    def firmware(self, part: str) -> int | None:
        """The security version of a part that the signing key was derived for, or None."""
        value = self._extension(_PARTS[part])
        if (
            value is None
            or len(value) < 3
            or value[0] != _DER_INTEGER
            or value[1] != len(value) - 2
        ):
            return None
        return int.from_bytes(value[2:], "big")

    def revoked(self, revocations: bytes, now: datetime) -> tuple[bool, str]:
        """Whether the root's list of revoked certificates names the issuer, or can't be used.

        Serial numbers of signing keys are all 0, so there is nothing to look up for them.

        Args:
            revocations: the list, DER.
            now: UTC.
        """
        try:
            found = x509.load_der_x509_crl(revocations)
            signed = _signed(found, self.root)
        except (ValueError, UnsupportedAlgorithm):
            return True, "the list of revoked certificates can't be read"
        if not signed:
            return True, "the list of revoked certificates is not signed by the root"
        ends = found.next_update_utc
        if now < found.last_update_utc or ends is None or now >= ends:
            return (
                True,
                f"the list of revoked certificates is not valid at {now:%Y-%m-%dT%H:%M:%SZ}",
            )
        named = found.get_revoked_certificate_by_serial_number(self.issuer.serial_number)
        if named is not None:
            return True, "the certificate of the issuer is revoked"
        return False, f"not on AMD's list, which holds until {ends:%Y-%m-%dT%H:%M:%SZ}"

    def _extension(self, oid: str) -> bytes | None:
        try:
            found = self.leaf.extensions.get_extension_for_oid(x509.ObjectIdentifier(oid))
        except (x509.ExtensionNotFound, ValueError):
            return None
        value = found.value
        return value.value if isinstance(value, x509.UnrecognizedExtension) else None


def parse_chain(certificates: tuple[bytes, bytes, bytes]) -> Chain:
    """Read three certificates, DER: of the signing key, its issuer, the root.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if one is none, or the key is not on P-384.
    """
    try:
        with warnings.catch_warnings():
            # AMD gives all signing keys the serial number 0, of which the library warns.
            warnings.simplefilter("ignore", CryptographyDeprecationWarning)
            leaf, issuer, root = (x509.load_der_x509_certificate(one) for one in certificates)
        key = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise malformed("a certificate is none") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise malformed("the key that signs reports is not on P-384")
    return Chain(leaf, issuer, root, key)


def _issued(certificate: x509.Certificate, signer: x509.Certificate) -> bool:
    """AMD signs certificates by RSASSA-PSS with SHA-384, so nothing else is accepted."""
    scheme = certificate.signature_algorithm_parameters
    if not isinstance(scheme, padding.PSS) or not isinstance(
        certificate.signature_hash_algorithm, SHA384
    ):
        return False
    try:
        certificate.verify_directly_issued_by(signer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _signed(revocations: x509.CertificateRevocationList, signer: x509.Certificate) -> bool:
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    scheme = padding.PSS(mgf=padding.MGF1(SHA384()), salt_length=_SALT_BYTES)
    try:
        key.verify(revocations.signature, revocations.tbs_certlist_bytes, scheme, SHA384())
    except InvalidSignature:
        return False
    return True


def _key_digest(certificate: x509.Certificate) -> str:
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(key).hexdigest()


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""
