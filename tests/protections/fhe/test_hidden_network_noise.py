"""The noise of real sums with encrypted weights against the bound that their plan declares.

Two packages of one model under one key, asked for the same rows, give sums that differ by noise
alone, in all N coefficients. Its deviation is then that of one, times the square root of two.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hidden_network_exchanges import (
    HiddenNetworkExchange,
    hidden_choices,
    hidden_exchange_of,
    sums_of,
)
from numpy.typing import NDArray
from small_networks import Network, kind

from strongroom import engine
from strongroom.compiler.network import NetworkChoice
from strongroom.compiler.network_hidden_noise import hidden_bound
from strongroom.compiler.noise import TAIL
from strongroom.compiler.plan import NetworkLayout
from strongroom.engine import Evaluator
from strongroom.protections.fhe.network_results import read_network_results

KEYS = 3
TIGHT_BITS = 9.0
"""How far the bound may be above what is measured, the power of two that it is rounded to
included: hidden values are taken to be as large as circuits make them."""


def choice_with(network: Network, vectors: int) -> NetworkChoice:
    """The first hidden plan with so many rows a ciphertext."""
    for choice in hidden_choices(network):
        assert isinstance(choice.plan.layout, NetworkLayout)
        if choice.plan.layout.rows_per_ciphertext == vectors:
            return choice
    raise AssertionError("no such plan")


def noise(network: Network, choice: NetworkChoice, seed: int) -> NDArray[np.float64]:
    """Of the sums of some rows, in integers, shape (ciphertexts, N)."""
    first = HiddenNetworkExchange.over(network, choice)
    second = HiddenNetworkExchange.over(network, choice, secret=first.client._secret)
    rows = network.rows(first.layout.rows_per_ciphertext, seed=seed)
    runs = [sums_of(one, one.request(rows).body) for one in (first, second)]
    opened = first.keys.open(first.client.key_set.identifier, first.circuit.needs)
    evaluator = Evaluator(opened.evaluation_keys, threads=1)
    found = []
    for a, b in zip(*runs, strict=True):
        difference = evaluator.subtract(a, b)
        values = engine.decode(first.client._secret.decrypt_raw_do_not_publish(difference))
        found.append(values.real * float(a.scale) / math.sqrt(2.0))
    return np.array(found)


@pytest.mark.parametrize(
    ("name", "vectors"),
    [
        ("tree", 1),
        ("tree", 8),
        ("squares", 1),
        ("two layers of squares", 1),
        ("tanh", 2),
        ("relu", 1),
        ("blocks", 2),
    ],
)
def test_noise_with_encrypted_weights_stays_below_the_bound_and_not_far_below(
    name: str, vectors: int
) -> None:
    network = kind(name)
    choice = choice_with(network, vectors)
    flat = np.concatenate([noise(network, choice, key).reshape(-1) for key in range(KEYS)])
    layout = choice.plan.layout
    assert isinstance(layout, NetworkLayout)
    assert np.abs(flat).max() <= 2.0**layout.log_noise
    deviation = math.sqrt(float(np.mean(flat**2)))
    assert TAIL * deviation <= 2.0**layout.log_noise
    assert math.log2(TAIL * deviation) >= layout.log_noise - TIGHT_BITS


@pytest.mark.parametrize("name", ["squares", "tree"])
def test_responses_have_no_more_noise_than_is_flooded(name: str) -> None:
    exchange = hidden_exchange_of(name)
    circuit, layout = exchange.circuit, exchange.layout
    assert layout.holding is not None
    bound = hidden_bound(
        circuit.parameters, circuit.sending.log_dropped, layout.log_noise, layout.holding
    )
    rows = exchange.network.rows(8, seed=5)
    pending = exchange.request(rows)
    response = exchange.answer(pending.body)
    secret, sums = exchange.client._secret, circuit.packing.sums
    results = read_network_results(circuit, pending.envelope, response)
    errors = []
    for (place, ciphertext), exact in zip(results, exchange.circuit_scores(rows), strict=True):
        raw = engine.decode(secret.decrypt_raw_do_not_publish(ciphertext)).real
        errors.append(np.abs(sums.sums(raw[place.positions])[0] - exact).max())
    # What rounded weights do to scores is no noise.
    tolerance = bound + 2.0**-40 * float(circuit.response_scale)
    assert max(errors) * float(circuit.response_scale) <= tolerance


@pytest.mark.parametrize("name", ["squares", "tree"])
def test_the_declared_error_of_a_hidden_model_is_seldom_reached(name: str) -> None:
    exchange = hidden_exchange_of(name)
    rows = exchange.network.rows(min(64, exchange.client.rows_per_request), seed=9)
    errors = np.abs(exchange.scores(rows) - exchange.network.scores(rows))
    assert errors.max() < exchange.plan.costs.score_error
    assert exchange.plan.costs.score_error < 30.0 * math.sqrt(float(np.mean(errors**2)))
