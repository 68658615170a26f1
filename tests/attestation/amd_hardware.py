"""A chip like AMD's, with a root of its own: for what no recording shows.

It makes reports of the published layout with any contents, signs them with a key of its own, and
certifies that with a chain of its own. A verifier takes it only if it is told the root's digest.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from strongroom.attestation.evidence import SevSnpEvidence

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2033, 1, 1, tzinfo=UTC)
MEASUREMENT = hashlib.sha384(b"what was started").digest()
FIRMWARE = {"bootloader": 4, "tee": 1, "snp": 24, "microcode": 219}
_OID = "1.3.6.1.4.1.3704.1."
_PSS = padding.PSS(mgf=padding.MGF1(hashes.SHA384()), salt_length=48)


@cache
def _rsa(_: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


@dataclass(frozen=True)
class Chip:
    """One chip.

    `chip_id` has 8 bytes on Turin. `roots` is what a verifier has to be given.
    """

    product: str
    kind: str
    key: ec.EllipticCurvePrivateKey
    chip_id: bytes
    issuer: x509.Certificate
    root: x509.Certificate

    @classmethod
    def make(cls, product: str, kind: str = "VCEK") -> Self:
        root = _certificate(f"ARK-{product}", f"ARK-{product}", _rsa("root").public_key(), "root")
        name = f"SEV-{product}" if kind == "VCEK" else f"SEV-VLEK-{product}"
        issuer = _certificate(name, f"ARK-{product}", _rsa("issuer").public_key(), "root", 7)
        chip_id = bytes(range(8)) if product == "Turin" else bytes(range(64))
        return cls(product, kind, ec.generate_private_key(ec.SECP384R1()), chip_id, issuer, root)

    @property
    def roots(self) -> dict[str, str]:
        key = self.root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return {hashlib.sha256(key).hexdigest(): self.product}

    def certificate(self, **changes: Any) -> x509.Certificate:
        """Of the key that signs reports. Changes: `firmware`, `chip_id`, `begin`, `end`."""
        versions = changes.get("firmware", FIRMWARE)
        extensions = {
            {"bootloader": "3.1", "tee": "3.2", "snp": "3.3", "microcode": "3.8", "fmc": "3.9"}[
                part
            ]: _integer(version)
            for part, version in versions.items()
        }
        if self.kind == "VCEK":
            extensions["4"] = changes.get("chip_id", self.chip_id)
        return _certificate(
            f"SEV-{self.kind}",
            self.issuer.subject.rfc4514_string().removeprefix("CN="),
            self.key.public_key(),
            "issuer",
            extensions=extensions,
            begin=changes.get("begin", BEGIN),
            end=changes.get("end", END),
        )

    def report(self, report_data: bytes, **changes: Any) -> bytes:
        """A signed report. Changes: `policy`, `vmpl`, `measurement`, `firmware`, `host_data`,
        `chip_id`, `flags`, `version`; `committed` and `launch`, else as `firmware`."""
        raw = bytearray(1184)
        turin = self.product == "Turin"
        versions = changes.get("firmware", FIRMWARE)
        places = (
            {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
            if turin
            else {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
        )
        struct.pack_into("<I", raw, 0, changes.get("version", 3))
        struct.pack_into("<Q", raw, 0x08, changes.get("policy", 0x3001F))
        struct.pack_into("<II", raw, 0x30, changes.get("vmpl", 0), 1)
        vlek = 1 << 2 if self.kind == "VLEK" else 0
        struct.pack_into("<I", raw, 0x48, changes.get("flags", vlek))
        raw[0x50:0x90] = report_data
        raw[0x90:0xC0] = changes.get("measurement", MEASUREMENT)
        raw[0xC0:0xE0] = changes.get("host_data", bytes(32))
        for start, stated in (
            (0x180, versions),
            (0x1E0, changes.get("committed", versions)),
            (0x1F0, changes.get("launch", versions)),
        ):
            for part, version in stated.items():
                raw[start + places[part]] = version
        raw[0x188] = 0x1A if turin else 0x19
        raw[0x1A0:0x1E0] = changes.get("chip_id", self.chip_id).ljust(64, b"\0")
        signature = self.key.sign(bytes(raw[:0x2A0]), ec.ECDSA(hashes.SHA384()))
        for place, number in zip((0x2A0, 0x2E8), decode_dss_signature(signature), strict=True):
            raw[place : place + 72] = number.to_bytes(72, "little")
        return bytes(raw)

    def evidence(
        self,
        report_data: bytes,
        *,
        revocations: bytes | None = None,
        certified: dict[str, Any] | None = None,
        **changes: Any,
    ) -> SevSnpEvidence:
        """Evidence; `certified` changes the certificate, all else the report."""
        chain = (self.certificate(**(certified or {})), self.issuer, self.root)
        return SevSnpEvidence(
            self.report(report_data, **changes),
            tuple(one.public_bytes(Encoding.DER) for one in chain),  # type: ignore[arg-type]
            revocations,
        )

    def revocations(
        self, *serials: int, begin: datetime = BEGIN, end: datetime = END, signer: str = "root"
    ) -> bytes:
        """A list of revoked certificates, DER."""
        builder = x509.CertificateRevocationListBuilder(self.root.subject, begin, end)
        for serial in serials:
            revoked = x509.RevokedCertificateBuilder(serial, begin).build()
            builder = builder.add_revoked_certificate(revoked)
        signed = builder.sign(_rsa(signer), hashes.SHA384(), rsa_padding=_PSS)
        return signed.public_bytes(Encoding.DER)


def _integer(value: int) -> bytes:
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((0x02, len(body))) + body


def _certificate(
    subject: str,
    issuer: str,
    key: Any,
    signer: str,
    serial: int = 1,
    *,
    extensions: dict[str, bytes] | None = None,
    begin: datetime = BEGIN - timedelta(days=1),
    end: datetime = END + timedelta(days=1),
) -> x509.Certificate:
    builder = x509.CertificateBuilder(_name(issuer), _name(subject), key, serial, begin, end)
    for oid, value in (extensions or {}).items():
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(_OID + oid), value)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(_rsa(signer), hashes.SHA384(), rsa_padding=_PSS)
