"""Convolutions on a grid: the same model, with units where few diagonals reach what they take."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from strongroom.compiler.grids import Grid, Image, arranged
from strongroom.compiler.layering import layered
from strongroom.compiler.layers import LayeredModel
from strongroom.engine.periodic_products import PeriodicLayout
from strongroom.models.graph import Graph
from strongroom.models.load import import_model


def convolutional(
    size: tuple[int, ...], channels: tuple[int, ...], kernels: tuple[int, ...], stride: int
) -> tuple[dict[str, NDArray[np.float64]], list[onnx.NodeProto]]:
    """Convolutions of odd kernels with a square behind each, the first two with a stride, then one
    dense layer, a square and three outputs."""
    random = np.random.default_rng(sum(size))
    tensors: dict[str, NDArray[np.float64]] = {}
    nodes, at = [], "x"
    before = channels[0]
    for i, (outputs, kernel) in enumerate(zip(channels[1:], kernels, strict=True)):
        axes = len(size)
        tensors[f"k{i}"] = random.normal(size=(outputs, before, *[kernel] * axes)) / kernel
        tensors[f"b{i}"] = random.normal(size=outputs)
        strides = [stride if i < 2 else 1] * axes
        nodes.append(
            helper.make_node(
                "Conv",
                [at, f"k{i}", f"b{i}"],
                [f"c{i}"],
                pads=[kernel // 2] * (2 * axes),
                strides=strides,
            )
        )
        nodes.append(helper.make_node("Mul", [f"c{i}", f"c{i}"], [f"s{i}"]))
        at, before = f"s{i}", outputs
        size = tuple(-(-n // s) for n, s in zip(size, strides, strict=True))
    width = before * int(np.prod(size))
    tensors |= {"w": random.normal(size=(width, 6)) / width, "v": random.normal(size=(6, 3))}
    nodes += [
        helper.make_node("Flatten", [at], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["e"]),
        helper.make_node("MatMul", ["e", "v"], ["y"]),
    ]
    return tensors, nodes


def graph_of(
    size: tuple[int, ...], channels: tuple[int, ...], kernels: tuple[int, ...], stride: int
) -> Graph:
    tensors, nodes = convolutional(size, channels, kernels, stride)
    made = helper.make_graph(
        nodes,
        "images",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, channels[0], *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
        [numpy_helper.from_array(v.astype(np.float32), name) for name, v in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 20)]
    model: onnx.ModelProto = helper.make_model(made, opset_imports=opsets, ir_version=9)
    return import_model(model)


def both(graph: Graph) -> tuple[LayeredModel, Graph, LayeredModel]:
    plain = layered(graph).folded()
    return plain, *arranged(graph, plain)


@settings(deadline=None, max_examples=25)
@given(
    size=st.sampled_from([(8, 8), (7, 9), (12, 5), (16,), (13,)]),
    outputs=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    inputs=st.integers(1, 3),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.integers(1, 3),
)
def test_an_arranged_model_computes_the_same(
    size: tuple[int, ...], outputs: list[int], inputs: int, kernel: int, stride: int
) -> None:
    channels = (inputs, *outputs)
    graph = graph_of(size, channels, (kernel,) * len(outputs), stride)
    plain, on_grid, moved = both(graph)
    rows = np.random.default_rng(1).normal(size=(20, inputs * int(np.prod(size))))
    wanted = plain.arguments(graph.features.encode(rows))[-1]
    got = moved.arguments(on_grid.features.encode(rows))[-1]
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())
    assert moved.layers[0].weights.ndim == 3


def test_units_have_places_of_their_own() -> None:
    grid = Grid(7, 5)
    for image in (Image(3, 7, 5), Image(2, 14, 10), Image(1, 21, 9)):
        places = grid.positions(image)
        assert len(set(places.tolist())) == image.units
        assert 0 <= places.min() <= places.max() < grid.size(image)


def test_a_convolution_takes_what_lies_at_few_distances() -> None:
    graph = graph_of((14, 14), (1, 4, 16), (5, 5), 2)
    _, _, moved = both(graph)
    second = moved.layers[1]
    assert second.convolution
    row, column = np.nonzero(second.weights)
    block, unit = np.divmod(column, 4)
    differences = unit * moved.layers[0].blocks + block - row
    layout = PeriodicLayout.following(4096, 1, second.units, 1024, 1024, differences)
    assert layout is not None
    # Offsets on the grid of 4 x 4, by the channels of the larger side.
    assert 0 < layout.diagonals <= 9 * 16 < min(layout.units, layout.period)


def test_the_windows_of_the_first_convolution_are_laid_out_side_by_side() -> None:
    graph = graph_of((8, 8), (2, 3), (3,), 2)
    _, on_grid, moved = both(graph)
    first = moved.layers[0]
    assert first.weights.shape == (16, 3, 2 * 3 * 3)
    assert on_grid.features.width == 16 * 18
    image = np.arange(128.0).reshape(1, -1)
    windows = on_grid.features.encode(image).reshape(16, 18)
    # The window of a place inside, the second of the second line: lines and columns 1 to 3.
    inside = [64 * c + 8 * y + x for c in (0, 1) for y in (1, 2, 3) for x in (1, 2, 3)]
    assert sorted(windows[5]) == inside


def test_networks_without_convolutions_are_left_as_they_are() -> None:
    graph = graph_of((6,), (1, 2), (3,), 1)
    plain = layered(graph).folded()
    dense = LayeredModel(plain.layers[1:])
    assert arranged(graph, dense) == (graph, dense)


@pytest.mark.parametrize("rotations", [(0, 3), (5,), (1, 2, 7)])
def test_only_the_diagonals_that_are_there_are_made(rotations: tuple[int, ...]) -> None:
    layout = PeriodicLayout(64, 1, 8, 16, 16, 16, rotations=rotations)
    matrix = np.zeros((8, 16))
    for k in rotations:
        for row in range(8):
            matrix[row, [(row + k) % 16, (row + k + 8) % 16]] = 1.0 + row
    made = dict(layout.diagonal_values(matrix[None]))
    assert tuple(made) == rotations
    x = np.random.default_rng(0).normal(size=16)
    slots = np.tile(x, 4)
    products = sum(d * np.roll(slots, -k) for k, d in made.items())
    folded = products + np.roll(products, -8)
    np.testing.assert_allclose(folded[:8], matrix @ x)


@pytest.mark.parametrize("rotations", [(3, 1), (1, 1), (8,), (-1,)])
def test_rotations_that_are_none_are_refused(rotations: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="rotations"):
        PeriodicLayout(64, 1, 8, 16, 16, 16, rotations=rotations)
