"""What a hidden network's plan counts against what a server does, and holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from hidden_network_exchanges import HiddenNetworkExchange, hidden_exchange_of

from strongroom.compiler import network_costs
from strongroom.compiler.network_levels import NetworkLevels
from strongroom.compiler.network_stages import levels_of_plan
from strongroom.engine import (
    Ciphertext,
    EncryptedLinearTransform,
    Evaluator,
    catalogued,
    periodic_products,
)
from strongroom.engine import operation_memory as memory
from strongroom.engine import operation_work as work
from strongroom.engine.operation_work import Work
from strongroom.protections.fhe.hidden_network_payload import hidden_network_bytes
from strongroom.protections.fhe.protection import NetworkCandidate

SHAPES = [("tree", 1), ("tree", 8), ("two layers of squares", 1), ("blocks", 2)]


def levels_of(exchange: HiddenNetworkExchange) -> NetworkLevels:
    """As the planner had them."""
    parameters = catalogued(exchange.plan.parameters)
    return levels_of_plan(parameters, exchange.layout, exchange.choice.model)


class Counting:
    """Counts the operations that are done with all threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, exchange: HiddenNetworkExchange) -> None:
        self.work = Work()
        parameters = exchange.circuit.parameters

        def watch(owner: Any, name: str, count: Callable[..., Work]) -> None:
            real = getattr(owner, name)

            def counted(*given: Any, **named: Any) -> Any:
                self.work += count(*given[1:], **named)
                return real(*given, **named)

            monkeypatch.setattr(owner, name, counted)

        def products(pairs: list[tuple[Ciphertext, Ciphertext]], *, drop: int) -> Work:
            limbs = min(c.limbs for pair in pairs for c in pair)
            return work.sum_of_products(parameters, limbs, len(pairs), drop)

        def transform(a: Ciphertext, transform: EncryptedLinearTransform) -> Work:
            plan = transform.plan
            rotations = zip(plan.rotations, transform.diagonals, strict=True)
            held = {sum(rotation) for rotation, diagonal in rotations if diagonal is not None}
            total = work.transform(parameters, a.limbs, plan, frozenset(held), encrypted=True)
            # Middle steps are rotations that count themselves.
            return total + work.rotate(parameters, a.limbs) * (1 - len(plan.middles))

        watch(Evaluator, "automorphism", lambda a, element: work.rotate(parameters, a.limbs))
        watch(
            Evaluator,
            "add_automorphism",
            lambda a, element, added: work.add_rotated(parameters, a.limbs),
        )
        watch(Evaluator, "multiply_plain", lambda a, b: work.multiply_plain(parameters, a.limbs))
        watch(Evaluator, "rescale", lambda a, drop: work.rescale(parameters, a.limbs, drop))
        watch(
            Evaluator,
            "_combined",
            lambda every, *others: work.linear_combination(parameters, others[2], len(every)),
        )
        watch(Evaluator, "sum_of_products", products)
        watch(periodic_products, "apply_transform", transform)


@pytest.mark.parametrize(("name", "vectors"), SHAPES)
def test_a_hidden_plan_counts_the_work_that_an_answer_takes(
    name: str, vectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = hidden_exchange_of(name, vectors)
    request = exchange.request(exchange.network.rows(1)).body
    exchange.answer(request)
    counting = Counting(monkeypatch, exchange)
    exchange.answer(request)
    circuit = exchange.circuit
    planned = network_costs.server_work(circuit.parameters, circuit.packing, levels_of(exchange))
    for field in fields(Work):
        done, said = getattr(counting.work, field.name), getattr(planned, field.name)
        exact = field.name in ("transforms", "wide_transforms", "streamed", "samples", "uniform")
        assert said == pytest.approx(done, rel=0.0 if exact else 0.1, abs=8), field.name


@pytest.mark.parametrize("name", ["tree", "two layers of squares"])
def test_a_hidden_models_memory_is_that_of_its_ciphertexts(name: str) -> None:
    exchange = hidden_exchange_of(name)
    parameters, network = exchange.circuit.parameters, exchange.server._network
    held = 0
    for chunks in network.steps:
        for chunk in chunks:
            natives = [d for p in chunk.products for d in p.transform.diagonals if d is not None]
            towers = [c for t in chunk.circuits for its in t.factors for c in its.values()]
            towers += [c for t in chunk.circuits for c in t.constants if c is not None]
            natives += [c.native for c in (chunk.bias, *towers)]
            held += sum(memory.ciphertext_bytes(parameters, n.limbs) for n in natives)
    held += sum(memory.ciphertext_bytes(parameters, c.limbs) for its in network.sums for c in its)
    held += sum(memory.ciphertext_bytes(parameters, c.limbs) for c in network.bias)
    assert exchange.plan.costs.model_bytes == memory.table_bytes(parameters) + held


@pytest.mark.parametrize("name", ["tree", "blocks"])
def test_keys_and_payload_are_as_long_as_planned(name: str) -> None:
    exchange = hidden_exchange_of(name)
    key_set = exchange.client.key_set
    sent = sum(len(key_set.evaluation_key(need)) for need in key_set.needs.keys)
    assert key_set.needs.public_limbs == 0
    assert exchange.plan.costs.evaluation_key_bytes == sent
    assert len(exchange.payload["model"]) == hidden_network_bytes(exchange.circuit)


def test_the_stages_of_a_hidden_model_add_up() -> None:
    exchange = hidden_exchange_of("two layers of squares")
    stages = NetworkCandidate(exchange.choice, ()).stages()
    total = sum(stage.milliseconds for stage in stages)
    assert total == pytest.approx(exchange.plan.costs.server_milliseconds, rel=1e-6)
    weights = sum(stage.weight_bytes for stage in stages)
    parameters = exchange.circuit.parameters
    assert weights <= exchange.plan.costs.model_bytes - memory.table_bytes(parameters)
    assert weights > 0.8 * (exchange.plan.costs.model_bytes - memory.table_bytes(parameters))
