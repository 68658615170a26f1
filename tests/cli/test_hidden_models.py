"""The options about models whose weights stay encrypted: who holds the key, and who is asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_owner import OWNER
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from skops.io import dump

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import (
    NOW,
    TWO_OF_THREE,
    Members,
    gather,
    identity,
    next_round,
    unaltered,
)

from strongroom.cli import app
from strongroom.cli.committee import committee_needs
from strongroom.cli.demo_server import running_server
from strongroom.compiler.holding import KeyHolding
from strongroom.errors import CommitteeError, KeyStoreError, PolicyError, ServerError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import CommitteeFolderWriter
from strongroom.keys.committee.proposal import propose
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity
from strongroom.package.build import candidates
from strongroom.package.file import read
from strongroom.server.config import ServerConfig

Capture = pytest.CaptureFixture[str]

BUDGET = 1000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its rows, and two committees for it: one that the owner formed, and another's."""
    folder = tmp_path_factory.mktemp("hidden")
    columns, classes = load_iris(return_X_y=True)
    dump(LogisticRegression().fit(columns, classes > 0), folder / "model.skops")
    np.savetxt(folder / "model.csv", columns, delimiter=",")
    access = Access.parse(TWO_OF_THREE)
    seats = {name: (identity(name).public, f"http://{name}.test:1") for name in access.members}
    plan = candidates(
        folder / "model.skops",
        sample=columns,
        hide="model",
        holding=KeyHolding(len(access.parts()), BUDGET),
    )[0].plan
    for name, coordinator in (("committee", OWNER), ("foreign", Identity.generate("other"))):
        members = Members(folder / f"members-{name}", TWO_OF_THREE)
        needs = committee_needs(plan)
        proposal = propose(coordinator, access, seats, needs, now=NOW, share_budget=BUDGET)
        with CommitteeFolderWriter(folder / name) as writer:
            forming = Coordinator(coordinator, proposal, writer)
            setups = members.setups(forming.proposal)
            while not forming.finished:
                next_round(forming, setups, unaltered)
                gather(forming, setups)
            writer.finish(forming.committee)
    return folder


def planned(folder: Path, *more: str) -> list[str]:
    rows = ("--sample", str(folder / "model.csv"), "--no-header")
    return [str(folder / "model.skops"), *rows, *more]


def test_a_plan_says_that_nobody_but_the_key_holders_sees_the_weights(
    folder: Path, capsys: Capture
) -> None:
    assert app.run(["plan", *planned(folder, "--hide", "model", "--json")]) == 0
    alone = json.loads(capsys.readouterr().out)["plan"]
    assert app.run(["plan", *planned(folder, "--hide", "model")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "weights of the model does not see while computing sees (the owner asks)" in shown
    assert "The key is in one hand, the owner's" in shown
    assert "does not see the answers and does not see the weights while computing." in shown
    assert "NOT hidden" not in shown
    assert alone["guarantee"]["weights_from_server"] == "hidden-while-computing"
    assert alone["layout"]["holding"]["share_budget"] is None
    committee = str(folder / "committee")
    assert app.run(["plan", *planned(folder, "--hide", "model", "--committee", committee)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "does not see while computing does not see, beyond what answers say" in shown
    assert "does not see the rows while computing, does not see the answers while" in shown
    assert "Fewer key holders than it takes to decrypt" in shown
    assert "The key is in 3 parts, which its holders never put together" in shown
    assert "so that all 1,000 shares that the key allows" in shown
    assert "evaluation keys, made once, on the server's disk" in shown
    assert "uploads" not in shown


def test_a_package_for_a_committee_names_it_and_nothing_else_of_it_is_secret(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    output, committee = tmp_path / "m.strongroom", str(folder / "committee")
    words = planned(folder, "--hide", "model", "--committee", committee, "-o", str(output))
    assert app.run(["protect", *words]) == 0
    digest = Committee.read(folder / "committee" / "committee.json").digest
    assert f"key held by committee {digest}\n" in capsys.readouterr().out
    holder: Any = read(output).manifest.plan.holder
    assert (holder.committee, holder.share_budget) == (digest, BUDGET)


def test_a_committee_that_the_owner_did_not_form_gets_no_model(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    output, committee = tmp_path / "m.strongroom", str(folder / "foreign")
    words = planned(folder, "--hide", "model", "--committee", committee, "-o", str(output))
    assert app.run(["protect", *words]) == CommitteeError.exit_status
    assert "[SR-COMMITTEE-MISMATCH]" in capsys.readouterr().err
    assert not output.exists()


def test_without_a_committee_the_owner_s_own_key_store_holds_the_key(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    output = tmp_path / "m.strongroom"
    assert app.run(["protect", *planned(folder, "--hide", "model", "-o", str(output))]) == 0
    assert "key held by committee" not in capsys.readouterr().out
    holder: Any = read(output).manifest.plan.holder
    assert len(holder.key_set) == 32


def test_an_owner_asks_its_own_model_and_nobody_else_does(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    package, served = tmp_path / "m.strongroom", tmp_path / "served"
    served.mkdir()
    assert app.run(["protect", *planned(folder, "--hide", "model", "-o", str(package))]) == 0
    columns, classes = load_iris(return_X_y=True)
    rows = tmp_path / "rows.csv"
    np.savetxt(rows, columns[::30], delimiter=",")
    with running_server([package], served) as server:
        monkeypatch.setenv("STRONGROOM_TOKEN", server.token)
        asking = ["predict", "--url", server.url, "--ca", str(server.certificate), "--model", "m"]
        asking += ["--no-header", "--trust", OWNER.fingerprint, str(rows)]
        capsys.readouterr()
        assert app.run(asking) == 0
        said = capsys.readouterr().out.splitlines()
        plain = LogisticRegression().fit(columns, classes > 0).predict(columns[::30])
        assert said[1:] == [str(one) for one in plain]
        monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / "stranger"))
        assert app.run(asking) == KeyStoreError.exit_status
        assert "[SR-KEYS-HOLDER]" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["plan", "protect"])
def test_a_committee_goes_with_a_hidden_model_only(
    command: str, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = planned(folder, "--committee", str(folder / "committee"))
    words += ["-o", str(tmp_path / "m.strongroom")] if command == "protect" else []
    assert app.run([command, *words]) == 2
    assert "--committee goes with --hide model" in capsys.readouterr().err


def test_the_page_of_a_hidden_model_says_who_holds_the_key(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    page, committee = tmp_path / "plan.html", str(folder / "committee")
    words = planned(folder, "--hide", "model", "--committee", committee, "--html", str(page))
    assert app.run(["plan", *words]) == 0
    assert "The key is in 3 parts" in page.read_text()


def test_a_folder_that_is_no_committee_is_refused_before_the_work(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = planned(folder, "--hide", "model", "--committee", str(tmp_path))
    assert app.run(["plan", *words]) == CommitteeError.exit_status
    assert "[SR-COMMITTEE-FILE]" in capsys.readouterr().err


def test_a_committee_is_not_formed_over_another_nor_refreshed_by_another(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    words = ["--access", TWO_OF_THREE, "--output", str(folder / "committee")]
    for name in ("a", "b", "c"):
        key = tmp_path / f"{name}.pub"
        key.write_text(identity(name).public.to_text())
        words += ["--member", f"{name}={key}@http://{name}.test:1"]
    words += ["--sample", str(folder / "model.csv"), "--no-header"]
    # Before the model is looked at.
    assert app.run(["committee", "create", str(tmp_path / "none"), *words]) == 11
    assert "committee exists already. Choose another folder" in capsys.readouterr().err
    assert app.run(["committee", "refresh", str(folder / "foreign")]) == CommitteeError.exit_status
    told = capsys.readouterr().err
    assert "[SR-COMMITTEE-MISMATCH] the committee was formed by identity:" in told
    assert "name that identity with --identity" in told


def test_a_member_starts_with_a_policy_that_lasts_and_a_folder_that_there_is(
    tmp_path: Path, capsys: Capture
) -> None:
    policy, packages = str(tmp_path / "policy.json"), str(tmp_path / "packages")
    assert app.run(["member", "init", "--policy", policy, "--until", "2020-01-01"]) == 2
    assert "--until '2020-01-01' is over" in capsys.readouterr().err
    assert not Path(policy).exists()
    assert app.run(["member", "init", "--policy", policy, "--until", "30d"]) == 0
    words = ["member", "serve", "--policy", policy, "--packages", packages, "--port", "0"]
    assert app.run(words) == ServerError.exit_status
    assert "packages is no folder" in capsys.readouterr().err


def test_nothing_else_can_be_hidden(folder: Path, capsys: Capture) -> None:
    assert app.run(["plan", *planned(folder, "--hide", "weights")]) == 2
    assert "--hide" in capsys.readouterr().err
    words = planned(folder, "--hide", "model", "--protection", "sealed")
    assert app.run(["plan", *words]) == PolicyError.exit_status
    assert "sealed computes with the model in the clear" in capsys.readouterr().err


def test_a_server_is_told_its_committees_and_how_to_reach_their_members(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[ServerConfig] = []
    monkeypatch.setattr(
        "strongroom.server.serve.serve", lambda config, announce: told.append(config)
    )
    words = ["serve", "m.strongroom", "--tokens", "tokens.json"]
    assert app.run(words) == 0
    words += ["--committee", "a", "--committee", "b"]
    words += ["--member-timeout-seconds", "2.5", "--member-ca", "ca.pem"]
    moved = {"a": "https://a.example:1", "b": "https://b.example:2"}
    words += [word for name, url in moved.items() for word in ("--member-url", f"{name}={url}")]
    assert app.run(words) == 0
    plain, shared = told
    assert plain.committees == ()
    assert shared.committees == ("a", "b")
    assert (shared.member_timeout_seconds, shared.member_ca) == (2.5, "ca.pem")
    assert (plain.member_urls, shared.member_urls) == ({}, moved)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (["a"], "--member-url: write NAME=URL, each name once"),
        (["a=https://a:1", "a=https://b:1"], "--member-url: write NAME=URL, each name once"),
        (["a=example"], "[SR-SERVER-URL] --member-url of 'a': the server's URL does not begin"),
        (["a=http://10.0.0.1"], "[SR-SERVER-TLS] --member-url of 'a': plain http to 10.0.0.1"),
        (["https://u:p4ss@a=1"], "--member-url: write NAME=URL"),
    ],
)
def test_a_url_of_a_member_that_is_none_is_one_clear_line(
    given: list[str], line: str, capsys: Capture
) -> None:
    words = ["serve", "m.strongroom", "--tokens", "t.json", "--committee", "a"]
    words += [word for one in given for word in ("--member-url", one)]
    assert app.run(words) != 0
    told = capsys.readouterr().err
    assert line in told
    assert (told.count("\n"), "p4ss" in told) == (1, False)


def test_a_url_of_a_member_goes_with_a_committee(capsys: Capture) -> None:
    words = ["serve", "m.strongroom", "--tokens", "t.json", "--member-url", "a=https://a:1"]
    assert app.run(words) == ServerError.exit_status
    assert "[SR-SERVER-CONFIG] --member-url says where members are" in capsys.readouterr().err
