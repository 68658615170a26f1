"""Folding what is constant in an ONNX graph: operators whose inputs are all known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.onnx_file import DTYPES, OnnxNode, malformed

MAXIMUM_ELEMENTS = 2**25
"""Of a folded tensor: broadcasting must not turn a small file into a large array."""

ELEMENTWISE = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Pow": np.power}
UNARY = {"Sqrt": np.sqrt, "Neg": np.negative, "Reciprocal": np.reciprocal, "Exp": np.exp}


def fold_constant(node: OnnxNode, inputs: list[NDArray[Any]]) -> NDArray[Any] | None:
    """The node's one output, or None if it is an operator that isn't folded.

    Raises:
        ModelError: SR-MODEL-FILE if shapes or attributes make no sense.
    """
    try:
        with np.errstate(all="ignore"):
            folded = _fold(node, inputs)
    except (ValueError, TypeError, IndexError, KeyError) as error:
        raise malformed(f"has constants that don't fit: {node.label}") from error
    return None if folded is None else np.asarray(folded)


def _fold(node: OnnxNode, inputs: list[NDArray[Any]]) -> Any:
    attributes = node.attributes
    match node.operator:
        case "Constant":
            (value,) = attributes.values()
            # scalars and lists of floats are float32 in the format
            return np.float32(value) if "value_float" in attributes else np.asarray(value)
        case "Identity":
            return inputs[0]
        case "Cast":
            return inputs[0].astype(DTYPES[attributes["to"]])
        case "CastLike":
            return inputs[0].astype(inputs[1].dtype)
        case "Shape":
            start, end = attributes.get("start", 0), attributes.get("end")
            return np.array(inputs[0].shape[start:end], dtype=np.int64)
        case "Gather":
            _check_size(inputs[0].size * max(inputs[1].size, 1))
            return np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0))
        case "ConstantOfShape":
            value = np.asarray(attributes.get("value", np.zeros(1, dtype=np.float32)))
            _check_size(math.prod(inputs[0].tolist()))
            return np.full(inputs[0].tolist(), value.reshape(()))
        case "Expand":
            shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))
            _check_size(math.prod(shape))
            return np.broadcast_to(inputs[0], shape).copy()
        case "Transpose":
            return np.transpose(inputs[0], attributes.get("perm"))
        case "Reshape":
            return inputs[0].reshape(reshaped(inputs[0].shape, inputs[1]))
        case "Squeeze":
            axes = axes_of(node, inputs[1:])
            return np.squeeze(inputs[0], None if axes is None else tuple(axes))
        case "Unsqueeze":
            return np.expand_dims(inputs[0], tuple(axes_of(node, inputs[1:]) or ()))
        case "Concat":
            _check_size(sum(array.size for array in inputs))
            return np.concatenate(inputs, axis=attributes["axis"])
        case "Div":
            _check_broadcast(inputs)
            if inputs[0].dtype.kind not in "iu":
                return np.divide(inputs[0], inputs[1])
            # integers are cut towards zero, which for sizes, the only use, is downwards
            positive = (inputs[0] >= 0).all() and (inputs[1] > 0).all()
            return np.floor_divide(inputs[0], inputs[1]) if positive else None
        case operator if operator in ELEMENTWISE:
            _check_broadcast(inputs)
            return ELEMENTWISE[operator](inputs[0], inputs[1])
        case operator if operator in UNARY:
            return UNARY[operator](inputs[0])
        case _:
            return None


def axes_of(node: OnnxNode, inputs: list[NDArray[Any]]) -> list[int] | None:
    """The axes of Squeeze, Unsqueeze or ReduceSum: an attribute or an input, by opset."""
    axes = node.attributes.get("axes", inputs[0] if inputs else None)
    return None if axes is None else [int(axis) for axis in np.atleast_1d(axes)]


def reshaped(shape: tuple[int, ...], target: NDArray[Any]) -> tuple[int, ...]:
    """The target of ONNX Reshape for a known shape: 0 keeps a dimension, -1 is left to NumPy."""
    return tuple(shape[i] if size == 0 else int(size) for i, size in enumerate(target.tolist()))


def _check_broadcast(inputs: list[NDArray[Any]]) -> None:
    _check_size(math.prod(np.broadcast_shapes(*(array.shape for array in inputs))))


def _check_size(elements: int) -> None:
    if elements > MAXIMUM_ELEMENTS:
        raise malformed(f"has constants of more than {MAXIMUM_ELEMENTS} elements")
