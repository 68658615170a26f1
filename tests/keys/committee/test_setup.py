"""The setup from proposal to committee, as honest members run it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import msgspec
import numpy as np
import pytest
from small_committees import (
    NAME,
    TWO_OF_THREE,
    VENDOR_AND_ONE,
    Members,
    allow_everything,
    gather,
    identity,
    needs,
    proposal_of,
    run_refresh,
    run_setup,
    until,
)

from strongroom.canonical import canonical_json
from strongroom.engine import (
    Evaluator,
    KeyCache,
    PublicKey,
    SwitchingKey,
    catalogued,
    encode_coefficients,
    encode_slots,
    public_key_to_bytes,
    threshold,
)
from strongroom.engine.debugging import joined_secret_do_not_use, noise_report
from strongroom.errors import CommitteeError, KeyStoreError
from strongroom.keys.committee.access import Access
from strongroom.keys.committee.coordinator import Coordinator
from strongroom.keys.committee.folder import CommitteeFolderWriter, CommitteeKeys, read_public_key
from strongroom.keys.committee.part_checks import PartChecks
from strongroom.keys.committee.parts import HeldParts
from strongroom.keys.committee.proposal import SignedProposal, Terms, open_proposal
from strongroom.keys.committee.setup import MemberSetup
from strongroom.keys.committee.statement import Committee
from strongroom.keys.identity import Identity
from strongroom.protections.interface import KeyNeed, KeyNeeds


class Kept:
    """A `KeySink` that keeps the keys."""

    def __init__(self) -> None:
        self.public: PublicKey | None = None
        self.checks: PartChecks | None = None
        self.keys: dict[int, SwitchingKey] = {}

    def add_public(self, key: PublicKey) -> None:
        self.public = key

    def add_checks(self, checks: PartChecks) -> None:
        self.checks = checks

    def add(self, key: SwitchingKey) -> None:
        self.keys[key.element] = key


def all_parts(held: dict[str, HeldParts]) -> list[threshold.KeyPart]:
    """Every part once."""
    found = {number: part for one in held.values() for number, part in one.parts.items()}
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a AND b",
        "1-of-2(a, b)",
        VENDOR_AND_ONE,
        TWO_OF_THREE,
        "a AND 2-of-3(b, c, d)",
        "3-of-5(a, b, c, d, e)",
    ],
)
def test_everybody_gets_its_parts_and_together_they_decrypt(tmp_path: Path, text: str) -> None:
    members, kept = Members(tmp_path, text), Kept()
    committee = run_setup(members, proposal_of(text, needs(products=False)), sink=kept)
    committee.verify(identity("owner").fingerprint)
    held = members.held(committee)
    for name, parts in held.items():
        assert tuple(parts.parts) == Access.parse(text).held_by(name)
    for number in range(len(committee.access.parts())):
        copies = {one.parts[number].to_bytes() for one in held.values() if number in one.parts}
        assert len(copies) == 1
    values = np.linspace(-1.0, 1.0, 2048)
    assert kept.public is not None
    ciphertext = kept.public.encrypt(
        encode_slots(catalogued(NAME), values, Fraction(2**40), limbs=2)
    )
    report = noise_report(ciphertext, joined_secret_do_not_use(all_parts(held)), values)
    assert report.precision_bits > 20


@pytest.mark.parametrize("text", [VENDOR_AND_ONE, TWO_OF_THREE, "a AND 2-of-3(b, c, d)"])
def test_the_answers_of_every_allowed_set_add_up_to_the_message(tmp_path: Path, text: str) -> None:
    members, kept = Members(tmp_path, text), Kept()
    committee = run_setup(members, proposal_of(text, needs(products=False)), sink=kept)
    committee = run_refresh(members, committee)  # parts are no longer small
    held = members.held(committee)
    values = np.array([0.5, -0.25, 0.75])
    scale = Fraction(2**45)
    assert kept.public is not None
    ciphertext = kept.public.encrypt(encode_coefficients(catalogued(NAME), values, scale, 2))
    positions = np.arange(3, dtype=np.uint32)
    second = threshold.second_part_to_bytes(ciphertext)
    for active in committee.access.smallest_sets():
        shares = [
            threshold.decryption_share(
                held[name].answering(active), second, limbs=2, positions=positions, log_sigma=20.0
            )
            for name in active
        ]
        first = threshold.first_part_at(ciphertext, positions)
        found = threshold.combine_shares(catalogued(NAME), first, shares, scale)
        assert np.abs(found - values).max() < 2.0**-16


def test_collective_keys_multiply_and_rotate_from_the_folder(tmp_path: Path) -> None:
    members = Members(tmp_path, VENDOR_AND_ONE)
    folder = tmp_path / "committee"
    with CommitteeFolderWriter(folder) as writer:
        committee = run_setup(members, proposal_of(VENDOR_AND_ONE, needs(1, 5)), sink=writer)
        assert not folder.exists()
        writer.finish(committee)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    with CommitteeKeys(folder, KeyCache(1 << 30), owner=identity("owner").fingerprint) as keys:
        assert keys.committee == committee
        opened = keys.open(needs(1, 5))
        evaluator = Evaluator(opened.evaluation_keys)
        values = np.linspace(-1.0, 1.0, 2048)
        # Two primes of 30 bits leave 2^40 for a product: precision is what the rotation keeps.
        plain = encode_slots(catalogued(NAME), values, Fraction(2**24), limbs=2)
        ciphertext = opened.public_key.encrypt(plain)
        secret = joined_secret_do_not_use(all_parts(members.held(committee)))
        rotated = evaluator.rotate(ciphertext, 5)
        assert noise_report(rotated, secret, np.roll(values, -5)).precision_bits > 8
        product = evaluator.multiply(ciphertext, ciphertext)
        assert noise_report(product, secret, values**2).precision_bits > 8
        data = public_key_to_bytes(keys.public_key)
        assert committee.statement.public_key == hashlib.sha256(data).hexdigest()
    assert read_public_key(folder)[0] == committee


def test_the_statement_says_what_was_proposed_and_names_every_key(tmp_path: Path) -> None:
    kept = Kept()
    proposal = proposal_of(VENDOR_AND_ONE, needs(1, 2), share_budget=77)
    committee = run_setup(Members(tmp_path, VENDOR_AND_ONE), proposal, sink=kept)
    statement, proposed = committee.statement, proposal.proposal
    for field in ("access", "members", "coordinator", "parameters", "public_limbs", "created"):
        assert getattr(statement, field) == getattr(proposed, field)
    assert statement.share_budget == 77
    assert [(key.element, key.limbs) for key in statement.keys] == [
        (key.element, key.limbs) for key in proposed.keys
    ]
    for key in statement.keys:
        words = kept.keys[key.element].native.words
        assert key.digest == hashlib.sha256(words.tobytes()).hexdigest()
    assert committee.needs == needs(1, 2)
    assert committee.urls["auditor"] == "http://auditor.test:8443"
    assert committee.name_of(identity("hospital").fingerprint) == "hospital"
    assert Committee.from_bytes(committee.to_bytes()) == committee


def test_parameters_without_evaluation_keys_have_committees_too(tmp_path: Path) -> None:
    members, kept = Members(tmp_path, "1-of-2(a, b)"), Kept()
    wanted = KeyNeeds("n12-q104-v1", (), 4)
    committee = run_setup(members, proposal_of("1-of-2(a, b)", wanted), sink=kept)
    values = np.full(4, 0.25)
    assert kept.public is not None
    plain = encode_coefficients(committee.parameters, values, Fraction(2**40), 4)
    secret = joined_secret_do_not_use(all_parts(members.held(committee)))
    assert noise_report(kept.public.encrypt(plain), secret, values).precision_bits > 20


def test_a_proposal_of_keys_that_its_parameters_do_not_allow_is_refused() -> None:
    with pytest.raises(CommitteeError, match="no special primes"):
        proposal_of("a", KeyNeeds("n12-q104-v1", (KeyNeed(5, 2),), 4))


def test_two_setups_of_one_proposal_have_nothing_in_common(tmp_path: Path) -> None:
    proposal = proposal_of("a AND b", needs(products=False))
    one = run_setup(Members(tmp_path / "1", "a AND b"), proposal)
    two = run_setup(Members(tmp_path / "2", "a AND b"), proposal)
    assert one.statement.seed != two.statement.seed
    assert one.statement.public_key != two.statement.public_key
    assert one.statement.transcript != two.statement.transcript


def test_every_key_has_uniform_polynomials_of_its_own(tmp_path: Path) -> None:
    kept = Kept()
    run_setup(Members(tmp_path, "a"), proposal_of("a", needs(1, 2, 3)), sink=kept)
    seeds = {key.native.seed for key in kept.keys.values() if key.native.seed is not None}
    assert len(seeds) == 3


def test_a_member_says_nothing_to_a_proposal_that_its_operator_does_not_allow(
    tmp_path: Path,
) -> None:
    members = Members(tmp_path, "a AND b")
    proposal = canonical_json(proposal_of("a AND b"))

    def refuse(terms: Terms) -> None:
        raise CommitteeError("SR-MEMBER-POLICY", f"no keys for {terms.proposal.parameters}")

    with pytest.raises(CommitteeError, match="no keys for"):
        MemberSetup(identity("a"), proposal, refuse, members.stores["a"], tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_a_stranger_has_no_seat(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    proposal = canonical_json(proposal_of("a AND b"))
    with pytest.raises(CommitteeError, match="has no seat") as caught:
        MemberSetup(
            identity("c"), proposal, allow_everything, members.stores["a"], tmp_path / "work"
        )
    assert caught.value.code == "SR-COMMITTEE-SETUP"


def _changed(proposal: SignedProposal, signer: Identity, **fields: object) -> bytes:
    changed = msgspec.structs.replace(proposal.proposal, **fields)
    signatures = signer.sign("committee proposal", canonical_json(changed))
    return canonical_json(SignedProposal(changed, signatures))


@pytest.mark.parametrize(
    "fields",
    [
        {"access": "b AND a"},
        {"access": "a AND b AND c"},
        {"access": "a  AND b"},
        {"access": "1-of-2(a,b)"},
        {"parameters": "n12-unheard-of"},
        {"public_limbs": 3},
        {"public_limbs": 0},
        {"share_budget": 0},
        {"nonce": "0"},
        {"created": "yesterday"},
        {"coordinator": "nobody"},
    ],
    ids=str,
)
def test_a_proposal_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    data = _changed(proposal_of("a AND b"), identity("owner"), **fields)
    with pytest.raises(CommitteeError) as caught:
        open_proposal(data)
    assert caught.value.code == "SR-COMMITTEE-SETUP"


@pytest.mark.parametrize("element", [2, 1, 2**13, 2**13 + 1])
def test_a_proposal_of_a_key_that_there_is_not_is_refused(element: int) -> None:
    proposal = proposal_of("a AND b")
    key = msgspec.structs.replace(proposal.proposal.keys[0], element=element)
    with pytest.raises(CommitteeError, match="no key of"):
        open_proposal(_changed(proposal, identity("owner"), keys=(key,)))


def test_a_proposal_whose_keys_are_not_in_order_is_refused() -> None:
    proposal = proposal_of("a AND b", needs(1, 2))
    keys = tuple(reversed(proposal.proposal.keys))
    with pytest.raises(CommitteeError, match="ascending"):
        open_proposal(_changed(proposal, identity("owner"), keys=keys))


def test_one_identity_does_not_get_two_seats() -> None:
    proposal = proposal_of("a AND b")
    one, two = proposal.proposal.members
    members = (one, msgspec.structs.replace(two, identity=one.identity))
    with pytest.raises(CommitteeError, match="same identity"):
        open_proposal(_changed(proposal, identity("owner"), members=members))


def test_a_proposal_that_its_coordinator_did_not_sign_is_refused() -> None:
    with pytest.raises(CommitteeError, match="not signed by the coordinator"):
        open_proposal(_changed(proposal_of("a AND b"), identity("mallory")))
    proposal = msgspec.structs.replace(
        proposal_of("a AND b").proposal, access="a AND b", share_budget=2**30
    )
    data = canonical_json(SignedProposal(proposal, proposal_of("a AND b").signatures))
    with pytest.raises(CommitteeError, match="not signed by the coordinator"):
        open_proposal(data)


def test_nobody_coordinates_anothers_proposal() -> None:
    with pytest.raises(CommitteeError, match="did not sign"):
        Coordinator(identity("mallory"), proposal_of("a AND b"))


def test_own_shares_are_gone_from_the_disk_when_the_committee_exists(tmp_path: Path) -> None:
    members = Members(tmp_path, "a AND b")
    coordinator, setups = until(members, proposal_of("a AND b"), "agree")
    assert list((tmp_path / "a" / "work").iterdir())
    while not coordinator.finished:
        coordinator.take([setup.answer(coordinator.messages) for setup in setups.values()])
        gather(coordinator, setups)
    for setup in setups.values():
        setup.finish(coordinator.committee.to_bytes())
    assert not (tmp_path / "a" / "work").exists()


def test_a_folder_is_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(CommitteeError, match="exists already"):
        CommitteeFolderWriter(tmp_path)


def test_a_folder_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    members = Members(tmp_path, "a")
    place = tmp_path / "place"
    place.mkdir()
    with CommitteeFolderWriter(place / "committee") as writer:
        run_setup(members, proposal_of("a"), sink=writer)
    assert list(place.iterdir()) == []


def test_a_key_file_of_another_committee_is_noticed_when_it_is_opened(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with CommitteeFolderWriter(tmp_path / name) as writer:
            members = Members(tmp_path / f"members {name}", "a")
            writer.finish(run_setup(members, proposal_of("a"), sink=writer))
    ours, theirs = (sorted((tmp_path / name).glob("*-2-*.key")) for name in ("one", "two"))
    ours[0].unlink()
    theirs[0].rename(ours[0])
    with pytest.raises(CommitteeError, match="not the key that the members signed"):
        CommitteeKeys(tmp_path / "one", KeyCache(1 << 20))
    (tmp_path / "two" / "public.key").rename(tmp_path / "one" / "public.key")
    with pytest.raises(CommitteeError, match="not the public key that the members signed"):
        read_public_key(tmp_path / "one")


def test_a_model_that_needs_keys_which_were_not_made_is_refused(tmp_path: Path) -> None:
    with CommitteeFolderWriter(tmp_path / "folder") as writer:
        writer.finish(run_setup(Members(tmp_path, "a"), proposal_of("a", needs(1)), sink=writer))
    with CommitteeKeys(tmp_path / "folder", KeyCache(1 << 20)) as keys:
        with pytest.raises(KeyStoreError, match="rotation by 7 steps") as missing:
            keys.open(needs(1, 7))
        assert missing.value.code == "SR-KEYS-MISSING"
        with pytest.raises(CommitteeError) as caught:
            keys.open(replace(needs(1), parameters="n13-q172-p42-v1"))
        assert caught.value.code == "SR-COMMITTEE-MISMATCH"
