"""Published scores against the secret key (Li, Micciancio, eprint 2020/1533).

The server's operator has the ciphertexts (c0, c1) of its responses. Each coefficient of the raw
decryption c0 + c1 s that a client publishes is an exact linear equation in the key: as many as the
ring has coefficients, and elimination gives the key. What `decrypt` returns is flooded and rounded
instead. Everything here is the product's own path over a ring of 64 coefficients, small enough to
eliminate at once. The server does not flood, so that only the client's flooding is in the way.

**Null hypothesis.** What `decrypt` returns, given the exact answers, is independent of the noise
of the ciphertexts, which is all in them that depends on the key. The correlation r of n values
gives r sqrt((n - 1) / (1 - r^2)), Student's t with n - 1 >= 900 degrees of freedom, beyond 6.5 with
probability 1.4e-10. (On so small a ring lattice reduction breaks the ciphertexts themselves; it is
the step from answers to key that is tested, and that does not depend on the ring's size.)
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from attacking_client import (
    Answer,
    Attacker,
    Integers,
    Table,
    Target,
    centred,
    protected,
    second_part,
    server_without,
)
from numpy.typing import NDArray
from sklearn.linear_model import LinearRegression

from strongroom import _native_testing, engine
from strongroom.compiler import linear
from strongroom.engine import Parameters
from strongroom.protections.fhe import circuit

THRESHOLD = 6.5
RING_DEGREE = 64


@pytest.fixture(scope="module")
def small_target() -> Iterator[Target]:
    """A regression on four columns, over a ring that only the testing module can make."""
    primes = engine.CATALOGUE["n12-q104-v1"].primes
    native = _native_testing.without_security(RING_DEGREE, list(primes), [], "")
    parameters = Parameters.__new__(Parameters)
    parameters._adopt(native, RING_DEGREE, primes, (), "none")
    rows = np.random.default_rng(0).normal(size=(100, 4))
    with pytest.MonkeyPatch.context() as patch:
        for module in (linear, circuit):
            patch.setattr(module, "catalogued", lambda _: parameters)
        yield protected(LinearRegression().fit(rows, rows @ [1.0, -2.0, 0.5, 3.0]), rows)


def answers(attacker: Attacker, requests: int) -> list[Answer]:
    """Answers that the server did not flood, to different rows."""
    generator = np.random.default_rng(1)
    with server_without("flooding"):
        return [
            attacker.ask(attacker.question(generator.uniform(-1, 1, size=4)))
            for _ in range(requests)
        ]


def secret_coefficients(attacker: Attacker) -> list[int]:
    pairs = np.frombuffer(attacker.secret.to_bytes()[32:], dtype=np.uint8)
    bits = (pairs[:, None] >> np.array([0, 2, 4, 6], dtype=np.uint8)) & 3
    return [int(x) if x < 2 else -1 for x in bits.ravel()]


def eliminate(matrix: Integers, values: Integers, prime: int) -> list[int] | None:
    """The centred solution of linear equations modulo a prime; None if they don't determine it."""
    rows = np.hstack([matrix, values[:, None]]) % prime
    unknowns = matrix.shape[1]
    for column in range(unknowns):
        pivots = np.flatnonzero(rows[column:, column])
        if not pivots.size:
            return None
        rows[[column, column + pivots[0]]] = rows[[column + pivots[0], column]]
        rows[column] = rows[column] * pow(int(rows[column, column]), -1, prime) % prime
        others = np.arange(len(rows)) != column
        rows[others] = (rows[others] - np.outer(rows[others, column], rows[column])) % prime
    return [(int(x) + prime // 2) % prime - prime // 2 for x in rows[:unknowns, -1]]


def key_from(published: list[Integers], seen: list[Answer]) -> list[int] | None:
    """The operator's attack: published values, in integers of the responses, as equations."""
    prime = seen[0].received.parameters.primes[0]
    equations, values = [], []
    for numbers, answer in zip(published, seen, strict=True):
        c1 = second_part(answer.received)
        wrapped = np.concatenate([-c1[1:], c1])  # coefficient -j is minus coefficient N - j
        c0 = answer.received.native.residues()[0][0].astype(object)
        for number, p in zip(numbers, answer.declared.astype(int), strict=True):
            equations.append(wrapped[p : p + RING_DEGREE][::-1])
            values.append(number - c0[p])
    return eliminate(np.array(equations), np.array(values), prime)


def raw(attacker: Attacker, answer: Answer) -> Integers:
    """All of the raw decryption, the part that `Attacker.opening` calls c0 + c1 s."""
    return centred(attacker.opening(answer.received), answer.received)[answer.declared]


def decrypted(attacker: Attacker, answer: Answer, *, flooded: bool = True) -> Table:
    """Scores as a client returns them; or with next to no flooding and rounding."""
    layout = attacker.target.plan.layout
    return attacker.secret.decrypt(
        answer.received,
        answer.declared,
        log_sigma=layout.decryption_log_sigma if flooded else 0.0,
        step=2.0 ** (layout.log_output_step if flooded else -60),
    )


def as_integers(scores: Table, answer: Answer) -> Integers:
    scale = float(answer.received.scale)
    return np.array([round(float(score) * scale) for score in scores], dtype=object)


def correlation(published: list[Table], noise: list[Table]) -> float:
    x, y = np.concatenate(published), np.concatenate(noise)
    r = float(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))
    return r * math.sqrt((len(x) - 1) / (1 - min(r * r, 1 - 1e-12)))


def errors_of(attacker: Attacker, scores: list[Table], seen: list[Answer]) -> list[Table]:
    """What of published scores is not the exact answer, in integers of the responses."""
    return [attacker.difference(as_integers(s, a), a) for s, a in zip(scores, seen, strict=True)]


def test_raw_decryptions_of_a_few_answers_reveal_the_key(small_target: Target) -> None:
    client = Attacker(small_target)
    seen = answers(client, 8)
    found = key_from([raw(client, a) for a in seen], seen)
    assert found == secret_coefficients(client)


def test_decrypted_scores_do_not_reveal_the_key(small_target: Target) -> None:
    client = Attacker(small_target)
    seen = answers(client, 8)
    found = key_from([as_integers(decrypted(client, a), a) for a in seen], seen)
    # Were the solution uniform modulo the prime, one of its 64 coefficients would be right with
    # probability 64 / 2^32 = 1.5e-8.
    assert found is not None
    pairs: NDArray[np.bool_] = np.array(found) == np.array(secret_coefficients(client))
    assert not pairs.any()


def test_decrypted_scores_are_independent_of_the_noise(small_target: Target) -> None:
    client = Attacker(small_target)
    seen = answers(client, 60)
    noise = [client.residual_noise(a) for a in seen]
    assert sum(map(len, noise)) >= 901
    published = errors_of(client, [decrypted(client, a) for a in seen], seen)
    assert abs(correlation(published, noise)) < THRESHOLD


def test_the_test_of_independence_rejects_too_little_flooding(small_target: Target) -> None:
    client = Attacker(small_target)
    seen = answers(client, 60)
    noise = [client.residual_noise(a) for a in seen]
    published = errors_of(client, [decrypted(client, a, flooded=False) for a in seen], seen)
    assert correlation(published, noise) > 10 * THRESHOLD
