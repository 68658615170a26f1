"""Where a network lies in slots: the whole way in plain numpy, for any shapes that fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_rings import quickly, seeds

from strongroom.compiler.activation_circuits import placed_circuit
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.compiler.network_packing import NetworkPacking, StepShape, shapes
from strongroom.engine.periodic_products import PeriodicLayout
from strongroom.engine.square_towers import SquareTower

Array = NDArray[np.float64]


def random_model(
    generator: np.random.Generator, blocks: int, inputs: int, units: list[int], outputs: int
) -> NetworkModel:
    """Steps whose units have a circuit of their own each: x^2 + c. The first may have blocks."""
    steps, shape = [], (blocks, inputs)
    for count in units:
        its_blocks, its_inputs = shape
        every = its_blocks * count
        circuit = SquareTower(
            np.zeros((1, 1, every)), generator.normal(size=(1, every)), np.array([-9.0, 9.0])
        )
        weights = generator.normal(size=(its_blocks, count, its_inputs)) / np.sqrt(its_inputs)
        steps.append(HiddenStep(weights, generator.normal(size=(its_blocks, count)), (circuit,)))
        shape = (1, every)
    weights = generator.normal(size=(outputs, shape[1]))
    return NetworkModel(tuple(steps), weights, generator.normal(size=outputs))


def product(layout: PeriodicLayout, matrices: Array, x: Array) -> Array:
    """What a server makes of a vector's slots."""
    if layout.halved:
        x = x + 1j * np.roll(x, -layout.half_step)
    y = np.sum([d * np.roll(x, -k) for k, d in layout.diagonal_values(matrices)], axis=0)
    stride = layout.units * layout.blocks
    y = np.sum([np.roll(y, -stride * t) for t in range(layout.terms)], axis=0)
    return np.asarray((y + y.conj()).real if layout.complex else y)


def evaluated(packing: NetworkPacking, model: NetworkModel, rows: Array) -> Array:
    """Scores of the rows of one ciphertext, shape (vectors, outputs), slot by slot."""
    state = [packing.input_slots(rows)]
    for number, (step, its_packing) in enumerate(zip(model.steps, packing.steps, strict=True)):
        made = []
        for chunk in range(its_packing.chunks):
            parts = [
                product(its_packing.layout, packing.matrices(number, step, chunk, source), x)
                for source, x in enumerate(state)
            ]
            slots = np.sum(parts, axis=0) + packing.bias_slots(number, step, chunk)
            units = packing.unit_slots(number, step, chunk)
            for circuit in step.circuits:
                slots = placed_circuit(circuit, units)(slots)
            made.append(slots)
        state = made
    scores = np.tile(model.bias, (packing.vectors, 1))
    period = packing.sums.period
    for chunk, slots in enumerate(state):
        # What is summed repeats; a period of it says all.
        assert np.allclose(slots.reshape(-1, period), slots[:period])
        weights = packing.sum_weights(model, chunk)
        assert weights.shape == (len(model.bias), period)
        for slot in range(period):
            scores[slot % packing.vectors] += weights[:, slot] * slots[slot]
    return scores


@st.composite
def networks(draw: st.DrawFn) -> tuple[NetworkPacking, NetworkModel]:
    """Any that fits 8 to 256 slots, with several rows and several ciphertexts a step."""
    slots = 2 ** draw(st.integers(3, 8))
    vectors = 2 ** draw(st.integers(0, 3))
    blocks = draw(st.sampled_from([1, 1, 2, 3]))
    inputs = draw(st.integers(1, 12))
    units = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3))
    outputs = draw(st.integers(1, 5))
    generator = np.random.default_rng(draw(seeds))
    model = random_model(generator, blocks, inputs, units, outputs)
    packing = NetworkPacking.choose(slots, vectors, shapes(model), outputs)
    assume(packing is not None)
    assert packing is not None
    return packing, model


@quickly
@given(network=networks(), seed=seeds)
def test_every_packing_computes_the_network(
    network: tuple[NetworkPacking, NetworkModel], seed: int
) -> None:
    packing, model = network
    first = model.steps[0]
    rows = np.random.default_rng(seed).uniform(
        -1, 1, (packing.vectors, first.blocks * first.inputs)
    )
    expected = model.scores(rows)
    scale = max(1.0, float(np.abs(expected).max()))
    assert np.abs(evaluated(packing, model, rows) - expected).max() < 1e-8 * scale


SHAPES = {
    "one chunk": (64, 1, 1, 6, [9], 2),
    "chunks of the first step": (16, 4, 1, 3, [10], 2),
    "chunks of both steps": (16, 4, 1, 3, [10, 7], 1),
    "chunks of the second step only": (16, 2, 1, 5, [4, 30], 3),
    "blocks": (64, 2, 3, 4, [5], 2),
    "blocks, then a dense step": (64, 1, 3, 2, [5, 4], 2),
    "every slot of its own": (16, 16, 1, 1, [3], 2),
}


@pytest.mark.parametrize("name", SHAPES)
def test_packings_at_the_edges_compute_the_network(name: str) -> None:
    slots, vectors, blocks, inputs, units, outputs = SHAPES[name]
    generator = np.random.default_rng(1)
    model = random_model(generator, blocks, inputs, units, outputs)
    packing = NetworkPacking.choose(slots, vectors, shapes(model), outputs)
    assert packing is not None
    assert [step.chunks > 1 for step in packing.steps] == {
        "chunks of the first step": [True],
        "chunks of both steps": [True, True],
        "chunks of the second step only": [False, True],
        "every slot of its own": [True],
    }.get(name, [False] * len(units))
    rows = generator.uniform(-1, 1, (vectors, blocks * inputs))
    assert np.allclose(evaluated(packing, model, rows), model.scores(rows))


def test_missing_rows_are_zero_and_reach_no_others() -> None:
    generator = np.random.default_rng(2)
    model = random_model(generator, 1, 6, [5], 2)
    packing = NetworkPacking.choose(64, 4, shapes(model), 2)
    assert packing is not None
    rows = generator.uniform(-1, 1, (3, 6))
    scores = evaluated(packing, model, rows)
    assert np.allclose(scores[:3], model.scores(rows))
    assert np.allclose(scores[3:], model.scores(np.zeros((1, 6))))


def test_a_step_takes_no_more_ciphertexts_than_its_units_need() -> None:
    for units, vectors, chunks in ((16, 1, 1), (17, 1, 2), (8, 2, 1), (9, 2, 2), (33, 2, 5)):
        packing = NetworkPacking.choose(16, vectors, [StepShape(1, units, 3)], 1)
        assert packing is not None
        assert packing.steps[0].chunks == chunks


@pytest.mark.parametrize(
    ("slots", "vectors", "steps"),
    [
        (16, 32, [StepShape(1, 2, 2)]),
        (16, 8, [StepShape(4, 1, 1)]),
        (16, 1, [StepShape(1, 2, 40)]),
        (16, 1, [StepShape(4, 5, 2)]),
        (16, 4, [StepShape(1, 2, 9)]),
        (16, 4, [StepShape(2, 2, 5)]),
    ],
)
def test_networks_that_do_not_fit_have_no_packing(
    slots: int, vectors: int, steps: list[StepShape]
) -> None:
    assert NetworkPacking.choose(slots, vectors, steps, 1) is None


def test_only_the_first_step_may_have_blocks() -> None:
    with pytest.raises(ValueError, match="only the first step"):
        NetworkPacking.choose(64, 1, [StepShape(1, 4, 4), StepShape(2, 2, 2)], 1)
