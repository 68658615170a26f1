"""`strongroom member adopt` and `discard`, where the end of a refresh or a setup never arrived."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import (
    ENTRY,
    NOW,
    PASSPHRASE,
    VENDOR_AND_ONE,
    Members,
    gather,
    identity,
    next_round,
    proposal_of,
    run_refresh,
    run_setup,
    unaltered,
)

from strongroom.cli import app
from strongroom.engine import CATALOGUE, KeyCache
from strongroom.errors import CommitteeError, KeyStoreError
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    CommitteeKeys,
    checks_path,
    write_refreshed,
)
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_record import propose_refresh
from strongroom.keys.committee.statement import Committee
from strongroom.member.journal import Journal
from strongroom.member.seats import ledger_path
from strongroom.member.setup_desk import keys_folder

Capture = pytest.CaptureFixture[str]

ABSENT = "hospital"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands are the hospital's."""
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)
    monkeypatch.setenv("STRONGROOM_PASSPHRASE", PASSPHRASE)
    monkeypatch.setenv("STRONGROOM_HOME", str(tmp_path / ABSENT / "home"))
    return tmp_path / ABSENT / "home"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The coordinator's."""
    return tmp_path / "committee"


@pytest.fixture
def members(tmp_path: Path) -> Members:
    return Members(tmp_path, VENDOR_AND_ONE)


def signed_setup(members: Members, folder: Path) -> Committee:
    """A setup that ended for everybody but the hospital."""
    with CommitteeFolderWriter(folder) as writer:
        coordinator = Coordinator(identity("owner"), proposal_of(VENDOR_AND_ONE), writer)
        setups = members.setups(coordinator.proposal)
        while not coordinator.finished:
            next_round(coordinator, setups, unaltered)
            gather(coordinator, setups)
        committee = coordinator.committee
        writer.finish(committee)
    for name, one in setups.items():
        if name != ABSENT:
            one.finish(committee.to_bytes())
    return committee


def formed(members: Members, folder: Path) -> Committee:
    """A committee that everybody knows of."""
    with CommitteeFolderWriter(folder) as writer:
        committee = run_setup(members, proposal_of(VENDOR_AND_ONE), sink=writer)
        writer.finish(committee)
    return committee


def refreshed_without(members: Members, folder: Path, committee: Committee) -> Committee:
    """A refresh whose last message reached everybody but the hospital."""
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    coordinator = members.coordinator(committee, proposal)
    refreshes = members.refreshes(committee, proposal)
    while not coordinator.finished:
        coordinator.take([one.answer(coordinator.messages) for one in refreshes.values()])
    after = coordinator.committee
    write_refreshed(folder, after, coordinator.checks)
    for name, one in refreshes.items():
        if name != ABSENT:
            one.finish(after.to_bytes())
    return after


def signed_by_the_hospital_alone(members: Members, committee: Committee) -> None:
    """A refresh that the others never signed."""
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    coordinator = members.coordinator(committee, proposal)
    refreshes = members.refreshes(committee, proposal)
    for _ in range(2):
        coordinator.take([one.answer(coordinator.messages) for one in refreshes.values()])
    refreshes[ABSENT].answer(coordinator.messages)


def require_whole(members: Members, committee: Committee) -> None:
    """All parts are of one state, and fit what all members signed."""
    seed, limbs = bytes.fromhex(committee.statement.seed), committee.statement.public_limbs
    for name, held in members.held(committee).items():
        checks = members.stores[name].checks(committee)
        for number, part in held.parts.items():
            assert checks.of([number]).is_of(part, seed, limbs)


@contextlib.contextmanager
def running(home: Path, committee: Committee) -> Iterator[None]:
    """As long as a member's process has its ledger."""
    with Journal(ledger_path(home, committee.digest)):
        yield


def test_a_member_that_a_refresh_s_last_message_never_reached_adopts_its_end(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    before = formed(members, folder)
    after = refreshed_without(members, folder, before)
    assert members.stores[ABSENT].committees() == [before]
    # Neither the next refresh nor another of the old state gets any further, and says what to do.
    for committee in (after, before):
        proposal = propose_refresh(identity("owner"), committee, now=NOW)
        with pytest.raises(CommitteeError) as error:
            MemberRefresh(
                identity(ABSENT), before, proposal, lambda _: None, members.stores[ABSENT]
            )
        assert "`strongroom member adopt`" in error.value.message  # what a refusal carries
    assert app.run(["member", "discard", "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)["unfinished"]
    assert listed["committee"] == before.digest
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["committee"] == after.digest
    assert (said["refreshes"], said["changed"], said["evaluation_keys"]) == (1, True, True)
    assert members.stores[ABSENT].committees() == [after]
    assert members.stores[ABSENT].unfinished() == ()
    assert len(list((home / "parts").iterdir())) == 1
    require_whole(members, after)
    assert run_refresh(members, after).epoch == 2


def test_adopting_what_is_known_changes_nothing(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    committee = formed(members, folder)
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE)]) == 0
    expected = f"had already committee {committee.digest}, refreshes: 0\n"
    assert " ".join(capsys.readouterr().out.split()) == expected.strip()
    require_whole(members, committee)


def test_what_another_member_has_is_enough(
    members: Members, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    """The coordinator's folder is lost; one that has the end sends its two files."""
    committee = formed(members, folder)
    after = refreshed_without(members, folder, committee)
    shutil.rmtree(folder)
    theirs = tmp_path / "vendor" / "home" / "committees"
    (statement,), (checks,) = theirs.glob("*.json"), theirs.glob("*.checks")
    # Its own checks are lost too.
    for path in (tmp_path / ABSENT / "home" / "committees").glob("*.checks"):
        path.unlink()
    assert app.run(["member", "adopt", str(statement)]) == CommitteeError.exit_status
    told = capsys.readouterr().err
    assert "[SR-COMMITTEE-FILE]" in told
    assert "`strongroom member adopt FOLDER/committee.json`" in told
    assert members.stores[ABSENT].committees() == [committee]
    assert app.run(["member", "adopt", str(statement), str(checks)]) == 0
    assert "there are no evaluation keys here" in " ".join(capsys.readouterr().out.split())
    require_whole(members, after)


def test_a_member_that_missed_the_end_of_a_setup_gets_the_evaluation_keys_too(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    committee = signed_setup(members, folder)
    assert members.stores[ABSENT].committees() == []
    assert app.run(["member", "discard"]) == 0
    assert "setup" in capsys.readouterr().out
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE)]) == 0
    assert "evaluation keys" not in capsys.readouterr().out
    require_whole(members, committee)
    with CommitteeKeys(keys_folder(home, committee.statement.proposal), KeyCache(0)) as keys:
        assert keys.committee == committee
        assert len(keys.evaluation_keys.elements) == len(committee.statement.keys)


def test_an_evaluation_key_that_was_damaged_is_not_kept(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    committee = signed_setup(members, folder)
    path = max(folder.glob("[0-9]*.key"))
    data = bytearray(path.read_bytes())
    data[-100_000] ^= 1
    path.write_bytes(data)
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE)]) != 0
    assert "[SR-COMMITTEE-FILE]" in capsys.readouterr().err
    assert not keys_folder(home, committee.statement.proposal).exists()


def test_only_what_all_members_signed_and_what_parts_are_here_for_is_adopted(
    members: Members, folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    before = formed(members, folder)
    kept = (folder / STATEMENT_FILE).read_bytes()
    after = refreshed_without(members, folder, before)
    statement, good = folder / STATEMENT_FILE, (folder / STATEMENT_FILE).read_bytes()
    altered = json.loads(good)
    altered["refreshes"][0]["record"]["created"] = "2026-12-24T00:00:00Z"
    foreign = Members(tmp_path / "foreign", VENDOR_AND_ONE)
    formed(foreign, tmp_path / "foreign" / "committee")
    other = (tmp_path / "foreign" / "committee" / STATEMENT_FILE).read_bytes()
    for data in (json.dumps(altered).encode(), other, b"{}"):
        statement.write_bytes(data)
        assert app.run(["member", "adopt", str(statement)]) == CommitteeError.exit_status
        assert "[SR-COMMITTEE-FILE]" in capsys.readouterr().err
        assert members.stores[ABSENT].committees() == [before]
    checks = checks_path(folder, after)
    whole = checks.read_bytes()
    statement.write_bytes(good)
    checks.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert app.run(["member", "adopt", str(statement)]) == CommitteeError.exit_status
    checks.write_bytes(whole)
    assert app.run(["member", "adopt", str(statement)]) == 0
    # What is older does not take it back.
    statement.write_bytes(kept)
    assert app.run(["member", "adopt", str(statement)]) == CommitteeError.exit_status
    assert members.stores[ABSENT].committees() == [after]


def test_a_member_that_runs_is_left_alone(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    before = formed(members, folder)
    refreshed_without(members, folder, before)
    (name,) = members.stores[ABSENT].unfinished()
    with running(home, before):
        for words in (["adopt", str(folder / STATEMENT_FILE)], ["discard", name, "--yes"]):
            assert app.run(["member", *words]) == KeyStoreError.exit_status
            assert "in use by another process" in capsys.readouterr().err
    assert members.stores[ABSENT].committees() == [before]
    assert members.stores[ABSENT].unfinished() == (name,)
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE)]) == 0


def test_parts_of_a_refresh_that_nobody_finished_are_discarded_and_the_next_one_works(
    members: Members, folder: Path, capsys: Capture
) -> None:
    committee = formed(members, folder)
    signed_by_the_hospital_alone(members, committee)
    (name,) = members.stores[ABSENT].unfinished()
    with pytest.raises(CommitteeError, match="its end is not known") as error:
        run_refresh(members, committee)
    assert f"`strongroom member discard {name}`" in str(error.value)
    assert "`strongroom member discard`" in error.value.message  # what a refusal carries
    assert app.run(["member", "discard"]) == 0
    listed = capsys.readouterr().out
    assert name in listed
    assert ("refresh" in listed, committee.digest in listed) == (True, True)
    assert app.run(["member", "discard", name, "--yes"]) == 0
    assert capsys.readouterr().out == f"discarded {name}\n"
    assert app.run(["member", "discard"]) == 0
    assert "no parts in" in capsys.readouterr().out
    require_whole(members, committee)
    assert run_refresh(members, committee).epoch == 1


@pytest.mark.parametrize("kind", ["setup", "refresh"])
def test_parts_are_not_destroyed_before_somebody_was_told_what_that_means(
    members: Members, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, kind: str
) -> None:
    if kind == "setup":
        signed_setup(members, folder)
    else:
        refreshed_without(members, folder, formed(members, folder))
    (name,) = members.stores[ABSENT].unfinished()
    assert app.run(["member", "discard", name]) == 2
    assert "pass --yes" in capsys.readouterr().err
    asked: list[str] = []

    def refuse(question: str, **_: object) -> None:
        asked.append(question)
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", refuse)
    assert app.run(["member", "discard", name]) != 0
    (question,) = asked
    assert "without them it never answers" in question
    assert "`strongroom member adopt committee.json` keeps them" in question
    assert question.endswith(f"Destroy {name} for good?")
    assert members.stores[ABSENT].unfinished() == (name,)
    # It was not too late.
    assert app.run(["member", "adopt", str(folder / STATEMENT_FILE)]) == 0


def test_parts_that_count_are_never_discarded(
    members: Members, folder: Path, home: Path, capsys: Capture
) -> None:
    committee = formed(members, folder)
    (sealed,) = (home / "parts").glob("*.key")
    for name in (sealed.stem, "nothing"):
        assert app.run(["member", "discard", name, "--yes"]) == CommitteeError.exit_status
        assert "`strongroom member discard` without a name" in capsys.readouterr().err
    assert MemberStore(home, passphrase=PASSPHRASE).open(committee, ABSENT).parts
