"""`strongroom receipt verify`: what it says of good receipts, and that it fails at others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from model_owner import OWNER
from served_proofs import HOST, REQUEST, RESPONSE, ProvenHost, identity, package_of

from strongroom.cli import app
from strongroom.receipts.receipt import Receipt


@pytest.fixture(scope="module")
def host() -> ProvenHost:
    return ProvenHost(package_of(name="patients", release=3))


@pytest.fixture(scope="module")
def receipt(host: ProvenHost) -> Receipt:
    return host.receipt()


@pytest.fixture
def owner(tmp_path: Path) -> str:
    path = tmp_path / "vendor.pub"
    path.write_text(OWNER.public.to_text() + "\n")
    return str(path)


@pytest.fixture
def file(receipt: Receipt, tmp_path: Path) -> Path:
    path = tmp_path / "receipts.jsonl"
    path.write_text(receipt.text + "\n")
    return path


def test_a_good_receipt_is_shown_in_whole_lines(
    file: Path, owner: str, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["receipt", "verify", str(file), "--trust", owner]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "model      patients, version 1, release 3" in lines
    assert f"package    {receipt.statement.package}" in lines
    assert f"owner      {OWNER.fingerprint} (default)" in lines
    assert f"server     {HOST.fingerprint} (host)" in lines
    assert lines[-1] == "1 receipt holds"


def test_json_is_for_programs(
    file: Path, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"{receipt.text}\n{receipt.text}")
    arguments = ["receipt", "verify", str(file), "--trust", OWNER.fingerprint, "--json"]
    assert app.run(arguments) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["valid"] is True
    assert len(shown["receipts"]) == 2
    assert shown["receipts"][0]["request"] == receipt.statement.request
    assert shown["receipts"][0]["release"] == 3


def test_messages_and_package_are_compared(
    file: Path, owner: str, host: ProvenHost, tmp_path: Path
) -> None:
    sent, answered = tmp_path / "request", tmp_path / "response"
    sent.write_bytes(REQUEST)
    answered.write_bytes(RESPONSE)
    package = tmp_path / "patients.strongroom"
    host.package.save(package, owner=OWNER)
    command = ["receipt", "verify", str(file), "--trust", owner]
    options = ["--request", str(sent), "--response", str(answered), "--package", str(package)]
    assert app.run([*command, *options]) == 0
    assert app.run([*command, "--request", str(answered)]) == 10
    assert app.run([*command, "--response", str(sent)]) == 10
    package_of().save(package, owner=OWNER, overwrite=True)
    assert app.run([*command, *options]) == 10


def test_one_bad_line_fails_and_is_named(
    file: Path, owner: str, receipt: Receipt, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(f"{receipt.text}\n{receipt.text[:-1]}\n")
    assert app.run(["receipt", "verify", str(file), "--trust", owner]) == 10
    seen = capsys.readouterr()
    assert "line 2" in seen.err
    assert "[SR-RECEIPT-INVALID]" in seen.err
    assert "holds" not in seen.out


@pytest.mark.parametrize("content", ["", "\n", "hello\n"])
def test_a_file_without_receipts_is_none(file: Path, owner: str, content: str) -> None:
    file.write_text(content)
    assert app.run(["receipt", "verify", str(file), "--trust", owner]) == 10


def test_first_use_and_an_empty_file_are_told_apart_from_a_bad_receipt(
    file: Path, owner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["receipt", "verify", str(file), "--trust", "first-use"]) == 2
    assert "first use proves nothing" in capsys.readouterr().err
    file.write_text("\n")
    assert app.run(["receipt", "verify", str(file), "--trust", owner]) == 10
    assert "receipts.jsonl holds no receipt" in capsys.readouterr().err


def test_another_owner_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stranger = identity("stranger").fingerprint
    assert app.run(["receipt", "verify", str(file), "--trust", stranger]) == 10
    assert OWNER.fingerprint in capsys.readouterr().err


def test_files_that_are_not_there_are_named(file: Path, owner: str, tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    assert app.run(["receipt", "verify", gone, "--trust", owner]) == 3
    assert app.run(["receipt", "verify", str(file), "--trust", gone]) == 8
    assert app.run(["receipt", "verify", str(file), "--trust", owner, "--request", gone]) == 3
