"""`strongroom keygen` and `strongroom identity`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strongroom.cli import app
from strongroom.keys.identity import PublicIdentity
from strongroom.keys.identity_store import IdentityStore


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", "canary of the test")
    return tmp_path / "home"


def test_keygen_says_who_and_where(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["keygen"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    public = PublicIdentity.from_text((home / "identities" / "default.pub").read_text())
    assert public.fingerprint in shown
    assert str(home / "identities" / "default.pub") in shown
    assert "canary" not in shown
    assert IdentityStore.open(home).identity().public == public


def test_keygen_tells_programs_the_same(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["keygen", "--name", "server", "--custody", "passphrase", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    public = IdentityStore.open(home).public("server")
    assert made["fingerprint"] == public.fingerprint
    assert Path(made["public"]).read_text().strip() == public.to_text()
    assert (made["name"], made["locked_by"]) == ("server", "passphrase")


def test_keygen_does_not_replace_an_identity(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keygen"]) == 0
    before = (home / "identities" / "default.key").read_bytes()
    assert app.run(["keygen"]) == 8
    assert "[SR-IDENTITY-EXISTS]" in capsys.readouterr().err
    assert (home / "identities" / "default.key").read_bytes() == before


def test_a_pin_on_the_command_line_is_refused_and_not_repeated(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keygen", "--custody", "pkcs11:token=a?pin-value=canary-1"]) == 8
    shown = capsys.readouterr()
    assert "[SR-KEYS-CUSTODY]" in shown.err
    assert "canary" not in shown.err + shown.out
    assert not home.exists()


def test_list_and_show_need_no_passphrase(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.run(["identity", "list"]) == 0
    assert "strongroom keygen" in " ".join(capsys.readouterr().out.split())
    for name in ("owner", "server"):
        assert app.run(["keygen", "--name", name]) == 0
    monkeypatch.delenv("STRONGROOM_PASSPHRASE")
    capsys.readouterr()
    assert app.run(["identity", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["home"] == str(home)
    assert [one["name"] for one in listed["identities"]] == ["owner", "server"]
    assert app.run(["identity", "show", "server"]) == 0
    shown = capsys.readouterr().out
    assert IdentityStore.open(home).public("server").fingerprint in "".join(shown.split())
    assert "Argon2id" in shown


def test_show_prints_the_public_line_alone(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["keygen"]) == 0
    capsys.readouterr()
    assert app.run(["identity", "show", "--public"]) == 0
    line = capsys.readouterr().out
    assert PublicIdentity.from_text(line) == IdentityStore.open(home).public()
    assert line.count("\n") == 1


def test_lock_changes_the_passphrase(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert app.run(["keygen"]) == 0
    fingerprint = IdentityStore.open(home).public().fingerprint
    assert app.run(["identity", "lock"]) == 8
    assert "STRONGROOM_NEW_PASSPHRASE" in capsys.readouterr().err
    monkeypatch.setenv("STRONGROOM_NEW_PASSPHRASE", "the next one")
    assert app.run(["identity", "lock", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == fingerprint
    opened = IdentityStore.open(home, passphrase="the next one").identity()
    assert opened.fingerprint == fingerprint


def test_remove_needs_a_yes_where_nobody_can_be_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keygen"]) == 0
    assert app.run(["identity", "remove", "default"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert IdentityStore.open(home).names() == ["default"]
    assert app.run(["identity", "remove", "default", "--yes"]) == 0
    assert IdentityStore.open(home).names() == []
    assert app.run(["identity", "remove", "default", "--yes"]) == 8
    assert "[SR-IDENTITY-MISSING]" in capsys.readouterr().err


def test_an_interrupted_keygen_is_listed_and_mended_by_the_next_use(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keygen"]) == 0
    fingerprint = IdentityStore.open(home).public().fingerprint
    (home / "identities" / "default.pub").unlink()
    capsys.readouterr()
    assert app.run(["identity", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identities"][0]["fingerprint"] == ""
    IdentityStore.open(home).identity()
    assert app.run(["identity", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fingerprint"] == fingerprint
