"""Networks in one process: what is asked comes back, in exactly the bytes planned."""

from __future__ import annotations

import math
import warnings
from copy import copy
from dataclasses import dataclass, replace

import msgspec
import numpy as np
import pytest
from network_exchanges import PACKAGE, NetworkExchange, Table, exchange_of, with_blocks
from small_networks import (
    EASY,
    KINDS,
    choices_of,
    comparing_network,
    kind,
    layout_of,
    policy_of,
)
from small_networks import network as small_network

from strongroom import protections
from strongroom.compiler.layers import Layer
from strongroom.compiler.network import NetworkChoice
from strongroom.engine import EvaluationKeys, catalogued, switching_key_from_bytes
from strongroom.errors import CiphertextError, InputError, InputRangeWarning, KeyStoreError
from strongroom.keys.local_sets import LocalKeySet, LocalKeySets
from strongroom.keys.store import KeyStore
from strongroom.models.activations import IDENTITY, Activation
from strongroom.policy import Policy
from strongroom.protections.interface import KeyNeeds


def check_exchange(exchange: NetworkExchange, count: int) -> None:
    """One exchange: sizes exactly as planned, scores within the planned error."""
    rows, sizes = exchange.network.rows(count), exchange.circuit.sizes
    pending = exchange.request(rows)
    assert len(pending.body) == sizes.request(count)
    response = exchange.answer(pending.body)
    assert len(response) == sizes.response(count)
    scores = exchange.client.decrypt(pending, response)
    assert scores.shape == (count, exchange.layout.outputs)
    bound = exchange.plan.costs.score_error
    assert np.abs(scores - exchange.network.scores(rows)).max() <= bound
    # Beside what circuits do to the function there is little.
    largest = np.abs(exchange.network.scores(exchange.network.sample)).max()
    precision = np.ldexp(largest, -exchange.policy.precision_bits)
    assert np.abs(scores - exchange.polynomial_scores(rows)).max() <= precision


# Every kind of network


@pytest.mark.parametrize("name", KINDS)
def test_scores_of_every_kind_of_network_come_back(name: str) -> None:
    check_exchange(exchange_of(name), 3)


@pytest.mark.parametrize(("name", "vectors"), [("squares", 2), ("blocks", 4), ("tree", 8)])
def test_several_rows_share_a_ciphertext(name: str, vectors: int) -> None:
    exchange = exchange_of(name, vectors)
    for count in (1, vectors - 1, vectors, vectors + 1, 2 * vectors + 1):
        check_exchange(exchange, count)


def test_no_empty_place_of_a_ciphertext_spoils_its_rows() -> None:
    # The middle of all columns is far from every row, and the polynomials are huge there.
    generator = np.random.default_rng(7)
    sample = np.eye(16)[generator.integers(0, 16, 400)] + generator.normal(0.0, 0.1, (400, 16))
    square, one = Activation("Square"), np.ones((1, 1))
    network = small_network(
        [
            Layer.uniform(np.ones((1, 16)), np.array([-1.0]), square),
            Layer.uniform(one, np.zeros(1), square),
            Layer.uniform(one, np.zeros(1), IDENTITY),
        ],
        sample,
    )
    policy = Policy()
    choice = next(
        choice for choice in network.choices(policy) if layout_of(choice).rows_per_ciphertext == 4
    )
    assert np.abs(choice.model.scores(np.zeros((1, 16)))).max() > 2.0 ** layout_of(choice).log_bound
    exchange = NetworkExchange.over(network, choice, policy)
    for count in (1, 3, 6):
        check_exchange(exchange, count)


def test_a_refused_score_names_the_rows_that_it_may_have_spoiled() -> None:
    exchange = exchange_of("squares", 2)
    rows = exchange.network.rows(5)
    pending = exchange.request(rows)
    response = exchange.answer(pending.body)
    largest = np.abs(exchange.client.decrypt(pending, response)).max(axis=1)
    client = copy(exchange.client)
    layout = msgspec.structs.replace(
        exchange.layout, log_bound=math.floor(math.log2(largest.max()))
    )
    client._circuit = replace(exchange.circuit, layout=layout)
    first = int(np.argmax(largest >= 2.0**layout.log_bound)) // 2 * 2
    with pytest.raises(InputError) as caught:
        client.decrypt(pending, response)
    others = ", or one of the 1 after it," if first < 4 else ""
    assert caught.value.message.startswith(f"row {first}{others} has a score larger")


@pytest.mark.parametrize("name", ["wide", "wide twice"])
def test_units_that_fill_several_ciphertexts_are_summed(name: str) -> None:
    def ciphertexts(choice: NetworkChoice) -> int:
        return sum(step.chunks for step in layout_of(choice).steps)

    choice = max(choices_of(name), key=ciphertexts)
    exchange = NetworkExchange.over(kind(name), choice, policy_of(name))
    assert all(step.chunks > 1 for step in exchange.circuit.packing.steps)
    check_exchange(exchange, exchange.layout.rows_per_ciphertext + 1)


def test_many_outputs_take_several_ciphertexts() -> None:
    exchange = exchange_of("many outputs", 4)
    assert exchange.circuit.packing.sums.groups > 1
    check_exchange(exchange, 5)


# Bytes


@pytest.mark.parametrize(("name", "vectors"), [("squares", 1), ("tree", 2), ("many outputs", 4)])
def test_the_costs_of_a_plan_name_the_sizes_of_real_messages(name: str, vectors: int) -> None:
    exchange = exchange_of(name, vectors)
    costs = exchange.plan.costs
    full = exchange.layout.blocks_per_request * vectors
    assert exchange.client.rows_per_request == costs.rows_per_request == full
    small = NetworkExchange.opened(exchange, with_blocks(exchange, 2))
    one, two = small.request(small.network.rows(1)), small.request(small.network.rows(2 * vectors))
    assert len(one.body) == costs.request_bytes
    assert len(two.body) == small.plan.costs.full_request_bytes
    assert len(small.answer(one.body)) == costs.response_bytes
    assert len(small.answer(two.body)) == small.plan.costs.full_response_bytes
    assert protections.by_name("fhe").request_limit(exchange.plan) == costs.full_request_bytes
    assert max(costs.full_request_bytes, costs.full_response_bytes) <= 8 * 2**20


@pytest.mark.parametrize("name", ["squares", "tree", "units of two functions"])
def test_the_costs_of_a_plan_name_the_sizes_of_real_keys(name: str) -> None:
    exchange = exchange_of(name)
    parameters = catalogued(exchange.plan.parameters)
    source, costs = exchange.client.key_set, exchange.plan.costs
    assert [(n.element, n.limbs) for n in source.needs.keys] == list(exchange.layout.keys)
    made = {need: source.evaluation_key(need) for need in source.needs.keys}
    public = source.public_key()
    assert len(public) == costs.public_key_bytes
    assert sum(map(len, made.values())) + len(public) == costs.evaluation_key_bytes
    mapped = 0
    for need, data in made.items():
        key = switching_key_from_bytes(parameters, data, element=need.element, limbs=need.limbs)
        mapped += key.native.words.nbytes
    assert mapped == pytest.approx(costs.mapped_key_bytes, rel=0.01)
    keys = KeyStore.in_memory()
    protections.by_name("fhe").open_client(exchange.plan, keys, EASY, package=PACKAGE)
    stored = keys.secret(exchange.plan.parameters)
    assert stored is not None
    assert len(stored) == costs.secret_key_bytes


def test_a_server_needs_every_key_that_it_asks_for() -> None:
    exchange = exchange_of("squares")
    body = exchange.request(exchange.network.rows(1)).body
    opened = exchange.keys.open(exchange.client.key_set.identifier, exchange.circuit.needs)
    for need in exchange.circuit.needs.keys:
        fewer = Held(opened, need.element)
        with pytest.raises(KeyStoreError) as caught:
            exchange.server.answer(body, keys=fewer)
        assert caught.value.code == "SR-KEYS-MISSING"


@dataclass(frozen=True)
class Held:
    """A key set that lacks one key."""

    whole: LocalKeySet
    lost: int

    def open(self, key_set: bytes, needs: KeyNeeds) -> LocalKeySet:
        left = {
            need.element: self.whole.evaluation_keys.key(need.element)
            for need in needs.keys
            if need.element != self.lost
        }
        return LocalKeySet(
            EvaluationKeys(self.whole.public_key.parameters, left), self.whole.public_key
        )


# Who may ask what


def test_a_request_in_the_name_of_another_clients_keys_is_refused() -> None:
    exchange = exchange_of("squares")
    stranger = NetworkExchange.opened(exchange, exchange.plan)
    body = stranger.request(stranger.network.rows(1)).body
    with pytest.raises(KeyStoreError) as caught:
        exchange.answer(body)
    assert caught.value.code == "SR-KEYS-MISSING"


def test_a_request_bound_to_another_package_is_refused() -> None:
    exchange = exchange_of("squares")
    fhe = protections.by_name("fhe")
    stranger = fhe.open_client(exchange.plan, KeyStore.in_memory(), EASY, package="sha256:1")
    pending = stranger.encrypt(stranger.encode(exchange.network.rows(1)))
    with pytest.raises(CiphertextError) as caught:
        exchange.server.answer(pending.body, keys=LocalKeySets(stranger.key_set))
    assert caught.value.code == "SR-CIPHERTEXT-MISMATCH"


def test_a_response_answers_its_own_request_only() -> None:
    exchange = exchange_of("squares")
    rows = exchange.network.rows(1)
    first, second = exchange.request(rows), exchange.request(rows)
    with pytest.raises(CiphertextError) as caught:
        exchange.client.decrypt(second, exchange.answer(first.body))
    assert caught.value.code == "SR-CIPHERTEXT-MISMATCH"


# Ranges


def corners(exchange: NetworkExchange, size: float, count: int = 1) -> Table:
    """Rows of features so many half widths from their centres, on any side."""
    layout = exchange.layout
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (count, layout.features))
    return np.array(layout.centre) + size * signs * np.array(layout.half_width)


def slots_of(exchange: NetworkExchange, rows: Table) -> Table:
    """What is encrypted for rows that share one ciphertext."""
    (slots,) = exchange.client.encode(rows).ciphertexts
    return np.asarray(slots)


@pytest.mark.parametrize("side", [-1.0, 1.0])
@pytest.mark.parametrize("far", [1.01, 1e9, 1e300])
def test_a_feature_beyond_its_range_is_warned_of_and_counts_as_the_end(
    far: float, side: float
) -> None:
    exchange = exchange_of("squares")
    layout, row = exchange.layout, exchange.network.rows(1)
    end = row.copy()
    reach = side * layout.headroom * layout.half_width[3]
    row[0, 3], end[0, 3] = (layout.centre[3] + times * reach for times in (far, 1.0))
    rows = np.vstack([exchange.network.rows(2), row])
    with pytest.warns(InputRangeWarning) as caught:
        exchange.client.check(rows)
    assert [str(warning.message) for warning in caught] == [
        "1 of 3 rows lie far outside the sample's range, the first at row 2, column 3: what lies "
        "beyond counts as the end of the range"
    ]
    np.testing.assert_array_equal(slots_of(exchange, row), slots_of(exchange, end))


def test_the_score_of_a_row_beyond_the_range_is_that_of_its_end() -> None:
    exchange = exchange_of("squares")
    layout, row = exchange.layout, exchange.network.rows(1)
    end = row.copy()
    row[0, [1, 3]] = 1e6, -1e6
    for column, side in ((1, 1.0), (3, -1.0)):
        end[0, column] = layout.centre[column] + side * layout.headroom * layout.half_width[column]
    scores = exchange.scores(row)
    error = exchange.plan.costs.score_error
    assert np.abs(scores - exchange.polynomial_scores(end)).max() <= error
    # Far from that of the row itself, and from that of the row without the two.
    assert np.abs(scores - exchange.network.scores(row)).max() > 1e6
    row[0, [1, 3]] = 0.0
    assert np.abs(scores - exchange.network.scores(row)).max() > 10.0 * error


def test_rows_inside_their_ranges_are_answered_without_a_word() -> None:
    exchange = exchange_of("squares")
    row = np.array(exchange.layout.centre)[np.newaxis].copy()
    row[0, 3] += 0.999 * exchange.layout.headroom * exchange.layout.half_width[3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.client.check(np.vstack([exchange.network.sample, row]))


@pytest.mark.parametrize("size", [1.0, 1e9])
def test_a_row_that_lies_too_far_out_as_a_whole_is_refused(size: float) -> None:
    exchange = exchange_of("squares")
    layout = exchange.layout
    assert layout.headroom * math.sqrt(layout.features) > layout.reach
    rows = np.vstack([exchange.network.rows(2), corners(exchange, size)])
    for refuse in (exchange.client.check, exchange.client.encode):
        with pytest.raises(InputError, match="row 2 as a whole lies further out") as caught:
            refuse(rows)
        assert caught.value.code == "SR-INPUT-RANGE"
        assert "Check the units of its values" in str(caught.value)
    assert f"{rows[2, 0]:.3f}" not in str(caught.value)


def test_rows_at_the_edge_of_what_is_accepted_still_come_back_right() -> None:
    exchange = exchange_of("squares")
    layout = exchange.layout
    at, beyond = (
        corners(exchange, times * layout.reach / math.sqrt(layout.features), 3)
        for times in (0.999, 1.001)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.client.check(at)
    with pytest.raises(InputError, match="as a whole"):
        exchange.client.check(beyond)
    exact = exchange.polynomial_scores(at)
    assert np.abs(exact).max() < 2.0**layout.log_bound
    assert np.abs(exchange.scores(at) - exact).max() <= 2.0 ** (layout.log_bound - 11)


def test_a_score_at_the_bound_of_the_plan_is_refused() -> None:
    exchange = exchange_of("squares")
    rows = exchange.network.rows(1)
    pending = exchange.request(rows)
    response = exchange.answer(pending.body)
    largest = np.abs(exchange.client.decrypt(pending, response)).max()
    log_bound = math.floor(math.log2(largest))
    for bound, believed in ((log_bound, False), (log_bound + 1, True)):
        client = copy(exchange.client)
        layout = msgspec.structs.replace(exchange.layout, log_bound=bound)
        client._circuit = replace(exchange.circuit, layout=layout)
        if believed:
            client.decrypt(pending, response)
            continue
        with pytest.raises(InputError, match="larger than the model was planned for") as caught:
            client.decrypt(pending, response)
        assert caught.value.code == "SR-INPUT-RANGE"


def test_features_that_are_only_compared_count_as_their_ranges_end_beyond_it() -> None:
    small = comparing_network()
    exchange = NetworkExchange.over(small, small.choices(EASY)[0], EASY)
    assert exchange.layout.clipped
    far, end = (corners(exchange, size) for size in (1e6, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exchange.client.check(far)
        exchange.client.check(end)
    np.testing.assert_array_equal(slots_of(exchange, far), slots_of(exchange, end))
    # So far out every comparison is plain, at the end of its range as well.
    error = exchange.plan.costs.score_error
    assert np.abs(exchange.scores(far) - small.scores(far)).max() <= error
    np.testing.assert_array_equal(small.scores(far), small.scores(end))
