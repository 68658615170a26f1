"""Proofs of shares: right shares have one, wrong ones have none, and none shows a part."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from holders_of_parts import Holders
from numpy.typing import NDArray
from slow_reference import centred, from_residues
from small_rings import small_parameters, switching_parameters

from strongroom import _native
from strongroom.engine import Parameters, catalogued, share_proofs, threshold
from strongroom.engine.serialisation_header import SECOND_PART, write_header
from strongroom.engine.share_checks import public_seeds
from strongroom.engine.share_proofs import LOG_MASK, OPENED, ROUNDS, WIDEST_MASK
from strongroom.engine.threshold import Examined, KeyPart, PartCheck, Proof
from strongroom.errors import CiphertextError

RING = small_parameters(64, (50, 40, 40, 30))
SWITCHING = switching_parameters(32, (50, 45, 40), (50, 50))


KNOWN = {0.0: "7718b489948b1006", 20.0: "f4a804e8e55d269a", 60.5: "9933500b10087441"}
"""Beginnings of SHA-256 of a mask's images, by the smudging's logarithm."""


class Claim:
    """A share of a result that holders can prove.

    Attributes:
        holders, parts, check, c1, fields: what `prove_share` takes.
        secret: of the proof.
    """

    def __init__(
        self,
        parameters: Parameters,
        *,
        limbs: int = 1,
        log_sigma: float = 20.0,
        positions: Sequence[int] = (0, 5, 31),
        count: int = 1,
    ) -> None:
        self.holders = Holders(parameters, count)
        self.parts = self.holders.parts
        checks = [self.holders.check(part) for part in self.parts]
        self.check = checks[0]
        for check in checks[1:]:
            self.check = self.check.plus(check)
        self.c1 = random_second_part(parameters, limbs)
        self.secret = os.urandom(32)
        at = np.array(positions, dtype=np.uint32)
        words = threshold.decryption_share(
            self.parts, self.c1, limbs=limbs, positions=at, log_sigma=log_sigma
        )
        self.fields: dict[str, Any] = {
            "limbs": limbs,
            "positions": at,
            "words": words,
            "log_sigma": log_sigma,
            "context": b"a query",
        }

    def prove(self, **other: Any) -> Proof:
        check, parts = other.pop("check", self.check), other.pop("parts", self.parts)
        fields = {"secret": self.secret, **self.fields, **other}
        limbs = self.holders.parameters.limbs
        return threshold.prove_share(parts, check, self.holders.seed, limbs, self.c1, **fields)

    def examined(self, shown: bytes, **other: Any) -> Examined | None:
        check = other.pop("check", self.check)
        seed, c1 = other.pop("seed", self.holders.seed), other.pop("c1", self.c1)
        limbs = self.holders.parameters.limbs
        fields = {**self.fields, **other}
        del fields["words"]
        return threshold.examine(check, seed, limbs, c1, shown=shown, **fields)

    def holds(self, proof: Proof, **other: Any) -> bool:
        words = other.pop("words", self.fields["words"])
        examined = self.examined(proof.shown, **other)
        if examined is None:
            return False
        limbs, count = self.fields["limbs"], len(self.fields["positions"])
        sent = Examined.from_bytes(examined.to_bytes(), limbs, count)
        return sent.proves(self.holders.parameters, words, proof.salts)

    def moved(self, by: int, prime: int | None = None) -> NDArray[np.uint64]:
        """The share with one coefficient moved, modulo all primes or one of them."""
        words: NDArray[np.uint64] = self.fields["words"].copy()
        for row, q in enumerate(self.holders.parameters.primes[: self.fields["limbs"]]):
            if prime in (None, row):
                words[row, 0] = (int(words[row, 0]) + by) % q
        return words


def random_second_part(parameters: Parameters, limbs: int) -> bytes:
    generator = np.random.default_rng(int.from_bytes(os.urandom(8)))
    rows = [
        generator.integers(0, q, parameters.ring_degree, dtype=np.uint64)
        for q in parameters.primes[:limbs]
    ]
    header = write_header(parameters, SECOND_PART, limbs, parameters.ring_degree)
    return header + _native.pack_rows(parameters.native, np.concatenate(rows))


# what is right is proved


@pytest.mark.parametrize(
    ("parameters", "limbs", "log_sigma", "count"),
    [
        (RING, 1, 20.0, 1),
        (RING, 2, 60.0, 3),
        (RING, 3, 0.0, 2),
        (SWITCHING, 2, 45.5, 2),
        (small_parameters(64, (30, 30, 30, 30, 30)), 4, 90.5, 1),
        (small_parameters(64, (50, 50, 50)), 3, 85.0, 1),
    ],
)
def test_a_right_share_is_proved(
    parameters: Parameters, limbs: int, log_sigma: float, count: int
) -> None:
    claim = Claim(parameters, limbs=limbs, log_sigma=log_sigma, count=count)
    proof = claim.prove()
    assert len(proof.shown) == threshold.proof_bytes(claim.check, 3)
    assert len(proof.salts) == threshold.SALTS_BYTES
    assert claim.holds(proof)


def test_a_share_of_refreshed_parts_is_proved_by_their_new_check() -> None:
    holders = Holders(SWITCHING, 2)
    drawn = os.urandom(32)
    seed, limbs = holders.seed, SWITCHING.limbs
    claim = Claim(SWITCHING)
    claim.holders = holders
    old = holders.check(holders.parts[0])
    claim.check = old.plus(PartCheck.of_part(KeyPart.expanded(SWITCHING, drawn), seed, limbs))
    claim.parts = [holders.parts[0].shifted([drawn])]
    claim.fields["words"] = threshold.decryption_share(
        claim.parts,
        claim.c1,
        limbs=1,
        positions=claim.fields["positions"],
        log_sigma=claim.fields["log_sigma"],
    )
    proof = claim.prove()
    assert claim.holds(proof)
    assert not claim.holds(proof, check=old)
    with pytest.raises(ValueError, match="samples"):
        claim.prove(check=old)


def test_real_parameters_prove_a_share() -> None:
    claim = Claim(catalogued("n13-q172-p42-v1"), log_sigma=18.0, positions=range(10))
    assert claim.holds(claim.prove())


# what is wrong is not


def test_a_wrong_share_has_no_proof() -> None:
    claim = Claim(RING, limbs=2, log_sigma=20.0)
    right = claim.prove()
    for words in (
        claim.moved(1 << 25),
        claim.moved(-(1 << 25)),
        claim.moved(1, prime=0),
        claim.moved(1 << 60),
        Claim(RING, limbs=2).fields["words"],
    ):
        with pytest.raises(ValueError, match="not of these parts"):
            claim.prove(words=words)
        assert not claim.holds(right, words=words)


def forged(claim: Claim, by: int) -> Proof:
    """By a holder who knows its parts, and answers for a share that is moved as if it were right:
    smudging makes up for the difference."""
    mask = math.ceil(math.log2(29 * 2 * 64 * OPENED * 4))
    relation, words = relation_of(claim, 29, mask), claim.moved(by)
    prover = _native.ShareProver(relation, [claim.parts[0].native], claim.fields["words"].ravel())
    statement = share_proofs._statement(
        claim.check,
        claim.holders.seed,
        RING.limbs,
        claim.c1,
        claim.fields["positions"],
        claim.fields["log_sigma"],
        claim.fields["context"],
    )
    while True:
        seeds = [os.urandom(32) for _ in range(ROUNDS)]
        salts = [share_proofs._salt_of(one) for one in seeds]
        rounds = []
        for one, salt in zip(seeds, salts, strict=True):
            first, second = share_proofs._split(claim.check, relation.commitment(one))
            rounds.append(
                share_proofs._round_digest(first, share_proofs._second_digest(salt, second))
            )
        challenge = share_proofs._challenge(statement, words, rounds)
        opened = share_proofs._opened(challenge)
        answers = [prover.answer(seeds[round_]) for round_ in sorted(opened)]
        if None in answers:
            continue
        closed = [one for round_, one in enumerate(seeds) if round_ not in opened]
        first_at = -16 * len(claim.fields["positions"])
        moved = []
        for answer in filter(None, answers):
            smudging = int.from_bytes(answer[first_at:][:16], "little", signed=True) + by
            after = answer[first_at + 16 :]
            moved.append(answer[:first_at] + smudging.to_bytes(16, "little", signed=True) + after)
        shown = b"".join((challenge, *closed, *moved))
        return Proof(shown, b"".join(salts[round_] for round_ in sorted(opened)))


@pytest.mark.parametrize(("deviations", "passes"), [(0, True), (50, True), (600, False)])
def test_a_share_that_is_proved_is_within_the_tolerance(deviations: int, passes: bool) -> None:
    claim = Claim(RING, log_sigma=10.0)
    by = deviations * 2**10
    assert claim.holds(forged(claim, by), words=claim.moved(by)) == passes
    assert 50 < threshold.TOLERANCE < 600


def test_simulated_rounds_pass_only_where_the_challenge_was_guessed() -> None:
    """Who knows no part simulates answers for guessed rounds. Nothing but luck opens just those."""
    claim = Claim(RING)
    real = claim.prove()
    answers = real.shown[32 * (1 + ROUNDS - OPENED) :]
    seeds = [os.urandom(32) for _ in range(ROUNDS - OPENED)]
    for challenge in (real.shown[:32], os.urandom(32)):
        assert not claim.holds(Proof(b"".join((challenge, *seeds, answers)), real.salts))


@pytest.mark.parametrize("at", [0, 31, 32, 63, 32 * 400, -1, -17, -60, -400])
def test_a_proof_with_a_changed_byte_is_none(at: int) -> None:
    claim = Claim(RING)
    proof = claim.prove()
    shown = bytearray(proof.shown)
    shown[at] ^= 1
    assert not claim.holds(Proof(bytes(shown), proof.salts))


@pytest.mark.parametrize("at", [0, 32, 32 * 23 + 31])
def test_salts_of_open_rounds_are_those_that_the_prover_was_bound_to(at: int) -> None:
    claim = Claim(RING)
    proof = claim.prove()
    salts = bytearray(proof.salts)
    salts[at] ^= 1
    assert claim.holds(proof)
    assert not claim.holds(Proof(proof.shown, bytes(salts)))
    assert not claim.holds(Proof(proof.shown, proof.salts[:-1]))
    assert not claim.holds(Proof(proof.shown, bytes(len(proof.salts))))


def test_a_proof_is_of_its_share_and_nothing_else() -> None:
    claim = Claim(RING, limbs=2, log_sigma=20.0)
    proof = claim.prove()
    other = Claim(RING, limbs=2, log_sigma=20.0)
    assert claim.holds(proof)
    assert not claim.holds(proof, context=b"another query")
    assert not claim.holds(proof, words=claim.moved(1))
    assert not claim.holds(proof, c1=other.c1)
    assert not claim.holds(proof, check=other.check)
    assert not claim.holds(proof, seed=other.holders.seed)
    assert not claim.holds(proof, log_sigma=19.0)
    assert not claim.holds(proof, positions=np.array([0, 5, 30], dtype=np.uint32))
    for damaged in (b"", proof.shown[:-1], proof.shown + b"\0", bytes(len(proof.shown))):
        assert not claim.holds(Proof(damaged, proof.salts))


def test_a_part_that_is_not_the_checked_one_proves_nothing() -> None:
    claim, other = Claim(RING), KeyPart.generate(RING)
    with pytest.raises(ValueError, match="samples"):
        claim.prove(parts=[other])
    words = threshold.decryption_share(
        [other],
        claim.c1,
        limbs=1,
        positions=claim.fields["positions"],
        log_sigma=claim.fields["log_sigma"],
    )
    with pytest.raises(ValueError, match="share is not of these parts"):
        claim.prove(words=words)


def test_malformed_shares_and_results_are_refused() -> None:
    claim = Claim(RING)
    proof = claim.prove()
    too_large = claim.fields["words"].copy()
    too_large[0, 0] = RING.primes[0]
    for change in (
        {"words": too_large},
        {"words": claim.fields["words"][:, :2]},
        {"c1": claim.c1[:-1]},
        {"c1": random_second_part(RING, 2)},
    ):
        with pytest.raises(CiphertextError):
            claim.holds(proof, **change)
    with pytest.raises(CiphertextError):
        claim.prove(words=too_large)
    with pytest.raises(ValueError, match="no such coefficient"):
        claim.holds(proof, positions=np.array([0, 5, 64], dtype=np.uint32))
    with pytest.raises(ValueError, match="32 bytes"):
        claim.prove(secret=b"short")


def test_parameters_that_bind_nothing_are_refused() -> None:
    claim = Claim(RING)
    proof = claim.prove()
    worn = PartCheck(RING, claim.check.words, 2**70)
    with pytest.raises(ValueError, match="too often"):
        claim.holds(proof, check=worn)
    with pytest.raises(ValueError, match="too wide"):
        claim.holds(proof, log_sigma=45.0)

    narrow = small_parameters(64, (50, 40))
    check = Claim(narrow, log_sigma=20.0).check
    with pytest.raises(ValueError, match="3 primes"):
        threshold.require_provable(check, 3, 20.0)


# what a proof shows


def test_who_examines_a_proof_can_not_test_guesses_of_words() -> None:
    """It has everything but the salts: and with any other salts the right words prove nothing."""
    claim = Claim(RING)
    proof = claim.prove()
    examined = claim.examined(proof.shown)
    assert examined is not None
    words = claim.fields["words"]
    assert examined.proves(RING, words, proof.salts)
    for guess in (bytes(len(proof.salts)), os.urandom(len(proof.salts))):
        assert not examined.proves(RING, words, guess)
    # Nor are they among what it sees, or follow from it as those of closed rounds do.
    seen = proof.shown + examined.to_bytes()
    seeds = [proof.shown[at : at + 32] for at in range(32, 32 * (1 + ROUNDS - OPENED), 32)]
    known = {share_proofs._salt_of(seed) for seed in seeds}
    for at in range(0, len(proof.salts), 32):
        salt = proof.salts[at : at + 32]
        assert salt not in seen
        assert salt not in known


def test_the_asker_gets_nothing_of_the_result_beyond_its_positions() -> None:
    """Kilobytes in place of megabytes, and of c1 only products with what it does not see."""
    claim = Claim(RING, limbs=2)
    examined = claim.examined(claim.prove().shown)
    assert examined is not None
    data = examined.to_bytes()
    assert len(data) == threshold.examined_bytes(2, 3) == 32 * (2 + 512 + 488) + 24 * 2 * 3 * 8
    assert claim.c1[44:60] not in data
    with pytest.raises(ValueError, match="bytes"):
        Examined.from_bytes(data[:-1], 2, 3)
    malformed = claim.fields["words"].copy()
    malformed[0, 0] = RING.primes[0]
    with pytest.raises(CiphertextError):
        examined.proves(RING, malformed, bytes(threshold.SALTS_BYTES))


def test_the_same_secret_gives_the_same_proof() -> None:
    claim = Claim(RING)
    proof = claim.prove()
    assert claim.prove() == proof
    assert claim.prove(secret=os.urandom(32)) != proof
    another = claim.prove(context=b"another query")
    seeds = slice(32, 32 * (1 + ROUNDS - OPENED))
    both = [one.shown[seeds] for one in (proof, another)]
    mine, its = ({one[i : i + 32] for i in range(0, len(one), 32)} for one in both)
    assert not mine & its


def relation_of(claim: Claim, error_bound: int, log_mask: int) -> _native.ShareRelation:
    parameters = claim.holders.parameters
    return _native.ShareRelation(
        parameters.native,
        public_seeds(parameters, claim.holders.seed, parameters.limbs),
        claim.check.words.reshape(-1),
        claim.fields["limbs"],
        claim.c1[44:],
        claim.fields["positions"],
        claim.fields["log_sigma"],
        error_bound,
        log_mask,
    )


def shown_errors(answer: bytes, parameters: Parameters, log_mask: int) -> NDArray[np.int64]:
    """Both z_i, shifted to be positive, from an answer's bytes."""
    degree, bits = parameters.ring_degree, log_mask + 1
    start = sum(-(-degree * q.bit_length() // 8) for q in parameters.primes[:3])
    size = -(-degree * bits // 8)
    found = []
    for sample in range(2):
        data = np.frombuffer(answer, np.uint8)[start + sample * size : start + (sample + 1) * size]
        digits = np.unpackbits(data, bitorder="little")[: degree * bits].reshape(degree, bits)
        found.append(digits.astype(np.int64) @ (1 << np.arange(bits)))
    return np.concatenate(found)


def test_answers_near_the_ends_of_masks_are_withheld_so_that_shown_ones_are_uniform() -> None:
    """With narrow masks, where it shows: what would tell that an error was added never appears."""
    parameters = small_parameters(16, (50, 45, 40))
    claim = Claim(parameters, positions=[0])
    bound, log_mask = 29, 10
    relation = relation_of(claim, bound, log_mask)
    prover = _native.ShareProver(relation, [claim.parts[0].native], claim.fields["words"].ravel())
    answers = [prover.answer(os.urandom(32)) for _ in range(4000)]
    shown = [answer for answer in answers if answer is not None]
    expected = (1 - bound / 2**log_mask) ** 32
    assert abs(len(shown) / len(answers) - expected) < 5 * math.sqrt(0.25 / len(answers))
    values = np.concatenate([shown_errors(answer, parameters, log_mask) for answer in shown])
    assert values.min() >= bound
    assert values.max() < 2 ** (log_mask + 1) - bound
    # Uniform over what is left: both halves of every error's reach are equally likely.
    low = np.count_nonzero(values < 2 * bound)
    expected_low = len(values) * bound / (2 ** (log_mask + 1) - 2 * bound)
    assert abs(low - expected_low) < 5 * math.sqrt(expected_low)
    for answer in shown[:50]:
        assert relation.commitment_of(answer, claim.fields["words"].ravel()) is not None


def test_masks_of_smudging_are_as_wide_as_the_plans_count_on() -> None:
    claim = Claim(RING, positions=range(64), log_sigma=20.0)
    proof = claim.prove().shown
    size = 16 * 64
    answer = (len(proof) - 32 - 32 * (ROUNDS - OPENED)) // OPENED
    shown = []
    for i in range(OPENED):
        end = len(proof) - i * answer
        words = np.frombuffer(proof[end - size : end], "<i8").reshape(64, 2)
        assert np.isin(words[:, 1], (0, -1)).all()  # the high halves: signs
        shown.append(words[:, 0])
    deviation = np.concatenate(shown).astype(float).std() / 2**20
    slack = 1.0 + 5.0 / math.sqrt(2 * 64 * OPENED)
    assert 2.0**LOG_MASK / slack < deviation < WIDEST_MASK * 2.0**LOG_MASK * slack
    assert threshold.PROVED_SHARE == 1 + OPENED / 256


@pytest.mark.parametrize("kernel", _native.available_kernels())
def test_masks_are_integers_from_a_table_so_that_all_machines_expand_the_same(kernel: str) -> None:
    """Digests of what a fixed seed expands to; whoever examines a proof must find the same."""
    parameters = small_parameters(16, (50, 45, 40), kernel)
    found = {}
    for log_sigma in (0.0, 20.0, 60.5):
        relation = _native.ShareRelation(
            parameters.native,
            [bytes(32), bytes([1] * 32)],
            np.zeros(2 * 3 * 16, dtype=np.uint64),
            3,
            _native.pack_rows(parameters.native, np.zeros(48, dtype=np.uint64)),
            np.arange(16, dtype=np.uint32),
            log_sigma,
            29,
            20,
        )
        words = relation.commitment(bytes(range(32))).astype("<u8")
        found[log_sigma] = hashlib.sha256(words.tobytes()).hexdigest()[:16]
    assert found == KNOWN


@pytest.mark.parametrize("log_sigma", [0.0, 0.3, 7.77, 20.0, 45.5, 60.5])
def test_masks_are_never_narrower_than_the_plans_count_on(log_sigma: float) -> None:
    parameters = small_parameters(64, (50, 50, 50))
    claim = Claim(parameters, limbs=3, positions=range(64), log_sigma=log_sigma)
    no_words = np.zeros(3 * 64, dtype=np.uint64)
    masks = []
    for _ in range(60):
        # With c1 = 0 what is bound to is the mask itself.
        relation = _native.ShareRelation(
            parameters.native,
            public_seeds(parameters, claim.holders.seed, parameters.limbs),
            claim.check.words.reshape(-1),
            3,
            _native.pack_rows(parameters.native, no_words),
            claim.fields["positions"],
            log_sigma,
            29,
            20,
        )
        rows = relation.commitment(os.urandom(32))[-3 * 64 :].reshape(3, 64)
        modulus = math.prod(parameters.primes)
        masks += centred(from_residues(rows.tolist(), parameters.primes), modulus)
    deviation = math.sqrt(sum(mask * mask for mask in masks) / len(masks)) / 2.0**log_sigma
    slack = 1.0 + 5.0 / math.sqrt(2 * len(masks))
    assert 16.0 / slack < deviation < WIDEST_MASK * 16.0 * slack


def test_both_answers_to_one_mask_show_the_part_and_no_proof_has_both() -> None:
    """Why a challenge that is answered twice would be fatal, and why proofs are a function of one
    secret: with z and the seed, the part is their difference."""
    claim = Claim(RING)
    relation = relation_of(claim, 29, 20)
    prover = _native.ShareProver(relation, [claim.parts[0].native], claim.fields["words"].ravel())
    seed = next(s for s in (os.urandom(32) for _ in range(50)) if prover.answer(s) is not None)
    answer = prover.answer(seed)
    assert answer is not None
    bound_to = relation.commitment(seed)
    found = relation.commitment_of(answer, claim.fields["words"].ravel())
    assert found is not None
    np.testing.assert_array_equal(found, bound_to)
    proof = claim.prove().shown
    closed = proof[32 : 32 * (1 + ROUNDS - OPENED)]
    answers = proof[32 * (1 + ROUNDS - OPENED) :]
    size = len(answers) // OPENED
    shown = {answers[i * size : (i + 1) * size] for i in range(OPENED)}
    wide = relation_of(claim, 29, math.ceil(math.log2(29 * 2 * 64 * OPENED * 4)))
    holder = _native.ShareProver(wide, [claim.parts[0].native], claim.fields["words"].ravel())
    for i in range(ROUNDS - OPENED):
        assert holder.answer(closed[32 * i : 32 * (i + 1)]) not in shown
