"""Manifests for other tools, checked by those: the verifier of OpenSSF Model Signing."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from file_parts import RECIPIENT
from model_owner import OWNER
from model_signing import verifying

from strongroom.errors import KeyStoreError, PackageError
from strongroom.package import model_signing, sharing
from strongroom.package.model_signing import (
    model_signing_statement,
    read_signing_key,
    signed_bundle,
)
from strongroom.package.protected import Package

P256 = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def file(package: Package, tmp_path: Path) -> Path:
    path = tmp_path / "model.strongroom"
    package.save(path, owner=OWNER)
    return path


def written_key(
    path: Path,
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey,
    lock: KeySerializationEncryption,
) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
    return path


def verify(file: Path, bundle: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """As `model_signing verify key` does."""
    signature, public = file.with_suffix(".sig"), file.with_suffix(".pem")
    signature.write_bytes(bundle)
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    verifying.Config().use_elliptic_key_verifier(public_key=public).verify(file, signature)


def nobody() -> str:
    raise AssertionError("asked for a passphrase")


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_the_tool_verifies_a_package_under_each_curve(file: Path, curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    verify(file, signed_bundle(model_signing_statement(file), key), key)


def test_the_tool_refuses_another_key_a_changed_file_and_a_changed_statement(file: Path) -> None:
    statement = model_signing_statement(file)
    bundle = signed_bundle(statement, P256)
    with pytest.raises(ValueError, match="Key mismatch"):
        verify(file, bundle, ec.generate_private_key(ec.SECP256R1()))
    changed = json.loads(bundle)
    other = statement.replace(b"model.strongroom", b"other.strongroom")
    changed["dsseEnvelope"]["payload"] = base64.b64encode(other).decode()
    with pytest.raises(Exception, match=r"^$"):  # InvalidSignature has no words
        verify(file, json.dumps(changed).encode(), P256)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(ValueError, match="Hash mismatch"):
        verify(file, bundle, P256)


def test_a_statement_holds_for_a_copy_and_until_the_next_grant(file: Path) -> None:
    bundle = signed_bundle(model_signing_statement(file), P256)
    copy = file.with_name("elsewhere.strongroom")
    copy.write_bytes(file.read_bytes())
    verify(copy, bundle, P256)
    sharing.grant(file, RECIPIENT.public, owner=OWNER, purpose="serve")
    with pytest.raises(ValueError, match="Hash mismatch"):
        verify(file, bundle, P256)
    verify(file, signed_bundle(model_signing_statement(file), P256), P256)


def test_a_statement_names_no_owner_and_no_path(file: Path) -> None:
    statement = model_signing_statement(file).decode()
    assert json.loads(statement)["subject"][0]["name"] == "model.strongroom"
    assert str(file.parent) not in statement
    assert OWNER.fingerprint not in statement


def test_a_damaged_package_is_not_stated(file: Path) -> None:
    data = bytearray(file.read_bytes())
    place = data.index(b"PAYL") + 40
    data[place] ^= 1
    file.write_bytes(data)
    with pytest.raises(PackageError) as caught:
        model_signing_statement(file)
    assert caught.value.code == "SR-PACKAGE-PAYLOAD"


def test_a_file_that_is_replaced_meanwhile_is_not_stated(
    file: Path, package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = model_signing.read

    def replacing(path: Path, *, verify_payload: bool) -> object:
        package.save(path, owner=OWNER, overwrite=True)
        return genuine(path, verify_payload=verify_payload)

    monkeypatch.setattr(model_signing, "read", replacing)
    with pytest.raises(PackageError, match="was replaced") as caught:
        model_signing_statement(file)
    assert caught.value.code == "SR-PACKAGE-FILE"


def test_a_key_is_read_with_its_passphrase_alone(tmp_path: Path) -> None:
    plain = written_key(tmp_path / "plain.pem", P256, NoEncryption())
    assert read_signing_key(plain, nobody).private_numbers() == P256.private_numbers()
    locked = written_key(tmp_path / "locked.pem", P256, BestAvailableEncryption(b"right"))
    found = read_signing_key(locked, lambda: "right")
    assert found.private_numbers() == P256.private_numbers()
    with pytest.raises(KeyStoreError) as caught:
        read_signing_key(locked, lambda: "wrong")
    assert caught.value.code == "SR-KEYS-PASSPHRASE"
    assert "wrong" not in str(caught.value)


def test_keys_that_no_verifier_takes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no key")
    (tmp_path / "random.pem").write_bytes(os.urandom(20000))
    refused = [
        tmp_path / "absent.pem",
        tmp_path / "text.pem",
        tmp_path / "random.pem",
        written_key(tmp_path / "ed.pem", ed25519.Ed25519PrivateKey.generate(), NoEncryption()),
        written_key(tmp_path / "k.pem", ec.generate_private_key(ec.SECP256K1()), NoEncryption()),
    ]
    for path in refused:
        with pytest.raises(KeyStoreError) as caught:
            read_signing_key(path, nobody)
        assert caught.value.code == "SR-KEYS-SIGNING", path
