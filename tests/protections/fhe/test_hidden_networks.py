"""Networks whose weights are ciphertexts: they answer as plain ones do, and nothing of them is in
the open."""

from __future__ import annotations

from functools import cache

import msgspec
import numpy as np
import pytest
from exchanges import changed
from hidden_network_exchanges import (
    HIDE,
    PACKAGE,
    CommitteeStandIn,
    HiddenNetworkExchange,
    hidden_choices,
    hidden_exchange_of,
)
from small_networks import LAX, RELU, SQUARE, dense_network, kind

from strongroom import protections
from strongroom.canonical import canonical_json
from strongroom.compiler import network as planner
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.network_hidden_noise import hidden_flood
from strongroom.compiler.plan import HiddenLevel, NetworkLayout, StepLayout
from strongroom.errors import KeyStoreError, PackageError, PolicyError
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe.hidden_network_payload import hidden_network_bytes
from strongroom.protections.fhe.protection import NetworkCandidate
from strongroom.protections.fhe.wire import Envelope

COMMITTEE = KeyHolding(parts=1, share_budget=1 << 20)


@pytest.mark.parametrize(
    "name",
    [
        "tree",
        "tree of several outputs",
        "squares",
        "two layers of squares",
        "relu",
        "tanh",
        "blocks",
    ],
)
def test_a_hidden_network_answers_as_its_circuits_do(name: str) -> None:
    exchange = hidden_exchange_of(name)
    rows = exchange.network.rows(3)
    pending = exchange.request(rows)
    assert len(pending.body) == exchange.circuit.sizes.request(3)
    response = exchange.answer(pending.body)
    assert len(response) == exchange.circuit.sizes.response(3)
    scores = exchange.client.decrypt(pending, response)
    largest = np.abs(exchange.network.scores(exchange.network.sample)).max()
    precision = np.ldexp(largest, -exchange.policy.precision_bits)
    assert np.abs(scores - exchange.circuit_scores(rows)).max() <= precision
    bound = exchange.plan.costs.score_error
    assert np.abs(scores - exchange.network.scores(rows)).max() <= bound


@pytest.mark.parametrize(("name", "vectors"), [("tree", 8), ("squares", 2), ("blocks", 2)])
def test_several_rows_share_a_ciphertext_of_a_hidden_network(name: str, vectors: int) -> None:
    exchange = hidden_exchange_of(name, vectors)
    rows = exchange.network.rows(vectors + 1)
    error = np.abs(exchange.scores(rows) - exchange.network.scores(rows)).max()
    assert error <= exchange.plan.costs.score_error


def test_layers_that_take_several_ciphertexts_can_be_hidden() -> None:
    policy = msgspec.structs.replace(LAX, hide="model")
    network = dense_network((260, 5), SQUARE, columns=3)
    for choice in hidden_choices(network, policy):
        layout = choice.plan.layout
        assert isinstance(layout, NetworkLayout)
        if [step.chunks for step in layout.steps] == [2, 1]:
            break
    else:
        pytest.fail("no plan of it takes two ciphertexts for the first layer")
    exchange = HiddenNetworkExchange.over(network, choice, policy)
    rows = network.rows(2)
    error = np.abs(exchange.scores(rows) - network.scores(rows)).max()
    assert error <= exchange.plan.costs.score_error


def test_towers_with_coefficients_of_their_own_in_every_slot_can_be_hidden() -> None:
    exchange = smooth()
    rows = exchange.network.rows(3)
    assert any(level.terms for level in exchange.layout.steps[0].circuits[0].hidden)
    error = np.abs(exchange.scores(rows) - exchange.circuit_scores(rows)).max()
    largest = np.abs(exchange.network.scores(exchange.network.sample)).max()
    assert error <= np.ldexp(largest, -exchange.policy.precision_bits)


@cache
def smooth() -> HiddenNetworkExchange:
    """One whose activation takes a tower of several levels."""
    policy = Policy(hide="model", minimum_agreement=0.1)
    network = kind("tanh")
    return HiddenNetworkExchange.over(network, hidden_choices(network, policy)[0], policy)


def test_an_answer_follows_from_request_and_package_alone() -> None:
    exchange = hidden_exchange_of("tanh")
    request = exchange.request(exchange.network.rows(1)).body
    assert exchange.answer(request, threads=1) == exchange.answer(request, threads=2)
    again = protections.by_name("fhe").open_server(exchange.plan, exchange.payload, package=PACKAGE)
    assert again.answer(request, keys=exchange.keys) == exchange.answer(request)


# Who sees what


@pytest.mark.parametrize("name", ["tree", "tanh", "squares"])
def test_neither_payload_nor_plan_holds_a_number_of_the_model(name: str) -> None:
    exchange = smooth() if name == "tanh" else hidden_exchange_of(name)
    (payload,) = exchange.payload.values()
    model = exchange.choice.model
    arrays = [model.weights, model.bias]
    for step in model.steps:
        arrays += [step.weights, step.bias]
        for circuit in step.circuits:
            arrays += [circuit.factors, circuit.constants, circuit.interval]
    numbers = {float(x) for array in arrays for x in array.reshape(-1)} - {0.0, 1.0, -1.0}
    numbers = {x for x in numbers if x != round(x, 2)}
    assert len(numbers) > 3
    text = canonical_json(exchange.plan)
    for number in numbers:
        assert np.float64(number).tobytes() not in bytes(payload)
        assert repr(number).encode() not in text


def test_two_packages_of_one_model_have_nothing_in_common() -> None:
    exchange = hidden_exchange_of("squares")
    secret = exchange.client._secret
    again = NetworkCandidate(exchange.choice, ()).payload(secret)["model"]
    first = exchange.payload["model"]
    assert len(first) == len(again) == hidden_network_bytes(exchange.circuit)
    equal = np.frombuffer(first, np.uint8) == np.frombuffer(again, np.uint8)
    assert equal.mean() < 0.01


def test_a_plan_shows_which_coefficients_a_circuit_has_and_not_their_values() -> None:
    def levels(exchange: HiddenNetworkExchange) -> tuple[HiddenLevel, ...]:
        (step,) = exchange.layout.steps
        return step.circuits[0].hidden

    assert levels(hidden_exchange_of("squares")) == (HiddenLevel((), False),)
    assert levels(hidden_exchange_of("tree")) == (HiddenLevel((), True), HiddenLevel((), False))
    first, second, third = levels(smooth())
    assert (first.terms, second.terms, third.terms) == ((), (0,), (0, 1))
    assert (first.constant, second.constant, third.constant) == (True, True, False)


def test_the_statement_says_that_nobody_but_the_holder_sees_weights() -> None:
    stated = hidden_exchange_of("tree").plan.guarantee
    assert stated.weights_from_server == "hidden-while-computing"
    assert any("which of their coefficients" in one for one in stated.structure_visible)


def test_an_asker_who_demands_a_hidden_model_refuses_one_in_the_clear() -> None:
    network = kind("squares")
    choice = network.choices(Policy(minimum_agreement=0.0))[0]
    with pytest.raises(PolicyError) as caught:
        protections.by_name("fhe").check(choice.plan, HIDE)
    assert caught.value.code == "SR-PLAN-GUARANTEE"


# Whose key


def test_another_key_than_the_holders_is_refused() -> None:
    exchange = hidden_exchange_of("squares")
    for store in (
        KeyStore.in_memory(),
        HiddenNetworkExchange.over(exchange.network, exchange.choice).store,
    ):
        with pytest.raises(KeyStoreError) as caught:
            protections.by_name("fhe").open_client(exchange.plan, store, HIDE, package=PACKAGE)
        assert caught.value.code == "SR-KEYS-HOLDER"
    assert KeyStore.in_memory().entries() == ()


def test_a_request_under_another_key_set_is_refused() -> None:
    exchange = hidden_exchange_of("squares")
    request = bytearray(exchange.request(exchange.network.rows(1)).body)
    at = len(Envelope.fresh(1).to_bytes(b"SRRQ", bytes(32)))
    request[at] ^= 1
    with pytest.raises(KeyStoreError) as caught:
        exchange.answer(bytes(request))
    assert caught.value.code == "SR-KEYS-HOLDER"


def test_a_plan_without_a_holder_is_not_asked() -> None:
    exchange = hidden_exchange_of("squares")
    with pytest.raises(PolicyError) as caught:
        protections.by_name("fhe").check(changed(exchange.plan, holder=None), HIDE)
    assert caught.value.code == "SR-PLAN-INVALID"


def test_a_committees_clients_encrypt_with_its_public_key() -> None:
    network = kind("squares")
    stand_in = CommitteeStandIn(hidden_choices(network, holding=COMMITTEE)[0])
    rows = network.rows(2)
    error = np.abs(stand_in.scores(rows) - network.scores(rows)).max()
    assert error <= stand_in.plan.costs.score_error
    with pytest.raises(KeyStoreError) as caught:
        protections.by_name("fhe").open_client(
            stand_in.plan, KeyStore.in_memory(), HIDE, package=PACKAGE
        )
    assert caught.value.code == "SR-KEYS-HOLDER"


def test_a_committees_flooding_hides_all_shares_of_its_budget() -> None:
    exchange = hidden_exchange_of("squares")
    circuit = exchange.circuit

    def flood(holding: KeyHolding, policy: Policy = HIDE) -> float:
        dropped = circuit.sending.log_dropped
        sums, log_noise = circuit.packing.sums, exchange.layout.log_noise
        return hidden_flood(circuit.parameters, sums, dropped, log_noise, policy, holding)

    few, many = (KeyHolding(1, budget) for budget in (1 << 10, 1 << 20))
    assert flood(many) == pytest.approx(flood(few) + 5.0)
    stricter = msgspec.structs.replace(HIDE, sanitising_bits=HIDE.sanitising_bits + 4)
    assert flood(many, stricter) == pytest.approx(flood(many) + 4.0)
    # The deviation of a rounding grows with the square root of the parts.
    assert 0.0 < flood(KeyHolding(3, 1 << 20)) - flood(many) < 1.0
    layout = hidden_choices(kind("squares"), holding=many)[0].plan.layout
    assert isinstance(layout, NetworkLayout)
    assert layout.flooding_log_sigma == layout.decryption_log_sigma > flood(ONE_OWNER) + 10.0


# What can't be hidden


@pytest.mark.parametrize("name", ["a polynomial", "units of two functions"])
def test_a_general_polynomial_is_refused_by_the_layers_name(name: str) -> None:
    with pytest.raises(PolicyError, match="hidden layer 1 of 1") as caught:
        hidden_choices(kind(name))
    assert caught.value.code == "SR-PLAN-HIDING"


def test_a_model_too_large_for_the_machine_is_refused_with_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(planner, "memory_bytes", lambda: 1 << 20)
    with pytest.raises(PolicyError, match="GiB of memory") as caught:
        hidden_choices(kind("squares"))
    assert caught.value.code == "SR-PLAN-HIDING"


def test_a_model_too_deep_to_be_hidden_is_refused() -> None:
    with pytest.raises(PolicyError, match="no parameters") as caught:
        hidden_choices(dense_network((6,) * 9, RELU))
    assert caught.value.code == "SR-PLAN-HIDING"


# Damage


def test_a_damaged_payload_is_refused() -> None:
    exchange = hidden_exchange_of("squares")
    payload = bytes(exchange.payload["model"])
    fhe = protections.by_name("fhe")
    other = bytearray(payload)
    other[:4] = b"SRNW"
    headless = bytearray(payload)
    headless[10] ^= 1  # the magic of the first ciphertext
    for damaged in (payload[:-1], payload + b"\0", bytes(other), bytes(headless), b""):
        with pytest.raises(PackageError):
            fhe.open_server(exchange.plan, {"model": damaged}, package=PACKAGE)


def broken(step: StepLayout, hidden: tuple[HiddenLevel, ...]) -> StepLayout:
    """A step whose circuit says other levels."""
    circuit = msgspec.structs.replace(step.circuits[0], hidden=hidden)
    return msgspec.structs.replace(step, circuits=(circuit,))


def test_plans_that_contradict_themselves_are_refused() -> None:
    exchange = hidden_exchange_of("tree")
    (step,) = exchange.layout.steps
    levels = step.circuits[0].hidden
    for hidden in (
        (),
        levels[:1],
        (*levels, levels[0]),
        (HiddenLevel((1,), True), levels[1]),
        (levels[0], HiddenLevel((1, 0), True)),
    ):
        plan = changed(exchange.plan, layout__steps=(broken(step, hidden),))
        with pytest.raises(PolicyError) as caught:
            protections.by_name("fhe").check(plan, HIDE)
        assert caught.value.code == "SR-PLAN-INVALID"
    plan = changed(exchange.plan, layout__holding=KeyHolding(parts=2))
    with pytest.raises(PolicyError, match="more than one part"):
        protections.by_name("fhe").check(plan, HIDE)


def test_a_plan_that_floods_less_than_its_noise_asks_for_is_refused() -> None:
    exchange = hidden_exchange_of("tree")
    for lowered in (
        {"layout__decryption_log_sigma": exchange.layout.decryption_log_sigma - 1.0},
        {"layout__flooding_log_sigma": exchange.layout.flooding_log_sigma - 1.0},
    ):
        with pytest.raises(PolicyError) as caught:
            protections.by_name("fhe").check(changed(exchange.plan, **lowered), HIDE)
        assert caught.value.code == "SR-PLAN-FLOODING"
