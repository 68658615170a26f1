"""The checks of a key's parts: they fit them, in every state, and nothing else passes for them."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_committees import (
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    needs,
    proposal_of,
    run_refresh,
    run_setup,
)

from strongroom.engine import CATALOGUE, catalogued
from strongroom.engine.threshold import KeyPart, PartCheck, check_limbs
from strongroom.errors import CommitteeError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.messages import MAXIMUM_MESSAGE_BYTES
from strongroom.keys.committee.part_checks import MAXIMUM_CHECKS_BYTES, PartChecks
from strongroom.keys.committee.refresh_record import pairs_dealt_by
from strongroom.keys.committee.statement import Committee

TEXTS = ("a AND b", VENDOR_AND_ONE, TWO_OF_THREE, "3-of-5(a, b, c, d, e)")


def formed(folder: Path, text: str) -> tuple[Members, Committee]:
    """A committee with a public key only."""
    members = Members(folder, text)
    return members, run_setup(members, proposal_of(text, needs(products=False)))


def checks_of(members: Members, committee: Committee) -> PartChecks:
    """The checks that all members have, the same ones."""
    found = [store.checks(committee) for store in members.stores.values()]
    assert {one.digest for one in found} == {committee.checks_digest}
    return found[0]


def parts_of(members: Members, committee: Committee) -> dict[int, KeyPart]:
    """Every part, once."""
    held = members.held(committee).values()
    found = {number: part for one in held for number, part in one.parts.items()}
    return {number: found[number] for number in sorted(found)}


def fits(check: PartCheck, parts: list[KeyPart], committee: Committee) -> bool:
    """Whether it is the check of the sum of some parts."""
    statement = committee.statement
    return check.is_of_sum(parts, bytes.fromhex(statement.seed), statement.public_limbs)


@pytest.mark.parametrize("text", TEXTS)
def test_each_part_has_a_check_of_its_own_before_and_after_every_refresh(
    tmp_path: Path, text: str
) -> None:
    members, committee = formed(tmp_path, text)
    states = [committee]
    for _ in range(2):
        states.append(run_refresh(members, states[-1]))
        checks, parts = checks_of(members, states[-1]), parts_of(members, states[-1])
        for number, other in product(parts, parts):
            found = fits(checks.of([number]), [parts[other]], committee)
            assert found == (number == other)
    assert len({one.checks_digest for one in states}) == 3
    assert states[0].checks_digest == committee.statement.checks
    assert states[2].checks_digest == states[2].refreshes[1].record.checks


def test_checks_fit_no_part_of_another_state(tmp_path: Path) -> None:
    members, before = formed(tmp_path, TWO_OF_THREE)
    old_checks, old_parts = checks_of(members, before), parts_of(members, before)
    after = run_refresh(members, before)
    checks, parts = checks_of(members, after), parts_of(members, after)
    for number in parts:
        assert not fits(checks.of([number]), [old_parts[number]], before)
        assert not fits(old_checks.of([number]), [parts[number]], before)


def test_a_refresh_gives_nobody_another_sample_of_the_key(tmp_path: Path) -> None:
    members, before = formed(tmp_path, TWO_OF_THREE)
    whole = checks_of(members, before).of(range(3)).words
    after = run_refresh(members, before)
    assert np.array_equal(checks_of(members, after).of(range(3)).words, whole)


@pytest.mark.parametrize("text", TEXTS)
def test_every_member_has_a_check_of_whatever_it_may_answer(tmp_path: Path, text: str) -> None:
    members, before = formed(tmp_path, text)
    committee = run_refresh(members, before)
    checks, held = checks_of(members, committee), members.held(committee)
    answered: set[tuple[str, tuple[int, ...]]] = set()
    for chosen in product((False, True), repeat=len(members.names)):
        active = [name for name, one in zip(members.names, chosen, strict=True) if one]
        if not committee.access.allows(active):
            continue
        for name in active:
            if numbers := held[name].numbers_answering(active):
                assert fits(checks.of(numbers), held[name].answering(active), committee)
                answered.add((name, numbers))
    assert answered == {
        (name, numbers) for name in members.names for numbers in committee.access.answered_by(name)
    }


def test_a_sum_is_of_parts_that_are_there_each_once(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    checks = checks_of(members, committee)
    for numbers in ((), (1, 1)):
        with pytest.raises(ValueError, match="each once"):
            checks.of(numbers)


def signed_for(committee: Committee, data: bytes) -> Committee:
    """The committee as if its members had signed some bytes."""
    statement = msgspec.structs.replace(
        committee.statement, checks=hashlib.sha256(data).hexdigest()
    )
    return msgspec.structs.replace(committee, statement=statement)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut in the header": lambda data: data[:11],
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "other magic": lambda data: b"SRPD" + data[4:],
    "other version": lambda data: data[:4] + struct.pack("<H", 2) + data[6:],
    "one part less": lambda data: (
        data[:6] + struct.pack("<H", 1) + data[8 : 12 + (len(data) - 12) // 2]
    ),
    "a word beyond its prime": lambda data: data[:-20] + b"\xff" * 20,
    "no samples": lambda data: data[:56] + bytes(4) + data[60:],
    "other parameters": lambda data: data[:20] + bytes(32) + data[52:],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_is_no_check_is_refused_signed_or_not(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    members, committee = formed(tmp_path, "a AND b")
    data = checks_of(members, committee).to_bytes()
    assert PartChecks.from_bytes(committee, data).to_bytes() == data
    wrong = damage(data)
    with pytest.raises(CommitteeError, match="not those that the members signed") as caught:
        PartChecks.from_bytes(committee, wrong)
    assert caught.value.code == "SR-COMMITTEE-FILE"
    with pytest.raises(CommitteeError, match="can't be used") as caught:
        PartChecks.from_bytes(signed_for(committee, wrong), wrong)
    assert caught.value.code == "SR-COMMITTEE-FILE"
    assert "not those that the members signed" not in caught.value.message


def test_the_checks_of_the_state_before_are_not_those_of_the_present(tmp_path: Path) -> None:
    members, before = formed(tmp_path, "a AND b")
    data = checks_of(members, before).to_bytes()
    with pytest.raises(CommitteeError, match="not those that the members signed last"):
        PartChecks.from_bytes(run_refresh(members, before), data)


def test_the_longest_messages_and_files_of_the_largest_ring_are_allowed() -> None:
    accesses = [
        Access(
            tuple("abcde"[: members - others]),
            threshold,
            tuple("abcde"[members - others : members]),
        )
        for members in range(1, 6)
        for others in (0, *range(2, members + 1))
        for threshold in range(min(1, others), others + 1)
    ]
    pairs = max(len(pairs_dealt_by(access, name)) for access in accesses for name in access.members)
    parts = max(len(access.parts()) for access in accesses)
    assert (pairs, parts) == (21, 10)
    for name in CATALOGUE:
        parameters = catalogued(name)
        limbs = check_limbs(parameters, parameters.limbs)
        words = np.zeros((2, limbs, parameters.ring_degree), dtype=np.uint64)
        check_bytes = len(PartCheck(parameters, words).to_bytes())
        # Canonical JSON has bytes in base64; a seed is sealed to four others at most.
        assert pairs * (check_bytes * 4 // 3 + 16_384) < MAXIMUM_MESSAGE_BYTES
        assert parts * check_bytes + 12 < MAXIMUM_CHECKS_BYTES
