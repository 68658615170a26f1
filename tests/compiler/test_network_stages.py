"""The stages of a planned network: what they say is what the plan says, and they add up to it."""

from __future__ import annotations

import dataclasses

import pytest
from small_networks import KINDS, choices_of, kind, layout_of

from strongroom.compiler.layer_names import LayerName, layer_names
from strongroom.compiler.network import NetworkChoice
from strongroom.compiler.network_stages import network_stages
from strongroom.compiler.stages import Stage
from strongroom.engine import catalogued, operation_memory
from strongroom.models.graph import Node
from strongroom.protections.fhe.network_circuit import NetworkCircuit

SMALL = ("squares", "two layers of squares", "blocks", "tree")


def stages_of(name: str, choice: NetworkChoice) -> tuple[Stage, ...]:
    small = kind(name)
    circuit = NetworkCircuit.of(choice.plan)
    names = layer_names(small.graph, small.layered)
    return network_stages(choice.plan, circuit.layout, circuit.packing, choice.model, names)


@pytest.mark.parametrize("name", SMALL)
def test_times_and_weights_add_up_to_the_plans(name: str) -> None:
    assert name in KINDS
    for choice in choices_of(name):
        stages, costs = stages_of(name, choice), choice.plan.costs
        assert sum(s.milliseconds for s in stages) == pytest.approx(costs.server_milliseconds)
        assert all(stage.milliseconds > 0.0 for stage in stages)
        tables = operation_memory.table_bytes(catalogued(choice.plan.parameters))
        assert sum(stage.weight_bytes for stage in stages) + tables == costs.model_bytes
        assert all(stage.working_bytes > 0 for stage in stages[:-1])
        assert sum(stage.working_bytes for stage in stages) <= costs.server_peak_bytes


@pytest.mark.parametrize("name", SMALL)
def test_primes_run_through_the_stages_as_the_plan_spends_them(name: str) -> None:
    for choice in choices_of(name):
        *hidden, scores = stages_of(name, choice)
        layout, circuit = layout_of(choice), NetworkCircuit.of(choice.plan)
        assert len(hidden) == len(layout.steps)
        assert [stage.primes_before for stage in hidden] == list(circuit.step_limbs[:-1])
        assert [stage.primes_after for stage in hidden] == list(circuit.step_limbs[1:])
        assert [stage.matrix_primes for stage in hidden] == [s.drop for s in layout.steps]
        assert scores.primes_before == layout.sum_limbs
        assert scores.primes_after == layout.response_limbs


def test_stages_are_named_in_the_models_words() -> None:
    first, second, scores = stages_of("blocks", choices_of("blocks")[0])
    assert (first.name, first.function, first.blocks) == ("hidden layer 1", "Square", 3)
    assert (first.inputs, first.units) == (12, 15)
    assert first.circuits == ("parabola",)
    assert (second.inputs, second.units, second.levels) == (15, 6, 2)
    assert (scores.kind, scores.inputs, scores.units) == ("scores", 6, 2)
    assert stages_of("tree", choices_of("tree")[0])[0].function == "conditions of leaves"
    assert (
        "polynomial of degree"
        in stages_of("a polynomial", choices_of("a polynomial")[0])[0].circuits[0]
    )


def test_layers_have_their_nodes_names_only_where_they_are_one_to_one() -> None:
    small = kind("two layers of squares")
    assert layer_names(small.graph, small.layered) == (LayerName("Square", ""),) * 2
    nodes = [Node("Square", f"act{number}", ("x",), ("y",), {}) for number in range(3)]
    affine = Node("Flatten", "flat", ("x",), ("y",), {})

    def named(*its_nodes: Node) -> tuple[LayerName, ...]:
        graph = dataclasses.replace(small.graph, nodes=its_nodes)
        return layer_names(graph, small.layered)

    assert named(nodes[0], affine, nodes[1]) == (
        LayerName("Square", "act0"),
        LayerName("Square", "act1"),
    )
    assert named(*nodes) == (LayerName("Square", ""),) * 2
