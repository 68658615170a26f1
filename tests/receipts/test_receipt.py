"""A receipt holds offline, for the owner's identity alone, and for what it is of."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from served_proofs import REQUEST, RESPONSE, ProvenHost, identity, package_of

from strongroom.canonical import canonical_json, digest
from strongroom.errors import AttestationError, KeyStoreError, PackageError
from strongroom.receipts.proof import Trust
from strongroom.receipts.receipt import Receipt, verify_receipt


def _refused(text: str | bytes, trust: Trust, **options: Any) -> str:
    with pytest.raises(AttestationError) as caught:
        verify_receipt(text, trust, **options)
    assert caught.value.code == "SR-RECEIPT-INVALID"
    return caught.value.message


def test_the_owners_identity_is_enough(host: ProvenHost, receipt: Receipt, tmp_path: Path) -> None:
    path = tmp_path / "vendor.pub"
    path.write_text(host.owner.public.to_text() + "\n")
    ways: list[Trust] = [
        host.owner.public,
        host.owner.fingerprint,
        path,
        str(path),
        host.package,
        host.package.digest,
    ]
    for trust in ways:
        found = verify_receipt(receipt.text, trust)
        assert found == receipt
        assert found.owner == host.owner.public
        assert found.server == host.server.public
        assert found.manifest == host.manifest
    assert verify_receipt(receipt.text.encode(), host.owner.public) == receipt


def test_it_names_what_was_answered(host: ProvenHost, receipt: Receipt) -> None:
    statement = receipt.statement
    assert statement.request == digest(REQUEST)
    assert statement.response == digest(RESPONSE)
    assert statement.package == host.package.digest
    assert statement.plan == host.manifest.plan_digest
    assert statement.guarantee == digest(canonical_json(host.manifest.plan.guarantee))
    assert statement.key_id == host.secrets.key_id
    assert statement.server == host.server.fingerprint
    verify_receipt(receipt.text, host.owner.public, request=REQUEST, response=RESPONSE)
    assert "request" in _refused(receipt.text, host.owner.public, request=b"other")
    assert "response" in _refused(receipt.text, host.owner.public, response=b"other")


def test_somebody_elses_identity_or_package_is_not_enough(receipt: Receipt) -> None:
    other = identity("stranger")
    assert "signed by" in _refused(receipt.text, other.public)
    assert "trusted is" in _refused(receipt.text, package_of(other))


def test_what_can_not_be_trusted_is_said_before_the_receipt_is_read(tmp_path: Path) -> None:
    with pytest.raises(PackageError) as caught:
        verify_receipt("", "sha256:12")
    assert caught.value.code == "SR-PACKAGE-DIGEST"
    folder = tmp_path / "no.pub"
    text = tmp_path / "text.pub"
    text.write_text("hello")
    for path in (folder, text, tmp_path):
        with pytest.raises(KeyStoreError) as missing:
            verify_receipt("", path)
        assert missing.value.code == "SR-IDENTITY-FILE"
    assert "first use" in _refused("", "first-use")


def test_it_holds_long_after_the_grant_and_the_keys_have_ended(host: ProvenHost) -> None:
    past = host.time - timedelta(days=400)
    then = ProvenHost(host.package, time=past, lasts=timedelta(hours=1))
    assert verify_receipt(then.receipt().text, host.owner.public).statement.time < "2026"


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", "{" * 100_000, '{"format":1}', b"\xff\xfe", " "],
)
def test_what_is_no_receipt_is_refused(host: ProvenHost, text: str | bytes) -> None:
    assert "malformed" in _refused(text, host.owner.public)


def test_another_form_of_the_same_receipt_is_refused(host: ProvenHost, receipt: Receipt) -> None:
    fields = json.loads(receipt.text)
    for text in (
        receipt.text + " ",
        " " + receipt.text,
        json.dumps(fields),
        receipt.text.replace('{"format":1,', '{"format":1,"format":1,', 1),
        canonical_json(fields | {"surplus": 1}).decode(),
    ):
        _refused(text, host.owner.public)


def test_an_oversize_receipt_is_not_parsed(host: ProvenHost) -> None:
    assert "characters" in _refused(" " * (36 << 20), host.owner.public)


def test_every_field_of_the_statement_is_signed(host: ProvenHost, receipt: Receipt) -> None:
    fields = json.loads(receipt.text)
    for name, value in fields["statement"].items():
        changed = json.loads(receipt.text)
        if isinstance(value, int):
            changed["statement"][name] = value + 1
        elif name == "time":
            changed["statement"][name] = value.replace("T", "T")[:-3] + (
                "59Z" if value[-3:-1] != "59" else "58Z"
            )
        else:
            changed["statement"][name] = value[:-1] + ("0" if value[-1] != "0" else "1")
        _refused(canonical_json(changed).decode(), host.owner.public)


def test_its_signatures_are_those_of_the_standards(host: ProvenHost, receipt: Receipt) -> None:
    """As the specification says it, without any of this project's code that signs or verifies."""
    fields = json.loads(receipt.text)
    configuration = json.loads(fields["proof"]["key_configuration"])["configuration"]
    (key,) = configuration["keys"]
    public = base64.b64decode(key["keys"])
    statement = json.dumps(
        fields["statement"], sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    message = b"strongroom signature\0receipt\0" + statement.encode()
    signatures = {name: base64.b64decode(text) for name, text in fields["signatures"].items()}
    Ed25519PublicKey.from_public_bytes(public[:32]).verify(signatures["ed25519"], message)
    MLDSA65PublicKey.from_public_bytes(public[32:1984]).verify(signatures["ml_dsa_65"], message)


def test_a_package_file_can_be_asked_for(
    host: ProvenHost, receipt: Receipt, tmp_path: Path
) -> None:
    own, other = tmp_path / "own.strongroom", tmp_path / "other.strongroom"
    host.package.save(own, owner=host.owner)
    package_of(host.owner).save(other, owner=host.owner)
    assert verify_receipt(receipt.text, host.owner.public, package=own) == receipt
    assert "not of" in _refused(receipt.text, host.owner.public, package=other)
