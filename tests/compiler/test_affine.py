"""Folding: any graph of affine operators is one matrix and one vector; others are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strongroom.compiler.affine import fold_affine
from strongroom.errors import ModelError
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec


def graph_of(
    nodes: list[Node], constants: dict[str, Any], scores: str, outputs: int, columns: int = 3
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


def node(operator: str, inputs: str, output: str) -> Node:
    return Node(operator, f"the {operator}", tuple(inputs.split()), (output,), {})


def evaluated(graph: Graph, X: np.ndarray) -> np.ndarray:
    """The graph's scores, node by node."""
    values: dict[str, Any] = {"x": X, **graph.constants}
    for step in graph.nodes:
        arguments = [values[name] for name in step.inputs]
        values[step.outputs[0]] = {
            "MatMul": lambda a: a[0] @ a[1],
            "Add": lambda a: a[0] + a[1],
            "Sub": lambda a: a[0] - a[1],
            "Mul": lambda a: a[0] * a[1],
            "Div": lambda a: a[0] / a[1],
            "Concat": lambda a: np.concatenate(a, axis=1),
            "Gather": lambda a: a[0][:, a[1]],
        }[step.operator](arguments)
    return np.asarray(values[graph.scores])


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Random graphs of affine operators in which every table may be used again."""
    numbers = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = {"x": draw(st.integers(1, 4))}
    nodes: list[Node] = []
    constants: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 10))):
        table = draw(st.sampled_from(list(widths)))
        other = draw(st.sampled_from(list(widths)))
        output, constant = f"t{number}", f"c{number}"
        operator = draw(st.sampled_from(["MatMul", "Add", "Sub", "Mul", "Div", "Concat", "Gather"]))
        width = widths[table]
        inputs = f"{table} {constant}"
        if operator == "MatMul":
            width = draw(st.integers(1, 4))
            constants[constant] = numbers.normal(size=(widths[table], width))
        elif operator == "Concat":
            inputs, width = f"{table} {other} {table}", 2 * width + widths[other]
        elif operator == "Gather":
            width = draw(st.integers(1, 4))
            constants[constant] = numbers.integers(0, widths[table], width)
        elif operator in ("Add", "Sub") and 1 in (width, widths[other], width / widths[other]):
            inputs, width = f"{table} {other}", max(width, widths[other])
        else:
            size = draw(st.sampled_from([1, width, 3 if width == 1 else width]))
            constants[constant] = numbers.uniform(0.5, 2.0, size=size)
            width = max(width, size)
            if operator != "Div" and draw(st.booleans()):
                inputs = f"{constant} {table}"
        nodes.append(node(operator, inputs, output))
        widths[output] = width
    return graph_of(nodes, constants, output, widths[output], widths["x"])


@settings(deadline=None, max_examples=200)
@given(graphs(), st.integers(0, 2**32))
def test_a_folded_graph_equals_the_graph_node_by_node(graph: Graph, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(5, graph.input.columns))
    affine = fold_affine(graph)
    assert affine.weights.shape == (graph.output.outputs, graph.input.columns)
    assert affine.bias.shape == (graph.output.outputs,)
    expected = evaluated(graph, X)
    folded = X @ affine.weights.T + affine.bias
    assert np.abs(folded - expected).max() <= 1e-9 * max(1.0, np.abs(expected).max())


def test_wide_inputs_fold_without_a_square_matrix() -> None:
    columns = 200_000
    nodes = [node("Sub", "x mean", "a"), node("Div", "a scale", "b"), node("MatMul", "b w", "y")]
    constants = {
        "mean": np.ones(columns),
        "scale": np.full(columns, 2.0),
        "w": np.ones((columns, 1)),
    }
    affine = fold_affine(graph_of(nodes, constants, "y", 1, columns))
    assert (affine.weights == 0.5).all()
    assert affine.bias.tolist() == [-columns / 2]


def test_an_input_that_does_not_matter_has_weights_of_zero() -> None:
    nodes = [node("Mul", "x zero", "y")]
    affine = fold_affine(graph_of(nodes, {"zero": [0.0]}, "y", 3))
    assert not affine.weights.any()


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ([node("Relu", "x", "y")], "operator Relu (node 'the Relu')"),
        ([node("Mul", "x x", "y")], "operator Mul"),
        ([node("Div", "row x", "y")], "operator Div"),
        ([node("MatMul", "w x", "y")], "operator MatMul"),
        ([node("Concat", "x row", "y")], "operator Concat"),
    ],
)
def test_operators_that_are_not_affine_are_named(nodes: list[Node], words: str) -> None:
    with pytest.raises(ModelError) as caught:
        fold_affine(graph_of(nodes, {"row": np.ones(3), "w": np.eye(3)}, "y", 3))
    assert caught.value.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "nodes",
    [
        [node("MatMul", "x short", "y")],
        [node("Add", "x short", "y")],
        [node("Gather", "x far", "y")],
        [node("Add", "x nowhere", "y")],
        [node("Add", "x x", "z")],
        [node("Concat", "x x", "y")],
    ],
)
def test_graphs_that_do_not_fit_together_are_refused(nodes: list[Node]) -> None:
    with pytest.raises(ModelError) as caught:
        fold_affine(graph_of(nodes, {"short": np.ones((2, 2)), "far": [3, 0, 0]}, "y", 3))
    assert caught.value.code == "SR-MODEL-FILE"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("operator", ["Add", "Mul"])
def test_weights_that_are_not_finite_are_refused(operator: str, value: float) -> None:
    with pytest.raises(ModelError) as caught:
        fold_affine(graph_of([node(operator, "x c", "y")], {"c": [1.0, value, 1.0]}, "y", 3))
    assert caught.value.code == "SR-MODEL-VALUES"


def test_dividing_by_zero_is_refused() -> None:
    with pytest.raises(ModelError) as caught:
        fold_affine(graph_of([node("Div", "x c", "y")], {"c": [1.0, 0.0, 1.0]}, "y", 3))
    assert caught.value.code == "SR-MODEL-VALUES"
