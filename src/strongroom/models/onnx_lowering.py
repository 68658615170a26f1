"""Lowering: an ONNX graph's affine part to the seven operators of `Graph`.

MatMul by a constant (columns, outputs); Add, Sub, Mul with a constant row or another table; Div
by a constant row; Concat of tables along axis 1; Gather of columns. Everything else affine is
written with those: Gemm, Neg, LinearClassifier, LinearRegressor, Scaler, ArrayFeatureExtractor.
Identity, Cast between floats, Flatten, and Reshape or Squeeze of one column vanish, and so does
Imputer, because rows with missing values are refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.graph import Node
from strongroom.models.onnx_constants import MAXIMUM_ELEMENTS, axes_of, fold_constant
from strongroom.models.onnx_file import DTYPES, OnnxModel, OnnxNode, malformed
from strongroom.models.onnx_values import Call, Table, Value
from strongroom.models.rows import MAXIMUM_COLUMNS

ELEMENTWISE = ("Add", "Sub", "Mul", "Div")


class Lowering:
    """The state of one import: what each ONNX tensor is, and the nodes made so far.

    Attributes:
        values: what is known of each ONNX tensor.
        nodes: lowered nodes in topological order.
        constants: their constants, float64 (indices: int64).
        calls: everything that is not affine, in topological order.
    """

    def __init__(self, model: OnnxModel, tables: dict[str, Table]) -> None:
        self.values: dict[str, Value] = {**model.constants, **tables}
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.calls: list[Call] = []
        self._gathered: dict[tuple[str, bytes], Table] = {}
        self._folded_elements = 0
        for node in model.nodes:
            self._lower(node)

    def node(self, operator: str, origin: OnnxNode, inputs: list[Table | NDArray[Any]]) -> str:
        """Append a node and the constants that it needs; returns the name of its output."""
        number = len(self.nodes)
        names = []
        for place, value in enumerate(inputs):
            if isinstance(value, Table):
                names.append(value.name)
            else:
                names.append(f"constant_{number}_{place}")
                self.constants[names[-1]] = value
        output = f"table_{number}"
        attributes = {"axis": 1} if operator in ("Concat", "Gather") else {}
        self.nodes.append(Node(operator, origin.name, tuple(names), (output,), attributes))
        return output

    def dense(
        self, node: OnnxNode, table: Table, weights: NDArray[Any], bias: NDArray[Any] | None
    ) -> Table:
        """`table @ weights + bias`; weights of shape (columns, outputs)."""
        if weights.ndim != 2 or weights.shape[0] != table.width or weights.shape[1] < 1:
            raise malformed(f"has weights that don't fit: {node.label}")
        name = self.node("MatMul", node, [table, weights.astype(np.float64)])
        result = Table(name, weights.shape[1])
        return result if bias is None else self.elementwise(node, "Add", result, bias)

    def elementwise(self, node: OnnxNode, operator: str, left: Value, right: Value) -> Table:
        """One of `ELEMENTWISE` between two tables, or a table and a constant row."""
        sides: list[Table | NDArray[Any]] = []
        for side in (left, right):
            if isinstance(side, Call):
                raise malformed(f"has an argument that does not fit: {node.label}")
            sides.append(side if isinstance(side, Table) else self._row(node, side))
        widths = [side.width if isinstance(side, Table) else side.size for side in sides]
        width = max(widths)
        if any(other not in (1, width) for other in widths):
            raise malformed(f"has shapes that don't fit: {node.label}")
        flat = any(isinstance(side, Table) and side.flat for side in sides)
        if flat and (width > 1 or not all(getattr(s, "flat", True) for s in sides)):
            raise unsupported(node, "between a vector and a table")
        name = self.node(operator, node, sides)
        if operator == "Mul" and isinstance(left, Table) and left.width == width:
            return Table(name, width, flat, left if _is_minus_one(right) else None)
        return Table(name, width, flat)

    def gather(self, node: OnnxNode, table: Table, indices: NDArray[Any]) -> Table:
        """Columns of a table by constant indices."""
        places = np.atleast_1d(np.squeeze(indices)).astype(np.int64)
        places = np.where(places < 0, places + table.width, places)
        fits = 0 < places.size <= MAXIMUM_COLUMNS and indices.dtype.kind in "iu"
        if not fits or places.ndim != 1 or places.min() < 0 or places.max() >= table.width:
            raise malformed(f"has column numbers that don't fit: {node.label}")
        key = (table.name, places.tobytes())
        if key not in self._gathered:
            self._gathered[key] = Table(self.node("Gather", node, [table, places]), places.size)
        return self._gathered[key]

    def _row(self, node: OnnxNode, constant: NDArray[Any]) -> NDArray[np.float64]:
        """A constant of shape (), (k,), (1, k) as a row of shape (k,)."""
        if constant.dtype.kind not in "fiu" or constant.ndim > 2 or constant.size < 1:
            raise malformed(f"has a constant that does not fit: {node.label}")
        if constant.ndim == 2 and constant.shape[0] != 1:
            raise unsupported(node, "with a constant that differs from row to row")
        return constant.astype(np.float64).reshape(-1)

    def _lower(self, node: OnnxNode) -> None:
        # an optional input that is left out has an empty name
        arguments = [self.values[name] for name in node.inputs if name]
        constants = [value for value in arguments if isinstance(value, np.ndarray)]
        if len(constants) == len(arguments):
            folded = fold_constant(node, constants)
            if folded is None or len(node.outputs) != 1:
                raise unsupported(node)
            self._folded_elements += folded.size
            if self._folded_elements > 2 * MAXIMUM_ELEMENTS:
                raise malformed("computes too many constants")
            self.values[node.outputs[0]] = folded
            return
        if node.operator == "ai.onnx.ml.LinearClassifier":
            self._linear_classifier(node, arguments[0])
            return
        lowered = None
        if isinstance(arguments[0], Table) or isinstance(arguments[-1], Table):
            lowered = self._affine(node, arguments)
        if lowered is None:
            lowered = _without_effect(node, arguments)
        if lowered is None:
            lowered = Call(node.operator, node, tuple(arguments), node.attributes)
            self.calls.append(lowered)
        for name in node.outputs:
            self.values[name] = lowered

    def _affine(self, node: OnnxNode, arguments: list[Value]) -> Value | None:
        """The table that the node makes, or None if it is not affine."""
        first = arguments[0]
        second = arguments[1] if len(arguments) > 1 else None
        if node.operator in ELEMENTWISE and len(arguments) == 2:
            return self._arithmetic(node, arguments[0], arguments[1])
        if not isinstance(first, Table):
            return None
        match node.operator:
            case "Identity" | "ai.onnx.ml.ZipMap":
                return first
            case "Flatten" | "Reshape" | "Squeeze" | "Cast":
                return _reshaped_table(node, first, arguments[1:])
            case "MatMul" if isinstance(second, np.ndarray) and not first.flat:
                if second.ndim == 1:
                    column = self.dense(node, first, second[:, None], None)
                    return Table(column.name, 1, flat=True)
                return self.dense(node, first, second, None)
            case "Gemm" if isinstance(second, np.ndarray) and not node.attributes.get("transA", 0):
                weights = second.T if node.attributes.get("transB", 0) else second
                bias = arguments[2] if len(arguments) > 2 else None
                if bias is not None and not isinstance(bias, np.ndarray):
                    return None
                scaled = None if bias is None else node.attributes.get("beta", 1.0) * bias
                return self.dense(node, first, node.attributes.get("alpha", 1.0) * weights, scaled)
            case "Neg":
                return self.elementwise(node, "Mul", first, np.array(-1.0))
            case "Concat" if node.attributes.get("axis") in (1, -1):
                return self._concatenation(node, arguments)
            case "Gather" if node.attributes.get("axis", 0) in (1, -1) and isinstance(
                second, np.ndarray
            ):
                column = self.gather(node, first, second)
                return Table(column.name, 1, flat=True) if second.ndim == 0 else column
            case "ai.onnx.ml.ArrayFeatureExtractor" if isinstance(second, np.ndarray):
                return self.gather(node, first, second)
            case "ai.onnx.ml.Imputer" if np.isnan(node.attributes.get("replaced_value_float", 0.0)):
                return first
            case "ai.onnx.ml.Scaler":
                offset = node.attributes.get("offset", np.zeros(1))
                centred = self.elementwise(node, "Sub", first, offset)
                return self.elementwise(
                    node, "Mul", centred, node.attributes.get("scale", np.ones(1))
                )
            case "ai.onnx.ml.LinearRegressor" if (
                node.attributes.get("post_transform", "NONE") == "NONE"
            ):
                return self._linear(node, first, int(node.attributes.get("targets", 1)))
            case _:
                return None

    def _arithmetic(self, node: OnnxNode, left: Value, right: Value) -> Table | None:
        if isinstance(left, Call) or isinstance(right, Call):
            return None
        constant = isinstance(left, np.ndarray) or isinstance(right, np.ndarray)
        if node.operator == "Mul" and not constant:
            return None
        if node.operator == "Div" and not isinstance(right, np.ndarray):
            return None
        return self.elementwise(node, node.operator, left, right)

    def _concatenation(self, node: OnnxNode, arguments: list[Value]) -> Table | None:
        tables = [value for value in arguments if isinstance(value, Table) and not value.flat]
        if len(tables) != len(arguments):
            return None
        width = sum(table.width for table in tables)
        if width > MAXIMUM_COLUMNS:
            raise malformed(f"has a table of {width} columns, allowed are {MAXIMUM_COLUMNS}")
        return Table(self.node("Concat", node, [*tables]), width)

    def _linear(self, node: OnnxNode, table: Table, outputs: int) -> Table:
        """LinearRegressor and LinearClassifier: coefficients of shape (outputs, columns)."""
        weights = np.asarray(node.attributes.get("coefficients", ()))
        bias = np.asarray(node.attributes.get("intercepts", ()))
        if outputs < 1 or weights.size != outputs * table.width:
            raise malformed(f"has weights that don't fit: {node.label}")
        if bias.size not in (0, outputs):
            raise malformed(f"has intercepts that don't fit: {node.label}")
        stacked = weights.reshape(outputs, table.width).T
        return self.dense(node, table, stacked, bias if bias.size else None)

    def _linear_classifier(self, node: OnnxNode, rows: Value) -> None:
        """Labels and transformed scores: a table of raw scores, and calls for the rest."""
        labels = node.attributes.get("classlabels_ints")
        if labels is None or not len(labels):
            labels = np.array(node.attributes.get("classlabels_strings", ()), dtype=object)
        weights = np.asarray(node.attributes.get("coefficients", ()))
        if not isinstance(rows, Table) or len(node.outputs) != 2 or not len(labels):
            raise unsupported(node, "in this place")
        outputs = weights.size // rows.width
        scores = self._linear(node, rows, outputs)
        transform = node.attributes.get("post_transform", "NONE")
        binary = outputs == 1 and len(labels) == 2
        if outputs != len(labels) and not binary:
            raise malformed(f"has another number of labels than of scores: {node.label}")
        # skl2onnx writes a binary classifier with scores -s and s
        positive = scores if binary else self._positive(node, scores)
        transformed: Value = scores
        if transform == "LOGISTIC":
            transformed = Call("Sigmoid", node, (positive or scores,), {})
            if positive is not None:
                transformed = Call("Binary", node, (transformed,), {})
        elif transform == "SOFTMAX" and not binary:
            transformed = Call("Softmax", node, (scores,), {"axis": 1})
        elif transform != "NONE":
            raise unsupported(node, f"with post_transform {transform[:20]!r}")
        if isinstance(transformed, Call):
            self.calls.append(transformed)
        compared = (scores,) if positive is None else (scores, positive)
        self.values[node.outputs[0]] = Call("Labels", node, (labels, *compared), {})
        self.values[node.outputs[1]] = transformed

    def _positive(self, node: OnnxNode, scores: Table) -> Table | None:
        """The second of two scores, if the first is always minus the second."""
        weights = np.asarray(node.attributes["coefficients"]).reshape(scores.width, -1)
        bias = np.asarray(node.attributes.get("intercepts", ()))
        if scores.width != 2 or (weights[0] != -weights[1]).any():
            return None
        if bias.size == 2 and bias[0] != -bias[1]:
            return None
        return self.gather(node, scores, np.array([1]))


def unsupported(node: OnnxNode, how: str = "") -> ModelError:
    """The error for an operator that linear models can't hold."""
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"{node.label} {f'{how} ' if how else ''}can't be run encrypted in a linear model",
        "Export a linear model with scaling or PCA before it at most, or pass the scikit-learn "
        "model itself",
    )


LABELLING = ("ArgMax", "Labels", "ai.onnx.ml.ArrayFeatureExtractor")
"""Calls that make labels."""


def _without_effect(node: OnnxNode, arguments: list[Value]) -> Value | None:
    """The argument itself where a node after the scores only changes type or shape."""
    first = arguments[0]
    if not isinstance(first, Call):
        return None
    label = first.operator in LABELLING
    match node.operator:
        case "Identity" | "ai.onnx.ml.ZipMap":
            return first
        case "Reshape" | "Squeeze" | "Flatten" if label:
            return first
        case "Cast" if label or DTYPES.get(node.attributes.get("to", 0)) in ("float32", "float64"):
            return first
        case _:
            return None


def _reshaped_table(node: OnnxNode, table: Table, arguments: list[Value]) -> Table | None:
    """The table after a node that keeps its numbers, or None if it would change them."""
    constants = [value for value in arguments if isinstance(value, np.ndarray)]
    match node.operator:
        case "Cast":
            kept = DTYPES.get(node.attributes.get("to", 0)) in ("float32", "float64")
            return table if kept else None
        case "Flatten":
            return table if node.attributes.get("axis", 1) in (1, -1) and not table.flat else None
        case "Squeeze":
            axes = axes_of(node, constants)
            if table.width == 1 and not table.flat and axes in ([1], [-1]):
                return Table(table.name, 1, flat=True)
            return None
        case _:
            # the batch axis stays open: only -1, or 0 for "as it was", may stand for it
            target = constants[0].tolist() if constants else []
            if target in ([-1], [0]) and table.width == 1:
                return Table(table.name, 1, flat=True)
            if len(target) != 2 or target[0] not in (-1, 0):
                return None
            same = target[1] == table.width or target == [0, -1] or target[1] == 0
            if not same or (table.flat and 0 in target):
                return None
            return Table(table.name, table.width, negation_of=table.negation_of)


def _is_minus_one(value: Value) -> bool:
    return isinstance(value, np.ndarray) and value.size == 1 and float(value.reshape(())) == -1.0
