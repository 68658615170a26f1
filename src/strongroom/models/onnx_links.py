"""Recognising the link after raw scores in an ONNX graph.

The shapes that are recognised are those that skl2onnx writes, and a Softmax, LogSoftmax or Sigmoid
at the end of any other graph. With T the table of raw scores: T; Softmax(T); LogSoftmax(T), which
counts as Softmax; Sigmoid(T); Exp(T); Softplus(T); [1 - p, p];
p / sum(p) with p = Sigmoid(T) or 1 / (1 + exp(-T)), also with skl2onnx's correction of rows of
zeros; modified Huber's (clip(T, -1, 1) + 1) / 2 for two classes. Nothing is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from strongroom.models.links import Link
from strongroom.models.onnx_constants import axes_of
from strongroom.models.onnx_values import Call, Gate, Table, Value, as_table


@dataclass(frozen=True, slots=True)
class Linked:
    """Raw scores and the link that the model puts after them."""

    scores: Table
    link: Link


def linked_scores(value: Value) -> Linked | None:
    """Raw scores and link of probabilities, or None if they have no shape that is known."""
    if isinstance(value, Table):
        gate = value.gate
        if gate is not None and gate == Gate("Softplus", gate.argument):
            return Linked(gate.argument, "softplus")
        return Linked(value, "identity")
    if not isinstance(value, Call):
        return None
    arguments = value.arguments
    match value.operator:
        case "Softmax" | "LogSoftmax" if value.attributes.get("axis", 1) in (1, -1):
            return _linked_table(arguments[0], "softmax", least_width=2)
        case "Sigmoid":
            table = as_table(arguments[0])
            if table is not None and table.width == 1:
                return Linked(table, "logistic")
            return _linked_table(arguments[0], "logistic_each")
        case "Exp":
            return _linked_table(arguments[0], "exp")
        case "Squeeze" | "Flatten" | "Reshape" | "Unsqueeze" if _of_one_column(value):
            return linked_scores(arguments[0])
        case "Binary":
            return _two_classes(arguments[0])
        case "Concat" if len(arguments) == 2 and value.attributes.get("axis") in (1, -1):
            if _is_one_minus(arguments[0], arguments[1]):
                return _two_classes(arguments[1])
        case "ai.onnx.ml.Normalizer" if value.attributes.get("norm") == "L1":
            inner = arguments[0]
            if isinstance(inner, Call) and inner.operator in ("Softmax", "Binary", "Concat"):
                return linked_scores(inner)  # what sums to 1 already stays as it is
            return _one_vs_rest(arguments[0], "ovr_logistic_or_zero")
        case "Div" if len(arguments) == 2:
            if _is_row_sum(arguments[1], arguments[0]):
                return _one_vs_rest(arguments[0], "ovr_logistic")
            corrected = _without_zero_rows(arguments[0], arguments[1])
            if corrected is not None:
                return _one_vs_rest(corrected, "ovr_logistic")
    return None


def _linked_table(
    value: Value, link: Link, least_width: int = 1, most_width: int = 2**30
) -> Linked | None:
    table = as_table(value)
    if table is None or len(table.shape) != 1 or not least_width <= table.width <= most_width:
        return None
    return Linked(table, link)


def _of_one_column(value: Call) -> bool:
    return value.table is not None and value.table.width == 1


def _two_classes(value: Value) -> Linked | None:
    """[1 - p, p] of one p a row."""
    scores = _logistic_argument(value)
    if scores is not None:
        return _linked_table(scores, "logistic", most_width=1)
    # modified Huber: (clip(T, -1, 1) + 1) / 2
    plus_one = _argument_beside(value, "Div", 2.0)
    clip = _argument_beside(plus_one, "Add", 1.0)
    if isinstance(clip, Call) and clip.operator == "Clip":
        bounds = [*clip.arguments[1:], clip.attributes.get("min"), clip.attributes.get("max")]
        limits = [float(np.asarray(bound).reshape(())) for bound in bounds if bound is not None]
        if limits == [-1.0, 1.0]:
            return _linked_table(clip.arguments[0], "modified_huber", most_width=1)
    return None


def _one_vs_rest(value: Value, link: Link) -> Linked | None:
    scores = _logistic_argument(value)
    return None if scores is None else _linked_table(scores, link, least_width=2)


def _logistic_argument(value: Value) -> Table | None:
    """T of Sigmoid(T) or 1 / (1 + exp(-T))."""
    if not isinstance(value, Call):
        return None
    argument = value.arguments[0]
    if value.operator == "Sigmoid" and isinstance(argument, Table):
        return argument
    if value.operator == "Reciprocal":
        power = _argument_beside(argument, "Add", 1.0)
        if isinstance(power, Call) and power.operator == "Exp":
            negated = power.arguments[0]
            return negated.negation_of if isinstance(negated, Table) else None
    return None


def _argument_beside(value: Value | None, operator: str, constant: float) -> Value | None:
    """a of `operator(a, constant)`, or None."""
    if isinstance(value, Call) and value.operator == operator and len(value.arguments) == 2:
        argument, beside = value.arguments
        if isinstance(beside, np.ndarray) and beside.size == 1 and beside.item() == constant:
            return argument
    return None


def _is_one_minus(value: Value, positive: Value) -> bool:
    """Whether the value is 1 - positive."""
    if not isinstance(value, Call) or value.operator != "Sub":
        return False
    one, subtracted = value.arguments
    is_one = isinstance(one, np.ndarray) and one.size == 1 and one.item() == 1
    return is_one and subtracted is positive


def _is_row_sum(value: Value, summed: Value) -> bool:
    """Whether the value is the sum over the columns of p, or of |p|, which is p."""
    if not isinstance(value, Call) or value.operator != "ReduceSum":
        return False
    axes = axes_of(value.node, [a for a in value.arguments[1:] if isinstance(a, np.ndarray)])
    if axes not in ([1], [-1]) or not value.attributes.get("keepdims", 1):
        return False
    inner = value.arguments[0]
    if isinstance(inner, Call) and inner.operator == "Abs":
        inner = inner.arguments[0]
    return inner is summed


def _without_zero_rows(dividend: Value, divisor: Value) -> Value | None:
    """p of (p + m) / (s + m * classes), where s is its row sum and m is 1 where s is 0."""
    if not (isinstance(dividend, Call) and isinstance(divisor, Call)):
        return None
    if not dividend.operator == divisor.operator == "Add":
        return None
    positive, mask = dividend.arguments
    row_sum, scaled_mask = divisor.arguments
    if not (isinstance(scaled_mask, Call) and scaled_mask.operator == "Mul"):
        return None
    is_empty = mask if isinstance(mask, Call) and mask.operator == "Not" else None
    truth = is_empty.arguments[0] if is_empty is not None else None
    if isinstance(truth, Call) and truth.operator == "Cast":
        truth = truth.arguments[0]
    fits = scaled_mask.arguments[0] is mask and truth is row_sum
    return positive if fits and _is_row_sum(row_sum, positive) else None
