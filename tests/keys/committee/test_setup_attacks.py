"""What a deviating coordinator, network or member tries during a setup, and who is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_committees import (
    NAME,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    gather,
    identity,
    needs,
    next_round,
    proposal_of,
    resigned,
    round_of,
    run_setup,
    unaltered,
    until,
)

from strongroom.canonical import canonical_json, digest
from strongroom.engine import catalogued, threshold
from strongroom.errors import CommitteeError
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.key_items import KeyItem, share_digest
from strongroom.keys.committee.messages import Message, Offer, Reveal, SignedMessage
from strongroom.keys.committee.setup import MemberSetup
from strongroom.keys.committee.statement import Committee
from strongroom.keys.one_time_keys import OneTimeKey, seal_to

ROUNDS = ("commit", "reveal", "offer", "agree", "second", "confirm")


def with_body(**fields: object) -> Callable[[Message], Message]:
    """A message whose body says something else."""

    def change(message: Message) -> Message:
        return msgspec.structs.replace(
            message, body=msgspec.structs.replace(message.body, **fields)
        )

    return change


def bound(folder: Path, text: str) -> tuple[Coordinator, dict[str, MemberSetup]]:
    """A setup in which everybody is bound to its first shares, and none has come."""
    coordinator, setups = until(Members(folder, text), proposal_of(text), "offer")
    next_round(coordinator, setups, unaltered)
    return coordinator, setups


def refused(action: Callable[[], object], member: str | None, pattern: str) -> None:
    """It ends the setup and names the member."""
    with pytest.raises(CommitteeError, match=pattern) as caught:
        action()
    assert (caught.value.code, caught.value.member) == ("SR-COMMITTEE-SETUP", member)


@pytest.mark.parametrize("last", ROUNDS)
def test_a_message_altered_on_the_way_is_refused_naming_its_sender(
    tmp_path: Path, last: str
) -> None:
    def alter(said: str, name: str, message: bytes) -> bytes:
        if (said, name) != (last, "hospital"):
            return message
        signed = msgspec.json.decode(message, type=SignedMessage)
        changed = msgspec.structs.replace(signed.message, before=digest(b"something else"))
        return canonical_json(SignedMessage(changed, signed.signatures))

    members = Members(tmp_path, VENDOR_AND_ONE)
    refused(
        lambda: run_setup(members, proposal_of(VENDOR_AND_ONE), alter=alter),
        "hospital",
        "not signed by it",
    )


@pytest.mark.parametrize("last", ROUNDS[:-1])
def test_members_check_every_message_themselves(tmp_path: Path, last: str) -> None:
    coordinator, setups = until(
        Members(tmp_path, VENDOR_AND_ONE), proposal_of(VENDOR_AND_ONE), last
    )
    vendor, hospital, auditor = coordinator.messages
    forged = resigned(hospital, "auditor", lambda message: message)
    refused(lambda: setups["vendor"].answer((vendor, forged, auditor)), "hospital", "not signed")
    refused(
        lambda: setups["hospital"].answer((vendor, auditor, hospital)), "hospital", "in its place"
    )
    refused(lambda: setups["auditor"].answer((hospital, auditor)), None, "2 messages")


@pytest.mark.parametrize("last", ROUNDS[:-1])
def test_own_message_must_come_back_as_it_was_said(tmp_path: Path, last: str) -> None:
    coordinator, setups = until(Members(tmp_path, "a AND b"), proposal_of("a AND b"), last)
    # Signed by a itself, as if from another attempt; only a can tell.
    other = resigned(coordinator.messages[0], "a", lambda message: message)
    refused(lambda: setups["a"].answer((other, coordinator.messages[1])), "a", "not among those")


@pytest.mark.parametrize("last", ROUNDS[1:-1])
def test_a_message_of_another_round_is_refused(tmp_path: Path, last: str) -> None:
    members, proposal = Members(tmp_path, "a AND b"), proposal_of("a AND b")
    coordinator, _ = until(members, proposal, "commit")
    first = coordinator.messages[1]
    coordinator, setups = until(members, proposal, last)
    refused(lambda: setups["a"].answer((coordinator.messages[0], first)), "b", "another round")


@pytest.mark.parametrize("last", ROUNDS[1:-1])
def test_messages_of_an_earlier_attempt_at_the_same_proposal_are_refused(
    tmp_path: Path, last: str
) -> None:
    proposal = proposal_of("a AND b")
    earlier, _ = until(Members(tmp_path / "1", "a AND b"), proposal, last)
    coordinator, setups = until(Members(tmp_path / "2", "a AND b"), proposal, last)
    refused(
        lambda: setups["a"].answer((coordinator.messages[0], earlier.messages[1])),
        "b",
        "shown other messages",
    )


def test_messages_about_another_proposal_are_refused(tmp_path: Path) -> None:
    foreign, _ = until(Members(tmp_path / "1", "a AND b"), proposal_of("a AND b"), "commit")
    coordinator, setups = until(
        Members(tmp_path / "2", "a AND b"), proposal_of("a AND b"), "commit"
    )
    refused(
        lambda: setups["a"].answer((coordinator.messages[0], foreign.messages[1])),
        "b",
        "another proposal",
    )


def test_a_contribution_can_not_be_chosen_after_others(tmp_path: Path) -> None:
    coordinator, setups = until(Members(tmp_path, "a AND b"), proposal_of("a AND b"), "reveal")
    chosen = resigned(coordinator.messages[1], "b", with_body(contribution=bytes(32)))
    refused(
        lambda: setups["a"].answer((coordinator.messages[0], chosen)), "b", "another contribution"
    )


def test_members_who_were_shown_different_offers_do_not_go_on(tmp_path: Path) -> None:
    members = Members(tmp_path, TWO_OF_THREE)
    coordinator, setups = until(members, proposal_of(TWO_OF_THREE), "offer")
    a, b, c = coordinator.messages

    def other_shares(message: Message) -> Message:
        assert isinstance(message.body, Offer)
        return with_body(shares=(digest(b"x"), *message.body.shares[1:]))(message)

    # a deals most; b and the coordinator are in league and show c another offer of b.
    agreed = [
        setups["a"].answer((a, b, c)),
        setups["b"].answer((a, b, c)),
        setups["c"].answer((a, resigned(b, "b", other_shares), c)),
    ]
    refused(lambda: coordinator.take(agreed), "c", "shown other messages")


def test_no_share_is_shown_before_everybody_is_bound_to_theirs(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    coordinator, setups = until(members, proposal_of("a AND b"), "offer")
    refused(lambda: setups["a"].share("public", 0), "a", "no share")
    next_round(coordinator, setups, unaltered)
    assert setups["a"].share("public", 0)
    refused(lambda: setups["a"].share("public", 1), "a", "no share")
    refused(lambda: setups["a"].share("../../home", 0), "a", "no share")
    gather(coordinator, setups)
    next_round(coordinator, setups, unaltered)
    # b has made its second share, and has not seen yet that a is bound to its own.
    assert round_of(coordinator.messages[1]) == "second"
    refused(lambda: setups["b"].share("products-2", 1), "b", "no share")


def test_a_share_that_is_made_after_others_were_shown_comes_too_late(tmp_path: Path) -> None:
    _, setups = bound(tmp_path, "a AND b")
    honest = setups["a"].share("public", 0)
    # As a share goes it is a good one, and it could have been computed from a's.
    other = threshold.KeyPart.generate(catalogued(NAME))
    rogue = threshold.public_key_share(other, setups["a"]._record.seed, 2)
    refused(
        lambda: setups["a"].take_shares("public", {0: honest, 1: rogue}),
        "b",
        "not the one that it was bound to",
    )


def test_nobody_binds_itself_to_anothers_share(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    coordinator, setups = until(members, proposal_of("a AND b"), "offer")
    offered = msgspec.json.decode(coordinator.messages[0], type=SignedMessage).message.body
    assert isinstance(offered, Offer)
    copied = resigned(coordinator.messages[1], "b", with_body(shares=offered.shares))
    setups["a"].answer((coordinator.messages[0], copied))
    share = setups["a"].share("public", 0)
    refused(
        lambda: setups["a"].take_shares("public", {0: share, 1: share}),
        "b",
        "not the one that it was bound to",
    )


ITEMS = ("public", "check", "products-1", "galois-5")


@pytest.mark.parametrize("item", ITEMS)
def test_a_share_that_is_none_names_its_dealer(tmp_path: Path, item: str) -> None:
    members = Members(tmp_path, "a AND b")
    coordinator, setups = until(members, proposal_of("a AND b"), "offer")
    place = ITEMS.index(item)

    def bind(message: Message) -> Message:
        assert isinstance(message.body, Offer)
        shares = list(message.body.shares)
        shares[place] = share_digest(1, b"garbage")
        return with_body(shares=tuple(shares))(message)

    messages = (coordinator.messages[0], resigned(coordinator.messages[1], "b", bind))
    setups["a"].answer(messages)
    setups["b"].answer(coordinator.messages)
    for name in ITEMS[:place]:
        pair = {0: setups["a"].share(name, 0), 1: setups["b"].share(name, 1)}
        setups["a"].take_shares(name, pair)
    shares = {0: setups["a"].share(item, 0), 1: b"garbage"}
    refused(lambda: setups["a"].take_shares(item, shares), "b", "is none")


def test_a_dealer_who_seals_another_part_than_it_uses_is_named(tmp_path: Path) -> None:
    members = Members(tmp_path, "1-of-2(a, b)")
    coordinator, setups = until(members, proposal_of("1-of-2(a, b)"), "reveal")
    dealer, holder = setups["a"], setups["b"]
    honest = dealer._make_share

    def with_another_part(item: KeyItem, part: int) -> bytes:
        dealer._parts[part] = threshold.KeyPart.generate(catalogued(NAME))
        return honest(item, part)

    dealer._make_share = with_another_part
    for _ in range(2):
        next_round(coordinator, setups, unaltered)
    shares = {0: dealer.share("public", 0)}
    refused(lambda: holder.take_shares("public", shares), "a", "not the one in the public key")


def test_a_dealer_whose_check_is_of_another_part_is_named(tmp_path: Path) -> None:
    members = Members(tmp_path, "1-of-2(a, b)")
    coordinator, setups = until(members, proposal_of("1-of-2(a, b)"), "reveal")
    dealer, holder = setups["a"], setups["b"]
    honest = dealer._make_share

    def with_another_part(item: KeyItem, part: int) -> bytes:
        if item.name != "check":
            return honest(item, part)
        other = threshold.KeyPart.generate(catalogued(NAME))
        seed = threshold.check_seed(dealer._record.seed)
        return threshold.public_key_share(other, seed, item.limbs)

    dealer._make_share = with_another_part
    for _ in range(2):
        next_round(coordinator, setups, unaltered)
    for taking in (holder, coordinator):
        taking.take_shares("public", {0: dealer.share("public", 0)})
    shares = {0: dealer.share("check", 0)}
    # Only who holds the part can tell.
    coordinator.take_shares("check", shares)
    refused(lambda: holder.take_shares("check", shares), "a", "not the one in the checks of parts")


def _with_errors(make: Callable[[], bytes], fits: Callable[[bytes], bool], error: int) -> bytes:
    """A share of a second sample whose error at one coefficient is large, and not too large."""
    parameters = catalogued(NAME)
    primes = (*parameters.primes[:2], *parameters.special_primes)
    while True:
        share = make()
        start = len(share) - sum(2**12 * prime.bit_length() // 8 for prime in primes)
        rows = [share[:start]]
        for prime in primes:
            width = prime.bit_length()
            end = start + 2**12 * width // 8
            packed = np.frombuffer(share[start:end], dtype=np.uint8)
            bits = np.unpackbits(packed, bitorder="little").reshape(-1, width)
            words = bits @ (1 << np.arange(width, dtype=np.uint64))
            # A constant polynomial has the same value everywhere.
            words = (words + np.uint64(error)) % np.uint64(prime)
            bits = (words[:, None] >> np.arange(width, dtype=np.uint64)) & np.uint64(1)
            rows.append(np.packbits(bits.astype(np.uint8), bitorder="little").tobytes())
            start = end
        if fits(found := b"".join(rows)):
            return found


def test_dealers_can_not_make_an_honest_member_unable_to_prove_its_shares(tmp_path: Path) -> None:
    """Each of their checks fits; the sum for which c answers without them would not."""
    text = "3-of-5(a, b, c, d, e)"
    members = Members(tmp_path, text)
    wanted = needs(products=False)
    coordinator, setups = until(members, proposal_of(text, wanted), "reveal")

    def together(dealer: MemberSetup) -> None:
        honest = dealer._make_share

        def with_errors(item: KeyItem, part: int) -> bytes:
            if item.name != "check":
                return honest(item, part)
            seed, secret = threshold.check_seed(dealer._record.seed), dealer._parts[part]
            return _with_errors(
                lambda: honest(item, part),
                lambda share: threshold.is_public_key_share_of(secret, seed, item.limbs, share),
                22,
            )

        dealer._make_share = with_errors

    for name in "ab":
        together(setups[name])
    for _ in range(2):
        next_round(coordinator, setups, unaltered)
    access = coordinator.terms.access
    for item in ("public", "check"):
        shares = {
            part: setups[access.dealer(part)].share(item, part)
            for part in range(len(access.parts()))
        }
        if item == "public":
            setups["c"].take_shares(item, shares)
    refused(lambda: setups["c"].take_shares("check", shares), None, "do not fit together, at c")


def test_checks_are_not_taken_before_the_public_key(tmp_path: Path) -> None:
    _, setups = bound(tmp_path, "a AND b")
    shares = {0: setups["a"].share("check", 0), 1: setups["b"].share("check", 1)}
    refused(lambda: setups["a"].take_shares("check", shares), None, "came before those of public")


def test_a_part_that_does_not_open_names_its_dealer(tmp_path: Path) -> None:
    coordinator, setups = until(
        Members(tmp_path, "1-of-2(a, b)"), proposal_of("1-of-2(a, b)"), "offer"
    )

    def to_somebody_else(message: Message) -> Message:
        assert isinstance(message.body, Offer)
        one = message.body.parts[0]
        sealed = seal_to(OneTimeKey().public, bytes(len(one.sealed) - 1136), b"")
        parts = (msgspec.structs.replace(one, sealed=sealed),)
        return with_body(parts=parts)(message)

    wrong = resigned(coordinator.messages[0], "a", to_somebody_else)
    refused(lambda: setups["b"].answer((wrong, coordinator.messages[1])), "a", "does not open")


@pytest.mark.parametrize(
    ("fields", "pattern"),
    [({"parts": ()}, "does not offer its parts"), ({"shares": ()}, "bound to 0 shares, not 4")],
    ids=["parts", "shares"],
)
def test_an_offer_that_lacks_something_names_its_sender(
    tmp_path: Path, fields: dict[str, object], pattern: str
) -> None:
    coordinator, setups = until(
        Members(tmp_path, "1-of-2(a, b)"), proposal_of("1-of-2(a, b)"), "offer"
    )
    wrong = resigned(coordinator.messages[0], "a", with_body(**fields))
    refused(lambda: setups["b"].answer((wrong, coordinator.messages[1])), "a", pattern)


def test_a_one_time_key_that_is_none_names_its_sender(tmp_path: Path) -> None:
    coordinator, setups = until(
        Members(tmp_path, "1-of-2(a, b)"), proposal_of("1-of-2(a, b)"), "commit"
    )
    own = setups["a"].answer(
        (
            coordinator.messages[0],
            wrong := resigned(
                coordinator.messages[1], "b", with_body(one_time_key=b"\xff" * 1184 + bytes(32))
            ),
        )
    )
    setups["b"]._record.take_commits((coordinator.messages[0], wrong))
    revealed = setups["b"]._record.transcript.say(
        identity("b"), "b", Reveal(setups["b"]._contribution)
    )
    refused(lambda: setups["a"].answer((own, revealed)), "b", "one-time key is none")


def test_a_setup_that_failed_says_nothing_more(tmp_path: Path) -> None:
    coordinator, setups = bound(tmp_path, "a AND b")
    refused(
        lambda: setups["a"].take_shares("public", {0: setups["a"].share("public", 0), 1: b""}),
        "b",
        "bound to",
    )
    refused(lambda: setups["a"].answer(coordinator.messages), "a", "it has ended")
    refused(lambda: setups["a"].share("public", 0), "a", "no share")
    assert not (tmp_path / "a" / "work").exists()


def test_the_second_round_is_answered_once(tmp_path: Path) -> None:
    coordinator, setups = until(Members(tmp_path, "a AND b"), proposal_of("a AND b"), "agree")
    setups["a"].answer(coordinator.messages)
    refused(lambda: setups["a"].answer(coordinator.messages), "a", "not among those")


def test_the_second_round_is_not_answered_before_all_first_shares_came(tmp_path: Path) -> None:
    coordinator, setups = bound(tmp_path, "a AND b")
    refused(lambda: setups["a"].answer(coordinator.messages), None, "are missing")


def test_a_statement_that_was_not_signed_here_is_not_kept(tmp_path: Path) -> None:
    proposal = proposal_of("a AND b")
    other = run_setup(Members(tmp_path / "1", "a AND b"), proposal)
    members = Members(tmp_path / "2", "a AND b")
    _, setups = until(members, proposal, "confirm")
    refused(lambda: setups["a"].finish(other.to_bytes()), None, "not the one that was signed here")
    assert members.stores["a"].committees() == []


def test_a_committee_that_one_member_did_not_sign_is_none(tmp_path: Path) -> None:
    committee = run_setup(Members(tmp_path, "a AND b"), proposal_of("a AND b"))
    one, two = committee.members
    for members in (
        (one,),
        (two, one),
        (one, one),
        (one, msgspec.structs.replace(two, signatures=one.signatures)),
    ):
        data = canonical_json(msgspec.structs.replace(committee, members=members))
        with pytest.raises(CommitteeError) as caught:
            Committee.from_bytes(data)
        assert caught.value.code == "SR-COMMITTEE-FILE"


@pytest.mark.parametrize(
    "fields",
    [
        {"share_budget": 2**40},
        {"access": "a AND b AND c"},
        {"public_key": "0" * 64},
        {"seed": "0" * 64},
        {"checks": "0" * 64},
        {"parameters_digest": "0" * 64},
    ],
    ids=str,
)
def test_a_statement_that_was_changed_is_none(tmp_path: Path, fields: dict[str, object]) -> None:
    committee = run_setup(
        Members(tmp_path, "a AND b"), proposal_of("a AND b", needs(products=False))
    )
    statement = msgspec.structs.replace(committee.statement, **fields)
    data = canonical_json(msgspec.structs.replace(committee, statement=statement))
    with pytest.raises(CommitteeError) as caught:
        Committee.from_bytes(data)
    assert caught.value.code == "SR-COMMITTEE-FILE"


def test_another_owners_committee_is_refused(tmp_path: Path) -> None:
    committee = run_setup(Members(tmp_path, "a"), proposal_of("a"))
    with pytest.raises(CommitteeError) as caught:
        Committee.from_bytes(committee.to_bytes(), owner=identity("mallory").fingerprint)
    assert caught.value.code == "SR-COMMITTEE-MISMATCH"


def test_a_setup_is_not_begun_with_messages(tmp_path: Path) -> None:
    members = Members(tmp_path, "a")
    setup: MemberSetup = members.setups(canonical_json(proposal_of("a")))["a"]
    refused(lambda: setup.answer([b"{}"]), None, "before the first round")
