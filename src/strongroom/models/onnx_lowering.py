"""Lowering: an ONNX graph to the operators of `Graph`.

Affine ones: MatMul by a constant (columns, outputs); Conv with a constant kernel; Add, Sub, Mul
with a constant row or another table; Div by a constant row; Concat of tables along axis 1; Gather
of columns. Then the functions of `models.activations`. Everything else is written with those, each
in the room of its kind: `onnx_dense` what sums columns, `onnx_convolutions` and `onnx_padding` what
is done to images, `onnx_moves` what only moves numbers, `onnx_activations` functions of one number,
`onnx_arithmetic` sums and products, `onnx_machine_learning` the domain ai.onnx.ml.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.graph import Attribute, Node
from strongroom.models.onnx_activations import activated, chosen_softplus
from strongroom.models.onnx_arithmetic import arithmetic, gated
from strongroom.models.onnx_constants import MAXIMUM_ELEMENTS, fold_constant
from strongroom.models.onnx_convolutions import convolved
from strongroom.models.onnx_dense import dense_operator
from strongroom.models.onnx_file import DTYPES, OnnxModel, OnnxNode, malformed
from strongroom.models.onnx_machine_learning import linear_classifier, preprocessed
from strongroom.models.onnx_moves import joined, moved
from strongroom.models.onnx_padding import padded
from strongroom.models.onnx_refusals import unsupported
from strongroom.models.onnx_sizes import shape_of, sized
from strongroom.models.onnx_values import Call, Sizes, Table, Value, as_table
from strongroom.models.rows import MAXIMUM_COLUMNS

MAXIMUM_NUMBERS = 2**25
"""Of a row, in all tables together: what a small file may blow up to."""

MAXIMUM_REPEATED = 2**26
"""Elements of all constants of the nodes beyond those of the file: nodes may share them there."""

MAXIMUM_PRODUCTS = 2**26
"""Of numbers and weights, for a row, in all convolutions together: a bound on time."""

ELEMENTWISE = ("Add", "Sub", "Mul", "Div")

LINKS = ("Sigmoid", "Exp", "Softmax", "LogSoftmax", "ArgMax")
"""Operators that may be part of a link: what they make stays a call, to be recognised."""

PARTS_OF_LINKS = (
    *LINKS, *ELEMENTWISE, "Concat", "ReduceSum", "Abs", "Reciprocal", "Clip", "Not", "Cast",
    "Reshape", "Squeeze", "Flatten", "ai.onnx.ml.Normalizer", "ai.onnx.ml.ArrayFeatureExtractor",
)  # fmt: skip
"""Operators that may take a part of a link; others take what can be computed as a table as one."""

LABELLING = ("ArgMax", "Labels", "ai.onnx.ml.ArrayFeatureExtractor")
"""Calls that make labels."""


class Lowering:
    """The state of one import: what each ONNX tensor is, and the nodes made so far.

    Attributes:
        values: what is known of each ONNX tensor.
        nodes: lowered nodes in topological order; some may turn out not to be needed.
        constants: their constants, float64 (indices: int64).
        batch: the number of rows that the model is fixed to; None where it is open.
    """

    def __init__(self, model: OnnxModel, tables: dict[str, Table], batch: int | None) -> None:
        self.values: dict[str, Value] = {**model.constants, **tables}
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.batch = batch
        self._gathered: dict[tuple[str, bytes], str] = {}
        self._numbers = 0
        self._elements = -sum(constant.size for constant in model.constants.values())
        self._products = 0
        self._folded_elements = 0
        for node in model.nodes:
            self._lower(node)

    def table(
        self,
        operator: str,
        origin: OnnxNode,
        inputs: list[Table | NDArray[Any]],
        shape: tuple[int, ...],
        attributes: Mapping[str, Attribute] | None = None,
    ) -> Table:
        """Append a node and the constants that it needs; returns the table that it makes."""
        number = len(self.nodes)
        names = []
        for place, value in enumerate(inputs):
            if isinstance(value, Table):
                names.append(value.name)
            else:
                names.append(f"constant_{number}_{place}")
                self.constants[names[-1]] = value
                self._count(origin, 0, value.size)
        made = Table(f"table_{number}", shape)
        self.check_width(origin, made.width)
        self._count(origin, made.width, 0)
        attributes = {"axis": 1} if operator in ("Concat", "Gather") else attributes or {}
        self.nodes.append(Node(operator, origin.name, tuple(names), (made.name,), attributes))
        return made

    def dense(
        self, node: OnnxNode, table: Table, weights: NDArray[Any], bias: NDArray[Any] | None
    ) -> Table:
        """`table @ weights + bias`; weights of shape (columns, outputs)."""
        if weights.ndim != 2 or weights.shape[0] != table.width or weights.shape[1] < 1:
            raise malformed(f"has weights that don't fit: {node.label}")
        product = self.table(
            "MatMul", node, [table, weights.astype(np.float64)], (weights.shape[1],)
        )
        return product if bias is None else self.elementwise(node, "Add", product, bias)

    def elementwise(
        self,
        node: OnnxNode,
        operator: str,
        left: Table | NDArray[Any],
        right: Table | NDArray[Any],
    ) -> Table:
        """One of `ELEMENTWISE` between two tables, or a table and a constant row."""
        sides = [_row(node, left, right), _row(node, right, left)]
        try:
            shape = np.broadcast_shapes(*(side.shape for side in sides))
        except ValueError as error:
            raise malformed(f"has shapes that don't fit: {node.label}") from error
        spread = [self._spread(node, side, shape) for side in sides]
        return self.table(operator, node, spread, shape)

    def gather(self, node: OnnxNode, table: Table, places: NDArray[np.int64]) -> Table:
        """Columns of a table.

        Args:
            places: their numbers, shape (1, ...): the batch axis and those of the result.
        """
        shape, flat = places.shape[1:], np.ascontiguousarray(places).reshape(-1)
        self._count(node, len(flat), 0)
        if len(flat) == table.width and (flat == np.arange(table.width)).all():
            return Table(table.name, shape, table.base, table.polynomial, table.gate)
        key = (table.name, flat.tobytes())
        if key not in self._gathered:
            self._gathered[key] = self.table("Gather", node, [table, flat], shape).name
        return Table(self._gathered[key], shape)

    def check_width(self, node: OnnxNode, width: int) -> None:
        """Raises ModelError SR-MODEL-FILE if a table is wider than any may be."""
        if not 1 <= width <= MAXIMUM_COLUMNS:
            raise malformed(
                f"has a table of {width} columns, allowed are 1 to {MAXIMUM_COLUMNS}: {node.label}"
            )

    def count_products(self, node: OnnxNode, products: int) -> None:
        """Raises ModelError SR-MODEL-FILE if all convolutions up to a node multiply too much."""
        self._products += products
        if self._products > MAXIMUM_PRODUCTS:
            raise malformed(f"is too large to run encrypted, counted to {node.label}")

    def _count(self, node: OnnxNode, numbers: int, elements: int) -> None:
        self._numbers += numbers
        self._elements += elements
        if self._numbers > MAXIMUM_NUMBERS or self._elements > MAXIMUM_REPEATED:
            raise malformed(f"is too large to run encrypted, counted to {node.label}")

    def _spread(
        self, node: OnnxNode, side: Table | NDArray[np.float64], shape: tuple[int, ...]
    ) -> Table | NDArray[np.float64]:
        """A side of an elementwise node, broadcast: but for one number, which nodes spread."""
        if isinstance(side, Table):
            if side.width == 1 or side.shape == shape:
                return side
            places = np.arange(side.width, dtype=np.int64).reshape(1, *side.shape)
            return self.gather(node, side, np.broadcast_to(places, (1, *shape)))
        return side.reshape(-1) if side.size == 1 else np.broadcast_to(side, shape).reshape(-1)

    def _lower(self, node: OnnxNode) -> None:
        # an optional input that is left out has an empty name
        inputs = [self.values[name] if name else None for name in node.inputs]
        arguments = [value for value in inputs if value is not None]
        constants = [value for value in arguments if isinstance(value, np.ndarray)]
        if len(constants) == len(arguments) and len(inputs) == len(arguments):
            folded = fold_constant(node, constants)
            if folded is None or len(node.outputs) != 1:
                raise unsupported(node)
            self._folded_elements += folded.size
            if self._folded_elements > 2 * MAXIMUM_ELEMENTS:
                raise malformed("computes too many constants")
            self.values[node.outputs[0]] = folded
            return
        if node.operator == "ai.onnx.ml.LinearClassifier":
            self.values.update(linear_classifier(self, node, as_table(inputs[0])))
            return
        made = self._made(node, inputs, arguments)
        rest = Call(node.operator, node, tuple(arguments), node.attributes)
        outputs = made if isinstance(made, tuple) else (made,)
        for place, name in enumerate(node.outputs):
            self.values[name] = outputs[place] if place < len(outputs) else rest

    def _made(
        self, node: OnnxNode, inputs: list[Value | None], arguments: list[Value]
    ) -> Value | tuple[Table, ...]:
        """What a node makes: its first output, or all of several."""
        if node.operator == "Shape" and (table := as_table(inputs[0])) is not None:
            return shape_of(node, table)
        of_sizes = any(isinstance(value, Sizes) for value in arguments)
        if of_sizes and as_table(inputs[0]) is None:
            found = sized(node, inputs)
            if found is not None:
                return found
        effectless = _without_effect(node, inputs)
        if effectless is not None:
            return effectless
        if node.operator == "Where" and (table := chosen_softplus(inputs)) is not None:
            return table
        if node.operator not in PARTS_OF_LINKS:
            inputs = [
                value if isinstance(value, np.ndarray) else as_table(value) or value
                for value in inputs
            ]
        of_calls = any(isinstance(value, Call) for value in inputs)
        try:
            made = self._table(node, inputs)
        except ModelError:
            # a link may do what no table can: it is recognised, or refused, at the end
            if not of_calls:
                raise
            made = None
        if isinstance(made, tuple) or (made and not of_calls and node.operator not in LINKS):
            return made
        gate = gated(node, inputs)
        return Call(node.operator, node, tuple(arguments), node.attributes, made, gate)

    def _table(
        self, node: OnnxNode, inputs: list[Value | None]
    ) -> Table | tuple[Table, ...] | None:
        """The table that a node makes, or several; None if a `Graph` has no operator for it."""
        if node.operator in ("Add", "Sub", "Mul", "Div", "Sum", "Neg"):
            return arithmetic(self, node, inputs)
        if node.operator == "Concat":
            tables = [as_table(value) for value in inputs]
            known = [table for table in tables if table is not None]
            return joined(self, node, known) if len(known) == len(tables) else None
        first = as_table(inputs[0])
        if first is None:
            return None
        rest = inputs[1:]
        return (
            moved(self, node, first, rest)
            or convolved(self, node, first, rest)
            or padded(self, node, first, rest)
            or dense_operator(self, node, first, rest)
            or activated(self, node, first, inputs)
            or preprocessed(self, node, first)
        )


def _row(
    node: OnnxNode, side: Table | NDArray[Any], other: Table | NDArray[Any]
) -> Table | NDArray[np.float64]:
    """A side of an elementwise node without its batch axis, which has to be where the other's is:
    a constant of shape (), (k,) or (1, k) as shape (k,), say."""
    axes = len(other.shape)
    if not isinstance(side, np.ndarray):
        if isinstance(other, Table) and len(side.shape) != axes:
            flat = min(len(side.shape), axes) == 0
            raise unsupported(
                node,
                "between a vector and a table" if flat else "between tables of different ranks",
            )
        return side
    if side.dtype.kind not in "fiu" or side.size < 1:
        raise malformed(f"has a constant that does not fit: {node.label}")
    row: NDArray[np.float64] = side.astype(np.float64)
    if row.ndim <= axes:
        return row
    if row.ndim > axes + 1 or row.shape[0] != 1:
        raise unsupported(node, "with a constant that differs from row to row")
    return row.reshape(row.shape[1:])


def _without_effect(node: OnnxNode, inputs: list[Value | None]) -> Value | None:
    """The argument itself where a node changes type or shape only, or only in training."""
    first = inputs[0]
    if not isinstance(first, Call | Table):
        return None
    label = isinstance(first, Call) and first.operator in LABELLING
    match node.operator:
        case "Identity" | "ai.onnx.ml.ZipMap" | "CastLike":
            return first
        case "Reshape" | "Squeeze" | "Flatten" if label:
            return first
        case "Cast" if label or DTYPES.get(node.attributes.get("to", 0)) in ("float32", "float64"):
            return first
        case "Dropout":
            training = inputs[2] if len(inputs) > 2 else None
            known = training is None or isinstance(training, np.ndarray)
            learning = isinstance(training, np.ndarray) and bool(training.any())
            return first if known and not learning else None
        case "ai.onnx.ml.Imputer" if np.isnan(node.attributes.get("replaced_value_float", 0.0)):
            return first  # rows with missing values are refused
        case _:
            return None
