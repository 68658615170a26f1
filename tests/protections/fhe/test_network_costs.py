"""What a plan counts against what a server does: its operations one by one, and its tables."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from network_exchanges import NetworkExchange, exchange_of

from strongroom.compiler import network_costs
from strongroom.compiler.network_levels import NetworkLevels, StepLevels
from strongroom.engine import (
    Ciphertext,
    Evaluator,
    LinearTransform,
    catalogued,
    periodic_products,
)
from strongroom.engine import operation_memory as memory
from strongroom.engine import operation_work as work
from strongroom.engine.operation_work import Work

SHAPES = [("tree", 1), ("tree", 8), ("two layers of squares", 1), ("relu", 1), ("blocks", 4)]

TABLES = """
from pathlib import Path
from strongroom.engine import catalogued
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
before = anonymous()
parameters = catalogued("{name}")
print(anonymous() - before)
"""


def levels_of(exchange: NetworkExchange) -> NetworkLevels:
    """As the planner had them."""
    layout, circuit = exchange.layout, exchange.circuit
    steps = tuple(
        StepLevels(
            limbs,
            step.log_weight_scale,
            step.drop,
            scale,
            tuple(made.plan for made in chunks[0].circuits),
        )
        for step, limbs, scale, chunks in zip(
            layout.steps,
            circuit.step_limbs[:-1],
            circuit.step_scales[1:],
            exchange.server._steps,
            strict=True,
        )
    )
    return NetworkLevels(
        layout.input_limbs,
        layout.log_input_scale,
        steps,
        layout.sum_limbs,
        layout.log_sum_scale,
        layout.response_limbs,
    )


class Counting:
    """Counts the operations that are done with all threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, exchange: NetworkExchange) -> None:
        self.work = Work()
        self.parameters = exchange.circuit.parameters
        for name in ("automorphism", "add_automorphism", "multiply_plain", "rescale"):
            self._watch(monkeypatch, Evaluator, name, getattr(self, name))
        self._watch(monkeypatch, Evaluator, "sum_of_products", self.products)
        self._watch(monkeypatch, Evaluator, "_combined", self.combined)
        self._watch(monkeypatch, periodic_products, "apply_transform", self.transform)

    def _watch(
        self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, count: Callable[..., Work]
    ) -> None:
        real = getattr(owner, name)

        def counted(*given: Any, **named: Any) -> Any:
            self.work += count(*given[1:], **named)
            return real(*given, **named)

        monkeypatch.setattr(owner, name, counted)

    def automorphism(self, a: Ciphertext, element: int) -> Work:
        return work.rotate(self.parameters, a.limbs)

    def add_automorphism(self, a: Ciphertext, element: int, added: Ciphertext) -> Work:
        return work.add_rotated(self.parameters, a.limbs)

    def multiply_plain(self, a: Ciphertext, b: object) -> Work:
        return work.multiply_plain(self.parameters, a.limbs)

    def rescale(self, a: Ciphertext, drop: int) -> Work:
        return work.rescale(self.parameters, a.limbs, drop)

    def products(self, pairs: list[tuple[Ciphertext, Ciphertext]], *, drop: int) -> Work:
        limbs = min(c.limbs for pair in pairs for c in pair)
        return work.sum_of_products(self.parameters, limbs, len(pairs), drop)

    def combined(self, every: list[Ciphertext], integers: object, *others: Any) -> Work:
        return work.linear_combination(self.parameters, others[1], len(every))

    def transform(self, a: Ciphertext, transform: LinearTransform) -> Work:
        plan = transform.plan
        rotations = zip(plan.rotations, transform.present, strict=True)
        held = {sum(rotation) for rotation, present in rotations if present}
        share = 1.0 / 2**transform.native.log_run
        total = work.transform(self.parameters, a.limbs, plan, frozenset(held), kept_share=share)
        # Middle steps are rotations that count themselves.
        turned = work.rotate(self.parameters, a.limbs) * (1 - len(plan.middles))
        return total + turned


@pytest.mark.parametrize(("name", "vectors"), SHAPES)
def test_a_plan_counts_the_work_that_an_answer_takes(
    name: str, vectors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Transforms and key products exactly; sums of what is small within a few per cent."""
    exchange = exchange_of(name, vectors)
    request = exchange.request(exchange.network.rows(1)).body
    counting = Counting(monkeypatch, exchange)
    exchange.answer(request)
    circuit = exchange.circuit
    planned = network_costs.server_work(circuit.parameters, circuit.packing, levels_of(exchange))
    for field in fields(Work):
        done, said = getattr(counting.work, field.name), getattr(planned, field.name)
        exact = field.name in ("transforms", "wide_transforms", "streamed", "samples", "uniform")
        assert said == pytest.approx(done, rel=0.0 if exact else 0.1, abs=8), field.name


@pytest.mark.parametrize(("name", "vectors"), SHAPES)
def test_more_than_the_largest_phase_is_held(name: str, vectors: int) -> None:
    """Phases have blocks of their own; each is there at least once."""
    exchange = exchange_of(name, vectors)
    parameters, packing = exchange.circuit.parameters, exchange.circuit.packing
    levels = levels_of(exchange)
    held = network_costs.peak_bytes(parameters, packing, levels)
    products = [
        memory.transform_peak(parameters, its.limbs, step.layout.step_plan, threads=2)
        for step, its in zip(packing.steps, levels.steps, strict=True)
    ]
    assert held > sum(products)
    encoded = network_costs.model_bytes(parameters, packing, levels)
    assert encoded > memory.table_bytes(parameters)


@pytest.mark.parametrize("name", ["n14-q267-p147-v1", "n15-q525-p271-v1"])
def test_tables_take_what_a_process_takes_for_them(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", TABLES.format(name=name)],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
        timeout=60,
        text=True,
    )
    assert int(run.stdout) == pytest.approx(memory.table_bytes(catalogued(name)), rel=0.15)
