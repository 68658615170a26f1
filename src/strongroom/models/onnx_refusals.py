"""Refusing an ONNX operator: which, where, and what could replace it."""

from __future__ import annotations

from strongroom.errors import ModelError
from strongroom.models.onnx_file import OnnxNode

_DENSE = (
    "Export a network of Gemm, MatMul, Conv, AveragePool, Add, Mul, BatchNormalization and "
    "activations such as Relu, Gelu or Sigmoid; or pass the scikit-learn model itself"
)
_AT_THE_END = "Use it only at the end of the model, where the client computes it"
_PRODUCT = "Multiply instead: a table can't be divided by another"
_NORM = "Use BatchNormalization, which becomes part of the weights"
_CHOICE = "Use Relu: the larger of a and b is b + relu(a - b)"
_POOL = "Use average pooling; strongroom.torch replaces the max pools of a PyTorch module"
_CONVOLUTION = "Use Conv with constant weights, AveragePool or GlobalAveragePool"
_RECURRENT = "Use a dense network"
_SHAPE = "Keep the batch axis first, and every row to itself"
_COLUMN = "Compute it before the model and pass it as a column"
_TREES = "Pass the framework's own model or dump: ONNX rounds its thresholds to float32"

REPLACEMENTS = {
    "Clip": "Use Relu without an upper bound, or HardSigmoid",
    "Erf": "Use Gelu or Tanh",
    "Mish": "Use Silu",
    "Softsign": "Use Tanh",
    "ThresholdedRelu": "Use Relu",
    "Pow": "Use a constant integer exponent from 1 to 64",
    "ReduceMax": _CHOICE,
    "ReduceMin": _CHOICE,
    "Max": _CHOICE,
    "Min": _CHOICE,
    "Where": _CHOICE,
    "Greater": _CHOICE,
    "Less": _CHOICE,
    "Equal": "Encode categories as columns of 0 and 1 before the model",
    "Div": _PRODUCT,
    "Reciprocal": _PRODUCT,
    "Sqrt": _COLUMN,
    "Log": _COLUMN,
    "Sin": _COLUMN,
    "Cos": _COLUMN,
    **dict.fromkeys(("Softmax", "LogSoftmax", "ArgMax", "TopK"), _AT_THE_END),
    **dict.fromkeys(
        ("LayerNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
         "RMSNormalization", "ai.onnx.ml.Normalizer"), _NORM,
    ),
    **dict.fromkeys(
        ("Conv", "ConvTranspose", "AveragePool", "GlobalAveragePool", "DeformConv", "ConvInteger",
         "LpPool", "GlobalLpPool", "Resize", "Upsample"), _CONVOLUTION,
    ),
    **dict.fromkeys(("MaxPool", "GlobalMaxPool", "MaxRoiPool"), _POOL),
    "Pad": "Pad with a constant, and not the batch axis",
    **dict.fromkeys(("LSTM", "GRU", "RNN", "Attention"), _RECURRENT),
    **dict.fromkeys(("Reshape", "Transpose", "Flatten", "Squeeze", "Shape", "Expand"), _SHAPE),
    **dict.fromkeys(
        ("ai.onnx.ml.TreeEnsembleClassifier", "ai.onnx.ml.TreeEnsembleRegressor",
         "ai.onnx.ml.TreeEnsemble"), _TREES,
    ),
}  # fmt: skip
"""What to use instead of an operator that has no encrypted form."""


def unsupported(node: OnnxNode, how: str = "") -> ModelError:
    """The error for an operator that has no encrypted form, or none in this place."""
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"{node.label} {f'{how} ' if how else ''}can't be run encrypted",
        REPLACEMENTS.get(node.operator, _DENSE),
    )
