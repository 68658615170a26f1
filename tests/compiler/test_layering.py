"""The layered form of a graph computes what the graph does, with few layers and few units."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from strongroom.compiler.affine import fold_affine
from strongroom.compiler.layering import is_affine, layered
from strongroom.compiler.layers import LayeredModel
from strongroom.errors import ModelError
from strongroom.models.activations import IDENTITY, Activation
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec

PARAMETERS: dict[str, dict[str, Any]] = {
    "LeakyRelu": {"alpha": 0.1},
    "Elu": {"alpha": 0.7},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "Power": {"exponent": 3},
    "Polynomial": {"coefficients": (0.5, -1.0, 0.25)},
}
ACTIVATIONS = ["Square", "Relu", "Abs", "Sigmoid", "Tanh", "Silu", "Softplus", *PARAMETERS]


def node(operator: str, inputs: str, output: str, **attributes: Any) -> Node:
    found = attributes or PARAMETERS.get(operator, {})
    return Node(operator, f"the {operator}", tuple(inputs.split()), (output,), found)


def graph_of(
    nodes: list[Node], constants: dict[str, Any], outputs: int, columns: int, scores: str = "y"
) -> Graph:
    return Graph(
        name="test",
        tensors=(Tensor("x", "float64", (None, columns)),),
        nodes=tuple(nodes),
        constants={name: np.asarray(value) for name, value in constants.items()},
        scores=scores,
        input=InputSpec(columns, (), "float64"),
        features=Features.plain(columns),
        output=OutputSpec("regression", "identity", outputs, (), "<f8", False, ("predict",)),
    )


def evaluated(graph: Graph, X: np.ndarray) -> np.ndarray:
    """The graph's scores, node by node."""
    values: dict[str, Any] = {"x": X, **graph.constants}
    for step in graph.nodes:
        arguments = [values[name] for name in step.inputs]
        match step.operator:
            case "MatMul":
                value = arguments[0] @ arguments[1]
            case "Add":
                value = arguments[0] + arguments[1]
            case "Sub":
                value = arguments[0] - arguments[1]
            case "Mul":
                value = arguments[0] * arguments[1]
            case "Div":
                value = arguments[0] / arguments[1]
            case "Concat":
                value = np.concatenate(arguments, axis=1)
            case "Gather":
                value = arguments[0][:, arguments[1]]
            case _:
                value = Activation.of(step.operator, step.attributes)(arguments[0])
        values[step.outputs[0]] = value
    return np.asarray(values[graph.scores])


def random_graph(seed: int) -> Graph:
    """A graph in which every table may be used again; depth is bounded, values stay small."""
    random = np.random.default_rng(seed)
    widths = {"x": int(random.integers(1, 6))}
    depths = {"x": 0}
    nodes: list[Node] = []
    constants: dict[str, Any] = {}
    for number in range(int(random.integers(2, 14))):
        table, other = random.choice(list(widths), 2)
        output, constant = f"t{number}", f"c{number}"
        operator = random.choice(
            ["MatMul", "MatMul", "Add", "Sub", "Mul", "Div", "Concat", "Gather",
             "two", "two", "product", "activation", "activation", "activation"]
        )  # fmt: skip
        width, depth = widths[table], depths[table]
        inputs = f"{table} {constant}"
        fits = 1 in (width, widths[other], width / widths[other])
        if operator in ("activation", "product") and max(depth, depths[other]) >= 4:
            operator = "MatMul"
        if operator == "MatMul":
            outputs = int(random.integers(1, 6))
            constants[constant] = random.normal(size=(width, outputs)) / (2 * np.sqrt(width))
            width = outputs
        elif operator == "Gather":
            outputs = int(random.integers(1, 6))
            constants[constant] = random.integers(0, width, outputs)
            width = outputs
        elif operator == "Concat":
            inputs, width = f"{table} {other} {table}", 2 * width + widths[other]
            depth = max(depth, depths[other])
        elif operator in ("two", "product") and fits:
            operator = "Mul" if operator == "product" else str(random.choice(["Add", "Sub"]))
            depth = max(depth, depths[other]) + (operator == "Mul")
            inputs, width = f"{table} {other}", max(width, widths[other])
        elif operator == "activation":
            operator, inputs, depth = str(random.choice(ACTIVATIONS)), str(table), depth + 1
        else:
            operator = operator if operator in ("Add", "Sub", "Mul", "Div") else "Mul"
            size = width if random.random() < 0.5 else 1
            constants[constant] = random.uniform(0.3, 1.0, size=size)
            if operator != "Div" and random.random() < 0.5:
                inputs = f"{constant} {table}"
        nodes.append(node(str(operator), inputs, output))
        widths[output], depths[output] = width, depth
    return graph_of(nodes, constants, widths[output], widths["x"], output)


def scores_of(model: LayeredModel, X: np.ndarray) -> np.ndarray:
    return model.arguments(X)[-1]


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_random_graphs_equal_their_layered_forms(start: int) -> None:
    deepest = 0
    for seed in range(start, start + 50):
        graph = random_graph(seed)
        X = np.random.default_rng(seed).normal(size=(7, graph.input.columns))
        model = layered(graph)
        expected = evaluated(graph, X)
        found = scores_of(model, X)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() <= 1e-9 * max(1.0, np.abs(expected).max()), seed
        assert set(model.layers[-1].functions) == {IDENTITY}
        deepest = max(deepest, len(model.layers))
    assert deepest >= 3


def test_an_affine_graph_is_one_layer() -> None:
    nodes = [node("Sub", "x mean", "a"), node("MatMul", "a w", "b"), node("Add", "b b", "y")]
    constants = {"mean": [1.0, 2.0, 3.0], "w": np.arange(6.0).reshape(3, 2)}
    graph = graph_of(nodes, constants, 2, 3)
    assert is_affine(graph)
    (layer,) = layered(graph).layers
    affine = fold_affine(graph)
    assert np.array_equal(layer.weights, affine.weights)
    assert np.array_equal(layer.bias, affine.bias)


@pytest.mark.parametrize("operator", ACTIVATIONS)
def test_graphs_with_activations_or_products_are_not_affine(operator: str) -> None:
    assert not is_affine(graph_of([node(operator, "x", "y")], {}, 3, 3))
    assert not is_affine(graph_of([node("Mul", "x x", "y")], {}, 3, 3))
    assert is_affine(graph_of([node("Power", "x", "y", exponent=1)], {}, 3, 3))


def units_of(graph: Graph) -> list[int]:
    return [layer.units for layer in layered(graph).layers]


def test_a_network_has_its_own_layers() -> None:
    random = np.random.default_rng(0)
    nodes = [
        node("Div", "x scale", "a"), node("MatMul", "a w1", "b"), node("Add", "b b1", "c"),
        node("Relu", "c", "d"), node("MatMul", "d w2", "e"), node("Mul", "e gain", "f"),
        node("Sigmoid", "f", "g"), node("MatMul", "g w3", "y"),
    ]  # fmt: skip
    constants = {
        "scale": np.full(5, 2.0), "w1": random.normal(size=(5, 8)), "b1": np.ones(8),
        "w2": random.normal(size=(8, 4)), "gain": np.ones(4), "w3": random.normal(size=(4, 2)),
    }  # fmt: skip
    layers = layered(graph_of(nodes, constants, 2, 5)).layers
    assert [layer.units for layer in layers] == [8, 4, 2]
    assert [layer.functions[0].name for layer in layers] == ["Relu", "Sigmoid", "Identity"]


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Square", "x", "y")],
        [node("Power", "x", "y", exponent=2)],
        [node("Mul", "x x", "y")],
        [node("Mul", "x third", "a"), node("Mul", "a x", "b"), node("Mul", "b three", "y")],
        [node("Mul", "x three", "a"), node("Square", "a", "b"), node("Square", "x", "c"),
         node("Add", "b c", "y")],
    ],
)  # fmt: skip
def test_a_square_of_a_table_is_one_unit_a_column(nodes: list[Node]) -> None:
    graph = graph_of(nodes, {"third": [1 / 3], "three": [3.0]}, 3, 3)
    layers = layered(graph).layers
    assert [layer.functions[0].name for layer in layers] == ["Square", "Identity"]
    squares = 6 if nodes[-1].operator == "Add" else 3
    assert layers[0].units == squares


def test_equal_units_are_one_and_unused_ones_none() -> None:
    nodes = [
        node("Gather", "x places", "a"), node("Relu", "a", "b"), node("Relu", "x", "c"),
        node("Concat", "b c", "d"), node("Gather", "d some", "y"),
    ]  # fmt: skip
    graph = graph_of(nodes, {"places": [2, 2, 0, 1], "some": [0, 1, 2, 6]}, 4, 3)
    assert units_of(graph) == [2, 4]  # of columns 2 and 0


def test_products_of_all_pairs_share_their_squares() -> None:
    columns = 8
    left, right = np.triu_indices(columns, 1)
    nodes = [node("Gather", "x l", "a"), node("Gather", "x r", "b"), node("Mul", "a b", "y")]
    graph = graph_of(nodes, {"l": left, "r": right}, len(left), columns)
    X = np.random.default_rng(0).normal(size=(5, columns))
    assert np.allclose(scores_of(layered(graph), X), X[:, left] * X[:, right], atol=1e-12)
    assert units_of(graph) == [len(left) + columns, len(left)]


def test_a_product_of_two_columns_takes_two_units() -> None:
    nodes = [node("Gather", "x l", "a"), node("Gather", "x r", "b"), node("Mul", "a b", "y")]
    assert units_of(graph_of(nodes, {"l": [0], "r": [1]}, 1, 2)) == [2, 1]


def test_a_product_with_a_constant_column_takes_one_unit() -> None:
    nodes = [node("Mul", "x zero", "a"), node("Add", "a two", "b"), node("Relu", "x", "c"),
             node("Mul", "b c", "y")]  # fmt: skip
    graph = graph_of(nodes, {"zero": [0.0], "two": [2.0]}, 3, 3)
    assert units_of(graph)[-2:] == [3, 3]
    X = np.random.default_rng(0).normal(size=(5, 3))
    assert np.allclose(scores_of(layered(graph), X), 2 * np.maximum(X, 0), atol=1e-12)


def test_what_passes_a_layer_is_as_narrow_as_it_can_be() -> None:
    """relu(x u) v + x w of 500 columns: x w has one column, and so has what passes; but
    relu(x u) + x of 3 columns before another layer lets those 3 pass."""
    random = np.random.default_rng(0)
    skip = [node("MatMul", "x u", "a"), node("Relu", "a", "b"), node("MatMul", "b v", "c"),
            node("MatMul", "x w", "d"), node("Add", "c d", "y")]  # fmt: skip
    constants = {
        "u": random.normal(size=(500, 4)),
        "v": np.ones((4, 1)),
        "w": random.normal(size=(500, 1)),
    }
    assert units_of(graph_of(skip, constants, 1, 500)) == [5, 1]
    residual = [
        node("MatMul", "x u", "a"), node("Relu", "a", "b"), node("Add", "b x", "c"),
        node("MatMul", "c v", "d"), node("Tanh", "d", "e"), node("MatMul", "e w", "y"),
    ]  # fmt: skip
    constants = {
        "u": random.normal(size=(3, 3)),
        "v": random.normal(size=(3, 20)),
        "w": np.ones((20, 1)),
    }
    assert units_of(graph_of(residual, constants, 1, 3)) == [6, 20, 1]


def test_scores_that_depend_on_nothing_are_one_layer_of_zeros() -> None:
    nodes = [node("Mul", "x zero", "a"), node("Sigmoid", "a", "b"), node("Relu", "b", "y")]
    (layer,) = layered(graph_of(nodes, {"zero": [0.0]}, 3, 3)).layers
    assert layer.weights.shape == (3, 3)
    assert not layer.weights.any()
    assert layer.bias.tolist() == [0.5, 0.5, 0.5]


def test_wide_inputs_make_no_square_matrix() -> None:
    columns = 100_000
    nodes = [node("Sub", "x mean", "a"), node("MatMul", "a w", "b"), node("Relu", "b", "y")]
    graph = graph_of(nodes, {"mean": np.ones(columns), "w": np.ones((columns, 2))}, 2, columns)
    assert units_of(graph) == [1, 2]


def refusal(graph: Graph) -> ModelError:
    with pytest.raises(ModelError) as caught:
        layered(graph)
    return caught.value


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ([node("Div", "three x", "y")], "SR-MODEL-UNSUPPORTED"),
        ([node("Erf", "x", "y")], "SR-MODEL-UNSUPPORTED"),
        ([node("Power", "x", "y", exponent=2.5)], "SR-MODEL-UNSUPPORTED"),
        ([node("Power", "x", "y", exponent=1e9)], "SR-MODEL-UNSUPPORTED"),
        ([node("Elu", "x", "y", beta=1.0)], "SR-MODEL-FILE"),
        ([node("Relu", "x x", "y")], "SR-MODEL-FILE"),
        ([node("Relu", "three", "y")], "SR-MODEL-FILE"),
        ([node("Gather", "x two", "a"), node("Mul", "x a", "y")], "SR-MODEL-FILE"),
        ([node("Relu", "x", "z")], "SR-MODEL-FILE"),
        ([node("Mul", "x missing", "a"), node("Relu", "a", "y")], "SR-MODEL-VALUES"),
        ([node("Mul", "x large", "a"), node("Square", "a", "b"), node("Mul", "b large", "c"),
          node("Mul", "c large", "y")], "SR-MODEL-VALUES"),
    ],
)  # fmt: skip
def test_graphs_that_can_not_be_layered_are_refused(nodes: list[Node], code: str) -> None:
    constants = {"three": np.ones(3), "two": [0, 1], "missing": [np.nan], "large": [1e200]}
    assert refusal(graph_of(nodes, constants, 3, 3)).code == code


def test_models_that_are_too_large_are_refused() -> None:
    wide = graph_of([node("Square", "x", "y")], {}, 20_000, 20_000)
    assert "weights" in str(refusal(wide))
    tables = ["x", *(f"t{number}" for number in range(70)), "y"]
    deep = [node("Relu", before, after) for before, after in pairwise(tables)]
    assert "layers" in str(refusal(graph_of(deep, {}, 1, 1)))
