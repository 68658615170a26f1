"""A member's parts at rest, and what is left when a process ends in the middle."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from small_committees import (
    NAME,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    proposal_of,
    run_setup,
    until,
)

from strongroom.engine import catalogued
from strongroom.engine.threshold import KeyPart
from strongroom.errors import CommitteeError, KeyStoreError, StrongroomError
from strongroom.keys.committee.parts import MemberStore, require_committee
from strongroom.keys.one_time_keys import OneTimeKey, seal_to


def every_byte_below(folder: Path) -> bytes:
    """All that is on disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return b"\0".join(path.read_bytes() for path in files)


def test_no_part_lies_open_on_any_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    generate = KeyPart.generate

    def generated(parameters: object) -> KeyPart:
        part = generate(catalogued(NAME))
        made.append(part.to_bytes())
        return part

    monkeypatch.setattr(KeyPart, "generate", staticmethod(generated))
    members = Members(tmp_path, TWO_OF_THREE)
    coordinator, setups = until(members, proposal_of(TWO_OF_THREE), "agree")
    found = every_byte_below(tmp_path)
    committee = run_setup(Members(tmp_path / "whole", TWO_OF_THREE), proposal_of(TWO_OF_THREE))
    found += every_byte_below(tmp_path)
    assert len(made) == 6
    for secret in made:  # 1057 bytes of which every 32 are a canary
        for at in range(40, len(secret) - 32, 32):
            assert secret[at : at + 32] not in found
    assert committee.digest.encode()[7:31] in found
    assert len(coordinator.messages) == len(setups)


def test_parts_open_with_the_passphrase_alone(tmp_path: Path) -> None:
    members = Members(tmp_path, VENDOR_AND_ONE)
    committee = run_setup(members, proposal_of(VENDOR_AND_ONE))
    with pytest.raises(KeyStoreError) as caught:
        MemberStore(tmp_path / "vendor" / "home", passphrase="another").open(committee, "vendor")
    assert caught.value.code == "SR-KEYS-PASSPHRASE"


def test_parts_are_neither_shown_nor_pickled(tmp_path: Path) -> None:
    members = Members(tmp_path, VENDOR_AND_ONE)
    held = members.held(run_setup(members, proposal_of(VENDOR_AND_ONE)))["vendor"]
    assert repr(held) == "HeldParts('vendor', parts 0)"
    for secret in (held, OneTimeKey()):
        with pytest.raises(TypeError):
            pickle.dumps(secret)


def test_a_member_answers_for_its_own_parts_of_an_active_set_and_no_others(
    tmp_path: Path,
) -> None:
    members = Members(tmp_path, TWO_OF_THREE)
    committee = run_setup(members, proposal_of(TWO_OF_THREE))
    held = members.held(committee)
    for active in (("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")):
        answered = {
            number
            for name in active
            for number, part in held[name].parts.items()
            if part in held[name].answering(active)
        }
        count = sum(len(held[name].answering(active)) for name in active)
        assert (answered, count) == ({0, 1, 2}, 3)
    assert held["c"].answering(("a", "b")) == []
    with pytest.raises(CommitteeError) as caught:
        held["c"].answering(("c",))
    assert caught.value.code == "SR-COMMITTEE-ACCESS"


def test_a_members_parts_are_not_anothers(tmp_path: Path) -> None:
    members = Members(tmp_path, VENDOR_AND_ONE)
    committee = run_setup(members, proposal_of(VENDOR_AND_ONE))
    with pytest.raises(CommitteeError, match="not those of auditor") as caught:
        members.stores["hospital"].open(committee, "auditor")
    assert caught.value.code == "SR-COMMITTEE-FILE"


@pytest.mark.parametrize("last", ["commit", "reveal", "offer", "agree", "second"])
def test_a_process_that_ends_before_it_signed_leaves_nothing_that_counts(
    tmp_path: Path, last: str
) -> None:
    members = Members(tmp_path, "a AND b")
    until(members, proposal_of("a AND b"), last)
    again = Members(tmp_path, "a AND b")
    assert again.stores["a"].committees() == []
    assert again.stores["a"].unfinished() == ()
    # The next setup works in the same folders, and none of the old shares is left after it.
    committee = run_setup(again, proposal_of("a AND b"))
    assert again.stores["a"].committees() == [committee]
    assert not (tmp_path / "a" / "work").exists()


def test_parts_that_were_signed_for_count_when_everybody_has_signed(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    coordinator, _ = until(members, proposal_of("a AND b"), "confirm")
    committee = coordinator.committee
    # a's process ends before it hears of it.
    store = Members(tmp_path, "a AND b").stores["a"]
    assert store.committees() == []
    (name,) = store.unfinished()
    store.keep_committee(committee)
    assert (store.committees(), store.unfinished()) == ([committee], ())
    assert tuple(store.open(committee, "a").parts) == (0,)
    with pytest.raises(CommitteeError, match="names no parts"):
        store.discard(name)


def test_parts_that_nobody_else_signed_for_can_be_discarded(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    until(members, proposal_of("a AND b"), "confirm")
    store = Members(tmp_path, "a AND b").stores["a"]
    (name,) = store.unfinished()
    store.discard(name)
    assert store.unfinished() == ()
    assert list((tmp_path / "a" / "home" / "parts").iterdir()) == []


def test_a_committee_without_parts_here_is_not_kept(tmp_path: Path) -> None:
    committee = run_setup(Members(tmp_path / "1", "a"), proposal_of("a"))
    store = MemberStore(tmp_path / "2", passphrase="x")
    with pytest.raises(CommitteeError) as caught:
        store.keep_committee(committee)
    assert caught.value.code == "SR-COMMITTEE-FILE"


def test_a_member_that_leaves_destroys_its_parts(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    committee = run_setup(members, proposal_of("a AND b"))
    members.stores["a"].destroy(committee.digest)
    assert members.stores["a"].committees() == []
    with pytest.raises(CommitteeError, match="no parts"):
        members.stores["a"].open(committee, "a")


@pytest.mark.parametrize("place", ["committee", "parts"])
def test_damaged_files_are_refused(tmp_path: Path, place: str) -> None:
    members = Members(tmp_path, "a")
    committee = run_setup(members, proposal_of("a"))
    store = members.stores["a"]
    path = store.committee_path(committee.digest)
    if place == "parts":
        (path,) = (tmp_path / "a" / "home" / "parts").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-20] + bytes([data[-20] ^ 1]) + data[-19:])
    with pytest.raises(StrongroomError) as caught:
        (store.committees(), store.open(committee, "a"))
    assert caught.value.code in ("SR-COMMITTEE-FILE", "SR-KEYS-PASSPHRASE")


def test_a_plan_of_another_committee_is_refused(tmp_path: Path) -> None:
    committee = run_setup(Members(tmp_path, "a"), proposal_of("a"))
    require_committee(committee, committee.digest, committee.statement.public_key)
    for digest, key in (
        ("sha256:" + "0" * 64, committee.statement.public_key),
        (committee.digest, "0" * 64),
    ):
        with pytest.raises(CommitteeError) as caught:
            require_committee(committee, digest, key)
        assert caught.value.code == "SR-COMMITTEE-MISMATCH"


def test_a_one_time_key_opens_what_was_sealed_to_it_in_its_context_only() -> None:
    key, other = OneTimeKey(), OneTimeKey()
    sealed = seal_to(key.public, b"secret", b"context")
    assert key.open(sealed, b"context") == b"secret"
    for reader, info in ((key, b"another"), (other, b"context")):
        with pytest.raises(ValueError, match="does not open"):
            reader.open(sealed, info)
    with pytest.raises(ValueError, match="a one-time key has"):
        seal_to(key.public[:-1], b"secret", b"context")
