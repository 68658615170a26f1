"""The coordinator's end, over members in memory: what is on its disk if one does not hear of it."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "keys" / "committee"))

from small_committees import (
    ENTRY,
    NOW,
    VENDOR_AND_ONE,
    Members,
    identity,
    needs,
    proposal_of,
    run_refresh,
    run_setup,
)

from strongroom.engine import CATALOGUE, KeyCache
from strongroom.errors import CommitteeError
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    CommitteeKeys,
    read_checks,
    write_refreshed,
)
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import propose_refresh
from strongroom.keys.committee.setup import MemberSetup
from strongroom.keys.committee.statement import Committee
from strongroom.member import setup_desk
from strongroom.member.asking import MemberLink
from strongroom.member.coordinating import Coordinating
from strongroom.member.frames import unpack_frames


@pytest.fixture(autouse=True)
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)


class InMemory(Coordinating):
    """Carries messages to members in this process; some are down when all is signed."""

    def __init__(self, sides: Any, *down: str) -> None:
        seats = {name: (identity(name).public, "http://127.0.0.1:9") for name in sides}
        super().__init__(identity("owner"), seats)
        self._sides: dict[str, MemberSetup | MemberRefresh] = sides
        self._down = down

    async def _ask(self, link: MemberLink, purpose: str, body: bytes, answer: str) -> bytes:
        side = self._sides[link.name]
        if purpose in (setup_desk.FINISH, setup_desk.REFRESH_FINISH):
            await asyncio.sleep(0.01 * list(self._sides).index(link.name))
            if link.name in self._down:
                what = f"member {link.name} does not answer"
                raise CommitteeError("SR-MEMBER-UNREACHABLE", what, member=link.name)
            side.finish(body)
        elif purpose == setup_desk.SHARE:
            wanted = msgspec.json.decode(body, type=setup_desk.WantedShare)
            assert isinstance(side, MemberSetup)
            return side.share(wanted.item, wanted.part)
        elif purpose == setup_desk.TAKE:
            item, *shares = unpack_frames(body)
            assert isinstance(side, MemberSetup)
            side.take_shares(item.decode(), dict(enumerate(shares)))
        elif purpose in (setup_desk.BEGIN, setup_desk.REFRESH_BEGIN):
            return side.answer([])
        else:
            return side.answer(unpack_frames(body))
        return b""


def refreshed(members: Members, folder: Path, before: Committee, *down: str) -> None:
    """A refresh whose end some members don't hear of."""
    proposal = propose_refresh(identity("owner"), before, now=NOW)

    async def refresh() -> None:
        refreshes = members.refreshes(before, proposal)
        async with InMemory(refreshes, *down) as carrying:
            coordinator = RefreshCoordinator(before, proposal, read_checks(folder, before))
            await carrying.refresh(proposal, coordinator, partial(write_refreshed, folder))

    asyncio.run(refresh())


def test_what_all_members_signed_is_on_the_coordinators_disk_whoever_does_not_hear_of_it(
    tmp_path: Path,
) -> None:
    members, folder = Members(tmp_path, VENDOR_AND_ONE), tmp_path / "committee"
    with CommitteeFolderWriter(folder) as writer:
        proposed = proposal_of(VENDOR_AND_ONE, needs(products=False))
        before = run_setup(members, proposed, sink=writer)
        writer.finish(before)
    with pytest.raises(CommitteeError, match="hospital does not answer") as error:
        refreshed(members, folder, before, "hospital")
    assert (error.value.code, error.value.member) == ("SR-MEMBER-UNREACHABLE", "hospital")
    assert "folder to hospital, to run `strongroom member adopt FOLDER" in error.value.remedy
    after = Committee.read(folder / STATEMENT_FILE)
    assert after.epoch == 1
    # The others heard, also those that are told after it.
    assert members.stores["vendor"].committees() == [after]
    assert members.stores["auditor"].committees() == [after]
    assert members.stores["hospital"].committees() == [before]
    # It follows with what the coordinator has; then there can be another refresh.
    members.stores["hospital"].keep_committee(after)
    assert read_checks(folder, after).digest == members.stores["hospital"].checks(after).digest
    assert run_refresh(members, after).epoch == 2


def test_who_did_not_hear_of_the_end_is_named_whoever_else_did(tmp_path: Path) -> None:
    members, folder = Members(tmp_path, VENDOR_AND_ONE), tmp_path / "committee"
    with CommitteeFolderWriter(folder) as writer:
        proposed = proposal_of(VENDOR_AND_ONE, needs(products=False))
        before = run_setup(members, proposed, sink=writer)
        writer.finish(before)
    with pytest.raises(CommitteeError, match="all members have signed") as error:
        refreshed(members, folder, before, "vendor", "auditor")
    assert "vendor does not answer; member auditor does not answer" in error.value.message
    assert "folder to vendor, auditor, to run" in error.value.remedy
    assert members.stores["hospital"].committees() == [Committee.read(folder / STATEMENT_FILE)]


def test_a_key_is_made_whole_also_if_a_member_does_not_hear_that_all_have_signed(
    tmp_path: Path,
) -> None:
    members, folder = Members(tmp_path, VENDOR_AND_ONE), tmp_path / "committee"

    async def create() -> None:
        with CommitteeFolderWriter(folder) as writer:
            coordinator = Coordinator(identity("owner"), proposal_of(VENDOR_AND_ONE), writer)
            async with InMemory(members.setups(coordinator.proposal), "vendor") as carrying:
                await carrying.create(coordinator, writer.finish)

    with pytest.raises(CommitteeError, match="vendor does not answer"):
        asyncio.run(create())
    committee = Committee.read(folder / STATEMENT_FILE)
    with CommitteeKeys(folder, KeyCache(0)) as keys:
        assert len(keys.evaluation_keys.elements) == len(committee.statement.keys) == 2
    for name in ("hospital", "auditor"):
        assert members.stores[name].committees() == [committee]
    assert members.stores["vendor"].committees() == []
    members.stores["vendor"].keep_committee(committee)
    assert members.stores["vendor"].open(committee, "vendor").parts
