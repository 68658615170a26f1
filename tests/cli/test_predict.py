"""`strongroom predict`: what it asks, writes and refuses. The client is a stand-in here; the whole
way is walked in test_whole_way.py."""

from __future__ import annotations

import csv
import json
import stat
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import msgspec
import numpy as np
import pytest
from model_owner import OWNER, write_identity
from numpy.typing import NDArray
from served_proofs import HOST

from strongroom.cli import app
from strongroom.cli import predict as command
from strongroom.client.timings import Timings
from strongroom.compiler.plan import Plan
from strongroom.errors import KeyStoreError, ServerError
from strongroom.keys.identity import Identity
from strongroom.models.text_rows import TextRows

URL = ["--url", "https://127.0.0.1:1", "--model", "patients"]
WARD = Identity.generate("ward")


class StandIn:
    """Answers like a client of the plan in conftest.py; remembers how it was opened."""

    plan: Plan
    fails = False
    sends = 0

    def __init__(self, url: str, **options: Any) -> None:
        self.package_digest = "sha256:" + "0" * 64
        self.timings = Timings(requests=1)
        self.key_bytes_sent = self.sends
        self.owner, self.server = OWNER.public, HOST.public
        self.receipts = tuple(SimpleNamespace(text=text) for text in ('{"a":1}', '{"b":2}'))
        type(self).opened = {"url": url, **options}

    opened: dict[str, Any]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def predict(self, table: TextRows) -> NDArray[np.str_]:
        rows = self.plan.input.rows(table)
        if self.fails:
            raise ServerError("SR-WORKER-LOST", "the worker ended")
        return np.where(rows[:, 0] > 45, "ill", "well")

    def predict_proba(self, table: TextRows) -> NDArray[np.float64]:
        rows = self.plan.input.rows(table)
        return np.stack([1 / rows[:, 0], 1 - 1 / rows[:, 0]], axis=1)

    def decision_function(self, table: TextRows) -> NDArray[np.float64]:
        return self.plan.input.rows(table)[:, 0] / 3


@pytest.fixture
def client(plan: Plan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[StandIn]:
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("STRONGROOM_TOKEN", raising=False)
    made = type("Client", (StandIn,), {"plan": plan})
    monkeypatch.setattr(command, "Client", made)
    return made


@pytest.fixture
def rows(tmp_path: Path) -> str:
    path = tmp_path / "rows.csv"
    path.write_text("age,weight\n40,70\n50,80.5\n")
    return str(path)


def test_predictions_go_to_standard_output_in_order(
    client: type[StandIn], rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["predict", *URL, rows]) == 0
    assert capsys.readouterr().out == "prediction\nwell\nill\n"
    assert client.opened["trust"] == "first-use"
    assert client.opened["token"] is None


def test_keys_that_were_sent_are_told_of_once(
    client: type[StandIn], rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    client.sends = 12_687_000
    assert app.run(["predict", *URL, rows]) == 0
    seen = capsys.readouterr()
    assert seen.out == "prediction\nwell\nill\n"
    assert seen.err == "sent 12.1 MiB of evaluation keys, which the server keeps\n"
    assert app.run(["predict", *URL, rows, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["key_bytes_sent"] == 12_687_000


def test_numbers_read_back_exactly_from_a_private_file(
    client: type[StandIn], rows: str, tmp_path: Path
) -> None:
    output = tmp_path / "out.csv"
    assert app.run(["predict", *URL, rows, "--proba", "-o", str(output)]) == 0
    header, *lines = csv.reader(output.read_text().splitlines())
    assert header == ["probability_ill", "probability_well"]
    np.testing.assert_array_equal(
        np.array(lines, dtype=np.float64), [[1 / 40, 1 - 1 / 40], [1 / 50, 1 - 1 / 50]]
    )
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert app.run(["predict", *URL, rows, "--scores", "-o", str(output), "--overwrite"]) == 0
    assert output.read_text() == f"score\n{40 / 3!r}\n{50 / 3!r}\n"


def test_json_holds_predictions_or_names_the_file(
    client: type[StandIn], rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["predict", *URL, rows, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["predictions"] == ["well", "ill"]
    assert shown["timings"]["requests"] == 1
    output = tmp_path / "out.csv"
    assert app.run(["predict", *URL, rows, "--json", "-o", str(output)]) == 0
    assert json.loads(capsys.readouterr().out)["output"] == str(output)
    assert output.exists()


def test_receipts_are_asked_for_and_written_one_a_line(
    client: type[StandIn], rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["predict", *URL, rows]) == 0
    assert client.opened["receipts"] is False
    file = tmp_path / "receipts.jsonl"
    assert app.run(["predict", *URL, rows, "--receipt", str(file)]) == 0
    assert client.opened["receipts"] is True
    assert file.read_text() == '{"a":1}\n{"b":2}\n'
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert app.run(["predict", *URL, rows, "--receipt", str(file)]) == 3
    capsys.readouterr()
    options = ["--receipt", str(file), "--overwrite", "--json"]
    assert app.run(["predict", *URL, rows, *options]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["receipt"] == str(file)
    assert (shown["owner"], shown["server"]) == (OWNER.fingerprint, HOST.fingerprint)


def test_the_asker_s_identity_is_opened_by_its_name_and_before_anything_is_asked(
    client: type[StandIn], rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_identity(tmp_path / "home", WARD)
    assert app.run(["predict", *URL, rows, "--identity", "ward"]) == 0
    assert client.opened["identity"].fingerprint == WARD.fingerprint
    assert app.run(["predict", *URL, rows]) == 0
    assert client.opened["identity"] is None
    del client.opened
    assert app.run(["predict", *URL, rows, "--identity", "nobody"]) == KeyStoreError.exit_status
    assert "[SR-IDENTITY-MISSING]" in capsys.readouterr().err
    assert not hasattr(client, "opened")


def test_members_prove_as_many_answers_as_is_wished_and_none_by_default(
    client: type[StandIn], rows: str
) -> None:
    assert app.run(["predict", *URL, rows]) == 0
    assert client.opened["share_checks"] == 0.0
    assert app.run(["predict", *URL, rows, "--check-shares", "0.25"]) == 0
    assert client.opened["share_checks"] == 0.25


def test_the_owner_is_trusted_by_its_file(client: type[StandIn], rows: str, tmp_path: Path) -> None:
    path = str(tmp_path / "vendor.pub")
    assert app.run(["predict", *URL, rows, "--trust", path]) == 0
    assert client.opened["trust"] == path


def test_a_failure_leaves_nothing_and_an_old_file_as_it_was(
    client: type[StandIn], rows: str, tmp_path: Path
) -> None:
    client.fails = True
    before = set(tmp_path.iterdir())
    output = tmp_path / "out.csv"
    assert app.run(["predict", *URL, rows, "-o", str(output)]) == ServerError.exit_status
    assert set(tmp_path.iterdir()) == before
    output.write_text("old")
    assert app.run(["predict", *URL, rows, "-o", str(output), "--overwrite"]) == 9
    assert output.read_text() == "old"


def test_a_person_at_a_terminal_is_told_what_is_done(
    client: type[StandIn],
    rows: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["predict", *URL, rows]) == 0
    assert "about 2 rows" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert app.run(["predict", *URL, rows]) == 0
    seen = capsys.readouterr()
    assert "about 2 rows\n" in seen.err
    assert seen.out == "prediction\nwell\nill\n"


def test_a_protection_that_does_not_exist_is_refused_before_the_server_is_asked(
    client: type[StandIn], rows: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["predict", *URL, rows, "--protection", "seeled"]) == 5
    assert "Choose one of: fhe, sealed." in capsys.readouterr().err
    assert not hasattr(client, "opened")


def test_existing_output_is_refused_before_the_server_is_asked(
    client: type[StandIn], rows: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.csv"
    output.write_text("old")
    assert app.run(["predict", *URL, rows, "-o", str(output)]) == 3
    assert "[SR-INPUT-FILE]" in capsys.readouterr().err
    assert not hasattr(client, "opened")
    assert app.run(["predict", *URL, rows, "-o", str(tmp_path / "no" / "out.csv")]) == 3


def test_columns_of_another_model_are_refused(
    client: type[StandIn], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "other.csv"
    rows.write_text("weight,age\n70,40\n")
    assert app.run(["predict", *URL, str(rows)]) == 3
    assert "[SR-INPUT-COLUMNS] column 1 is named 'weight'" in capsys.readouterr().err


def test_token_comes_from_file_or_environment(
    client: type[StandIn],
    rows: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("STRONGROOM_TOKEN", "sr_environment")
    assert app.run(["predict", *URL, rows]) == 0
    assert client.opened["token"] == "sr_environment"
    file = tmp_path / "token"
    file.write_text("sr_file\n")
    assert app.run(["predict", *URL, rows, "--token-file", str(file)]) == 0
    assert client.opened["token"] == "sr_file"
    capsys.readouterr()
    assert app.run(["predict", *URL, rows, "--token-file", str(tmp_path / "absent")]) == 9
    assert "[SR-SERVER-TOKEN]" in capsys.readouterr().err


def test_proba_and_scores_exclude_each_other(client: type[StandIn], rows: str) -> None:
    assert app.run(["predict", *URL, rows, "--proba", "--scores"]) == 2


@pytest.mark.parametrize(("milliseconds", "said"), [(29_000.0, ""), (75_000.0, "about 3 minutes")])
def test_what_takes_minutes_is_announced(
    client: type[StandIn],
    plan: Plan,
    rows: str,
    milliseconds: float,
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    costs = msgspec.structs.replace(plan.costs, server_milliseconds=milliseconds)
    client.plan = msgspec.structs.replace(plan, costs=costs)
    assert app.run(["predict", *URL, rows]) == 0
    seen = capsys.readouterr()
    assert seen.out == "prediction\nwell\nill\n"
    assert said in seen.err
    assert ("rows take the server" in seen.err) == bool(said)
