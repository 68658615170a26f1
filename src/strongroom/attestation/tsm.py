"""The attester of Linux: one interface to AMD SEV-SNP and Intel TDX.

Since version 6.7 the kernel has a folder below which a guest makes an entry, writes 64 bytes into
it and reads evidence (Documentation/ABI/testing/configfs-tsm). It needs no network and no library.
Of SEV-SNP the host may pass AMD's certificates along; where it does not, and always for Intel's
collateral, the guest's administrator puts them into files.
"""

from __future__ import annotations

import contextlib
import secrets
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attestation.evidence import (
    REPORT_DATA_BYTES,
    Evidence,
    SevSnpEvidence,
    TdxEvidence,
)
from strongroom.errors import AttestationError

TSM_FOLDER: Final = Path("/sys/kernel/config/tsm/report")

_MAXIMUM_BYTES: Final = 256 * 2**10
_PROVIDERS: Final = {"sev_guest": "sev-snp", "tdx_guest": "tdx"}
_ENTRY: Final = struct.Struct("<16sII")
_VCEK: Final = uuid.UUID("63da758d-e664-4564-adc5-f4b93be8accd")
_VLEK: Final = uuid.UUID("a8074bc2-a25a-483e-aae6-39c045a0b8a1")
_ASK: Final = uuid.UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782")
_ARK: Final = uuid.UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae")
"""Names of certificates in the host's table: AMD publication 56421, section 4.1.8.1."""


class TsmAttester:
    """Asks the kernel for evidence.

    Args:
        certificates: file of three certificates in PEM, those of the signing key, its issuer and
            the root, for SEV-SNP where the host passes none; read at each call.
        revocations: file of AMD's list of revoked certificates, DER.
        collateral: file of Intel's collateral, the JSON text of dcap-qvl; read at each call.
        folder: of the kernel's interface.
        make_entry: makes an entry below it.
    """

    def __init__(
        self,
        *,
        certificates: Path | None = None,
        revocations: Path | None = None,
        collateral: Path | None = None,
        folder: Path = TSM_FOLDER,
        make_entry: Callable[[Path], None] = Path.mkdir,
    ) -> None:
        self._certificates = certificates
        self._revocations = revocations
        self._collateral = collateral
        self._folder = folder
        self._make_entry = make_entry

    @property
    def available(self) -> bool:
        """Whether this machine has the interface at all."""
        return self._folder.is_dir()

    def evidence(self, report_data: bytes) -> Evidence:
        """See `interface.Attester`.

        Raises:
            AttestationError: SR-ATTESTATION-EVIDENCE if the machine gives none, or a file of
                certificates or collateral is missing.
        """
        if len(report_data) != REPORT_DATA_BYTES:
            raise ValueError(f"report data has {REPORT_DATA_BYTES} bytes")
        provider, report, table = self._ask(report_data)
        technology = _PROVIDERS.get(provider)
        if technology == "sev-snp":
            revocations = None if self._revocations is None else _read(self._revocations)
            return SevSnpEvidence(report, self._chain(table), revocations)
        if technology == "tdx":
            if self._collateral is None:
                raise _unavailable("no file of Intel's collateral is named", "Name one")
            return TdxEvidence(report, _read(self._collateral).decode("utf-8", "replace"))
        raise _unavailable(f"the kernel's provider {provider[:40]!a} is not known", "Use another")

    def _ask(self, report_data: bytes) -> tuple[str, bytes, bytes]:
        """Provider, report and table of certificates."""
        entry = self._folder / f"strongroom-{secrets.token_hex(8)}"
        try:
            self._make_entry(entry)
            try:
                (entry / "inblob").write_bytes(report_data)
                report = _read(entry / "outblob")
                provider = _read(entry / "provider").decode("ascii", "replace").strip()
                table = b""
                with contextlib.suppress(OSError, AttestationError):  # older kernels lack it
                    table = _read(entry / "auxblob")
                # Another writer of the same entry would have changed the report: it counts.
                if int(_read(entry / "generation")) != 1:
                    raise _unavailable("another process wrote to the same entry", "Attest again")
            finally:
                entry.rmdir()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "an unexpected answer"
            raise _unavailable(
                f"the kernel gives no evidence ({reason})",
                "Serve inside an AMD SEV-SNP or Intel TDX guest with Linux 6.7 or newer",
            ) from error
        return provider, report, table

    def _chain(self, table: bytes) -> tuple[bytes, bytes, bytes]:
        found = _table(table)
        leaf = found.get(_VCEK) or found.get(_VLEK)
        issuer, root = found.get(_ASK), found.get(_ARK)
        if leaf and issuer and root:
            return leaf, issuer, root
        if self._certificates is None:
            raise _unavailable(
                "the host passes no certificates along, and no file of them is named", "Name one"
            )
        try:
            parsed = x509.load_pem_x509_certificates(_read(self._certificates))
            first, second, third = (one.public_bytes(Encoding.DER) for one in parsed)
        except ValueError as error:
            raise _unavailable(
                f"{self._certificates} does not hold three certificates", "Put them into it"
            ) from error
        return first, second, third


def _table(data: bytes) -> dict[uuid.UUID, bytes]:
    """The host's table of certificates: entries of name, offset and length, the last all zero."""
    found: dict[uuid.UUID, bytes] = {}
    for start in range(0, len(data) - _ENTRY.size + 1, _ENTRY.size):
        name, offset, length = _ENTRY.unpack_from(data, start)
        if not any(name):
            break
        if offset + length <= len(data):
            found[uuid.UUID(bytes=name)] = data[offset : offset + length]
    return found


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAXIMUM_BYTES + 1)
    except OSError as error:
        raise _unavailable(f"{path} can't be read ({error.strerror})", "Check it") from error
    if len(data) > _MAXIMUM_BYTES:
        raise _unavailable(f"{path} is larger than {_MAXIMUM_BYTES} bytes", "Check it")
    return data


def _unavailable(what: str, remedy: str) -> AttestationError:
    return AttestationError("SR-ATTESTATION-EVIDENCE", what, remedy)
