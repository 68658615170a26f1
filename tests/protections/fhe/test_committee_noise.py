"""Results under keys that committees made: their noise, the members' smudging and the scores that
come out, measured against the plan over 1000 results each; and who can't open them.

A result is a declared coefficient here, of which many share a ciphertext: each is an answer, with
noise of its own, and smudged by itself.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

import numpy as np
import pytest
from committee_exchanges import Candidate, HeldModel, OpenableResult, Table, Words
from hidden_exchanges import candidate_of
from hidden_network_exchanges import hidden_choices
from small_committees import TWO_OF_THREE, VENDOR_AND_ONE
from small_networks import kind, layout_of

from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.noise import TAIL
from strongroom.engine.debugging import joined_secret_do_not_use
from strongroom.keys import custody
from strongroom.keys.committee.access import Access
from strongroom.keys.sealing import Passphrase
from strongroom.protections.fhe.protection import NetworkCandidate
from strongroom.protections.fhe.shared_client import SharedPending

RESULTS = 1000
BUDGET = 1 << 20
LAMBDA = 30
"""What the policy asks of sanitising, and of decryption."""

LOOSE_BITS = 4.0
"""How far a bound on noise may be above what is measured: it is for any weights and rows."""

FOUR = "vendor AND insurer AND 1-of-2(hospital, auditor)"
COLUMNS = 30
SAMPLED = 5.0 / math.sqrt(2.0 * RESULTS)
"""How far the measured deviation of so many Gaussians may be off: five of its own."""


@dataclass(frozen=True)
class Case:
    """A model, its committee, and who answers.

    Attributes:
        access: of the committee.
        active: an active set, by which every part is answered for.
        vectors: rows a ciphertext, of a network.
    """

    model: str
    access: str
    active: tuple[str, ...]
    vectors: int = 0

    @property
    def holding(self) -> KeyHolding:
        return KeyHolding(len(Access.parse(self.access).parts()), BUDGET)

    def candidate(self) -> Candidate:
        """The plan."""
        if self.model == "linear":
            sample = np.random.default_rng(59).uniform(-1.0, 1.0, (100, COLUMNS))
            return candidate_of(*weights(), sample, holding=self.holding)
        for choice in hidden_choices(kind(self.model), holding=self.holding):
            if layout_of(choice).rows_per_ciphertext == self.vectors:
                return NetworkCandidate(choice, ())
        raise AssertionError("no such plan")

    def rows(self, count: int) -> Table:
        if self.model == "linear":
            return np.random.default_rng(61).uniform(-1.0, 1.0, (count, COLUMNS))
        return kind(self.model).rows(count, seed=61)

    def plain(self, rows: Table) -> Table:
        """What the model says of rows, without encryption."""
        if self.model == "linear":
            matrix, bias = weights()
            return rows @ matrix.T + bias
        return kind(self.model).scores(rows)


def weights() -> tuple[Table, Table]:
    """Of the linear model."""
    generator = np.random.default_rng(53)
    return generator.normal(size=(1, COLUMNS)), generator.normal(size=1)


CASES = {
    "linear, two of three": Case("linear", TWO_OF_THREE, ("a", "b")),
    "linear, the vendor and one": Case("linear", VENDOR_AND_ONE, ("vendor", "hospital")),
    "squares, two and one": Case("squares", FOUR, ("vendor", "insurer", "auditor"), 16),
    "tree, two of three": Case("tree", TWO_OF_THREE, ("b", "c"), 64),
}


@dataclass(frozen=True)
class Answers:
    """At least `RESULTS` results of rows, from two packages of the model."""

    case: Case
    model: HeldModel

    @cached_property
    def rows(self) -> Table:
        layout = self.model.results.circuit.layout
        step = layout.rows_per_ciphertext
        return self.case.rows(math.ceil(RESULTS / (step * layout.outputs)) * step)

    @cached_property
    def requests(self) -> list[SharedPending]:
        step = self.model.asker.rows_per_request
        return [
            self.model.request(self.rows[at : at + step]) for at in range(0, len(self.rows), step)
        ]

    @cached_property
    def responses(self) -> list[bytes]:
        served = self.model.encrypted()
        return [served.answer(one.body) for one in self.requests]

    @cached_property
    def results(self) -> list[list[OpenableResult]]:
        """Of each response."""
        pairs = zip(self.requests, self.responses, strict=True)
        return [self.model.read(*pair) for pair in pairs]

    @cached_property
    def shares(self) -> dict[str, list[list[Words]]]:
        """Of each active member, for each response."""
        return {
            name: [self.model.shares(name, self.case.active, its) for its in self.results]
            for name in self.case.active
        }

    def again(self) -> list[OpenableResult]:
        """All results of the same rows with other ciphertexts of rows and weights."""
        served, step = self.model.encrypted(), self.model.asker.rows_per_request
        found = []
        for at in range(0, len(self.rows), step):
            pending = self.model.request(self.rows[at : at + step])
            found += self.model.read(pending, served.answer(pending.body))
        return found

    @property
    def flat(self) -> list[OpenableResult]:
        return list(chain.from_iterable(self.results))


def flat(values: Sequence[Sequence[int]]) -> Table:
    return np.array([float(value) for one in values for value in one])


def deviation(values: Table) -> float:
    """About zero."""
    return math.sqrt(float(np.mean(values**2)))


def cheap_lock() -> Passphrase:
    """What seals the parts of tests' members."""
    return Passphrase(salt=secrets.token_hex(16), iterations=1, lanes=1, memory_kib=128)


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.long if "tree" in name else ()) for name in CASES],
)
def answers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Answers:
    case = CASES[request.param]
    folder = tmp_path_factory.mktemp("committee")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(custody, "fresh_lock", cheap_lock)
        model = HeldModel.set_up(case.access, BUDGET, case.candidate(), folder)
    return Answers(case, model)


def test_the_noise_of_a_thousand_results_is_what_the_plan_s_flood_is_sized_for(
    answers: Answers,
) -> None:
    """Two sets of results of the same rows differ by the noise of both."""
    secret = answers.model.secret
    one, other = ([r.opened(secret) for r in its] for its in (answers.flat, answers.again()))
    noise = flat(
        [[a - b for a, b in zip(*pair, strict=True)] for pair in zip(one, other, strict=True)]
    ) / math.sqrt(2.0)
    assert len(noise) >= RESULTS
    bound = answers.model.bound
    assert np.abs(noise).max() < bound
    assert TAIL * deviation(noise) < 1.05 * bound
    assert TAIL * deviation(noise) > bound * 2.0**-LOOSE_BITS
    # What is flooded hides that noise, in every answer of the budget.
    exposed = len(answers.flat[0].told.positions)
    least = 2.0**LAMBDA * math.sqrt(BUDGET * exposed) * np.abs(noise).max() / 2.0
    assert 2.0**answers.model.results.log_sigma > least


def test_each_member_smudges_a_thousand_results_as_the_plan_says(answers: Answers) -> None:
    model, active = answers.model, answers.case.active
    planned = 2.0**model.results.log_sigma
    found = []
    for name, shares in answers.shares.items():
        own = joined_secret_do_not_use(model.held[name].answering(active))
        smudging = [
            [a - b for a, b in zip(one.opened_with([share]), one.opened(own), strict=True)]
            for its, their in zip(answers.results, shares, strict=True)
            for one, share in zip(its, their, strict=True)
        ]
        found.append(flat(smudging))
        assert deviation(found[-1]) == pytest.approx(planned, rel=SAMPLED)
        assert abs(float(np.mean(found[-1]))) < 5.0 * planned / math.sqrt(RESULTS)
    for one, other in pairwise(found):
        assert abs(float(np.corrcoef(one, other)[0, 1])) < 5.0 / math.sqrt(RESULTS)


def test_what_all_shares_add_to_a_thousand_results_is_no_more_than_planned(
    answers: Answers,
) -> None:
    model = answers.model
    secret, added = model.secret, []
    for number, its in enumerate(answers.results):
        for place, one in enumerate(its):
            shares = [their[number][place] for their in answers.shares.values()]
            pairs = zip(one.opened_with(shares), one.opened(secret), strict=True)
            added.append([a - b for a, b in pairs])
    measured = deviation(flat(added))
    # One flood a member that answers; the plan reckons with one a part, of which one may have two.
    sigma = 2.0**model.results.log_sigma
    assert measured == pytest.approx(sigma * math.sqrt(len(answers.shares)), rel=SAMPLED)
    assert measured < sigma * math.sqrt(answers.case.holding.parts) * (1.0 + SAMPLED)


def test_a_thousand_scores_are_as_exact_as_the_plan_declares(answers: Answers) -> None:
    opened = [
        answers.model.asker.open(
            pending,
            answers.model.results.shown(response),
            [their[number] for their in answers.shares.values()],
        )
        for number, (pending, response) in enumerate(
            zip(answers.requests, answers.responses, strict=True)
        )
    ]
    errors = np.abs(np.vstack(opened) - answers.case.plain(answers.rows))
    assert errors.size >= RESULTS
    declared = answers.model.plan.costs.score_error
    assert errors.max() < declared
    assert deviation(errors) > declared / 30.0


def test_an_answer_with_words_that_are_no_share_can_not_be_one_and_no_other_is_taken_for_that(
    answers: Answers,
) -> None:
    asker, generator = answers.model.asker, np.random.default_rng(97)
    for number, (pending, response) in enumerate(
        zip(answers.requests, answers.responses, strict=True)
    ):
        shown = answers.model.results.shown(response)
        shares = [their[number] for their in answers.shares.values()]
        assert not asker.impossible(pending, shown, shares)
        for place in range(len(shares)):
            primes = np.array(answers.model.results.parameters.primes, np.uint64)[:, None]
            noise = [
                generator.integers(0, primes[: len(words)], words.shape, np.uint64)
                for words in shares[place]
            ]
            changed = [*shares[:place], noise, *shares[place + 1 :]]
            assert asker.impossible(pending, shown, changed)
            # One of several results alone is found as well.
            last = [*shares[:place], [*shares[place][:-1], noise[-1]], *shares[place + 1 :]]
            assert asker.impossible(pending, shown, last)


def test_a_quorum_s_parts_open_a_thousand_results_and_no_other_set_s_tell_anything(
    answers: Answers,
) -> None:
    model = answers.model
    whole = flat([one.opened(model.secret) for one in answers.flat])
    quorums, others = (model.sets_of_members(allowed=allowed) for allowed in (True, False))
    assert quorums
    for names in quorums:
        first = answers.flat[0].opened(model.joined(names))
        assert first == answers.flat[0].opened(model.secret)
    half = answers.flat[0].modulus / 2.0
    for names in others:
        values = flat([one.opened(model.joined(names)) for one in answers.flat]) / half
        # Uniform, and nothing to do with the results.
        assert float(np.mean(np.abs(values))) == pytest.approx(0.5, abs=5.0 * 0.29 / RESULTS**0.5)
        assert abs(float(np.mean(values))) < 5.0 * 0.58 / math.sqrt(RESULTS)
        assert abs(float(np.corrcoef(values, whole)[0, 1])) < 5.0 / math.sqrt(RESULTS)
    if "vendor" in model.access.members:
        assert ("hospital", "auditor") in others
