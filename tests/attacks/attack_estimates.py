"""What an attacking client estimates from its answers, and the statistics of the three tests: of
division, of noise, of undeclared coefficients (test_client_attacks_model.py says what they test).
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from attacking_client import (
    Answer,
    Attacker,
    Integers,
    Table,
    Target,
    centred,
    from_residues,
    second_part,
    times_weights,
)
from lattice_reduction import NoisyEquations
from numpy.typing import NDArray

from strongroom import _native_testing, engine


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
