"""What a client re-checks of a network's plan: each way of lying alone, on a plan that is true
otherwise."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from exchanges import changed
from network_exchanges import PACKAGE, NetworkExchange, exchange_of

from strongroom import protections
from strongroom.compiler.plan import NetworkLayout, Plan
from strongroom.errors import PolicyError
from strongroom.keys.store import KeyStore
from strongroom.policy import Policy
from strongroom.protections.fhe.checks import check_plan
from strongroom.protections.fhe.network_circuit import NetworkCircuit

INVALID, FLOODING, GUARANTEE = (f"SR-PLAN-{word}" for word in ("INVALID", "FLOODING", "GUARANTEE"))
NAN, HUGE = math.nan, 2**40
replace = msgspec.structs.replace


@pytest.fixture(scope="module")
def exchange() -> NetworkExchange:
    """Ten columns, fourteen squares, three outputs; one row a ciphertext."""
    return exchange_of("squares")


def layout_of(plan: Plan) -> NetworkLayout:
    assert isinstance(plan.layout, NetworkLayout)
    return plan.layout


def step(plan: Plan, **fields: Any) -> Plan:
    """With another first step."""
    layout = layout_of(plan)
    steps = (replace(layout.steps[0], **fields), *layout.steps[1:])
    return replace(plan, layout=replace(layout, steps=steps))


def drops(plan: Plan, *found: int) -> Plan:
    """With another circuit in the first step."""
    (circuit,) = layout_of(plan).steps[0].circuits
    return step(plan, circuits=(replace(circuit, drops=found),))


def shifted(plan: Plan, **fields: float) -> Plan:
    """With numbers of the layout moved."""
    layout = layout_of(plan)
    return replace(
        plan, layout=replace(layout, **{n: getattr(layout, n) + d for n, d in fields.items()})
    )


def with_outputs(plan: Plan, outputs: int, **fields: Any) -> Plan:
    """The output says so, too."""
    prediction = replace(plan.prediction, output=replace(plan.output, outputs=outputs, flat=False))
    layout = replace(layout_of(plan), outputs=outputs, **fields)
    return replace(plan, prediction=prediction, layout=layout)


Lie = Callable[[Plan], Plan]


def layout(**fields: Any) -> Lie:
    return lambda plan: changed(plan, **{f"layout__{n}": v for n, v in fields.items()})


def stated(**fields: Any) -> Lie:
    return lambda plan: changed(plan, **{f"guarantee__{n}": v for n, v in fields.items()})


def costs(**fields: Any) -> Lie:
    return lambda plan: changed(plan, **{f"costs__{n}": v for n, v in fields.items()})


LIES: dict[str, tuple[Lie, str]] = {
    "parameters that nobody knows": (
        lambda plan: replace(plan, parameters="n10-q104-v1"),
        "SR-PARAMETERS-UNKNOWN",
    ),
    "parameters without special primes": (
        lambda plan: replace(plan, parameters="n12-q104-v1"),
        INVALID,
    ),
    "parameters of another ring": (
        lambda plan: replace(plan, parameters="n15-q420-p220-v1"),
        INVALID,
    ),
    "one feature fewer": (layout(features=9), INVALID),
    "absurdly many features": (layout(features=HUGE), INVALID),
    "one output more": (layout(outputs=4), INVALID),
    "absurdly many outputs": (layout(outputs=HUGE), INVALID),
    "a million outputs, output too": (lambda plan: with_outputs(plan, 2**20), INVALID),
    "a million outputs of many rows": (
        lambda plan: with_outputs(plan, 2**20, rows_per_ciphertext=256),
        INVALID,
    ),
    "other rows in a ciphertext": (layout(rows_per_ciphertext=2), INVALID),
    "rows that are no power of two": (layout(rows_per_ciphertext=3), INVALID),
    "more rows than are ever decoded": (layout(rows_per_ciphertext=2048), INVALID),
    "absurdly many rows": (layout(rows_per_ciphertext=HUGE), INVALID),
    "no rows": (layout(rows_per_ciphertext=0), INVALID),
    "one block more than the protocol allows": (
        lambda plan: shifted(plan, blocks_per_request=1),
        INVALID,
    ),
    "absurdly large requests": (layout(blocks_per_request=HUGE), INVALID),
    "empty requests": (layout(blocks_per_request=0), INVALID),
    "a centre that is no number": (layout(centre=(NAN,) * 10), INVALID),
    "a centre too many": (layout(centre=(0.0,) * 11), INVALID),
    "a half width of zero": (layout(half_width=(0.0,) * 10), INVALID),
    "a negative half width": (layout(half_width=(-1.0,) * 10), INVALID),
    "an infinite half width": (layout(half_width=(math.inf,) * 10), INVALID),
    "a half width that is no power of two": (layout(half_width=(3.0,) * 10), INVALID),
    "a half width too few": (layout(half_width=(1.0,) * 9), INVALID),
    "a headroom that is no number": (layout(headroom=NAN), INVALID),
    "no headroom": (layout(headroom=0.0), INVALID),
    "a negative headroom": (layout(headroom=-1.0), INVALID),
    "a headroom that leaves nothing of a row": (layout(headroom=2.0**-11), INVALID),
    "an infinite headroom": (layout(headroom=math.inf), INVALID),
    "a headroom beyond what rows are clipped to": (layout(headroom=1025.0), INVALID),
    "a reach that is no number": (layout(reach=NAN), INVALID),
    "no reach": (layout(reach=0.0), INVALID),
    "a negative reach": (layout(reach=-1.0), INVALID),
    "an infinite reach": (layout(reach=math.inf), INVALID),
    "no steps": (layout(steps=()), INVALID),
    "the same step twice": (lambda p: layout(steps=layout_of(p).steps * 2)(p), INVALID),
    "absurdly many steps": (lambda p: layout(steps=layout_of(p).steps * 10_000)(p), INVALID),
    "absurdly many units": (lambda plan: step(plan, units=HUGE), INVALID),
    "no units": (lambda plan: step(plan, units=0), INVALID),
    "one input more": (lambda plan: step(plan, inputs=11), INVALID),
    "absurdly many blocks": (lambda plan: step(plan, blocks=HUGE), INVALID),
    "absurdly many chunks": (lambda plan: step(plan, chunks=HUGE), INVALID),
    "more chunks than units": (lambda plan: step(plan, chunks=15), INVALID),
    "no chunks": (lambda plan: step(plan, chunks=0), INVALID),
    "a span that is no power of two": (lambda plan: step(plan, span=24), INVALID),
    "a span of one": (lambda plan: step(plan, span=1), INVALID),
    "an absurd span": (lambda plan: step(plan, span=HUGE), INVALID),
    "a period without room for all inputs": (lambda plan: step(plan, period=4), INVALID),
    "an absurd period": (lambda plan: step(plan, period=HUGE), INVALID),
    "weights beyond the modulus": (lambda plan: step(plan, log_weight_scale=250), INVALID),
    "an absurd scale of weights": (lambda plan: step(plan, log_weight_scale=HUGE), INVALID),
    "all primes dropped at once": (lambda plan: step(plan, drop=64), INVALID),
    "circuits that drop all primes": (lambda plan: drops(plan, 5), INVALID),
    "absurdly many primes dropped": (lambda plan: drops(plan, HUGE), INVALID),
    "a negative number of primes": (lambda plan: drops(plan, -1), INVALID),
    "squarings without a drop": (lambda plan: drops(plan, *(0,) * 50), INVALID),
    "scales with denominators without end": (
        lambda plan: drops(
            step(
                replace(plan, layout=replace(layout_of(plan), log_input_scale=1)),
                log_weight_scale=0,
            ),
            *(0,) * 40,
        ),
        INVALID,
    ),
    "scales too small for a float": (
        lambda plan: drops(
            step(
                replace(
                    plan, layout=replace(layout_of(plan), log_input_scale=1, log_sum_scale=-512)
                ),
                log_weight_scale=0,
            ),
            *(0,) * 6,
        ),
        INVALID,
    ),
    "a circuit more than a step may have": (
        lambda plan: step(plan, circuits=layout_of(plan).steps[0].circuits * 17),
        INVALID,
    ),
    "circuits without end": (
        lambda plan: step(plan, circuits=layout_of(plan).steps[0].circuits * 10_000),
        INVALID,
    ),
    "more primes than there are": (layout(input_limbs=20), INVALID),
    "absurdly many primes": (layout(input_limbs=HUGE), INVALID),
    "levels out of order": (layout(response_limbs=5), INVALID),
    "sums at a level that is not left": (layout(sum_limbs=5), INVALID),
    "no level": (layout(response_limbs=0), INVALID),
    "rows beyond the modulus": (layout(log_input_scale=300), INVALID),
    "an absurd input scale": (layout(log_input_scale=HUGE), INVALID),
    "scores beyond the modulus": (lambda plan: shifted(plan, log_sum_scale=40), INVALID),
    "an absurd sum scale": (layout(log_sum_scale=-HUGE), INVALID),
    "larger scores than fit": (lambda plan: shifted(plan, log_bound=40), INVALID),
    "an absurd bound on scores": (layout(log_bound=HUGE), INVALID),
    "keys out of order": (lambda p: layout(keys=layout_of(p).keys[::-1])(p), INVALID),
    "a key twice": (lambda p: layout(keys=layout_of(p).keys * 2)(p), INVALID),
    "a key for no rotation": (layout(keys=((4, 2),)), INVALID),
    "a key beyond the ring": (layout(keys=((2**20 + 1, 2),)), INVALID),
    "a key that changes nothing": (layout(keys=((1, 2),)), INVALID),
    "a negative key": (layout(keys=((-3, 1),)), INVALID),
    "a key of no primes": (layout(keys=((5, 0),)), INVALID),
    "a key of too many primes": (layout(keys=((5, 99),)), INVALID),
    "every key that there is": (
        lambda plan: layout(keys=tuple((k, 2) for k in range(3, 16384, 2)))(plan),
        INVALID,
    ),
    "keys that cost more than they say": (
        lambda plan: layout(keys=((3, 2), *layout_of(plan).keys))(plan),
        INVALID,
    ),
    "keys that take less than they do": (costs(evaluation_key_bytes=1), INVALID),
    "requests smaller than they are": (costs(request_bytes=1), INVALID),
    "full requests smaller than they are": (costs(full_request_bytes=1), INVALID),
    "answers smaller than they are": (costs(response_bytes=1), INVALID),
    "answers larger than they can be": (costs(full_response_bytes=2**60), INVALID),
    "requests of more rows than they have": (costs(rows_per_request=HUGE), INVALID),
    "an absurd output step": (layout(log_output_step=-HUGE), INVALID),
    "decryption flooding that is no number": (layout(decryption_log_sigma=NAN), INVALID),
    "decryption flooding without end": (layout(decryption_log_sigma=math.inf), INVALID),
    "decryption flooding beyond the modulus": (layout(decryption_log_sigma=1e4), INVALID),
    "decryption flooding wider than can be sampled": (layout(decryption_log_sigma=100.5), INVALID),
    "no decryption flooding": (layout(decryption_log_sigma=0.0), FLOODING),
    "a little too little decryption flooding": (
        lambda plan: shifted(plan, decryption_log_sigma=-0.1),
        FLOODING,
    ),
    "sanitising that is no number": (layout(flooding_log_sigma=NAN), INVALID),
    "sanitising wider than can be sampled": (layout(flooding_log_sigma=100.5), INVALID),
    "no sanitising": (layout(flooding_log_sigma=0.0), FLOODING),
    "less sanitising than the statement says": (
        lambda plan: shifted(plan, flooding_log_sigma=-0.1),
        FLOODING,
    ),
    "more noise than floods hide": (lambda plan: shifted(plan, log_noise=1), FLOODING),
    "noise beyond the modulus": (layout(log_noise=1024), INVALID),
    "less noise than re-randomising makes": (
        lambda plan: replace(
            plan,
            layout=replace(
                layout_of(plan), log_noise=NetworkCircuit.of(plan).sending.least_log_noise - 1
            ),
        ),
        FLOODING,
    ),
    "a statement of more sanitising than there is": (
        stated(sanitising_bits=60, log_distance_after_budget=-49.0),
        FLOODING,
    ),
    "a statement of absurd sanitising": (stated(sanitising_bits=HUGE), GUARANTEE),
    "a statement of negative sanitising": (stated(sanitising_bits=-1), GUARANTEE),
    "a statement on another protection": (stated(protection="sealed"), GUARANTEE),
    "inputs that the server sees": (stated(inputs_from_server="visible"), GUARANTEE),
    "answers that the server sees": (
        stated(outputs_from_server="hidden-while-computing"),
        GUARANTEE,
    ),
    "weights hidden from the server that holds them": (
        stated(weights_from_server="hidden"),
        GUARANTEE,
    ),
    "weights hidden from clients, by nothing": (
        stated(sanitising_bits=0, log_distance_after_budget=0.0),
        GUARANTEE,
    ),
    "a security that the parameters lack": (stated(security="quantum-128"), GUARANTEE),
    "a security that nobody knows": (stated(security="classical-256"), GUARANTEE),
    "another ring in the statement": (stated(ring_degree=4096), GUARANTEE),
    "a smaller modulus in the statement": (stated(log_modulus=60.0), GUARANTEE),
    "a modulus that is no number": (stated(log_modulus=NAN), GUARANTEE),
    "a smaller distance than is true": (stated(log_distance_after_budget=-40.0), GUARANTEE),
    "too few bits of decryption flooding": (stated(decryption_bits=20), GUARANTEE),
    "too few published answers": (stated(decryption_queries=1000), GUARANTEE),
    "an absurd budget": (stated(query_budget=2**62), GUARANTEE),
    "more queries to extract the model": (stated(queries_to_extract=10**6), GUARANTEE),
}


def open_client(exchange: NetworkExchange, lying: Lie, keys: KeyStore) -> None:
    """Read a plan as it comes from a stranger, and use it."""
    plan = msgspec.convert(msgspec.to_builtins(lying(exchange.plan)), Plan)
    protections.by_name("fhe").open_client(plan, keys, exchange.policy, package=PACKAGE)


@pytest.mark.parametrize("lie", LIES)
def test_a_plan_that_lies_is_refused_at_once(exchange: NetworkExchange, lie: str) -> None:
    lying, code = LIES[lie]
    keys = KeyStore.in_memory()
    tracemalloc.start()
    started = time.process_time()
    try:
        # Some lies can't even be read as a plan; being refused there is as good.
        with pytest.raises((PolicyError, msgspec.ValidationError)) as caught:
            open_client(exchange, lying, keys)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert getattr(caught.value, "code", INVALID) == code
    assert "\n" not in str(caught.value)
    assert keys.entries() == (), "no key is made for a plan that is refused"
    assert time.process_time() - started < 2.0
    assert peak < 16 * 2**20


def test_a_true_plan_is_accepted_by_the_policy_that_it_was_made_for(
    exchange: NetworkExchange,
) -> None:
    check_plan(exchange.plan, exchange.policy)
    assert [need.element for need in exchange.circuit.needs.keys] == [
        element for element, _ in exchange.layout.keys
    ]


def test_more_sanitising_and_flooding_than_demanded_is_accepted(
    exchange: NetworkExchange,
) -> None:
    check_plan(exchange.plan, Policy(decryption_bits=20, decryption_queries=1, sanitising_bits=0))
    more = shifted(exchange.plan, decryption_log_sigma=0.5, flooding_log_sigma=0.5)
    check_plan(more, exchange.policy)


def test_a_plan_that_asks_for_more_keys_than_the_policy_allows_is_refused(
    exchange: NetworkExchange,
) -> None:
    needed = exchange.plan.costs.evaluation_key_bytes
    assert 2**20 < needed <= Policy().key_bytes
    check_plan(exchange.plan, replace(exchange.policy, key_bytes=needed))
    keys = KeyStore.in_memory()
    with pytest.raises(PolicyError) as caught:
        protections.by_name("fhe").open_client(
            exchange.plan, keys, replace(exchange.policy, key_bytes=needed - 1), package=PACKAGE
        )
    assert caught.value.code == "SR-PLAN-KEYS"
    assert f"needs {needed >> 20} MiB of evaluation keys" in str(caught.value)
    assert "Raise key_bytes in the policy" in str(caught.value)
    assert keys.entries() == (), "no key is made for a plan that is refused"


@pytest.mark.parametrize("bytes_said", [0, 2**20])
def test_a_plan_cannot_say_that_it_needs_fewer_keys(
    exchange: NetworkExchange, bytes_said: int
) -> None:
    lying = costs(evaluation_key_bytes=bytes_said)(exchange.plan)
    with pytest.raises(PolicyError) as caught:
        check_plan(lying, replace(exchange.policy, key_bytes=2**21))
    assert caught.value.code == INVALID


def test_a_plan_is_bound_to_its_messages_whole(exchange: NetworkExchange) -> None:
    circuit = NetworkCircuit.of(exchange.plan, PACKAGE)
    others = [
        NetworkCircuit.of(exchange.plan, "sha256:1"),
        NetworkCircuit.of(shifted(exchange.plan, log_output_step=1), PACKAGE),
        NetworkCircuit.of(shifted(exchange.plan, headroom=0.5), PACKAGE),
        NetworkCircuit.of(shifted(exchange.plan, reach=0.5), PACKAGE),
        NetworkCircuit.of(shifted(exchange.plan, flooding_log_sigma=0.5), PACKAGE),
    ]
    bindings = {circuit.binding, *(other.binding for other in others)}
    assert len(bindings) == 1 + len(others)
    assert circuit.binding == NetworkCircuit.of(exchange.plan, PACKAGE).binding
