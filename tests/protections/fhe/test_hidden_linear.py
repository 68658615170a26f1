"""Linear models whose weights are encrypted: what is asked comes back, in the bytes planned, and
neither package nor server holds a weight."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from exchanges import Exchange, Table
from hidden_exchanges import HIDE, PACKAGE, CommitteeExchange, HiddenExchange, candidate_of
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from strongroom import protections
from strongroom.compiler.hidden_precision import choose_hidden_scales
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.messages import Limbs
from strongroom.compiler.packing import LinearPacking
from strongroom.compiler.plan import CommitteeKey, HiddenLinearLayout, Plan
from strongroom.compiler.precision import LinearShape
from strongroom.engine import CATALOGUE, PublicKey, SecretKey, available_threads, catalogued
from strongroom.errors import KeyStoreError, PolicyError
from strongroom.keys.key_sets import ClientKeySet
from strongroom.keys.local_sets import LocalKeySets
from strongroom.keys.model_holder import OwnerHolder
from strongroom.keys.store import KeyStore
from strongroom.package.build import candidates, protect
from strongroom.policy import Policy
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.hidden_linear_results import result_places
from strongroom.protections.interface import KeyNeeds

RING = 8192

# One column goes to the bias: a row that then fills the ring exactly or just not, outputs that need
# two and three results, rows cut into two chunks, and both at once.
EDGES = [(1, 1), (RING - 1, 1), (RING, 1), (63, 128), (63, 129), (RING // 2, 3), (9000, 2)]


@pytest.fixture(scope="module")
def small() -> HiddenExchange:
    """A model of 30 columns and one output: 264 rows a ciphertext."""
    generator = np.random.default_rng(7)
    weights = generator.normal(size=(1, 30))
    sample = generator.normal(loc=3.0, scale=2.0, size=(200, 30))
    return HiddenExchange.over(weights, generator.normal(size=1), sample)


def rows_of(exchange: HiddenExchange, count: int, seed: int = 1) -> Table:
    """Rows inside the sample's range."""
    layout = exchange.layout
    z = np.random.default_rng(seed).uniform(-1, 1, (count, layout.columns))
    return np.asarray(np.array(layout.centre) + z * np.array(layout.half_width))


def check_exchange(exchange: HiddenExchange, rows: Table) -> None:
    """One exchange: sizes exactly as planned, scores within the planned error."""
    sizes = exchange.circuit.sizes
    pending = exchange.request(rows)
    assert len(pending.body) == sizes.request(len(rows))
    response = exchange.answer(pending.body)
    assert len(response) == sizes.response(len(rows))
    scores = exchange.client.decrypt(pending, response)
    assert scores.shape == (len(rows), exchange.layout.outputs)
    assert np.abs(scores - exchange.plain(rows)).max() <= exchange.plan.costs.score_error


# What comes back


def test_breast_cancer_agrees_on_every_row_with_the_model_hidden() -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, labels)
    package = protect(model, sample=rows, hide="model", holder=_holder())
    assert package.manifest.parity.agreement == 1.0
    plan = package.manifest.plan
    assert isinstance(plan.layout, HiddenLinearLayout)
    assert package.manifest.parity.max_score_error <= plan.costs.score_error < 1e-4
    assert plan.costs.precision_bits >= HIDE.precision_bits


def test_a_multinomial_model_agrees_with_the_model_hidden() -> None:
    rows, labels = load_wine(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    package = protect(model, sample=rows, hide="model", holder=_holder())
    assert package.manifest.parity.agreement == 1.0


@pytest.mark.parametrize(("columns", "outputs"), EDGES)
def test_sizes_and_scores_at_the_edges_of_the_packing(columns: int, outputs: int) -> None:
    generator = np.random.default_rng([columns, outputs])
    scales = 10.0 ** generator.uniform(-3, 3, columns)
    weights = generator.normal(size=(outputs, columns)) / scales
    sample = generator.uniform(-1, 1, (16, columns)) * scales
    exchange = HiddenExchange.over(weights, generator.normal(size=outputs), sample)
    block = exchange.circuit.packing.rows_per_ciphertext
    for count in sorted({1, block, min(block + 1, exchange.client.rows_per_request)}):
        check_exchange(exchange, rows_of(exchange, count))


def test_rows_at_the_headroom_neither_overflow_nor_lose_precision(small: HiddenExchange) -> None:
    layout = small.layout
    corner = np.sign(small.weights) * layout.headroom * np.array(layout.half_width)
    rows = np.vstack([layout.centre + corner, layout.centre - corner])
    with pytest.warns(UserWarning, match="2 of 2 rows"):
        scores = small.scores(rows)
    assert np.abs(scores - small.plain(rows)).max() <= small.plan.costs.score_error


@pytest.mark.parametrize("magnitude", [1e-200, 1.0, 1e200])
def test_scores_of_any_magnitude_keep_their_precision(magnitude: float) -> None:
    generator = np.random.default_rng(5)
    rows = generator.normal(size=(60, 8))
    weights, bias = magnitude * generator.normal(size=(1, 8)), magnitude * np.ones(1)
    exchange = HiddenExchange.over(weights, bias, rows)
    error = np.abs(exchange.scores(rows) - exchange.plain(rows)).max()
    assert error <= exchange.plan.costs.score_error <= 1e-3 * magnitude


def test_a_bias_far_larger_than_the_weights_comes_back() -> None:
    generator = np.random.default_rng(9)
    rows = generator.normal(size=(60, 4))
    exchange = HiddenExchange.over(generator.normal(size=(2, 4)), np.array([1e5, -3e4]), rows)
    check_exchange(exchange, rows)


def test_a_policy_against_quantum_computers_is_met() -> None:
    generator = np.random.default_rng(3)
    sample = generator.uniform(-1, 1, (20, 5))
    policy = Policy(hide="model", security="quantum-128")
    exchange = HiddenExchange.over(generator.normal(size=(2, 5)), np.ones(2), sample, policy=policy)
    assert CATALOGUE[exchange.plan.parameters].security == "quantum-128"
    check_exchange(exchange, sample)


def test_an_evaluation_is_a_function_of_request_and_package(small: HiddenExchange) -> None:
    pending = small.request(rows_of(small, 3))
    server = protections.by_name("fhe").open_server(small.plan, small.payload, package=PACKAGE)
    again = server.answer(pending.body, keys=small.keys, threads=available_threads())
    assert again == small.server.answer(pending.body, keys=small.keys, threads=1)


def test_the_costs_of_a_plan_name_the_sizes_of_real_messages_and_keys(
    small: HiddenExchange,
) -> None:
    costs = small.plan.costs
    one, full = (
        small.request(rows_of(small, 1)),
        small.request(rows_of(small, costs.rows_per_request)),
    )
    assert (len(one.body), len(full.body)) == (costs.request_bytes, costs.full_request_bytes)
    assert len(small.answer(one.body)) == costs.response_bytes
    assert len(small.answer(full.body)) == costs.full_response_bytes
    assert protections.by_name("fhe").request_limit(small.plan) == costs.full_request_bytes
    (need,) = small.client.key_set.needs.keys
    assert len(small.client.key_set.evaluation_key(need)) == costs.evaluation_key_bytes
    assert small.client.key_set.needs.public_limbs == costs.public_key_bytes == 0


# Committees


def test_with_a_committee_what_all_parts_open_are_the_scores() -> None:
    generator = np.random.default_rng(17)
    weights, bias = generator.normal(size=(3, 30)), generator.normal(size=3)
    rows = generator.normal(size=(200, 30))
    exchange = CommitteeExchange.over(weights, bias, rows)
    assert exchange.request(rows).results == len(list(result_places(exchange.circuit, len(rows))))
    error = np.abs(exchange.scores(rows) - (rows @ weights.T + bias)).max()
    assert error <= exchange.plan.costs.score_error < 1e-2


def test_a_model_is_protected_for_a_committee_and_measured_under_a_key_of_the_trial() -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    package = protect(model, sample=rows, hide="model", holder=_Committee())
    plan = package.manifest.plan
    assert package.manifest.parity.agreement == 1.0
    assert plan.holder == CommitteeKey(f"sha256:{'cd' * 32}", "cd" * 32, 1 << 20)
    assert plan.guarantee.weights_from_client == "hidden"
    protections.by_name("fhe").check(plan, HIDE)
    # Under the committee's public key: twice as long as under the key of an owner.
    circuit = HiddenLinearCircuit.of(plan)
    assert len(package.payload["model"]) == 14 + circuit.sizes.weight_ciphertext
    assert not circuit.sizes.seeded


def test_with_a_part_missing_nothing_is_opened() -> None:
    generator = np.random.default_rng(17)
    weights, bias = generator.normal(size=(1, 30)), generator.normal(size=1)
    rows = generator.normal(size=(50, 30))
    exchange = CommitteeExchange.over(weights, bias, rows)
    pending = exchange.request(rows)
    response = exchange.answer(pending.body)
    shown = exchange.results.shown(response)
    shares = [exchange.shares_of(part, response) for part in exchange.parts]
    plain = rows @ weights.T + bias
    for missing in range(len(shares)):
        left = shares[:missing] + shares[missing + 1 :]
        got = exchange.asker.open(pending, shown, left)
        assert np.abs(got - plain).min() > exchange.plan.costs.score_error


def test_a_larger_budget_of_shares_or_more_parts_costs_precision() -> None:
    parameters = catalogued("n13-q172-p42-v1")
    shape = LinearShape(LinearPacking.choose(parameters.ring_degree, 31, 1), 0, 8.0)

    def error(holding: KeyHolding) -> float:
        scales = choose_hidden_scales(parameters, Limbs(5, 3, 3), shape, holding, HIDE)
        assert scales is not None
        return scales.score_error

    alone, few = error(KeyHolding()), error(KeyHolding(1, 1 << 10))
    assert alone < few < error(KeyHolding(1, 1 << 20)) < error(KeyHolding(6, 1 << 20))


# Whose key


def test_the_owner_with_another_key_is_refused_and_gets_no_new_key(small: HiddenExchange) -> None:
    fhe = protections.by_name("fhe")
    empty = KeyStore.in_memory()
    with pytest.raises(KeyStoreError, match="no key for its parameters") as refused:
        fhe.open_client(small.plan, empty, HIDE, package=PACKAGE)
    assert refused.value.code == "SR-KEYS-HOLDER"
    assert empty.secret(small.plan.parameters, create=False) is None
    other = KeyStore.in_memory()
    other.store(small.plan.parameters, SecretKey.generate(small.circuit.parameters).to_bytes())
    with pytest.raises(KeyStoreError, match="another one") as refused:
        fhe.open_client(small.plan, other, HIDE, package=PACKAGE)
    assert refused.value.code == "SR-KEYS-HOLDER"


def test_no_asker_alone_opens_what_a_committee_holds(small: HiddenExchange) -> None:
    exchange = CommitteeExchange.over(small.weights, small.bias, rows_of(small, 50))
    with pytest.raises(KeyStoreError, match="committee") as refused:
        protections.by_name("fhe").open_client(
            exchange.plan, KeyStore.in_memory(), HIDE, package=PACKAGE
        )
    assert refused.value.code == "SR-KEYS-HOLDER"


def test_a_request_under_another_key_set_is_refused_before_it_is_computed(
    small: HiddenExchange,
) -> None:
    stranger = ClientKeySet(SecretKey.generate(small.circuit.parameters), small.circuit.needs)
    body = bytearray(small.request(rows_of(small, 1)).body)
    body[60:76] = stranger.identifier
    with pytest.raises(KeyStoreError) as refused:
        small.server.answer(bytes(body), keys=LocalKeySets(stranger))
    assert (refused.value.code, refused.value.http_status) == ("SR-KEYS-HOLDER", 403)


def test_a_key_of_another_secret_computes_nothing_readable(small: HiddenExchange) -> None:
    class Wrong:
        identifier = small.client.key_set.identifier
        needs = small.client.key_set.needs
        _others = ClientKeySet(SecretKey.generate(small.circuit.parameters), needs)
        evaluation_key = _others.evaluation_key
        public_key = _others.public_key

    rows = rows_of(small, 1)
    pending = small.request(rows)
    response = small.server.answer(pending.body, keys=LocalKeySets(Wrong()))
    error = np.abs(small.client.decrypt(pending, response) - small.plain(rows)).max()
    assert error > 2.0**10 * small.plan.costs.score_error


def test_weights_without_their_key_are_not_made(small: HiddenExchange) -> None:
    candidate = candidate_of(small.weights, small.bias, rows_of(small, 50))
    with pytest.raises(ValueError, match="under a key"):
        candidate.payload()


# What can't be hidden


def test_a_model_that_no_allowed_key_multiplies_is_refused_with_figures() -> None:
    policy = Policy(hide="model", key_bytes=500_000)
    with pytest.raises(PolicyError, match=r"at most 0\.5 MB .* would do have 0\.\d MB") as refused:
        candidate_of(np.ones((1, 4)), np.ones(1), np.eye(4), policy=policy)
    assert refused.value.code == "SR-PLAN-HIDING"


def test_a_precision_that_nothing_keeps_is_refused_with_figures() -> None:
    sample = np.random.default_rng(1).normal(size=(50, 4))
    weights = np.array([[1e12, -1e12, 1.0, 1.0]])
    sample[:, 1] = sample[:, 0]
    policy = Policy(hide="model", precision_bits=40, key_bytes=2_000_000)
    with pytest.raises(PolicyError, match=r"keep \d+ bits .* asks for 40") as refused:
        candidate_of(weights, np.zeros(1), sample, policy=policy)
    assert refused.value.code == "SR-PLAN-HIDING"


def test_the_plain_plan_is_what_it_was_without_hiding() -> None:
    sample = np.random.default_rng(1).normal(size=(50, 4))
    plain = Exchange.over(np.ones((1, 4)), np.ones(1), sample).plan
    assert "holder" not in msgspec.to_builtins(plain)
    assert not {"holding", "hidden"} & set(msgspec.to_builtins(plain.layout))


def test_plans_of_both_kinds_are_found_by_what_the_policy_hides() -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, labels)
    (hidden,) = candidates(model, sample=rows, policy=HIDE)
    (plain,) = candidates(model, sample=rows)
    assert hidden.plan.guarantee.weights_from_server == "hidden-while-computing"
    assert plain.plan.guarantee.weights_from_server == "visible"
    assert hidden.stages()[0].primes_before == hidden.plan.layout.input_limbs


class _Committee:
    """A `ModelHolder`."""

    holding = KeyHolding(3, 1 << 20)

    def suits(self, plan: Plan, needs: KeyNeeds) -> bool:
        return plan.parameters == needs.parameters

    def weight_key(self, plan: Plan) -> tuple[PublicKey, CommitteeKey]:
        parameters = catalogued(plan.parameters)
        key = SecretKey.generate(parameters).public_key(parameters.limbs)
        return key, CommitteeKey(f"sha256:{'cd' * 32}", "cd" * 32, 1 << 20)


def _holder() -> OwnerHolder:
    return OwnerHolder(KeyStore.in_memory())
