"""How deep a network fits, said in advance; and the refusal of deeper ones."""

from __future__ import annotations

import dataclasses
import re
from functools import cache

import msgspec
import numpy as np
import pytest
from small_networks import RELU, SQUARE, Network, dense_layer, layout_of, network, scores_layer

from strongroom.compiler.depth import (
    SQUARE_LAYER_LEVELS,
    RingDepth,
    levels_used,
    ring_depths,
    square_network,
)
from strongroom.compiler.layers import Layer
from strongroom.compiler.network import NetworkChoice
from strongroom.engine import CATALOGUE
from strongroom.errors import PolicyError
from strongroom.models.activations import IDENTITY, Activation
from strongroom.models.graph import Node
from strongroom.policy import Policy

TRUSTING = Policy(sanitising_bits=0)

QUANTUM = Policy(security="quantum-128")
"""There is one ring for it, so refusals take a moment only."""


@cache
def deep_network(layers: int, function: Activation = SQUARE, width: int = 8) -> Network:
    """Layers after normalisations: no argument and no score of the sample is beyond 1."""
    generator = np.random.default_rng(3)
    values = rows = generator.uniform(-1.0, 1.0, (200, width))
    made: list[Layer] = []
    for number in range(layers + 1):
        last = number == layers
        layer = (
            scores_layer(generator, width, 2)
            if last
            else dense_layer(generator, width, width, function)
        )
        size = float(np.abs(layer.affine(values)).max())
        layer = Layer.uniform(
            layer.weights / size, layer.bias / size, IDENTITY if last else function
        )
        values = layer.activate(layer.affine(values))
        made.append(layer)
    return network(made, rows)


def deepest(depths: tuple[RingDepth, ...]) -> dict[int, int]:
    return {depth.ring_degree.bit_length() - 1: depth.square_layers for depth in depths}


# Limits


def test_every_ring_of_the_catalogue_has_a_limit_and_larger_ones_hold_more() -> None:
    depths = ring_depths(Policy())
    rings = {entry.ring_degree for entry in CATALOGUE.values() if entry.special_primes}
    assert [depth.ring_degree for depth in depths] == sorted(rings)
    held = [depth.square_layers for depth in depths]
    assert held == sorted(set(held))
    assert held[0] >= 1
    assert all(depth.levels == SQUARE_LAYER_LEVELS * depth.square_layers for depth in depths)


def test_the_limits_that_the_guide_states() -> None:
    assert deepest(ring_depths(Policy())) == {13: 1, 14: 2, 15: 4, 16: 7}


def test_more_hiding_and_more_precision_leave_fewer_layers() -> None:
    usual, trusting, precise = (
        deepest(ring_depths(policy))
        for policy in (Policy(), TRUSTING, Policy(sanitising_bits=0, precision_bits=20))
    )
    assert all(trusting[ring] >= usual[ring] for ring in usual)
    assert trusting[16] > usual[16]
    assert precise[16] < trusting[16]


def test_against_quantum_computers_only_such_rings_count() -> None:
    (depth,) = ring_depths(Policy(security="quantum-128"))
    assert CATALOGUE[depth.parameters].security == "quantum-128"
    assert depth.square_layers < deepest(ring_depths(Policy()))[15]


def test_what_a_policy_says_of_other_things_does_not_matter() -> None:
    assert ring_depths(Policy(objective="bytes", key_bytes=1)) == ring_depths(Policy())


def test_values_of_the_network_that_limits_are_found_with_stay_within_one() -> None:
    model, rows = square_network(3)
    for step in model.steps:
        assert np.abs(step.arguments(rows)).max() == pytest.approx(1.0)
        rows = step.values(step.arguments(rows))
    assert np.abs(rows @ model.weights.T).max() == pytest.approx(1.0)


# Growing networks


@cache
def planned(layers: int) -> tuple[NetworkChoice, ...]:
    return tuple(deep_network(layers).choices(Policy()))


def test_the_planner_finds_room_for_as_many_layers_as_a_ring_was_said_to_hold() -> None:
    for depth in ring_depths(Policy())[:2]:
        assert depth.ring_degree in {ring_of(c) for c in planned(depth.square_layers)}


def test_two_layers_more_than_a_ring_was_said_to_hold_take_a_larger_one() -> None:
    depth = ring_depths(Policy())[0]
    found = planned(depth.square_layers + 2)
    assert found
    assert all(ring_of(c) > depth.ring_degree for c in found)


def ring_of(choice: NetworkChoice) -> int:
    return CATALOGUE[choice.plan.parameters].ring_degree


def test_a_plan_says_how_many_levels_it_takes() -> None:
    for layers in (1, 3):
        assert {levels_used(layout_of(c)) for c in planned(layers)} == {2 * layers}


def refusal(small: Network, policy: Policy) -> str:
    with pytest.raises(PolicyError) as caught:
        small.choices(policy)
    assert caught.value.code == "SR-POLICY-PRECISION"
    return str(caught.value)


def test_the_last_network_that_fits_is_planned_and_the_next_refused_with_the_layer_named() -> None:
    (depth,) = ring_depths(QUANTUM)
    layers = depth.square_layers
    assert deep_network(layers).choices(QUANTUM)
    # The network that limits are found with is no shallower than others by more than a layer.
    said = refusal(deep_network(layers + 2), QUANTUM)
    match = re.search(rf"levels run out at hidden layer (\d+) of {layers + 2} \(8 units, Squ", said)
    assert match is not None
    assert layers < int(match[1]) <= layers + 2
    assert f"take {2 * layers + 4} levels, and the largest ring, of degree 2^15, holds" in said
    assert f"the {2 * (int(match[1]) - 1)} of those before it" in said
    assert "strongroom.torch" in said


@pytest.mark.parametrize("layers", [16, 40])
def test_far_too_deep_is_refused_like_a_little_too_deep(layers: int) -> None:
    said = refusal(deep_network(layers), QUANTUM)
    assert re.search(rf"run out at hidden layer [34] of {layers} ", said)
    assert f"take {2 * layers} levels" in said


def test_at_the_largest_ring_too() -> None:
    said = refusal(deep_network(12), Policy())
    assert re.search(
        r"run out at hidden layer [89] of 12 .* the largest ring, of degree 2\^16", said
    )


def test_many_activations_of_many_degrees_are_refused_without_trying_all_of_them() -> None:
    policy = msgspec.structs.replace(QUANTUM, minimum_agreement=0.0)
    said = refusal(deep_network(4, RELU), policy)
    assert re.search(r"run out at hidden layer [1-4] of 4 \(8 units, Relu\)", said)


def test_a_layer_is_named_by_its_node_where_it_comes_from_one() -> None:
    small = deep_network(6)
    nodes = tuple(
        Node("Square", f"square_{number}", (f"a{number}",), (f"b{number}",), {})
        for number in range(1, 7)
    )
    named = dataclasses.replace(small, graph=dataclasses.replace(small.graph, nodes=nodes))
    match = re.search(
        r"hidden layer (\d+) of 6 \(node '(\w+)': 8 units, Square\)", refusal(named, QUANTUM)
    )
    assert match is not None
    assert match[2] == f"square_{match[1]}"


def test_a_precision_beyond_all_rings_is_said_at_the_first_layer() -> None:
    said = refusal(deep_network(1), Policy(precision_bits=40))
    assert "run out at hidden layer 1 of 1" in said
    assert "not even the 2 of the first" in said


def test_keys_that_are_not_allowed_are_not_called_a_lack_of_levels() -> None:
    policy = msgspec.structs.replace(QUANTUM, key_bytes=1 << 20)
    said = refusal(deep_network(1), policy)
    assert "the evaluation keys do not fit 1 MiB" in said
    assert "run out" not in said
