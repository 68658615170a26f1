"""Whenever a process ends, what it left goes together: statement, parts and checks of one state."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from interruptions import every_end
from small_committees import (
    NOW,
    VENDOR_AND_ONE,
    Members,
    identity,
    needs,
    proposal_of,
    run_refresh,
    run_setup,
)

from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    checks_path,
    read_checks,
    write_refreshed,
)
from strongroom.keys.committee.parts import MemberStore
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import propose_refresh
from strongroom.keys.committee.statement import Committee


def formed(folder: Path) -> tuple[Members, Committee]:
    """A committee, and its folder beside it."""
    members = Members(folder, VENDOR_AND_ONE)
    with CommitteeFolderWriter(folder / "committee") as writer:
        proposal = proposal_of(VENDOR_AND_ONE, needs(products=False))
        committee = run_setup(members, proposal, sink=writer)
        writer.finish(committee)
    return members, committee


def begun(
    members: Members, committee: Committee, rounds: int
) -> tuple[RefreshCoordinator, dict[str, MemberRefresh]]:
    """A refresh after some rounds."""
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    coordinator = members.coordinator(committee, proposal)
    refreshes = members.refreshes(committee, proposal)
    for _ in range(rounds):
        coordinator.take([one.answer(coordinator.messages) for one in refreshes.values()])
    return coordinator, refreshes


def require_whole(store: MemberStore, name: str) -> Committee:
    """The one committee that a member has: its parts open, and the checks are theirs."""
    (committee,) = store.committees()
    checks, held = store.checks(committee), store.open(committee, name)
    seed = bytes.fromhex(committee.statement.seed)
    for number, part in held.parts.items():
        assert checks.of([number]).is_of(part, seed, committee.statement.public_limbs)
    return committee


def restored(copy: Path, folder: Path) -> None:
    """Put a folder back to what it was."""
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)


def files_of(home: Path) -> list[str]:
    """Names of what belongs to committees; not of what nobody reads."""
    found = [*(home / "parts").iterdir(), *(home / "committees").iterdir()]
    return sorted(path.name for path in found if not path.name.startswith("."))


def test_a_process_that_ends_while_it_keeps_new_parts_has_the_old_ones(tmp_path: Path) -> None:
    members, committee = formed(tmp_path)
    home, copy = tmp_path / "hospital" / "home", tmp_path / "copy"
    shutil.copytree(home, copy)

    def act() -> None:
        refreshes["hospital"].answer(coordinator.messages)

    ends = 0
    coordinator, refreshes = begun(members, committee, 2)
    for ended in every_end(lambda: restored(copy, home), act):
        store = Members(tmp_path, VENDOR_AND_ONE).stores["hospital"]
        assert require_whole(store, "hospital") == committee
        # Nobody has its signature; whatever there is of new parts can go.
        for name in store.unfinished():
            store.discard(name)
        assert files_of(home) == files_of(copy)
        ends += ended
        coordinator, refreshes = begun(members, committee, 2)
    assert ends >= 2
    assert run_refresh(members, committee).epoch == 1


def test_a_process_that_ends_while_it_takes_the_end_of_a_refresh_has_parts_of_one_state(
    tmp_path: Path,
) -> None:
    members, committee = formed(tmp_path)
    coordinator, refreshes = begun(members, committee, 3)
    after = coordinator.committee
    home, copy = tmp_path / "hospital" / "home", tmp_path / "copy"
    shutil.copytree(home, copy)

    def act() -> None:
        Members(tmp_path, VENDOR_AND_ONE).stores["hospital"].keep_committee(after)

    found = []
    for ended in every_end(lambda: restored(copy, home), act):
        store = Members(tmp_path, VENDOR_AND_ONE).stores["hospital"]
        found.append(require_whole(store, "hospital"))
        if ended:
            store.keep_committee(after)
        assert require_whole(store, "hospital") == after
        # Nothing of the old state is left, wherever it ended.
        assert len(files_of(home)) == 3
    assert found[0] == committee
    assert found[-1] == after
    # Before the statement, before the old parts went, before the old checks did, and not at all.
    assert len(found) >= 4
    refreshes["vendor"].finish(after.to_bytes())
    assert require_whole(members.stores["vendor"], "vendor") == after


def test_a_committees_folder_has_the_checks_that_its_statement_names_at_every_moment(
    tmp_path: Path,
) -> None:
    members, before = formed(tmp_path)
    after = run_refresh(members, before)
    checks = members.stores["vendor"].checks(after)
    folder, copy = tmp_path / "committee", tmp_path / "copy"
    shutil.copytree(folder, copy)

    def act() -> None:
        write_refreshed(folder, after, checks)

    found = []
    for ended in every_end(lambda: restored(copy, folder), act):
        found.append(Committee.read(folder / STATEMENT_FILE))
        assert read_checks(folder, found[-1]).digest == found[-1].checks_digest
        if ended:
            write_refreshed(folder, after, checks)
        assert list(folder.glob("checks-*.bin")) == [checks_path(folder, after)]
    assert found[0] == before
    assert found[-1] == after
    assert {one.epoch for one in found} == {0, 1}


@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1])],
    ids=["lost", "cut"],
)
def test_checks_that_are_lost_or_damaged_are_an_error_that_says_where_they_are(
    tmp_path: Path, damage: Callable[[Path], object]
) -> None:
    members, committee = formed(tmp_path)
    store, folder = members.stores["vendor"], tmp_path / "committee"
    (kept,) = (tmp_path / "vendor" / "home" / "committees").glob("*.checks")
    good = kept.read_bytes()
    for path, read in (
        (kept, lambda: store.checks(committee)),
        (checks_path(folder, committee), lambda: read_checks(folder, committee)),
    ):
        assert path.stat().st_mode & 0o777 == 0o644
        damage(path)
        with pytest.raises(CommitteeError, match="again from its coordinator") as caught:
            read()
        assert caught.value.code == "SR-COMMITTEE-FILE"
        assert str(path) in caught.value.message
    # Shares are given without; parts are not refreshed.
    assert store.open(committee, "vendor").parts
    with pytest.raises(CommitteeError, match="checks of the key's parts"):
        begun(members, committee, 0)
    kept.write_bytes(good)
    assert run_refresh(members, committee).epoch == 1


def test_a_member_that_leaves_destroys_the_checks_too(tmp_path: Path) -> None:
    members, committee = formed(tmp_path)
    members.stores["hospital"].destroy(committee.digest)
    assert files_of(tmp_path / "hospital" / "home") == []
