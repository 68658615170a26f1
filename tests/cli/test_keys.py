"""`strongroom keys`: listing, showing, deleting; and a server's tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from strongroom.cli import app
from strongroom.keys.store import KeyStore

SECRET = b"secret-canary-0815" * 4


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("STRONGROOM_HOME", str(home))
    KeyStore.open(home, passphrase="of the test").store("linear-test", SECRET)
    return home


def test_list_and_show_describe_without_the_secret(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keys", "list"]) == 0
    assert app.run(["keys", "show", "linear-test"]) == 0
    shown = capsys.readouterr().out
    assert "linear-test" in shown
    assert "Argon2id" in shown
    assert "canary" not in shown
    assert SECRET.hex() not in shown
    assert app.run(["keys", "list", "--json"]) == 0
    (key,) = json.loads(capsys.readouterr().out)["keys"]
    assert (key["name"], key["locked_by"]) == ("linear-test", "passphrase")


def test_delete_needs_a_yes_where_nobody_can_be_asked(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["keys", "delete", "linear-test"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert len(KeyStore.open(home).entries()) == 1
    assert app.run(["keys", "delete", "linear-test", "--yes"]) == 0
    assert KeyStore.open(home).entries() == ()


def test_unknown_key_is_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["keys", "show", "absent"]) == 8
    assert capsys.readouterr().err.startswith("error: [SR-KEYS-FILE] there is no key absent")


def test_token_is_shown_once_and_kept_as_a_hash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tokens.json"
    assert app.run(["keys", "token", "create", "--tokens", str(file), "--tenant", "clinic"]) == 0
    token = capsys.readouterr().out.strip()
    assert token not in file.read_text()
    assert app.run(["keys", "token", "list", "--tokens", str(file), "--json"]) == 0
    shown = capsys.readouterr().out
    assert token not in shown
    (entry,) = json.loads(shown)["tokens"]
    assert entry["tenant"] == "clinic"
    assert app.run(["keys", "token", "revoke", entry["id"], "--tokens", str(file)]) == 0
    capsys.readouterr()
    assert app.run(["keys", "token", "revoke", entry["id"], "--tokens", str(file)]) == 9
    assert "[SR-SERVER-TOKEN]" in capsys.readouterr().err
