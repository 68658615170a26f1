"""What a client re-checks of a plan: each way of lying alone, on a plan that is true otherwise."""

from __future__ import annotations

import math
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from exchanges import Exchange, changed

from strongroom import protections
from strongroom.errors import PolicyError
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan, circuit_of

INVALID, FLOODING, GUARANTEE = (f"SR-PLAN-{word}" for word in ("INVALID", "FLOODING", "GUARANTEE"))
NAN, HUGE = math.nan, 2**40

# What is changed, and how the plan is refused. Numbers in brackets are added to the true one.
LIES: dict[str, tuple[dict[str, Any], str]] = {
    "parameters that nobody knows": ({"parameters": "n10-q104-v1"}, "SR-PARAMETERS-UNKNOWN"),
    "parameters without a name": ({"parameters": ""}, "SR-PARAMETERS-UNKNOWN"),
    "parameters of another ring": ({"parameters": "n13-q144-v1"}, INVALID),
    "absurdly many columns": ({"layout__columns": HUGE}, INVALID),
    "absurdly many columns, input too": (
        {"layout__columns": HUGE, "input__columns": HUGE},
        INVALID,
    ),
    "one column fewer": ({"layout__columns": 29}, INVALID),
    "no columns": ({"layout__columns": 0, "input__columns": 0}, INVALID),
    "absurdly many outputs": ({"layout__outputs": HUGE}, INVALID),
    "absurdly many outputs, output too": (
        {"layout__outputs": HUGE, "output__outputs": HUGE},
        INVALID,
    ),
    "no outputs": ({"layout__outputs": 0, "output__outputs": 0}, INVALID),
    "more rows than fit": ({"layout__rows_per_ciphertext": 137}, INVALID),
    "absurdly many rows": ({"layout__rows_per_ciphertext": HUGE}, INVALID),
    "no rows": ({"layout__rows_per_ciphertext": 0}, INVALID),
    "chunks that are not needed": ({"layout__column_chunks": 2}, INVALID),
    "absurdly many chunks": ({"layout__column_chunks": HUGE}, INVALID),
    "another number of outputs a result": ({"layout__outputs_per_ciphertext": 2}, INVALID),
    "absurdly large requests": ({"layout__blocks_per_request": HUGE}, INVALID),
    "one block more than the protocol allows": ({"layout__blocks_per_request": [1]}, INVALID),
    "empty requests": ({"layout__blocks_per_request": 0}, INVALID),
    "a centre that is no number": ({"layout__centre": (NAN,) * 30}, INVALID),
    "a centre at infinity": ({"layout__centre": (math.inf,) * 30}, INVALID),
    "a centre too many": ({"layout__centre": (0.0,) * 31}, INVALID),
    "a half width that is no number": ({"layout__half_width": (NAN,) * 30}, INVALID),
    "a half width of zero": ({"layout__half_width": (0.0,) * 30}, INVALID),
    "a negative half width": ({"layout__half_width": (-1.0,) * 30}, INVALID),
    "an infinite half width": ({"layout__half_width": (math.inf,) * 30}, INVALID),
    "a half width that is no power of two": ({"layout__half_width": (3.0,) * 30}, INVALID),
    "a half width too few": ({"layout__half_width": (1.0,) * 29}, INVALID),
    "a headroom that is no number": ({"layout__headroom": NAN}, INVALID),
    "a headroom below the sample": ({"layout__headroom": 0.5}, INVALID),
    "an infinite headroom": ({"layout__headroom": math.inf}, INVALID),
    "more primes than there are": ({"layout__input_limbs": 5}, INVALID),
    "absurdly many primes": ({"layout__input_limbs": HUGE}, INVALID),
    "levels out of order": ({"layout__response_limbs": 4}, INVALID),
    "no level": ({"layout__response_limbs": 0}, INVALID),
    "scales beyond the modulus": ({"layout__log_input_scale": 90}, INVALID),
    "an absurd scale": ({"layout__log_weight_scale": HUGE}, INVALID),
    "a scale below one": ({"layout__log_input_scale": -5}, INVALID),
    "an absurd output step": ({"layout__log_output_step": -HUGE}, INVALID),
    "decryption flooding that is no number": ({"layout__decryption_log_sigma": NAN}, INVALID),
    "decryption flooding without end": ({"layout__decryption_log_sigma": math.inf}, INVALID),
    "decryption flooding beyond the modulus": ({"layout__decryption_log_sigma": 1e4}, INVALID),
    "no decryption flooding": ({"layout__decryption_log_sigma": 0.0}, FLOODING),
    "a little too little decryption flooding": ({"layout__decryption_log_sigma": [-3.0]}, FLOODING),
    "sanitising that is no number": ({"layout__flooding_log_sigma": NAN}, INVALID),
    "no sanitising": ({"layout__flooding_log_sigma": 0.0}, FLOODING),
    "less sanitising than the statement says": (
        {"layout__flooding_log_sigma": [-8.0]},
        FLOODING,
    ),
    "a statement of more sanitising than there is": (
        {"guarantee__sanitising_bits": 60, "guarantee__log_distance_after_budget": -49.0},
        FLOODING,
    ),
    "a statement of absurd sanitising": ({"guarantee__sanitising_bits": HUGE}, GUARANTEE),
    "a statement of negative sanitising": ({"guarantee__sanitising_bits": -1}, GUARANTEE),
    "a statement on another protection": ({"guarantee__protection": "sealed"}, GUARANTEE),
    "inputs that the server sees": ({"guarantee__inputs_from_server": "visible"}, GUARANTEE),
    "answers that the server sees": (
        {"guarantee__outputs_from_server": "hidden-while-computing"},
        GUARANTEE,
    ),
    "weights hidden from the server that holds them": (
        {"guarantee__weights_from_server": "hidden"},
        GUARANTEE,
    ),
    "weights hidden from clients, by nothing": (
        {"guarantee__sanitising_bits": 0, "guarantee__log_distance_after_budget": 0.0},
        GUARANTEE,
    ),
    "a security that the parameters lack": ({"guarantee__security": "quantum-128"}, GUARANTEE),
    "a security that nobody knows": ({"guarantee__security": "classical-256"}, GUARANTEE),
    "another ring in the statement": ({"guarantee__ring_degree": 8192}, GUARANTEE),
    "a smaller modulus in the statement": ({"guarantee__log_modulus": 60.0}, GUARANTEE),
    "a modulus that is no number": ({"guarantee__log_modulus": NAN}, GUARANTEE),
    "a smaller distance than is true": (
        {"guarantee__log_distance_after_budget": -40.0},
        GUARANTEE,
    ),
    "a distance that is no number": ({"guarantee__log_distance_after_budget": NAN}, GUARANTEE),
    "an absurd budget": ({"guarantee__query_budget": 2**62}, GUARANTEE),
    "too few bits of decryption flooding": ({"guarantee__decryption_bits": 20}, GUARANTEE),
    "too few published answers": ({"guarantee__decryption_queries": 1000}, GUARANTEE),
    "more queries to extract the model": ({"guarantee__queries_to_extract": 10**6}, GUARANTEE),
    "answers larger than they can be": ({"costs__full_response_bytes": 2**60}, INVALID),
    "requests of more rows than they have": ({"costs__rows_per_request": HUGE}, INVALID),
}


def lying(exchange: Exchange, fields: dict[str, Any]) -> Any:
    values = {}
    for path, value in fields.items():
        part, _, name = path.partition("__")
        truth = getattr(getattr(exchange.plan, part), name) if name else None
        values[path] = truth + value[0] if isinstance(value, list) else value
    return values


@pytest.mark.parametrize("lie", LIES)
def test_a_plan_that_lies_is_refused_at_once(exchange: Exchange, lie: str) -> None:
    fields, code = LIES[lie]
    values = lying(exchange, fields)
    keys = KeyStore.in_memory()
    tracemalloc.start()
    started = time.process_time()
    try:
        # Some lies can't even be written as a plan; being refused there is as good.
        with pytest.raises(PolicyError) as caught:
            protections.by_name("fhe").open_client(
                changed(exchange.plan, **values), keys, Policy(), package="sha256:0"
            )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.code == code
    assert "\n" not in str(caught.value)
    assert keys.entries() == (), "no key is made for a plan that is refused"
    assert time.process_time() - started < 2.0
    assert peak < 16 * 2**20


def test_a_true_plan_is_accepted_by_the_policy_that_it_was_made_for(exchange: Exchange) -> None:
    check_plan(exchange.plan, Policy())
    assert circuit_of(exchange.plan).packing.columns == 30


def test_more_sanitising_and_flooding_than_demanded_is_accepted(exchange: Exchange) -> None:
    check_plan(exchange.plan, Policy(decryption_bits=20, decryption_queries=1, sanitising_bits=0))


def test_a_model_of_absurdly_many_outputs_is_judged_at_once(exchange: Exchange) -> None:
    # A million results of 4096 columns each is within the caps of a plan.
    plan = changed(
        exchange.plan,
        layout__columns=4096,
        layout__outputs=2**20,
        layout__outputs_per_ciphertext=1,
        layout__rows_per_ciphertext=1,
        layout__blocks_per_request=2,
        layout__centre=(0.0,) * 4096,
        layout__half_width=(1.0,) * 4096,
        input__columns=4096,
        output=msgspec.structs.replace(exchange.plan.output, outputs=2**20, flat=False),
    )
    started = time.process_time()
    with pytest.raises(PolicyError) as caught:
        check_plan(plan, Policy())
    assert caught.value.code == INVALID
    assert time.process_time() - started < 1.0
