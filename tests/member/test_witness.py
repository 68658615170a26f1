"""Members notice a peer whose log went back, and one with an old log notices it itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from member_world import COMMITTEE, IDENTITIES, OTHER, Member, ask, policy

from strongroom.errors import StrongroomError
from strongroom.member.log_heads import (
    COUNTERSIGNED_FOR,
    MOST_LINKS,
    Advance,
    LogHead,
    SignedHead,
    Witnessed,
)
from strongroom.member.records import Entry

Start = Callable[..., Member]


def code_of(action: Callable[[], object]) -> str:
    with pytest.raises(StrongroomError) as error:
        action()
    return error.value.code


@pytest.fixture
def three(member: Start) -> tuple[Member, Member, Member]:
    """All members, each of which needs one witness."""
    members = member("vendor"), member("hospital"), member("auditor")
    for one in members:
        one.allow(policy(witnesses=1, unwitnessed=2))
    return members


def test_a_member_answers_when_its_peers_were_heard(
    three: tuple[Member, Member, Member],
) -> None:
    vendor, hospital, auditor = three
    assert code_of(lambda: vendor.answer(ask(1))) == "SR-MEMBER-UNREACHABLE"
    vendor.recall(hospital)
    assert code_of(lambda: vendor.answer(ask(1))) == "SR-MEMBER-UNREACHABLE"
    vendor.recall(auditor)
    assert vendor.answer(ask(1)).member == "vendor"


def test_with_two_witnesses_one_peer_is_enough_to_start(
    three: tuple[Member, Member, Member],
) -> None:
    vendor, hospital, _ = three
    vendor.allow(policy(witnesses=2, unwitnessed=2))
    assert code_of(lambda: vendor.answer(ask(1))) == "SR-MEMBER-UNREACHABLE"
    vendor.recall(hospital)
    for counter in (1, 2):
        vendor.answer(ask(counter))
        vendor.show(hospital)
    # Two have to countersign, and the other one has not.
    assert code_of(lambda: vendor.answer(ask(3))) == "SR-MEMBER-UNREACHABLE"


def test_answers_that_nobody_countersigns_end_soon(three: tuple[Member, Member, Member]) -> None:
    vendor, hospital, auditor = three
    vendor.recall(hospital)
    vendor.recall(auditor)
    vendor.answer(ask(1))
    vendor.answer(ask(2))
    assert code_of(lambda: vendor.answer(ask(3))) == "SR-MEMBER-UNREACHABLE"
    vendor.show(auditor)
    vendor.answer(ask(3))


def test_a_member_restored_from_an_old_backup_refuses(
    three: tuple[Member, Member, Member], tmp_path: Path
) -> None:
    vendor, hospital, auditor = three
    for peer in (hospital, auditor):
        vendor.recall(peer)
    vendor.answer(ask(1))
    vendor.show(auditor)
    vendor.ledger.close()
    shutil.copytree(vendor.folder / "ledger", tmp_path / "backup")
    vendor.start()
    for peer in (hospital, auditor):
        vendor.recall(peer)
    vendor.answer(ask(2))
    vendor.show(auditor)
    vendor.ledger.close()
    shutil.rmtree(vendor.folder / "ledger")
    shutil.copytree(tmp_path / "backup", vendor.folder / "ledger")
    vendor.start()
    vendor.recall(hospital)  # which has seen nothing
    assert code_of(lambda: vendor.answer(ask(3))) == "SR-MEMBER-UNREACHABLE"
    assert code_of(lambda: vendor.recall(auditor)) == "SR-MEMBER-ROLLBACK"
    assert code_of(lambda: vendor.answer(ask(3))) == "SR-MEMBER-ROLLBACK"
    vendor.recall(hospital)
    assert code_of(lambda: vendor.answer(ask(3))) == "SR-MEMBER-ROLLBACK"


def test_a_member_that_lost_its_ledger_refuses(three: tuple[Member, Member, Member]) -> None:
    vendor, hospital, auditor = three
    for peer in (hospital, auditor):
        vendor.recall(peer)
    vendor.answer(ask(1))
    vendor.show(hospital)
    vendor.ledger.close()
    shutil.rmtree(vendor.folder / "ledger")
    vendor.start()
    assert code_of(lambda: vendor.recall(hospital)) == "SR-MEMBER-ROLLBACK"


def test_a_log_that_went_back_and_on_is_not_countersigned(
    three: tuple[Member, Member, Member], tmp_path: Path
) -> None:
    vendor, hospital, _ = three
    vendor.allow(policy())
    vendor.answer(ask(1))
    vendor.ledger.close()
    shutil.copytree(vendor.folder / "ledger", tmp_path / "backup")
    vendor.start()
    vendor.answer(ask(2))
    vendor.show(hospital)
    vendor.ledger.close()
    shutil.rmtree(vendor.folder / "ledger")
    shutil.copytree(tmp_path / "backup", vendor.folder / "ledger")
    vendor.start()
    shorter = vendor.standing.next_advance("hospital")
    assert shorter is not None

    def countersign(advance: Advance) -> Witnessed:
        return hospital.witness.countersign("vendor", vendor.identity.public, advance)

    assert code_of(lambda: countersign(shorter)) == "SR-MEMBER-ROLLBACK"
    vendor.answer(ask(3))
    vendor.answer(ask(4))
    longer = vendor.standing.next_advance("hospital")
    assert longer is not None
    told = countersign(longer)
    assert told.head is not None
    assert told.head.head.number == 2
    assert code_of(lambda: vendor.standing.heard("hospital", told)) == "SR-MEMBER-ROLLBACK"
    beside = msgspec.structs.replace(longer, after=2, entries=longer.entries[2:])
    assert code_of(lambda: countersign(beside)) == "SR-MEMBER-ROLLBACK"


def test_what_a_peer_has_seen_outlives_its_restart(three: tuple[Member, Member, Member]) -> None:
    vendor, hospital, _ = three
    vendor.allow(policy())
    vendor.answer(ask(1))
    vendor.show(hospital)
    hospital.restart()
    seen = hospital.witness.seen("vendor")
    assert seen.head is not None
    assert seen.head.head == vendor.ledger.head
    vendor.answer(ask(2))
    vendor.restart()
    vendor.recall(hospital)
    vendor.show(hospital)
    assert hospital.witness.seen("vendor").head.head == vendor.ledger.head  # type: ignore[union-attr]


def test_a_long_log_is_shown_in_pieces(three: tuple[Member, Member, Member]) -> None:
    vendor, hospital, _ = three
    chain = vendor.ledger._chain
    for number in range(MOST_LINKS + 10):
        entry = f"sha256:{number:064x}"
        chain.append(entry, chain.following(entry))
    first = vendor.standing.next_advance("hospital")
    assert first is not None
    assert len(first.entries) == MOST_LINKS
    vendor.show(hospital)
    assert hospital.witness.seen("vendor").head.head.number == MOST_LINKS + 10  # type: ignore[union-attr]


def test_nobody_else_moves_a_members_log_or_pretends_to_have_seen_it(
    three: tuple[Member, Member, Member],
) -> None:
    vendor, hospital, auditor = three
    vendor.allow(policy())
    vendor.answer(ask(1))
    advance = vendor.standing.next_advance("hospital")
    assert advance is not None

    def shown(other: Advance, who: str = "vendor") -> object:
        return hospital.witness.countersign(who, IDENTITIES[who].public, other)

    forged = msgspec.structs.replace(advance, head=SignedHead.by(OTHER, advance.head.head))
    assert code_of(lambda: shown(forged)) == "SR-MEMBER-ROLLBACK"
    assert code_of(lambda: shown(advance, "auditor")) == "SR-MEMBER-ROLLBACK"
    head = LogHead(committee=COMMITTEE, member="vendor", number=9, link="sha256:" + "9" * 64)
    invented = SignedHead.by(auditor.identity, head)
    signed = SignedHead.by(auditor.identity, head, COUNTERSIGNED_FOR).signatures
    lie = Witnessed(invented, signed)
    assert code_of(lambda: vendor.standing.heard("auditor", lie)) == "SR-MEMBER-REFUSED"
    vendor.recall(hospital)
    vendor.answer(ask(2))


def test_peers_learn_how_many_answers_there_were_and_not_to_whom(
    three: tuple[Member, Member, Member],
) -> None:
    vendor, _, _ = three
    vendor.allow(policy())
    asked = ask(1)
    vendor.answer(asked)
    shown = msgspec.json.encode(vendor.standing.next_advance("hospital"))
    for field in ("query", "result", "client", "package", "server", "answer"):
        assert field in Entry.__struct_fields__
    for secret in (asked.query.query.digest, asked.query.query.client, asked.query.query.package):
        assert secret.encode() not in shown
