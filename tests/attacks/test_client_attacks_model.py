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

import math
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from attacking_client import (
    Answer,
    Attacker,
    Integers,
    Table,
    Target,
    breast_cancer,
    centred,
    from_residues,
    second_part,
    server_without,
    times_weights,
)
from lattice_reduction import NoisyEquations
from numpy.typing import NDArray

from strongroom import _native_testing, engine
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


# What an attacker estimates, and how wrong it is.


def relative_error(target: Target, weights: Table) -> float:
    return float(np.linalg.norm(weights - target.weights) / np.linalg.norm(target.weights))


def estimate(attacker: Attacker, answers: list[Answer], *, with_noise: bool) -> Table:
    """The best linear estimate of the weights: from the declared answers, or also from the noise.

    The attacker is told the size of the weights, which only helps it.
    """
    target = attacker.target
    spread = float(np.sqrt(np.mean(target.weights**2)))
    step = 2.0**target.plan.layout.log_output_step
    equations = [np.append(a.question.row, 1.0) / step for a in answers]
    values = [np.array([a.score / step]) for a in answers]
    if with_noise:
        slopes = np.vstack([attacker.noise_of_weights(a) for a in answers])
        noise = np.concatenate([attacker.residual_noise(a) for a in answers])
        left = noise - slopes @ np.linalg.lstsq(slopes, noise, rcond=None)[0]
        deviation = np.linalg.norm(left) / math.sqrt(len(noise) - slopes.shape[1])
        equations.extend(np.hstack([slopes, np.zeros((len(slopes), 1))]) / deviation)
        values.append(noise / deviation)
    prior = np.identity(len(target.weights) + 1) / spread
    values.append(np.zeros(len(prior)))
    solution = np.linalg.lstsq(np.vstack([*equations, prior]), np.concatenate(values), rcond=None)
    return np.asarray(solution[0][:-1])


def baseline(attacker: Attacker, answers: list[Answer]) -> float:
    """Error of the best estimate from the declared answers alone."""
    return relative_error(attacker.target, estimate(attacker, answers, with_noise=False))


def quotient(attacker: Attacker, answer: Answer) -> Integers:
    """What the second part was multiplied with, point by point; for levels that drop nothing.

    Small primes, modulo which some point is zero, are left out: the weights are smaller yet.
    """
    parameters = attacker.target.circuit.parameters
    residues, primes = [], []
    parts = (c.native.residues()[1] for c in (answer.question.sent, answer.received))
    for sent, received, prime in zip(*parts, parameters.primes, strict=True):
        below, above = (
            _native_testing.forward_ntt("portable", x, prime).astype(object)
            for x in (sent, received)
        )
        if below.all():
            inverse = np.array([pow(int(x), -1, prime) for x in below], dtype=object)
            values = (above * inverse % prime).astype(np.uint64)
            residues.append(_native_testing.inverse_ntt("portable", values, prime))
            primes.append(prime)
    modulus = math.prod(primes)
    assert modulus > 2**48
    return (from_residues(residues, primes) + modulus // 2) % modulus - modulus // 2


def divided(attacker: Attacker, answer: Answer) -> Table:
    """Weights by division: the first coefficients of the quotient, in reverse."""
    scale = float(attacker.target.circuit.weight_scale)
    first = quotient(attacker, answer)[: len(attacker.target.weights)]
    return np.array([float(x) for x in first[::-1]]) / scale


def by_lattice(attacker: Attacker, answers: list[Answer]) -> list[Table]:
    """Weights by division where the rounding of dropped primes is in the way: c1 D - a w is small
    against Q, which is learning with errors in 30 unknowns. The answers are to one question."""
    target, question = attacker.target, answers[0].question
    parameters = target.circuit.parameters
    modulus = parameters.modulus(target.circuit.limbs.input)
    known = second_part(question.sent)
    columns = len(target.weights)
    ends = [columns - 1 + 37 * k for k in range(22)]
    scale = float(target.circuit.weight_scale)
    equations = NoisyEquations.reduced(
        np.array([known[end - columns + 1 : end + 1] for end in ends]),
        modulus,
        log_error=max(1, target.dropped.bit_length() - 1),
        log_secret=round(math.log2(scale * np.abs(target.weights).max())),
    )
    found = [equations.solve(second_part(a.received)[ends] * target.dropped) for a in answers]
    return [np.array(weights, dtype=np.float64) / scale for weights in found]


def undeclared_design(attacker: Attacker, answer: Answer) -> tuple[NDArray[np.int64], Table]:
    """Positions that nothing was declared at, and what one unit of each weight adds there."""
    packing = attacker.target.circuit.packing
    (message,) = packing.row_coefficients(
        np.tile(answer.question.row, (packing.rows_per_ciphertext, 1))
    )
    positions = np.setdiff1d(np.arange(packing.columns, len(message)), answer.declared)
    width = packing.columns
    return positions, np.array([message[p - width + 1 : p + 1] for p in positions])


def weights_at(attacker: Attacker, answer: Answer, opened: Integers, scale: Fraction) -> Table:
    """Weights that fit what was decrypted where nothing was declared."""
    positions, design = undeclared_design(attacker, answer)
    values = np.array([float(x) for x in opened[positions]]) / float(scale)
    return np.asarray(np.linalg.lstsq(design, values, rcond=None)[0])


# The statistics of the three tests.


def mean_cosine(differences: list[Integers], modulus: int) -> float:
    """A standard normal value if the differences are uniform modulo a number."""
    phases = np.array([float(x) for d in differences for x in d]) * (2 * math.pi / modulus)
    return float(np.sqrt(2 * len(phases)) * np.cos(phases).mean())


def division_statistic(attacker: Attacker, answers: list[Answer]) -> float:
    target = attacker.target
    differences = [
        centred(
            second_part(a.received) * target.dropped
            - times_weights(second_part(a.question.sent), target.encoded_weights),
            a.question.sent,
        )
        for a in answers
    ]
    return mean_cosine(differences, target.circuit.parameters.modulus(target.circuit.limbs.input))


def undeclared_statistic(attacker: Attacker, answers: list[Answer]) -> float:
    target = attacker.target
    parameters, limbs = target.circuit.parameters, target.circuit.limbs
    weights = engine.encode_coefficients(
        parameters, target.weights[::-1], target.circuit.weight_scale, limbs.input
    )
    nothing = np.array([], dtype=np.uint32)
    differences = []
    for answer in answers:
        # What the client sent, with c0 = 0: where c0 was not declared, c1 s is all there is.
        second = engine.ciphertext_from_bytes(
            parameters,
            engine.ciphertext_to_bytes(answer.question.sent, nothing),
            limbs=limbs.input,
            positions=nothing,
        )
        unmasked = engine.multiply_plain(second, weights)
        if limbs.response < limbs.input:
            unmasked = engine.rescale(unmasked, limbs.input - limbs.response)
        positions, _ = undeclared_design(attacker, answer)
        opened, expected = (attacker.opening(c)[positions] for c in (answer.received, unmasked))
        differences.append(centred(opened - expected, answer.received))
    return mean_cosine(differences, parameters.modulus(limbs.response))


def noise_statistic(attacker: Attacker, answers: list[Answer]) -> float:
    noise = np.concatenate([attacker.residual_noise(a) for a in answers])
    leak = np.concatenate([attacker.noise_of_weights(a) @ attacker.target.weights for a in answers])
    r = float(noise @ leak / (np.linalg.norm(noise) * np.linalg.norm(leak)))
    return r * math.sqrt((len(noise) - 1) / (1 - min(r * r, 1 - 1e-12)))


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
    assert relative_error(attacker.target, found) < 0.1
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
    [("textbook", 1), ("nothing dropped after", 10), ("nothing dropped after", 20)],
)
def test_without_flooding_the_test_of_noise_rejects(levels: str, queries: int) -> None:
    attacker, answers = attack(levels, queries, "flooding")
    assert noise_statistic(attacker, answers) > 2 * THRESHOLD
    attacked = relative_error(attacker.target, estimate(attacker, answers, with_noise=True))
    assert attacked < 0.5 * baseline(attacker, answers)
