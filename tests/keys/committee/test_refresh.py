"""A refresh gives every member new parts of the same key, and the old ones are of no use then."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_committees import (
    NAME,
    NOW,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    identity,
    needs,
    proposal_of,
    resigned,
    run_refresh,
    run_setup,
)

from strongroom.canonical import canonical_json, digest
from strongroom.engine import catalogued, encode_coefficients
from strongroom.engine.debugging import joined_secret_do_not_use, noise_report
from strongroom.engine.share_checks import CHANGE_FACTOR
from strongroom.engine.threshold import KeyPart, PartCheck
from strongroom.errors import CommitteeError
from strongroom.keys.committee.folder import CommitteeFolderWriter, read_public_key
from strongroom.keys.committee.messages import Message, RefreshDeal
from strongroom.keys.committee.parts import HeldParts
from strongroom.keys.committee.refresh import MemberRefresh
from strongroom.keys.committee.refresh_coordinator import RefreshCoordinator
from strongroom.keys.committee.refresh_record import RefreshProposal, propose_refresh
from strongroom.keys.committee.statement import Committee, Statement
from strongroom.keys.one_time_keys import OneTimeKey, seal_to
from strongroom.keys.sealed_files import SealedFiles

TEXTS = ("a AND b", VENDOR_AND_ONE, TWO_OF_THREE, "a AND 2-of-3(b, c, d)")


def formed(folder: Path, text: str) -> tuple[Members, Committee]:
    """A committee with a public key only."""
    members = Members(folder, text)
    with CommitteeFolderWriter(folder / "keys") as writer:
        committee = run_setup(members, proposal_of(text, needs(products=False)), sink=writer)
        writer.finish(committee)
    return members, committee


def parts_of(held: dict[str, HeldParts]) -> dict[int, KeyPart]:
    """Every part, once; all copies are the same."""
    found: dict[int, KeyPart] = {}
    for one in held.values():
        for number, part in one.parts.items():
            assert found.setdefault(number, part).to_bytes() == part.to_bytes()
    return dict(sorted(found.items()))


def begun(
    members: Members, committee: Committee
) -> tuple[RefreshCoordinator, dict[str, MemberRefresh]]:
    """A refresh before its first round."""
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    return members.coordinator(committee, proposal), members.refreshes(committee, proposal)


def ask(coordinator: RefreshCoordinator, refreshes: dict[str, MemberRefresh], rounds: int) -> None:
    """Some honest rounds."""
    for _ in range(rounds):
        coordinator.take([one.answer(coordinator.messages) for one in refreshes.values()])


@pytest.mark.parametrize("text", TEXTS)
def test_new_parts_decrypt_what_was_encrypted_before_and_mixtures_do_not(
    tmp_path: Path, text: str
) -> None:
    members, committee = formed(tmp_path, text)
    _, public = read_public_key(tmp_path / "keys")
    values = np.full(8, 0.375)
    ciphertext = public.encrypt(encode_coefficients(catalogued(NAME), values, Fraction(2**40), 2))
    old = parts_of(members.held(committee))
    once = run_refresh(members, committee)
    middle = parts_of(members.held(once))
    twice = run_refresh(members, once)
    new = parts_of(members.held(twice))
    for parts in (old, middle, new):
        report = noise_report(ciphertext, joined_secret_do_not_use(list(parts.values())), values)
        assert report.precision_bits > 20
    for number in old:
        assert len({parts[number].to_bytes() for parts in (old, middle, new)}) == 3
        mixed = [new[n] if n == number else old[n] for n in old]
        report = noise_report(ciphertext, joined_secret_do_not_use(mixed), values)
        assert report.log_noise > 50
    assert (committee.digest, committee.statement) == (twice.digest, twice.statement)
    assert (committee.epoch, once.epoch, twice.epoch) == (0, 1, 2)
    twice.verify(identity("owner").fingerprint)


def test_old_parts_are_destroyed_when_everybody_has_confirmed_and_not_before(
    tmp_path: Path,
) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 3)
    for name in members.names:
        assert members.stores[name].committees() == [committee]
        assert members.stores[name].open(committee, name).parts
    data = coordinator.committee.to_bytes()
    for name, one in refreshes.items():
        one.finish(data)
        assert members.stores[name].committees() == [coordinator.committee]
        with pytest.raises(CommitteeError, match="no parts"):
            members.stores[name].open(committee, name)
        assert len(list((tmp_path / name / "home" / "parts").iterdir())) == 1


def test_a_member_that_was_down_at_the_end_follows_later(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 3)
    store = Members(tmp_path, VENDOR_AND_ONE).stores["hospital"]
    assert store.committees() == [committee]
    store.keep_committee(coordinator.committee)
    assert store.committees() == [coordinator.committee]
    # An old statement does not take it back.
    with pytest.raises(CommitteeError) as caught:
        store.keep_committee(committee)
    assert caught.value.code == "SR-COMMITTEE-FILE"


def test_old_parts_that_an_interrupted_end_left_are_destroyed_before_the_new_ones_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, committee = formed(tmp_path, "a AND b")
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 3)
    folder = tmp_path / "a" / "home" / "parts"
    with monkeypatch.context() as patch:

        def ended(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(SealedFiles, "delete", ended)
        with pytest.raises(KeyboardInterrupt):
            refreshes["a"].finish(coordinator.committee.to_bytes())
    assert len(list(folder.iterdir())) == 2
    store = Members(tmp_path, "a AND b").stores["a"]
    (found,) = store.committees()
    assert found == coordinator.committee
    assert store.open(found, "a").parts
    assert len(list(folder.iterdir())) == 1


def test_a_replayed_statement_does_not_cost_parts_that_may_yet_count(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 3)
    members.stores["hospital"].keep_committee(committee)
    refreshes["hospital"].finish(coordinator.committee.to_bytes())
    assert members.stores["hospital"].open(coordinator.committee, "hospital").parts


def test_a_member_does_not_sign_two_refreshes_of_one_state(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    one, first = begun(members, committee)
    two, second = begun(members, committee)
    ask(one, first, 3)
    ask(two, second, 2)
    with pytest.raises(CommitteeError, match="its end is not known") as caught:
        second["vendor"].answer(two.messages)
    assert caught.value.code == "SR-COMMITTEE-SETUP"
    with pytest.raises(CommitteeError, match="its end is not known"):
        begun(members, committee)
    (name,) = members.stores["vendor"].unfinished()
    for store in members.stores.values():
        store.discard(name)
    assert run_refresh(members, committee).epoch == 1


@pytest.mark.parametrize("text", ["a", "1-of-3(a, b, c)"])
def test_a_key_of_one_part_can_not_be_refreshed(tmp_path: Path, text: str) -> None:
    _, committee = formed(tmp_path, text)
    with pytest.raises(CommitteeError, match="one part") as caught:
        propose_refresh(identity("owner"), committee, now=NOW)
    assert caught.value.code == "SR-COMMITTEE-ACCESS"


def test_only_the_coordinator_proposes_a_refresh_and_only_of_the_present_state(
    tmp_path: Path,
) -> None:
    members, committee = formed(tmp_path, "a AND b")
    proposal = propose_refresh(identity("a"), committee, now=NOW)
    with pytest.raises(CommitteeError, match="not proposed by its coordinator"):
        members.refreshes(committee, proposal)
    proposal = propose_refresh(identity("owner"), committee, now=NOW)
    refreshed = run_refresh(members, committee)
    with pytest.raises(CommitteeError, match="another state"):
        members.refreshes(refreshed, proposal)


def test_an_operator_may_refuse_a_refresh(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    proposal = propose_refresh(identity("owner"), committee, now=NOW)

    def refuse(asked: RefreshProposal) -> None:
        raise CommitteeError("SR-MEMBER-POLICY", f"not at {asked.created}")

    with pytest.raises(CommitteeError, match="not at 2026"):
        MemberRefresh(identity("a"), committee, proposal, refuse, members.stores["a"])


def _checked(check: PartCheck, committee: Committee, change: str) -> bytes:
    if change == "other check":
        statement = committee.statement
        other = KeyPart.expanded(committee.parameters, bytes(32))
        seed = bytes.fromhex(statement.seed)
        return PartCheck.of_part(other, seed, statement.public_limbs).to_bytes()
    if change == "a sum":
        # It fits: a sum is allowed larger errors. So large ones that anything would fit.
        return replace(check, summed=2**21).to_bytes()
    return check.to_bytes()[:-1]


def _altered(deal: bytes, committee: Committee, change: str) -> bytes:
    def alter(message: Message) -> Message:
        assert isinstance(message.body, RefreshDeal)
        (first, *rest) = message.body.seeds
        if change == "left out":
            seeds = tuple(rest)
        elif change == "other seed":
            seeds = (msgspec.structs.replace(first, commitment=digest(b"x")), *rest)
        elif change in ("other check", "a sum", "no check"):
            limbs = committee.statement.public_limbs
            honest = PartCheck.from_bytes(committee.parameters, limbs, first.check)
            check = _checked(honest, committee, change)
            seeds = (msgspec.structs.replace(first, check=check), *rest)
        else:
            (one, *others) = first.sealed
            sealed = seal_to(OneTimeKey().public, bytes(32), b"")
            wrong = (msgspec.structs.replace(one, sealed=sealed), *others)
            seeds = (msgspec.structs.replace(first, sealed=wrong), *rest)
        return msgspec.structs.replace(message, body=RefreshDeal(seeds))

    return resigned(deal, "vendor", alter)


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ("left out", "does not deal the seeds"),
        ("other seed", "not the one that it was bound to"),
        ("sealed to another", "does not open"),
        ("other check", "its check is not of the seed"),
        ("a sum", "errors of another size"),
        ("no check", "check of the parts' change is none"),
    ],
)
def test_a_dealer_that_deals_wrong_seeds_is_named_and_nothing_changes(
    tmp_path: Path, change: str, pattern: str
) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 2)
    messages = (_altered(coordinator.messages[0], committee, change), *coordinator.messages[1:])
    with pytest.raises(CommitteeError, match=pattern) as caught:
        refreshes["hospital"].answer(messages)
    assert caught.value.member == "vendor"
    assert members.stores["hospital"].committees() == [committee]
    assert members.stores["hospital"].unfinished() == ()


def _with_errors(check: PartCheck, seed: bytes, statement: Statement, error: int) -> PartCheck:
    """A fresh check of what a seed expands to, whose errors are large at the same coefficient."""
    change = KeyPart.expanded(check.parameters, seed)
    primes = np.array(check.parameters.primes[: check.limbs], dtype=np.uint64)[:, None]
    while True:
        fresh = PartCheck.of_part(change, bytes.fromhex(statement.seed), statement.public_limbs)
        # A constant polynomial has the same value everywhere.
        found = replace(fresh, words=(fresh.words + np.uint64(error)) % primes)
        if found.is_of(change, bytes.fromhex(statement.seed), statement.public_limbs):
            return found


def test_a_dealer_can_not_make_honest_members_unable_to_prove_their_shares(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its checks fits; their sum, the check of a part that another holds too, would not."""
    members, committee = formed(tmp_path, "3-of-4(a, b, c, d)")
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 1)
    dealer = refreshes["c"]
    honest = dealer._check
    error = 22 * CHANGE_FACTOR
    monkeypatch.setattr(
        dealer, "_check", lambda seed: _with_errors(honest(seed), seed, committee.statement, error)
    )
    ask(coordinator, refreshes, 1)
    with pytest.raises(CommitteeError, match=r"new checks of parts .* do not fit, at d") as caught:
        refreshes["d"].answer(coordinator.messages)
    assert caught.value.code == "SR-COMMITTEE-SETUP"
    assert members.stores["d"].unfinished() == ()


def test_nobody_destroys_the_key_by_refreshing_damaged_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members, committee = formed(tmp_path, VENDOR_AND_ONE)
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 2)
    store = members.stores["hospital"]
    held = store.open(committee, "hospital")
    damaged = {number: KeyPart.generate(catalogued(NAME)) for number in held.parts}
    monkeypatch.setattr(store, "open", lambda *_: HeldParts(committee, "hospital", damaged))
    with pytest.raises(CommitteeError, match="not those of the key") as caught:
        refreshes["hospital"].answer(coordinator.messages)
    assert (caught.value.code, caught.value.member) == ("SR-COMMITTEE-FILE", "hospital")
    assert store.unfinished() == ()


def test_a_refresh_begins_with_the_checks_of_the_present_parts_only(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    old = members.stores["a"].checks(committee)
    refreshed = run_refresh(members, committee)
    proposal = propose_refresh(identity("owner"), refreshed, now=NOW)
    with pytest.raises(ValueError, match="of other parts"):
        RefreshCoordinator(refreshed, proposal, old)


def test_messages_of_another_refresh_are_refused(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    one, first = begun(members, committee)
    two, second = begun(members, committee)
    ask(one, first, 1)
    ask(two, second, 1)
    with pytest.raises(CommitteeError, match="another proposal") as caught:
        first["a"].answer((one.messages[0], two.messages[1]))
    assert caught.value.member == "b"


def test_a_record_that_one_member_did_not_sign_is_none(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    refreshed = run_refresh(members, committee)
    (refresh,) = refreshed.refreshes
    for wrong in (
        msgspec.structs.replace(refresh, signatures=refresh.signatures[:1]),
        msgspec.structs.replace(
            refresh, record=msgspec.structs.replace(refresh.record, transcript=digest(b"x"))
        ),
    ):
        data = canonical_json(msgspec.structs.replace(refreshed, refreshes=(wrong,)))
        with pytest.raises(CommitteeError) as caught:
            Committee.from_bytes(data)
        assert caught.value.code == "SR-COMMITTEE-FILE"
    twice = canonical_json(msgspec.structs.replace(refreshed, refreshes=(refresh, refresh)))
    with pytest.raises(CommitteeError, match="does not follow"):
        Committee.from_bytes(twice)


def test_a_refresh_that_was_not_signed_here_does_not_end_this_one(tmp_path: Path) -> None:
    members, committee = formed(tmp_path, "a AND b")
    coordinator, refreshes = begun(members, committee)
    ask(coordinator, refreshes, 3)
    with pytest.raises(CommitteeError, match="not the one that was signed here"):
        refreshes["a"].finish(committee.to_bytes())
