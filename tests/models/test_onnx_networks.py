"""Activations and links of ONNX networks agree with ONNX Runtime, and cost what they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from onnx import TensorProto
from onnx_graphs import ROWS, WEIGHTS, assert_agrees, functions, model, node, plain, scored

from strongroom.compiler.layering import is_affine
from strongroom.models.onnx_import import import_onnx

ACTIVATIONS = {
    "Relu": {}, "LeakyRelu": {"alpha": 0.2}, "Sigmoid": {}, "Tanh": {}, "Elu": {"alpha": 0.7},
    "Softplus": {}, "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "Abs": {}, "Selu": {}, "Celu": {},
    "HardSwish": {}, "Exp": {},
}  # fmt: skip


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("operator", [*ACTIVATIONS, "Gelu"])
def test_activations(operator: str, given: bool) -> None:
    attributes = dict(ACTIVATIONS.get(operator, {"approximate": "tanh"})) if given else {}
    nodes = [node(operator, "x", "a", **attributes), node("MatMul", "a w", "y")]
    assert_agrees(model(nodes, {"w": WEIGHTS}), ROWS)


ERF = [
    node("Div", "x root", "a"), node("Erf", "a", "b"), node("Add", "b one", "c"),
    node("Mul", "x c", "d"), node("Mul", "d half", "y"),
]  # fmt: skip
ERF_HALVED_FIRST = [
    node("Mul", "x inverse", "a"), node("Erf", "a", "b"), node("Add", "one b", "c"),
    node("Mul", "half c", "d"), node("Mul", "d x", "y"),
]  # fmt: skip
ERF_OF_HALF = [
    node("Mul", "x half", "h"), node("Mul", "x inverse", "a"), node("Erf", "a", "b"),
    node("Add", "one b", "c"), node("Mul", "h c", "y"),
]  # fmt: skip
TANH = [
    node("Pow", "x three", "a"), node("Mul", "a cubic", "b"), node("Add", "x b", "c"),
    node("Mul", "c outer", "d"), node("Tanh", "d", "e"), node("Add", "e one", "f"),
    node("Mul", "x half", "g"), node("Mul", "g f", "y"),
]  # fmt: skip
TANH_OF_PRODUCTS = [
    node("Mul", "x x", "a"), node("Mul", "x a", "a3"), node("Mul", "cubic a3", "b"),
    node("Add", "x b", "c"), node("Mul", "outer c", "d"), node("Tanh", "d", "e"),
    node("Add", "one e", "f"), node("Mul", "x f", "g"), node("Mul", "half g", "y"),
]  # fmt: skip
PATTERNS = {
    "erf": (ERF, {"Gelu"}),
    "erf halved first": (ERF_HALVED_FIRST, {"Gelu"}),
    "erf of half": (ERF_OF_HALF, {"Gelu"}),
    "tanh": (TANH, {"GeluTanh"}),
    "tanh of products": (TANH_OF_PRODUCTS, {"GeluTanh"}),
    "swish": ([node("Sigmoid", "x", "a"), node("Mul", "a x", "y")], {"Silu"}),
    "quick gelu": (
        [node("Mul", "x quick", "a"), node("Sigmoid", "a", "b"), node("Mul", "x b", "y")],
        {"Silu"},
    ),
    "softplus with a threshold": (
        [node("Softplus", "x", "a"), node("Greater", "x twenty", "b"), node("Where", "b x a", "c"),
         node("Neg", "c", "y")],
        {"Softplus"},
    ),
    "softplus of a multiple": (
        [node("Mul", "x three", "m"), node("Softplus", "m", "s"), node("Div", "s three", "a"),
         node("Greater", "m twenty", "b"), node("Where", "b x a", "y")],
        {"Softplus"},
    ),
    "one slope": ([node("PRelu", "x slope", "y")], {"LeakyRelu"}),
    "a slope a column": ([node("PRelu", "x slopes", "y")], {"Relu"}),
    "square": ([node("Mul", "x x", "y")], {"Square"}),
    "square by a power": ([node("Pow", "x two", "y")], {"Square"}),
    "cube": ([node("Mul", "x x", "a"), node("Mul", "a x", "y")], {"Power"}),
    "a power of a power": ([node("Pow", "x two", "a"), node("Pow", "a two", "y")], {"Power"}),
    "a power of a multiple": ([node("Neg", "x", "a"), node("Pow", "a three", "y")], {"Power"}),
    "a polynomial": (
        [node("Mul", "x x", "a"), node("Add", "a x", "b"), node("Mul", "x b", "y")],
        {"Polynomial"},
    ),
    "a product with what differs": (
        [node("Add", "x one", "a"), node("Mul", "x a", "y")], {"Square"},
    ),
    "a sigmoid that is not a gate": (
        [node("Sigmoid", "x", "a"), node("Add", "a one", "b"), node("Mul", "x b", "y")],
        {"Sigmoid", "Square"},
    ),
    "a tanh that is a swish": (
        [node("Tanh", "x", "a"), node("Add", "a one", "b"), node("Mul", "x b", "y")], {"Silu"},
    ),
    "a tanh that is no gate": (
        [node("Tanh", "x", "a"), node("Mul", "a x", "y")], {"Tanh", "Square"},
    ),
}  # fmt: skip
NUMBERS = {
    "root": math.sqrt(2), "inverse": math.sqrt(0.5), "one": 1.0, "half": 0.5, "two": 2.0,
    "three": 3.0, "cubic": 0.044715, "outer": math.sqrt(2 / math.pi), "quick": 1.702,
    "twenty": 20.0, "slope": [0.3], "slopes": [0.3, -0.2, 1.5],
}  # fmt: skip


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize("name", PATTERNS)
def test_what_exporters_take_apart_is_one_function(name: str, kind: int) -> None:
    nodes, expected = PATTERNS[name]
    missing = {"Erf", "Softplus", "PRelu"}  # in ONNX Runtime, for float64
    if kind == TensorProto.DOUBLE and missing & {node.op_type for node in nodes}:
        kind = TensorProto.FLOAT
    proto = model(nodes, {k: np.array(v) for k, v in NUMBERS.items()}, kind=kind)
    assert_agrees(proto, 2 * ROWS)
    assert functions(proto) == expected


def test_dropout_and_casts_change_nothing() -> None:
    nodes = [
        node("Dropout", "x ratio", "a mask"),
        node("Cast", "a", "b", to=TensorProto.FLOAT),
        node("CastLike", "b x", "c"),
        node("Identity", "c", "d"),
        node("Relu", "d", "y"),
    ]
    assert_agrees(model(nodes, {"ratio": np.array(0.5)}), ROWS)


LINKS = {
    "softmax": ([node("Softmax", "s", "y", axis=1)], 2, "softmax"),
    "log softmax": ([node("LogSoftmax", "s", "y", axis=-1)], 2, "softmax"),
    "sigmoid": ([node("Sigmoid", "s", "y")], 1, "logistic"),
    "sigmoid of a vector": ([node("Squeeze", "s one", "v"), node("Sigmoid", "v", "y")], 1,
                            "logistic"),
    "a vector of sigmoids": ([node("Sigmoid", "s", "v"), node("Squeeze", "v one", "y")], 1,
                             "logistic"),
}  # fmt: skip


@pytest.mark.parametrize("name", LINKS)
def test_links_at_the_end_of_a_network_are_the_clients(name: str) -> None:
    nodes, outputs, link = LINKS[name]
    hidden = [node("Sigmoid", "x", "h"), node("MatMul", "h w", "s")]
    proto = model([*hidden, *nodes], {"w": WEIGHTS[:, :outputs], "one": np.array([1])})
    (theirs,) = plain(proto, ROWS)
    graph, scores = scored(proto, ROWS)
    assert (graph.output.task, graph.output.link) == ("classification", link)
    ours = graph.output.predict_proba(scores)
    if outputs == 1:
        assert np.allclose(ours[:, 1], theirs.reshape(-1), atol=1e-5)
    else:
        assert np.allclose(np.log(ours) if name == "log softmax" else ours, theirs, atol=1e-5)


def test_labels_by_arg_max_at_the_end_of_a_network() -> None:
    nodes = [node("Relu", "x", "h"), node("MatMul", "h w", "s"), node("Softmax", "s", "p"),
             node("ArgMax", "p", "y", axis=1, keepdims=0)]  # fmt: skip
    proto = model(nodes, {"w": WEIGHTS}, {"y": TensorProto.INT64})
    graph, scores = scored(proto, ROWS)
    assert np.array_equal(graph.output.predict(scores), plain(proto, ROWS)[0])


@pytest.mark.parametrize(
    ("operator", "link"),
    [("Sigmoid", "logistic_each"), ("Softplus", "softplus"), ("Exp", "exp"), ("Relu", "identity"),
     ("Tanh", "identity")],
)  # fmt: skip
def test_functions_of_values_at_the_end_are_the_clients_where_they_can_be(
    operator: str, link: str
) -> None:
    proto = model([node("MatMul", "x w", "a"), node(operator, "a", "y")], {"w": WEIGHTS})
    assert_agrees(proto, ROWS)
    graph = import_onnx(proto)
    assert (graph.output.task, graph.output.link) == ("regression", link)
    assert is_affine(graph) == (link != "identity")
