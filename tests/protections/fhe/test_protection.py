"""The whole of `fhe` in one process: what is asked comes back, in exactly the bytes planned."""

from __future__ import annotations

import numpy as np
import pytest
from exchanges import Exchange, Table, with_blocks
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom import protections
from strongroom.errors import CiphertextError, PolicyError
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy

RING = 4096

# Edges of the packing in a ring of 4096 coefficients: one column or one output, a row that fills
# the ring exactly or just not, rows cut into two and three chunks, outputs that need two and three
# results, the last of them part full.
EDGES = [
    (1, 1),
    (1, RING),
    (1, RING + 1),
    (2, 3),
    (63, 65),
    (64, 64),
    (64, 65),
    (RING // 2, 2),
    (RING // 2, 3),
    (RING // 2 + 1, 2),
    (RING - 1, 1),
    (RING, 1),
    (RING, 3),
    (RING + 1, 1),
    (5000, 2),
    (2 * RING, 1),
    (2 * RING + 1, 2),
]


def exchange_of_shape(columns: int, outputs: int, seed: int = 0) -> tuple[Exchange, Table]:
    """A model of random weights with all of its rows' scales different, and rows to ask about."""
    generator = np.random.default_rng([seed, columns, outputs])
    scales = 10.0 ** generator.uniform(-3, 3, columns)
    weights = generator.normal(size=(outputs, columns)) / scales
    sample = generator.uniform(-1, 1, (16, columns)) * scales
    exchange = Exchange.over(weights, generator.normal(size=outputs), sample)
    rows = generator.uniform(-1, 1, (exchange.client.rows_per_request, columns)) * scales
    return exchange, np.clip(rows, sample.min(axis=0), sample.max(axis=0))


def row_counts(exchange: Exchange) -> list[int]:
    """Row counts around every edge of a block, as far as a request goes."""
    block = exchange.circuit.packing.rows_per_ciphertext
    edges = {1, 2, block - 1, block, block + 1, 2 * block, 2 * block + 1}
    return sorted(count for count in edges if 1 <= count <= exchange.client.rows_per_request)


def check_exchange(exchange: Exchange, rows: Table) -> None:
    """One exchange: sizes exactly as planned, scores within the planned error."""
    sizes = exchange.circuit.sizes
    pending = exchange.request(rows)
    assert len(pending.body) == sizes.request(len(rows))
    response = exchange.server.answer(pending.body)
    assert len(response) == sizes.response(len(rows))
    scores = exchange.client.decrypt(pending, response)
    assert scores.shape == (len(rows), exchange.plan.layout.outputs)
    assert np.abs(scores - exchange.plain(rows)).max() <= exchange.plan.costs.score_error


@pytest.mark.parametrize(("columns", "outputs"), EDGES)
def test_sizes_and_inner_products_at_the_edges_of_the_packing(columns: int, outputs: int) -> None:
    exchange, rows = exchange_of_shape(columns, outputs)
    for count in row_counts(exchange):
        check_exchange(exchange, rows[:count])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    columns=st.integers(1, 300),
    outputs=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32 - 1),
)
def test_sizes_and_inner_products_of_any_model(
    columns: int, outputs: int, share: float, seed: int
) -> None:
    exchange, rows = exchange_of_shape(columns, outputs, seed)
    block = exchange.circuit.packing.rows_per_ciphertext
    most = min(len(rows), 3 * block, 2000)
    check_exchange(exchange, rows[: max(1, round(share * most))])


def test_every_number_of_rows_has_the_size_that_was_planned(exchange: Exchange) -> None:
    rows = np.tile(exchange.plan.layout.centre, (140, 1))
    sizes = exchange.circuit.sizes
    for count in range(1, 141):
        pending = exchange.request(rows[:count])
        assert len(pending.body) == sizes.request(count)
        assert len(exchange.server.answer(pending.body)) == sizes.response(count)


@pytest.mark.parametrize(("columns", "outputs"), [(30, 1), (64, 65), (5000, 2)])
def test_the_costs_of_a_plan_name_the_sizes_of_real_messages(columns: int, outputs: int) -> None:
    exchange, rows = exchange_of_shape(columns, outputs)
    costs = exchange.plan.costs
    assert exchange.client.rows_per_request == costs.rows_per_request == len(rows)
    one, full = exchange.request(rows[:1]), exchange.request(rows)
    assert (len(one.body), len(full.body)) == (costs.request_bytes, costs.full_request_bytes)
    assert len(exchange.server.answer(one.body)) == costs.response_bytes
    assert len(exchange.server.answer(full.body)) == costs.full_response_bytes
    assert protections.by_name("fhe").request_limit(exchange.plan) == costs.full_request_bytes


def test_the_size_of_a_stored_secret_key_is_the_one_planned(exchange: Exchange) -> None:
    keys = KeyStore.in_memory()
    protections.by_name("fhe").open_client(exchange.plan, keys, Policy(), package="sha256:0")
    stored = keys.secret(exchange.plan.parameters)
    assert stored is not None
    assert len(stored) == exchange.plan.costs.secret_key_bytes


def test_models_of_one_parameter_set_share_a_key(exchange: Exchange) -> None:
    other, _ = exchange_of_shape(3, 2)
    assert other.plan.parameters == exchange.plan.parameters
    keys, fhe = KeyStore.in_memory(), protections.by_name("fhe")
    fhe.open_client(exchange.plan, keys, Policy(), package="sha256:0")
    first = keys.secret(exchange.plan.parameters)
    fhe.open_client(other.plan, keys, Policy(), package="sha256:0")
    assert keys.secret(other.plan.parameters) == first
    assert len(keys.entries()) == 1


def test_a_policy_against_quantum_computers_gets_the_larger_ring() -> None:
    generator = np.random.default_rng(3)
    sample = generator.uniform(-1, 1, (20, 5))
    policy = Policy(security="quantum-128")
    strict = Exchange.over(generator.normal(size=(2, 5)), np.zeros(2), sample, policy=policy)
    assert strict.circuit.parameters.ring_degree == 2 * RING
    assert strict.circuit.parameters.security == "quantum-128"
    check_exchange(strict, sample)


def test_fewer_blocks_a_request_than_fit_are_allowed(exchange: Exchange) -> None:
    plan = with_blocks(exchange, 2)
    small = Exchange.opened(exchange.weights, exchange.bias, plan, exchange.payload, Policy())
    assert small.client.rows_per_request == 272
    check_exchange(small, np.tile(plan.layout.centre, (272, 1)))


def test_a_protection_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(PolicyError, match="there is no protection named 'prayer'") as caught:
        protections.by_name("prayer")
    assert caught.value.code == "SR-PLAN-INVALID"


def test_a_request_bound_to_another_package_is_refused() -> None:
    exchange = Exchange.over(np.ones((1, 3)), np.zeros(1), np.eye(3))
    fhe = protections.by_name("fhe")
    stranger = fhe.open_client(
        exchange.plan, KeyStore.in_memory(), Policy(), package="sha256:another"
    )
    pending = stranger.encrypt(stranger.encode(np.zeros((1, 3))))
    with pytest.raises(CiphertextError) as refused:
        exchange.server.answer(pending.body)
    assert refused.value.code == "SR-CIPHERTEXT-MISMATCH"


@pytest.mark.parametrize("magnitude", [1e-200, 1e-6, 1.0, 1e6, 1e200])
def test_scores_of_any_magnitude_keep_their_precision(magnitude: float) -> None:
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(60, 8))
    weights, bias = magnitude * generator.normal(size=(1, 8)), magnitude * np.ones(1)
    exchange = Exchange.over(weights, bias, rows)
    error = np.abs(exchange.scores(rows) - exchange.plain(rows)).max()
    assert error <= exchange.plan.costs.score_error <= 1e-3 * magnitude
