"""`grant`, `revoke`, `recipients`, `rotate`, and the grants that `protect` makes."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from model_owner import OWNER, PASSPHRASE, write_identity

from strongroom.cli import app
from strongroom.cli.sharing import moment
from strongroom.keys.identity import Identity
from strongroom.package.file import read
from strongroom.package.protected import Package

HOSPITAL = Identity(bytes(range(1, 161)), "hospital")
NOW = datetime(2026, 11, 22, 12, 43, tzinfo=UTC)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_identity(tmp_path / "home")
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    return tmp_path / "home"


@pytest.fixture
def file(package: Package, tmp_path: Path) -> Path:
    path = tmp_path / "model.strongroom"
    package.save(path, owner=OWNER)
    return path


@pytest.fixture
def hospital(tmp_path: Path) -> str:
    path = tmp_path / "hospital.pub"
    path.write_text(HOSPITAL.public.to_text() + "\n")
    return str(path)


def ran(*arguments: str | Path) -> int:
    return app.run([str(one) for one in arguments])


def test_a_package_is_granted_listed_rotated_and_revoked(
    file: Path, hospital: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("grant", file, hospital, "--purpose", "open", "--expires", "2099-12-31") == 0
    assert capsys.readouterr().out == (
        f'granted {file} to hospital ({HOSPITAL.fingerprint}) for "open", '
        "until 2100-01-01T00:00:00Z\n"
    )
    assert ran("recipients", file, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["owner"] == OWNER.fingerprint
    assert shown["digest"] == read(file).digest
    assert [(one["name"], one["purpose"], one["ended"]) for one in shown["recipients"]] == [
        ("default", "owner", False),
        ("hospital", "open", False),
    ]
    assert ran("rotate", file) == 0
    line = capsys.readouterr().out
    assert line == f"encrypted {file} under a new key: generation 2, 2 grants\n"
    assert read(file).open(HOSPITAL, purpose="open").manifest.name == "patients"
    assert ran("revoke", file, HOSPITAL.fingerprint) == 0
    line = capsys.readouterr().out
    assert line == f"revoked all grants of {HOSPITAL.fingerprint} on {file}\n"
    assert ran("recipients", file) == 0
    shown_table = capsys.readouterr().out
    assert "generation 3" in shown_table
    assert OWNER.fingerprint in shown_table  # whole, so that it can be copied
    assert "hospital" not in shown_table


def test_every_change_tells_programs_what_holds_now(
    file: Path, hospital: str, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = []
    for command in (
        ("grant", file, hospital, "--json"),
        ("rotate", file, "--json"),
        ("revoke", file, hospital, "--json"),
    ):
        assert ran(*command) == 0
        shown = json.loads(capsys.readouterr().out)
        counts.append((shown["generation"], len(shown["recipients"])))
    assert counts == [(1, 2), (2, 2), (3, 1)]


def test_an_identity_that_is_not_the_owner_changes_nothing(
    file: Path, hospital: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_identity(home, Identity(bytes(range(2, 162)), "other"))
    before = file.read_bytes()
    assert ran("grant", file, hospital, "--identity", "other") == 6
    assert "[SR-PACKAGE-OWNER]" in capsys.readouterr().err
    assert ran("rotate", file, "--identity", "nobody") == 8
    assert "[SR-IDENTITY-MISSING]" in capsys.readouterr().err
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hospital", b"\xff\xfe", b"x" * 9000])
def test_a_file_that_holds_no_identity_is_one_line(
    file: Path, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.pub").write_bytes(content)
    for recipient in ("x.pub", "absent.pub"):
        assert ran("grant", file, tmp_path / recipient) == 8
        error = capsys.readouterr().err
        assert error.startswith("error: [SR-IDENTITY-FILE]")
        assert error.count("\n") == 1


def test_who_is_revoked_by_name_is_told_what_to_pass(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran("revoke", file, "hospital") == 8
    assert "Pass a fingerprint, identity:…, as `strongroom recipients`" in capsys.readouterr().err


def test_an_end_in_the_past_is_refused_before_the_work(
    hospital: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["protect", "absent.onnx", "--sample", "absent.csv", "-o", tmp_path / "m.strongroom"]
    assert ran(*command, "--recipient", hospital, "--expires", "2020-01-01") == 6
    assert "can't end at 2020-01-02T00:00:00Z" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "end"),
    [
        ("2027-01-31", datetime(2027, 2, 1, tzinfo=UTC)),
        ("2027-01-31T12:00:00Z", datetime(2027, 1, 31, 12, tzinfo=UTC)),
        ("1d", datetime(2026, 11, 23, 12, 43, tzinfo=UTC)),
        ("36h", datetime(2026, 11, 24, 0, 43, tzinfo=UTC)),
        (None, None),
    ],
)
def test_an_end_is_a_last_day_a_time_or_a_span(typed: str | None, end: datetime | None) -> None:
    assert moment(typed, NOW) == end


@pytest.mark.parametrize("typed", ["", "soon", "0d", "5w", "2027-02-30", "99999999d", "9999-12-31"])
def test_what_is_no_end_is_a_wrong_command_line(typed: str) -> None:
    with pytest.raises(typer.BadParameter, match="--expires"):
        moment(typed, NOW)


def test_protect_grants_to_the_recipients_that_it_is_given(
    package: Package,
    hospital: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import strongroom

    given: list[dict[str, Any]] = []

    def protect(model: Path, **fields: Any) -> Package:
        given.append(fields)
        return package

    monkeypatch.setattr(strongroom, "protect", protect)
    (tmp_path / "rows.csv").write_text("age,weight\n40,70\n")
    output = tmp_path / "m.strongroom"
    command = ["protect", "m.onnx", "--sample", tmp_path / "rows.csv", "-o", output]
    granting = ["--recipient", hospital, "--purpose", "open", "--expires", "90d"]
    assert ran(*command, *granting, "--release", "3") == 0
    assert given[0]["owner"].fingerprint == OWNER.fingerprint
    assert given[0]["release"] == 3
    assert f"owner {OWNER.fingerprint}\n" in capsys.readouterr().out
    (own, granted) = read(output).grants
    assert (own.purpose, granted.purpose, granted.identity) == ("owner", "open", HOSPITAL.public)
    assert granted.expires is not None
    assert ran(*command, "--overwrite", "--purpose", "open") == 2
    assert "--purpose and --expires go with --recipient" in capsys.readouterr().err
