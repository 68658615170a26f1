"""Graph: a model after import, a small typed subset of ONNX operators with shapes.

Importers (`models.onnx_import`, `models.sklearn_import`) produce it, the compiler consumes it;
nothing else of a framework travels further down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.features import Features
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named value. `shape` has None for the batch axis, which always comes first."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, by its ONNX name and with its ONNX meaning.

    Every value is a table of numbers, one row a row of the input. A linear model is made of eight
    operators, to which importers lower everything else: MatMul by a constant (columns, outputs);
    Add, Sub, Mul and Div of a table and a constant row, Add and Sub of two tables; Concat of tables
    and Gather of columns, along axis 1; Conv by a constant (outputs, channels of a group, *kernel),
    whose attributes are those of `models.convolutions` and whose rows stay flat. A network also has
    Mul of two tables and, element by element, the functions of `models.activations`, by the names
    that they have there. A tree ensemble is one node, `TreeEnsemble` (see `models.trees.graphs`).
    `name` is that of the node in the original model, for messages.
    """

    operator: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Graph:
    """An imported model.

    Attributes:
        name: for people; the estimator's or the file's.
        tensors: the inputs, in order. Tabular models have one, shape (None, features.width).
        nodes: in topological order; ends in raw scores, before the link.
        constants: initialisers by name.
        scores: name of the tensor of raw scores, shape (None, outputs).
        input: what rows the model takes.
        features: the public preprocessing: what the asker's side makes of a row before it is
            encrypted, which is what the graph takes.
        output: how scores become predictions (the link runs at the client).
    """

    name: str
    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, NDArray[np.generic[Any]]]
    scores: str
    input: InputSpec
    features: Features
    output: OutputSpec
