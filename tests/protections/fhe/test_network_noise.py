"""The noise of real sums against the bound that their plan declares, and answers' errors against
what floods leave.

Two runs of one request's rows under one key differ by noise alone, in all N coefficients: values
and rounded weights are equal. Its deviation is then that of one run, times the square root of two.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from network_exchanges import NetworkExchange, Table, exchange_of, unsanitised
from numpy.typing import NDArray
from small_networks import choice_of, kind, policy_of

from strongroom import engine
from strongroom.compiler.network_noise import flooding
from strongroom.compiler.noise import TAIL
from strongroom.engine import Evaluator

KEYS = 3
TIGHT_BITS = 8.0
"""How far the bound may be above what is measured, the power of two that it is rounded to
included."""

NETWORKS = [
    ("tree", 1),
    ("tree", 8),
    ("squares", 1),
    ("two layers of squares", 1),
    ("relu", 2),
    ("blocks", 2),
    ("units of two functions", 1),
    ("wide", 64),
]


def noise(exchange: NetworkExchange, rows: Table) -> NDArray[np.float64]:
    """Of the sums of some rows, in integers, shape (ciphertexts, N)."""
    runs = [unsanitised(exchange, exchange.request(rows).body) for _ in range(2)]
    keys = exchange.keys.open(exchange.client.key_set.identifier, exchange.circuit.needs)
    evaluator = Evaluator(keys.evaluation_keys, threads=1)
    found = []
    for a, b in zip(*runs, strict=True):
        difference = evaluator.subtract(a, b)
        opened = engine.decode(exchange.secret.decrypt_raw_do_not_publish(difference))
        found.append(opened.real * float(a.scale) / math.sqrt(2.0))
    return np.array(found)


@pytest.mark.parametrize(("name", "vectors"), NETWORKS)
def test_noise_stays_below_the_declared_bound_and_not_far_below(name: str, vectors: int) -> None:
    found = []
    for key in range(KEYS):
        exchange = NetworkExchange.over(kind(name), choice_of(name, vectors), policy_of(name))
        found.append(noise(exchange, exchange.network.rows(vectors, seed=key)))
    flat = np.concatenate(found)
    log_noise = exchange.layout.log_noise
    assert np.abs(flat).max() <= 2.0**log_noise
    deviation = math.sqrt(float(np.mean(flat**2)))
    assert TAIL * deviation <= 2.0**log_noise
    assert math.log2(TAIL * deviation) >= log_noise - TIGHT_BITS


def test_noise_is_not_less_than_re_randomising_makes() -> None:
    for name, vectors in NETWORKS:
        layout = exchange_of(name, vectors).layout
        assert layout.log_noise >= exchange_of(name, vectors).circuit.sending.least_log_noise


@pytest.mark.parametrize(("name", "vectors"), [("squares", 1), ("squares", 4), ("tree", 8)])
def test_answers_err_as_much_as_floods_and_rounding_make_them(name: str, vectors: int) -> None:
    exchange = exchange_of(name, vectors)
    circuit, layout = exchange.circuit, exchange.layout
    floods = flooding(
        circuit.sending, float(circuit.response_scale), layout.log_noise, exchange.policy
    )
    step = 2.0**layout.log_output_step / math.sqrt(12.0)
    expected = math.hypot(floods.score_deviation, circuit.sending.spread * step)
    # Equal rows: what rounded weights add is the same in all answers.
    rows = np.repeat(exchange.network.rows(1), min(128, exchange.client.rows_per_request), axis=0)
    scores = exchange.scores(rows)
    by_place = scores.reshape(-1, vectors, layout.outputs)
    deviation = math.sqrt(float(by_place.var(axis=0, ddof=1).mean()))
    assert 0.7 * expected < deviation < 1.3 * expected


@pytest.mark.parametrize(("name", "vectors"), [("squares", 1), ("squares", 4), ("tree", 8)])
def test_the_declared_error_is_seldom_reached(name: str, vectors: int) -> None:
    exchange = exchange_of(name, vectors)
    rows = exchange.network.rows(min(256, exchange.client.rows_per_request), seed=9)
    errors = np.abs(exchange.scores(rows) - exchange.network.scores(rows))
    # It is meant to be about five and a half deviations.
    assert errors.max() < exchange.plan.costs.score_error
    assert exchange.plan.costs.score_error < 20.0 * math.sqrt(float(np.mean(errors**2)))
