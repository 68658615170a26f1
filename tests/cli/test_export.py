"""`export-manifest` writes what the tool of OpenSSF Model Signing verifies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
)
from model_owner import OWNER

from strongroom.cli import app
from strongroom.package.protected import Package


@pytest.fixture
def file(package: Package, tmp_path: Path) -> Path:
    path = tmp_path / "model.strongroom"
    package.save(path, owner=OWNER)
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """A private key locked with "of the signing key"; its public half is in public.pem."""
    made = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "signing.pem"
    lock = BestAvailableEncryption(b"of the signing key")
    path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    public = made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(public)
    return path


def test_a_signed_manifest_is_verified_by_the_tool_as_documented(
    file: Path, key: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = file.with_name("model.sig")
    command = ["export-manifest", str(file), "--signing-key", str(key), "-o", str(signature)]
    assert app.run(command) == 8
    assert "[SR-KEYS-LOCKED]" in capsys.readouterr().err
    monkeypatch.setenv("STRONGROOM_SIGNING_PASSPHRASE", "of the signing key")
    assert app.run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signed"] is True
    public = str(key.with_name("public.pem"))
    tool = [sys.executable, "-m", "model_signing", "verify", "key", str(file)]
    ran = subprocess.run(
        [*tool, "--signature", str(signature), "--public_key", public],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout.strip()) == (0, "Verification succeeded"), ran.stderr


def test_without_a_key_the_statement_is_written_and_said_to_be_unsigned(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = file.with_name("statement.json")
    assert app.run(["export-manifest", str(file), "-o", str(output)]) == 0
    statement = json.loads(output.read_text())
    digest = statement["predicate"]["resources"][0]["digest"]
    line = capsys.readouterr().out
    assert line == f"wrote {output}, not signed, of the file {digest}\n"
    assert statement["predicateType"] == "https://model_signing/signature/v1.0"
    assert app.run(["export-manifest", str(file), "-o", str(output)]) == 3
    assert "[SR-INPUT-FILE]" in capsys.readouterr().err
