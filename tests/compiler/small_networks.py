"""Small models in the layered form, one of each kind that the planner meets, with samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.layers import Layer, LayeredModel
from strongroom.compiler.network import NetworkChoice, plan_network
from strongroom.compiler.plan import NetworkLayout
from strongroom.models.activations import IDENTITY, Activation
from strongroom.models.features import Features
from strongroom.models.graph import Graph
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec
from strongroom.policy import Policy

Array = NDArray[np.float64]

SQUARE, RELU, TANH = Activation("Square"), Activation("Relu"), Activation("Tanh")


@dataclass(frozen=True)
class Network:
    """A model and what it was measured on.

    Attributes:
        graph: its input, features and output; nothing here computes with its nodes.
        layered: what it computes.
        sample: shape (n, columns).
    """

    graph: Graph
    layered: LayeredModel
    sample: Array

    def scores(self, rows: Array) -> Array:
        """The plain model's, shape (n, outputs)."""
        return self.layered.arguments(rows)[-1]

    def rows(self, count: int, seed: int = 1) -> Array:
        """Rows like those of the sample."""
        return self.sample[np.random.default_rng(seed).integers(0, len(self.sample), count)]

    def choices(self, policy: Policy | None = None) -> list[NetworkChoice]:
        """All plans that meet a policy."""
        return plan_network(self.graph, self.layered, self.sample, policy or Policy())


def network(layers: list[Layer], sample: Array) -> Network:
    """A regression model of some layers."""
    columns, outputs = sample.shape[1], layers[-1].units
    graph = Graph(
        name="small",
        tensors=(),
        nodes=(),
        constants={},
        scores="scores",
        input=InputSpec(columns=columns, names=(), dtype="float64"),
        features=Features.plain(columns),
        output=OutputSpec(
            task="regression",
            link="identity",
            outputs=outputs,
            classes=(),
            label_dtype="<f8",
            flat=outputs == 1,
            methods=("predict",),
        ),
    )
    return Network(graph, LayeredModel(tuple(layers)), sample)


def scores_layer(generator: np.random.Generator, inputs: int, outputs: int) -> Layer:
    """The last one."""
    weights = generator.normal(size=(outputs, inputs)) / np.sqrt(inputs)
    return Layer.uniform(weights, generator.normal(size=outputs), IDENTITY)


def dense_layer(
    generator: np.random.Generator, inputs: int, units: int, function: Activation
) -> Layer:
    """A hidden one of one function."""
    weights = generator.normal(size=(units, inputs)) / np.sqrt(inputs)
    return Layer.uniform(weights, 0.3 * generator.normal(size=units), function)


def tree_like(
    *, bits: int = 24, leaves: int = 20, depth: int = 3, outputs: int = 1, seed: int = 0
) -> Network:
    """Leaves that wait for `depth` bits each, of which a row of bits has some set."""
    generator = np.random.default_rng(seed)
    weights, bias = np.zeros((leaves, bits)), np.zeros(leaves)
    for leaf in range(leaves):
        asked = generator.choice(bits, depth, replace=False)
        signs = generator.choice([-1.0, 1.0], depth)
        weights[leaf, asked] = signs
        bias[leaf] = (signs < 0.0).sum()
    sample = generator.integers(0, 2, (400, bits)).astype(np.float64)
    layers = [
        Layer.uniform(weights, bias, Activation("AllOf", (float(depth),))),
        Layer.uniform(
            generator.normal(size=(outputs, leaves)), generator.normal(size=outputs), IDENTITY
        ),
    ]
    return network(layers, sample)


def square_network(
    *, columns: int = 10, units: int = 14, outputs: int = 3, seed: int = 1
) -> Network:
    """One hidden layer of squares."""
    return dense_network((units,), SQUARE, columns=columns, outputs=outputs, seed=seed)


def dense_network(
    units: tuple[int, ...],
    function: Activation,
    *,
    columns: int = 10,
    outputs: int = 2,
    seed: int = 2,
) -> Network:
    """Hidden layers of one function, on columns of other magnitudes."""
    generator = np.random.default_rng(seed)
    layers, inputs = [], columns
    for width in units:
        layers.append(dense_layer(generator, inputs, width, function))
        inputs = width
    layers.append(scores_layer(generator, inputs, outputs))
    return network(layers, generator.uniform(-1.0, 1.0, (400, columns)))


def comparing_network(seed: int = 5) -> Network:
    """Units that only ask on which side of a point a column lies."""
    generator = np.random.default_rng(seed)
    asking = Layer.uniform(np.eye(3), generator.uniform(-0.5, 0.5, 3), Activation("Step"))
    layers = [asking, scores_layer(generator, 3, 1)]
    return network(layers, generator.uniform(-1.0, 1.0, (200, 3)))


def mixed_network(seed: int = 3) -> Network:
    """Units of two functions beside each other."""
    generator = np.random.default_rng(seed)
    hidden = dense_layer(generator, 8, 9, SQUARE)
    hidden = Layer(hidden.weights, hidden.bias, (SQUARE, IDENTITY), np.arange(9) % 2)
    layers = [hidden, scores_layer(generator, 9, 2)]
    return network(layers, generator.uniform(-1.0, 1.0, (400, 8)))


def block_network(seed: int = 4) -> Network:
    """A block-diagonal first layer, as a convolution's, and a dense one behind."""
    generator = np.random.default_rng(seed)
    blocks, units, inputs = 3, 5, 4
    first = Layer.uniform(
        generator.normal(size=(blocks, units, inputs)) / 2.0,
        0.3 * generator.normal(size=(blocks, units)),
        SQUARE,
    )
    layers = [
        first,
        dense_layer(generator, blocks * units, 6, SQUARE),
        scores_layer(generator, 6, 2),
    ]
    return network(layers, generator.uniform(-1.0, 1.0, (400, blocks * inputs)))


KINDS: dict[str, Callable[[], Network]] = {
    "tree": tree_like,
    "tree of several outputs": lambda: tree_like(outputs=3, leaves=33, depth=2),
    "squares": square_network,
    "two layers of squares": lambda: dense_network((12, 7), SQUARE),
    "relu": lambda: dense_network((12,), RELU),
    "tanh": lambda: dense_network((8,), TANH),
    "a polynomial": lambda: dense_network(
        (8,), Activation("Polynomial", (0.1, 0.5, 0.25, -0.3, 0.05, 0.02))
    ),
    "units of two functions": mixed_network,
    "blocks": block_network,
}
"""By name."""


WIDE: dict[str, Callable[[], Network]] = {
    "wide": lambda: dense_network((150,), SQUARE, columns=3),
    "wide twice": lambda: dense_network((150, 140), SQUARE, columns=3),
    "many outputs": lambda: square_network(columns=3, units=70, outputs=70),
}
"""Those that take several ciphertexts if many rows share one."""

EASY = Policy(minimum_agreement=0.0)
"""Asks for little agreement, so that few levels serve."""

LAX = Policy(minimum_agreement=0.0, sanitising_bits=8, decryption_bits=8, precision_bits=8)
"""Leaves room for many rows."""


def policy_of(name: str) -> Policy:
    """What a small network is planned under."""
    return LAX if name in WIDE else EASY


@cache
def kind(name: str) -> Network:
    """One of them; the same object every time."""
    return {**KINDS, **WIDE}[name]()


@cache
def choices_of(name: str) -> tuple[NetworkChoice, ...]:
    """Its plans."""
    return tuple(kind(name).choices(policy_of(name)))


@cache
def choice_of(name: str, vectors: int) -> NetworkChoice:
    """The first plan with so many rows a ciphertext."""
    for choice in choices_of(name):
        if layout_of(choice).rows_per_ciphertext == vectors:
            return choice
    raise AssertionError(f"no plan of {name} holds {vectors} rows a ciphertext")


def layout_of(choice: NetworkChoice) -> NetworkLayout:
    """The layout of a choice's plan."""
    assert isinstance(choice.plan.layout, NetworkLayout)
    return choice.plan.layout
