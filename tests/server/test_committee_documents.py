"""What a server shows of a committee is what its folder holds, also after a refresh."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import (
    ENTRY,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    proposal_of,
    run_refresh,
    run_setup,
)

from strongroom.engine import CATALOGUE
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    PUBLIC_FILE,
    STATEMENT_FILE,
    CommitteeFolderWriter,
    checks_path,
    write_refreshed,
)
from strongroom.keys.committee.statement import Committee
from strongroom.server.committee_documents import CommitteeDocuments


@pytest.fixture(autouse=True)
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)


def made(folder: Path, access: str) -> tuple[Members, Committee]:
    members = Members(folder, access)
    with CommitteeFolderWriter(folder / "committee") as writer:
        committee = run_setup(members, proposal_of(access), sink=writer)
        writer.finish(committee)
    return members, committee


def test_the_documents_are_those_of_the_folder_and_follow_a_refresh(tmp_path: Path) -> None:
    members, committee = made(tmp_path, VENDOR_AND_ONE)
    folder = tmp_path / "committee"
    documents = CommitteeDocuments(folder)
    assert documents.committee() == committee
    assert documents.public_key == (folder / PUBLIC_FILE).read_bytes()
    assert documents.checks().digest == committee.checks_digest
    refreshed = run_refresh(members, committee)
    write_refreshed(folder, refreshed, members.stores["vendor"].checks(refreshed))
    assert documents.committee() == refreshed
    assert documents.checks().digest == refreshed.checks_digest != committee.checks_digest


def test_without_its_checks_a_committee_is_shown_all_the_same(tmp_path: Path) -> None:
    _, committee = made(tmp_path, VENDOR_AND_ONE)
    checks_path(tmp_path / "committee", committee).unlink()
    documents = CommitteeDocuments(tmp_path / "committee")
    assert documents.committee() == committee
    with pytest.raises(CommitteeError) as error:
        documents.checks()
    assert (error.value.code, error.value.http_status) == ("SR-COMMITTEE-FILE", 503)
    assert "\n" not in str(error.value)
    assert str(tmp_path) not in str(error.value)  # an asker is told it


def test_another_committee_in_its_place_is_not_shown(tmp_path: Path) -> None:
    for name, access in (("one", VENDOR_AND_ONE), ("other", TWO_OF_THREE)):
        (tmp_path / name).mkdir()
        made(tmp_path / name, access)
    documents = CommitteeDocuments(tmp_path / "one" / "committee")
    other = (tmp_path / "other" / "committee" / STATEMENT_FILE).read_bytes()
    (tmp_path / "one" / "committee" / STATEMENT_FILE).write_bytes(other)
    with pytest.raises(CommitteeError, match="another committee") as error:
        documents.committee()
    assert error.value.code == "SR-COMMITTEE-FILE"
    (tmp_path / "one" / "committee" / STATEMENT_FILE).unlink()
    with pytest.raises(CommitteeError, match="can't be read"):
        documents.committee()
