"""A client attacks the model: does it learn more than its answers say?

The client follows the protocol with a key of its own, and uses all that it then knows: its secret
key, its rows, and the exact errors of its encryptions, which it computes by decrypting what it
sent. It asks 1, 10 or 20 chosen queries, fewer than the 31 unknowns (30 weights and a bias). A
query is a distinct row: 31 of them reveal the model by the answers alone, which no cryptography
prevents. So each query fills a request with 136 equal rows: one row's worth of answers, and 136
equations on the noise.

Three levels of the modulus are attacked: those that the planner ships; the same without the last
drop of primes, which is public and can only lose information; and no drop at all, the textbook
protocol, in which every attack is sharpest.

**Null hypothesis.** Given the declared answers, what is received is independent of the weights. It
is tested against the truth, which the tests know and an attacker does not, so that no estimate
that an attacker could form from the same numbers is more powerful in the direction of the leak:

- Division. What a result without the mask of re-randomising would be is subtracted modulo Q. Under
  the null hypothesis all 4096 q differences are uniform, and sqrt(2 n) times the mean cosine of
  their phases is a standard normal value (by Bernstein's inequality it exceeds 6.5 with probability
  below 4e-9).
- Undeclared coefficients. The same, for what is decrypted where nothing was declared.
- Noise. The residual noise of n = 136 q answers is correlated with the noise that the true weights
  would give: r sqrt((n - 1) / (1 - r^2)) is Student's t with n - 1 >= 135 degrees of freedom,
  beyond 6.5 with probability 1.4e-9.

There are 27 such tests on sanitised answers; a false alarm in any of them has a probability below
1.1e-7. The tests at the end show that each rejects when its part of the protection is taken away.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from attack_estimates import (
    baseline,
    by_lattice,
    divided,
    division_statistic,
    estimate,
    noise_statistic,
    quotient,
    relative_error,
    undeclared_statistic,
    weights_at,
)
from attacking_client import Answer, Attacker, Table, breast_cancer, centred, server_without

from strongroom import engine
from strongroom.compiler.messages import Limbs

THRESHOLD = 6.5
NO_GAIN = 1e-6
QUERIES = (1, 10, 20)
LEVELS = {"as shipped": None, "nothing dropped after": Limbs(4, 3, 3), "textbook": Limbs(4, 4, 4)}

every_level = pytest.mark.parametrize("levels", list(LEVELS))
every_number_of_queries = pytest.mark.parametrize("queries", QUERIES)


def chosen_row(seed: int) -> Table:
    """Far out in every column, which keeps the most precision."""
    return np.random.default_rng(seed).choice([-2.0, 2.0], size=30)


def attack(levels: str, queries: int, *without: str) -> tuple[Attacker, list[Answer]]:
    """Some answers, from a server without parts of its protection."""
    attacker = Attacker(breast_cancer(LEVELS[levels]))
    questions = [attacker.question(chosen_row(seed)) for seed in range(queries)]
    if not without:
        return attacker, [attacker.ask(q) for q in questions]
    with server_without(*without):
        return attacker, [attacker.ask(q) for q in questions]


@cache
def sanitised(levels: str) -> tuple[Attacker, list[Answer]]:
    """Answers of the server as it is."""
    return attack(levels, max(QUERIES))


# With sanitising off, one query is enough.


def test_unsanitised_one_division_reveals_every_weight() -> None:
    attacker, (answer,) = attack("textbook", 1, "flooding", "re-randomising")
    found = quotient(attacker, answer)
    assert (found[:30][::-1] == attacker.target.encoded_weights).all()
    assert not found[30:].any()
    assert relative_error(attacker.target, divided(attacker, answer)) < 1e-7
    assert baseline(attacker, [answer]) > 0.5


def test_unsanitised_noise_of_one_query_reveals_every_weight() -> None:
    attacker, answers = attack("textbook", 1, "flooding", "re-randomising")
    found = estimate(attacker, answers, with_noise=True)
    assert np.abs(found / attacker.target.weights - 1).max() < 1e-6
    assert baseline(attacker, answers) > 0.5
    attacker, answers = attack("nothing dropped after", 1, "flooding", "re-randomising")
    found = estimate(attacker, answers, with_noise=True)
    assert relative_error(attacker.target, found) < 0.25
    assert baseline(attacker, answers) > 0.5


@every_level
def test_unsanitised_undeclared_coefficients_of_one_query_reveal_the_weights(levels: str) -> None:
    attacker = Attacker(breast_cancer(LEVELS[levels]))
    row = np.zeros(30)
    row[0] = 2.0
    with server_without("flooding", "re-randomising") as results:
        answer = attacker.ask(attacker.question(row))
    (result,) = results  # as a server would send it that erases nothing
    found = weights_at(attacker, answer, centred(attacker.opening(result), result), result.scale)
    # All but the first, of which the declared answer has the sum with the bias.
    assert np.abs(found[1:] / attacker.target.weights[1:] - 1).max() < 1e-6
    assert baseline(attacker, [answer]) > 0.5


def test_shipped_levels_hide_nothing_from_division_without_the_mask_and_all_with_it() -> None:
    attacker = Attacker(breast_cancer())
    question = attacker.question(chosen_row(0))
    with server_without("flooding", "re-randomising"):
        bare = attacker.ask(question)
    with server_without("re-randomising"):
        flooded = attacker.ask(question)
    genuine = attacker.ask(question)
    found = by_lattice(attacker, [bare, flooded, genuine])
    target = attacker.target
    scale = float(target.circuit.weight_scale)
    for revealed in found[:2]:
        assert [round(w * scale) for w in revealed] == list(target.encoded_weights)
    assert relative_error(target, found[2]) > baseline(attacker, [genuine])


# With sanitising as it is by default, nothing beyond the answers is learnt.


@every_level
@every_number_of_queries
def test_division_does_no_better_than_the_answers(levels: str, queries: int) -> None:
    attacker, answers = sanitised(levels)
    assert abs(division_statistic(attacker, answers[:queries])) < THRESHOLD
    if attacker.target.dropped == 1:
        found = np.mean([divided(attacker, a) for a in answers[:queries]], axis=0)
        assert relative_error(attacker.target, found) > baseline(attacker, answers[:queries])


@every_level
@every_number_of_queries
def test_noise_does_no_better_than_the_answers(levels: str, queries: int) -> None:
    attacker, answers = sanitised(levels)
    answers = answers[:queries]
    assert abs(noise_statistic(attacker, answers)) < THRESHOLD
    attacked = relative_error(attacker.target, estimate(attacker, answers, with_noise=True))
    assert attacked > baseline(attacker, answers) * (1 - NO_GAIN)


@every_level
@every_number_of_queries
def test_undeclared_coefficients_do_no_better_than_the_answers(levels: str, queries: int) -> None:
    attacker, answers = sanitised(levels)
    answers = answers[:queries]
    assert abs(undeclared_statistic(attacker, answers)) < THRESHOLD
    found = [
        weights_at(attacker, a, centred(attacker.opening(a.received), a.received), a.received.scale)
        for a in answers
    ]
    assert relative_error(attacker.target, np.mean(found, axis=0)) > baseline(attacker, answers)


@every_level
def test_undeclared_coefficients_are_not_in_the_response(levels: str) -> None:
    attacker, (answer, *_) = sanitised(levels)
    circuit = attacker.target.circuit
    parameters, limbs = circuit.parameters, circuit.limbs.response
    # After the envelope: header and scale, all of c1, and the declared coefficients of c0.
    empty = np.array([], dtype=np.uint32)
    frame = len(engine.ciphertext_to_bytes(answer.received, empty))
    declared = parameters.packed_bytes(limbs, len(answer.declared))
    assert len(answer.declared) == 136
    assert len(answer.body) == 60 + frame + declared
    assert answer.body[60:] == engine.ciphertext_to_bytes(answer.received, answer.declared)
    first = answer.received.native.residues()[0]
    assert not np.delete(first, answer.declared, axis=1).any()


# Each of these tests rejects when its part of the protection is missing.


@every_level
@every_number_of_queries
def test_without_re_randomising_the_tests_of_division_reject(levels: str, queries: int) -> None:
    attacker, answers = attack(levels, queries, "re-randomising")
    assert division_statistic(attacker, answers) > 10 * THRESHOLD
    assert undeclared_statistic(attacker, answers) > 10 * THRESHOLD


@pytest.mark.parametrize(
    ("levels", "queries"),
    [("textbook", 1), ("nothing dropped after", 20)],
)
def test_without_flooding_the_test_of_noise_rejects(levels: str, queries: int) -> None:
    attacker, answers = attack(levels, queries, "flooding")
    assert noise_statistic(attacker, answers) > THRESHOLD
    attacked = relative_error(attacker.target, estimate(attacker, answers, with_noise=True))
    assert attacked < 0.5 * baseline(attacker, answers)
