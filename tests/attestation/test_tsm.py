"""The kernel's interface, played by a folder: the files and their order are the kernel's."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from amd_hardware import Chip
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from strongroom.attestation.evidence import SevSnpEvidence, TdxEvidence
from strongroom.attestation.sev_snp import SevSnpVerifier
from strongroom.attestation.tdx import TdxVerifier
from strongroom.attestation.tsm import TsmAttester
from strongroom.errors import AttestationError

DATA = bytes(range(64))
NAMES = (
    "63da758d-e664-4564-adc5-f4b93be8accd",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",
)


class Kernel:
    """Makes an entry with the files that the kernel makes; removes it as the kernel does."""

    def __init__(self, provider: str, report: bytes, table: bytes | None = b"") -> None:
        self.files = {
            "inblob": b"",
            "outblob": report,
            "provider": provider.encode() + b"\n",
            "generation": b"1\n",
        }
        if table is not None:
            self.files["auxblob"] = table
        self.entries: list[Path] = []

    def make_entry(self, path: Path) -> None:
        path.mkdir()
        self.entries.append(path)
        for name, contents in self.files.items():
            (path / name).write_bytes(contents)


@pytest.fixture(autouse=True)
def _entries_vanish(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a configfs entry the files go with the folder."""
    remove = Path.rmdir

    def rmdir(path: Path) -> None:
        for file in path.iterdir():
            file.unlink()
        remove(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)


def table(certificates: tuple[bytes, ...]) -> bytes:
    """A host's table of certificates."""
    start, entries, body = 24 * (len(certificates) + 1), b"", b""
    for name, certificate in zip(NAMES, certificates, strict=True):
        entries += uuid.UUID(name).bytes + struct.pack("<II", start + len(body), len(certificate))
        body += certificate
    return entries + bytes(24) + body


def test_a_sev_snp_guest_attests_with_the_hosts_certificates(chip: Chip, tmp_path: Path) -> None:
    made = chip.evidence(DATA)
    kernel = Kernel("sev_guest", made.report, table(made.certificates))
    attester = TsmAttester(folder=tmp_path, make_entry=kernel.make_entry)
    assert attester.available
    evidence = attester.evidence(DATA)
    assert evidence == made
    assert list(tmp_path.iterdir()) == []
    claims = SevSnpVerifier(chip.roots).verify(evidence, datetime(2027, 1, 1, tzinfo=UTC))
    assert not claims.failed


@pytest.mark.parametrize("auxiliary", [None, b"", b"\1" * 30])
def test_a_sev_snp_guest_attests_with_certificates_of_a_file(
    chip: Chip, tmp_path: Path, auxiliary: bytes | None
) -> None:
    made = chip.evidence(DATA)
    pem = tmp_path / "chain.pem"
    chain = [x509.load_der_x509_certificate(one) for one in made.certificates]
    pem.write_bytes(b"".join(one.public_bytes(Encoding.PEM) for one in chain))
    listed = chip.revocations()
    revocations = tmp_path / "revoked.der"
    revocations.write_bytes(listed)
    folder = tmp_path / "tsm"
    folder.mkdir()
    kernel = Kernel("sev_guest", made.report, auxiliary)
    attester = TsmAttester(
        certificates=pem, revocations=revocations, folder=folder, make_entry=kernel.make_entry
    )
    evidence = attester.evidence(DATA)
    assert isinstance(evidence, SevSnpEvidence)
    assert evidence.certificates == made.certificates
    assert evidence.revocations == listed


def test_a_tdx_guest_attests_with_collateral_of_a_file(
    tdx: Callable[[str], TdxEvidence], tmp_path: Path
) -> None:
    recorded = tdx("version_4")
    collateral = tmp_path / "collateral.json"
    collateral.write_text(recorded.collateral)
    folder = tmp_path / "tsm"
    folder.mkdir()
    kernel = Kernel("tdx_guest", recorded.quote)
    attester = TsmAttester(collateral=collateral, folder=folder, make_entry=kernel.make_entry)
    evidence = attester.evidence(DATA)
    assert evidence == recorded
    claims = TdxVerifier().verify(evidence, datetime(2025, 6, 25, tzinfo=UTC))
    assert not claims.failed


def test_what_the_kernel_is_asked_for_are_the_report_data(chip: Chip, tmp_path: Path) -> None:
    asked: list[bytes] = []
    made = chip.evidence(DATA)
    kernel = Kernel("sev_guest", made.report, table(made.certificates))

    class Spy(type(tmp_path)):  # type: ignore[misc]
        def write_bytes(self, data: bytes) -> int:
            asked.append(data)
            return int(super().write_bytes(data))

    TsmAttester(folder=Spy(tmp_path), make_entry=kernel.make_entry).evidence(DATA)
    assert DATA in asked


@pytest.mark.parametrize(
    ("provider", "change"),
    [
        ("sev_guest", {}),
        ("tdx_guest", {}),
        ("arm_cca_guest", {}),
        ("sev_guest", {"generation": b"2\n"}),
        ("sev_guest", {"generation": b"x"}),
    ],
    ids=["no certificates", "no collateral", "unknown", "another writer", "no number"],
)
def test_a_machine_that_gives_no_whole_evidence_says_so(
    tmp_path: Path, provider: str, change: dict[str, bytes]
) -> None:
    kernel = Kernel(provider, bytes(1184))
    kernel.files |= change
    with pytest.raises(AttestationError) as error:
        TsmAttester(folder=tmp_path, make_entry=kernel.make_entry).evidence(DATA)
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"
    assert list(tmp_path.iterdir()) == []


def test_a_machine_without_such_hardware_says_so(tmp_path: Path) -> None:
    attester = TsmAttester(folder=tmp_path / "none")
    assert not attester.available
    with pytest.raises(AttestationError, match="SEV-SNP or Intel TDX") as error:
        attester.evidence(DATA)
    assert error.value.code == "SR-ATTESTATION-EVIDENCE"
