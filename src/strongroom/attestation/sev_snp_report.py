"""The attestation report of AMD SEV-SNP, as its firmware writes it.

Layout: AMD publication 56860, "SEV Secure Nested Paging Firmware ABI Specification", table
ATTESTATION_REPORT (versions 2 to 5), and TCB_VERSION for the two layouts of security versions.
Integers are little-endian. The signature is ECDSA on P-384 with SHA-384 over the first 672 bytes;
its two numbers are little-endian too, 72 bytes each.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from strongroom.attestation.evidence import malformed

REPORT_BYTES: Final = 1184

_SIGNED_BYTES: Final = 0x2A0
_NUMBER_BYTES: Final = 72
_ECDSA_P384_SHA384: Final = 1
_VERSIONS: Final = range(2, 6)
_FAMILY_VERSION: Final = 3
"""The first version of the report that names the processor's family."""
_FAMILY_OF_TURIN: Final = 0x1A
_MIGRATION_BIT: Final = 1 << 18
_DEBUG_BIT: Final = 1 << 19
_VLEK: Final = 1
_VCEK: Final = 0
_CHIP_KEY_MASKED: Final = 1 << 1

_OLDER_TCB: Final = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
_TURIN_TCB: Final = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
"""Place of each security version in the 8 bytes of a TCB_VERSION."""


@dataclass(frozen=True, slots=True)
class Report:
    """One report, parsed.

    Attributes:
        debug, migratable: of the guest's policy.
        privilege_level: VMPL that the report was asked for at, 0 to 3.
        report_data: 64 bytes.
        measurement: launch digest, 48 bytes.
        host_data: 32 bytes.
        firmware: security versions by part: those that the signing key was derived for.
        earlier_firmware: the same of the firmware that the guest was started under, and of that to
            which the host can still go back.
        chip_id: 64 bytes; zeros if the host masks it.
        by_vlek: whether a VLEK signed, which a cloud provider shares among its machines; else the
            VCEK of this one chip.
        raw: all bytes.
    """

    debug: bool
    migratable: bool
    privilege_level: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    firmware: dict[str, int]
    earlier_firmware: tuple[dict[str, int], ...]
    chip_id: bytes
    by_vlek: bool
    raw: bytes

    def signed_by(self, key: ec.EllipticCurvePublicKey) -> bool:
        """Whether this key signed the report."""
        first, second = (
            int.from_bytes(self.raw[start : start + _NUMBER_BYTES], "little")
            for start in (_SIGNED_BYTES, _SIGNED_BYTES + _NUMBER_BYTES)
        )
        # What follows the two numbers is signed by nobody: nothing may hide there.
        if any(self.raw[_SIGNED_BYTES + 2 * _NUMBER_BYTES :]):
            return False
        try:
            key.verify(
                encode_dss_signature(first, second),
                self.raw[:_SIGNED_BYTES],
                ec.ECDSA(hashes.SHA384()),
            )
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_report(raw: bytes) -> Report:
    """Read a report. Says nothing yet of who signed it.

    Raises:
        AttestationError: SR-ATTESTATION-EVIDENCE if it is of a version, or signed by an algorithm
            or a kind of key, that is not known.
    """
    if len(raw) != REPORT_BYTES:
        raise malformed(f"the SEV-SNP report has {len(raw)} bytes, not {REPORT_BYTES}")
    (version,) = struct.unpack_from("<I", raw, 0)
    (policy,) = struct.unpack_from("<Q", raw, 0x08)
    level, algorithm = struct.unpack_from("<II", raw, 0x30)
    (flags,) = struct.unpack_from("<I", raw, 0x48)
    if version not in _VERSIONS:
        raise malformed(f"the SEV-SNP report is of version {version}")
    if algorithm != _ECDSA_P384_SHA384:
        raise malformed(f"the SEV-SNP report is signed by algorithm {algorithm}")
    signer = flags >> 2 & 0b111
    if signer not in (_VCEK, _VLEK):
        raise malformed(f"the SEV-SNP report is signed by a key of kind {signer}, or by none")
    turin = version >= _FAMILY_VERSION and raw[0x188] == _FAMILY_OF_TURIN
    return Report(
        debug=bool(policy & _DEBUG_BIT),
        migratable=bool(policy & _MIGRATION_BIT),
        privilege_level=level,
        report_data=raw[0x50:0x90],
        measurement=raw[0x90:0xC0],
        host_data=raw[0xC0:0xE0],
        firmware=_versions(raw[0x180:0x188], turin),
        earlier_firmware=(_versions(raw[0x1F0:0x1F8], turin), _versions(raw[0x1E0:0x1E8], turin)),
        chip_id=bytes(64) if flags & _CHIP_KEY_MASKED else raw[0x1A0:0x1E0],
        by_vlek=signer == _VLEK,
        raw=raw,
    )


def _versions(tcb: bytes, turin: bool) -> dict[str, int]:
    return {part: tcb[at] for part, at in (_TURIN_TCB if turin else _OLDER_TCB).items()}
