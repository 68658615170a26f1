"""The coordinator's end, over members in memory: what is on its disk if one does not hear of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

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

from strongroom.engine import CATALOGUE
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import (
    STATEMENT_FILE,
    CommitteeFolderWriter,
    read_checks,
    write_refreshed,
)
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import propose_refresh
from strongroom.keys.committee.statement import Committee
from strongroom.member import setup_desk
from strongroom.member.coordinating import Coordinating
from strongroom.member.frames import unpack_frames


@pytest.fixture(autouse=True)
def small_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CATALOGUE, ENTRY.name, ENTRY)


class InMemory(Coordinating):
    """Carries messages to members in this process; one of them is down when all is signed."""

    def __init__(self, refreshes: dict[str, MemberRefresh], down: str) -> None:
        super().__init__(identity("owner"), {})
        self._refreshes = refreshes
        self._down = down

    async def _all(self, purpose: str, body: bytes, answer: str) -> Sequence[bytes]:
        if purpose != setup_desk.REFRESH_FINISH:
            messages = [] if purpose == setup_desk.REFRESH_BEGIN else unpack_frames(body)
            return [one.answer(messages) for one in self._refreshes.values()]
        for name, one in self._refreshes.items():
            if name == self._down:
                raise CommitteeError("SR-MEMBER-UNREACHABLE", f"{name} does not answer")
            one.finish(body)
        return []


def test_what_all_members_signed_is_on_the_coordinators_disk_whoever_does_not_hear_of_it(
    tmp_path: Path,
) -> None:
    members, folder = Members(tmp_path, VENDOR_AND_ONE), tmp_path / "committee"
    with CommitteeFolderWriter(folder) as writer:
        proposed = proposal_of(VENDOR_AND_ONE, needs(products=False))
        before = run_setup(members, proposed, sink=writer)
        writer.finish(before)
    proposal = propose_refresh(identity("owner"), before, now=NOW)

    async def refresh() -> None:
        refreshes = members.refreshes(before, proposal)
        async with InMemory(refreshes, "hospital") as carrying:
            coordinator = RefreshCoordinator(before, proposal, read_checks(folder, before))
            await carrying.refresh(proposal, coordinator, partial(write_refreshed, folder))

    with pytest.raises(CommitteeError, match="hospital does not answer"):
        asyncio.run(refresh())
    after = Committee.read(folder / STATEMENT_FILE)
    assert after.epoch == 1
    assert members.stores["vendor"].committees() == [after]
    # The others follow with what the coordinator has; then there can be another refresh.
    for name in ("hospital", "auditor"):
        assert members.stores[name].committees() == [before]
        members.stores[name].keep_committee(after)
    assert read_checks(folder, after).digest == members.stores["hospital"].checks(after).digest
    assert run_refresh(members, after).epoch == 2
