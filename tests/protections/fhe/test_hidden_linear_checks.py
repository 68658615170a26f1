"""What a client re-checks of a hidden linear model's plan, and a server of its payload and
requests: each way of lying alone."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import pytest
from exchanges import Exchange, changed
from hidden_exchanges import HIDE, PACKAGE, CommitteeExchange, HiddenExchange

from strongroom import engine, protections
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.plan import CommitteeKey, OwnerKey
from strongroom.errors import CiphertextError, PackageError, PolicyError
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan

INVALID, FLOODING, GUARANTEE = (f"SR-PLAN-{word}" for word in ("INVALID", "FLOODING", "GUARANTEE"))
DIGITS = "ab" * 32

LIES: dict[str, tuple[dict[str, Any], str]] = {
    "parameters without keys to multiply with": ({"parameters": "n13-q144-v1"}, INVALID),
    "one column fewer": ({"layout__columns": 29}, INVALID),
    "more rows than fit": ({"layout__rows_per_ciphertext": 273}, INVALID),
    "a response above its product": ({"layout__response_limbs": 5}, INVALID),
    "more primes than there are": ({"layout__input_limbs": 6}, INVALID),
    "scales beyond the modulus": ({"layout__log_weight_scale": 90}, INVALID),
    "a scale below one": ({"layout__log_weight_scale": 0}, INVALID),
    "rows beyond the modulus": ({"layout__log_input_scale": 2000}, INVALID),
    "requests larger than allowed": ({"layout__blocks_per_request": 4000}, INVALID),
    "a key smaller than it is": ({"costs__evaluation_key_bytes": 1000}, INVALID),
    "responses smaller than they are": ({"costs__response_bytes": 1000}, INVALID),
    "no holder of the key": ({"holder": None}, INVALID),
    "a committee without a budget": (
        {"holder": CommitteeKey(f"sha256:{DIGITS}", DIGITS, 9)},
        INVALID,
    ),
    "an owner with a key of parts": ({"layout__holding": KeyHolding(3)}, INVALID),
    "no flooding": ({"layout__decryption_log_sigma": 0.0}, FLOODING),
    "flooding beyond the modulus": ({"layout__decryption_log_sigma": 1e4}, INVALID),
    "weights hidden even after computing": (
        {"guarantee__weights_from_server": "hidden"},
        GUARANTEE,
    ),
    "inputs hidden while computing only": (
        {"guarantee__inputs_from_server": "hidden-while-computing"},
        GUARANTEE,
    ),
    "weights visible": ({"guarantee__weights_from_server": "visible"}, GUARANTEE),
    "weights hidden from their owner": ({"guarantee__weights_from_client": "hidden"}, GUARANTEE),
    "inputs visible": ({"guarantee__inputs_from_server": "visible"}, GUARANTEE),
    "a smaller modulus than its key's": ({"guarantee__log_modulus": 172.0}, GUARANTEE),
    "a distance that nobody has": ({"guarantee__log_distance_after_budget": -20.0}, GUARANTEE),
}


@pytest.fixture(scope="module")
def hidden() -> HiddenExchange:
    generator = np.random.default_rng(31)
    return HiddenExchange.over(
        generator.normal(size=(1, 30)), np.ones(1), generator.normal(size=(60, 30))
    )


@pytest.fixture(scope="module")
def committee() -> CommitteeExchange:
    generator = np.random.default_rng(37)
    return CommitteeExchange.over(
        generator.normal(size=(1, 30)), np.ones(1), generator.normal(size=(60, 30))
    )


def test_the_true_plans_pass(hidden: HiddenExchange, committee: CommitteeExchange) -> None:
    for plan in (hidden.plan, committee.plan):
        check_plan(plan, HIDE)
        check_plan(plan, Policy())
        again = msgspec.json.decode(msgspec.json.encode(plan), type=type(plan))
        assert again == plan


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_of_a_plan_is_refused(hidden: HiddenExchange, lie: str) -> None:
    fields, code = LIES[lie]
    with pytest.raises(PolicyError) as refused:
        check_plan(changed(hidden.plan, **fields), HIDE)
    assert refused.value.code == code


def test_a_committee_that_floods_for_fewer_shares_is_refused(committee: CommitteeExchange) -> None:
    plan = committee.plan
    fewer = msgspec.structs.replace(plan.holder, share_budget=1 << 10)
    assert isinstance(fewer, CommitteeKey)
    with pytest.raises(PolicyError, match="another share budget"):
        check_plan(changed(plan, holder=fewer), HIDE)
    sigma = plan.layout.decryption_log_sigma - 1.0
    with pytest.raises(PolicyError) as refused:
        check_plan(changed(plan, layout__decryption_log_sigma=sigma), HIDE)
    assert refused.value.code == FLOODING


def test_a_committee_s_statement_that_rows_are_hidden_for_good_is_refused(
    committee: CommitteeExchange,
) -> None:
    for field in ("inputs_from_server", "outputs_from_server"):
        with pytest.raises(PolicyError) as refused:
            check_plan(changed(committee.plan, **{f"guarantee__{field}": "hidden"}), HIDE)
        assert refused.value.code == GUARANTEE


def test_the_statements_say_who_sees_what(
    hidden: HiddenExchange, committee: CommitteeExchange
) -> None:
    alone, shared = hidden.plan.guarantee, committee.plan.guarantee
    for stated in (alone, shared):
        assert stated.weights_from_server == "hidden-while-computing"
        assert stated.log_modulus == pytest.approx(213.9, abs=0.1)
        assert stated.queries_to_extract == 31
    assert alone.inputs_from_server == alone.outputs_from_server == "hidden"
    assert shared.inputs_from_server == shared.outputs_from_server == "hidden-while-computing"
    assert (alone.weights_from_client, alone.sanitising_bits) == ("visible", 0)
    assert (shared.weights_from_client, shared.sanitising_bits) == ("hidden", 30)
    assert shared.log_distance_after_budget == -29.0
    assert "owner alone" in " ".join(alone.assumptions)
    assert "colludes with no authorised asker" in " ".join(shared.assumptions)
    assert "Askers encode and encrypt as the protocol says" in " ".join(shared.assumptions)


def test_an_asker_that_wants_the_model_hidden_takes_no_other() -> None:
    exchange = Exchange.over(np.ones((1, 3)), np.zeros(1), np.eye(3))
    with pytest.raises(PolicyError, match="model would be visible") as refused:
        check_plan(exchange.plan, HIDE)
    assert refused.value.code == GUARANTEE


def test_a_plain_plan_names_no_holder() -> None:
    exchange = Exchange.over(np.ones((1, 3)), np.zeros(1), np.eye(3))
    with pytest.raises(PolicyError, match="under which nothing is encrypted"):
        check_plan(changed(exchange.plan, holder=OwnerKey("ab" * 16)), Policy())


# Payloads


@pytest.mark.parametrize("damage", ["cut", "longer", "header", "shape", "empty", "coefficient"])
def test_a_damaged_payload_is_refused(hidden: HiddenExchange, damage: str) -> None:
    whole = bytes(hidden.payload["model"])
    damaged = {
        "cut": whole[:-1],
        "longer": whole + b"\0",
        "header": b"SRLW" + whole[4:],
        "shape": whole[:6] + b"\2" + whole[7:],
        "empty": b"",
        "coefficient": whole[:-40] + b"\xff" * 40,
    }[damage]
    with pytest.raises(PackageError) as refused:
        protections.by_name("fhe").open_server(hidden.plan, {"model": damaged}, package=PACKAGE)
    assert refused.value.code == "SR-PACKAGE-FILE"


def test_weights_at_another_scale_than_the_plan_says_are_refused(hidden: HiddenExchange) -> None:
    circuit = hidden.circuit
    plaintext = engine.encode_coefficients(
        circuit.parameters, np.ones(31), circuit.weight_scale * Fraction(2), circuit.limbs.input
    )
    other = bytes(hidden.payload["model"])[:14] + engine.ciphertext_to_bytes(
        hidden.secret.encrypt(plaintext)
    )
    with pytest.raises(PackageError, match="another packing or scale"):
        protections.by_name("fhe").open_server(hidden.plan, {"model": other}, package=PACKAGE)


# Requests


def test_malformed_requests_are_refused(hidden: HiddenExchange) -> None:
    circuit = hidden.circuit
    rows = np.tile(circuit.layout.centre, (1, 1))
    good = hidden.request(rows).body
    limbs = circuit.limbs.input
    values = np.ones(31)
    coefficients = engine.encode_coefficients(
        circuit.parameters, values, circuit.input_scale * 2, limbs
    )
    slots = engine.encode_slots(circuit.parameters, values, circuit.input_scale, limbs)
    bad = {
        "another scale": engine.ciphertext_to_bytes(hidden.secret.encrypt(coefficients)),
        "packed by slots": engine.ciphertext_to_bytes(hidden.secret.encrypt(slots)),
    }
    for what, ciphertext in bad.items():
        with pytest.raises(CiphertextError, match=what):
            hidden.answer(good[:76] + ciphertext)
    for body in (good[:-1], good + b"\0", good[:40], good[:4]):
        with pytest.raises(CiphertextError):
            hidden.answer(body)


def test_a_request_bound_to_another_package_is_refused(hidden: HiddenExchange) -> None:
    fhe = protections.by_name("fhe")
    client = fhe.open_client(hidden.plan, hidden.store, HIDE, package="sha256:another")
    pending = client.encrypt(client.encode(np.tile(hidden.circuit.layout.centre, (1, 1))))
    with pytest.raises(CiphertextError) as refused:
        hidden.answer(pending.body)
    assert refused.value.code == "SR-CIPHERTEXT-MISMATCH"
