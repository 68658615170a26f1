"""What a traced network consists of: what stays, what is replaced, what can't run encrypted.

PyTorch writes most operators in three ways, as a module, a function and a method of tensors. Here
each is one name: that of the module where there is one, else that of the function.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import fx, nn

ACTIVATIONS: Final[Mapping[str, type[nn.Module]]] = {
    kind.__name__: kind
    for kind in (
        nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
        nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.LogSigmoid, nn.Tanh,
        nn.Softplus, nn.Softsign,
    )
}  # fmt: skip
"""Functions of one number that become polynomials."""

MAX_POOLS: Final[Mapping[str, type[nn.Module]]] = {
    "MaxPool1d": nn.AvgPool1d,
    "MaxPool2d": nn.AvgPool2d,
    "AdaptiveMaxPool1d": nn.AdaptiveAvgPool1d,
    "AdaptiveMaxPool2d": nn.AdaptiveAvgPool2d,
}
"""And the averages that replace them."""

KEPT: Final = frozenset(
    {
        "Linear", "Conv1d", "Conv2d", "BatchNorm1d", "BatchNorm2d", "AvgPool1d", "AvgPool2d",
        "AdaptiveAvgPool1d", "AdaptiveAvgPool2d", "Flatten", "Unflatten", "Identity", "Dropout",
        "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout", "PolynomialActivation",
    }
)  # fmt: skip
"""Modules that run encrypted as they are, or, as dropout, do nothing once training is over."""

LINKS: Final = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "argmax"})
"""Stay as they are at the end of a network: they run at the asker, after decryption."""

MOVES: Final = frozenset({"flatten", "squeeze", "view", "reshape", "Flatten"})
"""May stand between a link and the end."""

REMEDIES: Final[Mapping[str, str]] = {
    "LayerNorm": "Use BatchNorm1d or BatchNorm2d, whose statistics are fixed after training",
    "GroupNorm": "Use BatchNorm2d, whose statistics are fixed after training",
    "InstanceNorm1d": "Use BatchNorm1d, whose statistics are fixed after training",
    "InstanceNorm2d": "Use BatchNorm2d, whose statistics are fixed after training",
    "RMSNorm": "Use BatchNorm1d, whose statistics are fixed after training",
    "normalize": "Use BatchNorm1d, whose statistics are fixed after training",
    "Softmax": "Keep Softmax for the end of the network, where the asker computes it",
    "LogSoftmax": "Keep LogSoftmax for the end of the network, where the asker computes it",
    "argmax": "Keep argmax for the end of the network, where the asker computes it",
    "MultiheadAttention": "Use convolutions or dense layers: attention needs a softmax",
    "scaled_dot_product_attention": "Use convolutions or dense layers: attention needs a softmax",
    "LSTM": "Use Conv1d over the sequence",
    "GRU": "Use Conv1d over the sequence",
    "RNN": "Use Conv1d over the sequence",
    "Embedding": "Give the network vectors: look words up before asking",
    "MaxPool3d": "Use one- or two-dimensional convolutions",
    "Conv3d": "Use one- or two-dimensional convolutions",
    "max": "Use a mean: encrypted numbers can't be compared",
    "min": "Use a mean: encrypted numbers can't be compared",
    "maximum": "Use a mean: encrypted numbers can't be compared",
    "minimum": "Use a mean: encrypted numbers can't be compared",
    "amax": "Use a mean: encrypted numbers can't be compared",
    "amin": "Use a mean: encrypted numbers can't be compared",
    "median": "Use a mean: encrypted numbers can't be compared",
    "sort": "Leave it out: encrypted numbers can't be compared",
    "topk": "Leave it out: encrypted numbers can't be compared",
    "where": "Leave it out: encrypted numbers can't be compared",
    "clamp": "Leave it out, or use an activation such as Hardtanh, which is replaced",
    "clip": "Leave it out, or use an activation such as Hardtanh, which is replaced",
    "sign": "Leave it out: encrypted numbers can't be compared",
    "GLU": "Use SiLU or GELU, which are replaced",
}
"""Known operators that can't run encrypted, and what to do instead."""

OTHERWISE: Final = (
    "Replace it by one of: Linear, Conv1d, Conv2d, BatchNorm1d, BatchNorm2d, average pooling, an "
    "activation, sums and products"
)

COMPARISONS: Final = frozenset({"gt", "lt", "ge", "le", "eq", "ne"})

_SPELLINGS: Final = {
    "relu": "ReLU", "relu6": "ReLU6", "leaky_relu": "LeakyReLU", "prelu": "PReLU", "elu": "ELU",
    "selu": "SELU", "celu": "CELU", "gelu": "GELU", "silu": "SiLU", "mish": "Mish",
    "hardswish": "Hardswish", "hardsigmoid": "Hardsigmoid", "hardtanh": "Hardtanh",
    "sigmoid": "Sigmoid", "logsigmoid": "LogSigmoid", "tanh": "Tanh", "softplus": "Softplus",
    "softsign": "Softsign", "softmax": "Softmax", "log_softmax": "LogSoftmax", "glu": "GLU",
    "max_pool1d": "MaxPool1d", "max_pool2d": "MaxPool2d", "max_pool3d": "MaxPool3d",
    "adaptive_max_pool1d": "AdaptiveMaxPool1d", "adaptive_max_pool2d": "AdaptiveMaxPool2d",
    "layer_norm": "LayerNorm", "group_norm": "GroupNorm", "instance_norm": "InstanceNorm2d",
    "rms_norm": "RMSNorm", "embedding": "Embedding",
}  # fmt: skip
"""Functions and methods by the name of their module."""


_POOLING: Final = (
    "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices", "output_size",
)  # fmt: skip
_ADAPTIVE: Final = ("output_size", "return_indices")


def name_of(node: fx.Node, network: nn.Module) -> str:
    """What a node of a traced network computes, by one name; empty for inputs and outputs."""
    match node.op:
        case "call_module":
            return type(network.get_submodule(str(node.target))).__name__
        case "call_function" | "call_method":
            target = node.target
            name = (target if isinstance(target, str) else target.__name__).strip("_")
            return _SPELLINGS.get(name, name)
        case _:
            return ""


def place_of(node: fx.Node) -> str:
    """Where a node is, for a person: the module's path, with "@1" where it is called for the second
    time, or the function and who calls it."""
    stack = node.meta.get("nn_module_stack", {})
    if node.op == "call_module":
        return str(next(reversed(stack), node.target))
    return f"{node.name} in {next(reversed(stack.values()))[0] if stack else 'forward'}"


def as_module(node: fx.Node, network: nn.Module) -> nn.Module | None:
    """What a node computes of its first argument, as a module of its own that leaves that argument
    as it was; None if it takes other tensors besides."""
    if node.op == "call_module":
        module = copy.deepcopy(network.get_submodule(str(node.target)))
        if hasattr(module, "inplace"):
            module.inplace = False  # type: ignore[assignment]
        return module
    if len(node.all_input_nodes) != 1 or node.all_input_nodes[0] is not node.args[0]:
        return None
    kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    return Call(node.target, tuple(node.args[1:]), kwargs)


def average_of(node: fx.Node, network: nn.Module) -> nn.Module | None:
    """The average pooling over the same windows as a node's max pooling; None if there is none,
    since they are dilated or places are asked for."""
    name = name_of(node, network)
    if node.op == "call_module":
        source = network.get_submodule(str(node.target))
        given = {part: getattr(source, part) for part in _POOLING if hasattr(source, part)}
    else:
        names = _POOLING if name.startswith("MaxPool") else _ADAPTIVE
        given = dict(zip(names, node.args[1:], strict=False)) | dict(node.kwargs)
    dilation = given.pop("dilation", 1)
    dilated = any(each != 1 for each in (dilation if isinstance(dilation, tuple) else (dilation,)))
    if dilated or given.pop("return_indices", False):
        return None
    if name.startswith("MaxPool"):
        given["count_include_pad"] = False
    return MAX_POOLS[name](**given)


class Call(nn.Module):
    """A function, or a method by its name, of a tensor and fixed arguments."""

    def __init__(self, target: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self._target, self._args, self._kwargs = target, args, dict(kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Its value at x, which stays as it is."""
        if not isinstance(self._target, str):
            return torch.as_tensor(self._target(x, *self._args, **self._kwargs))
        # methods that end in an underscore write into the tensor that they belong to
        copied = x.clone() if self._target.endswith("_") else x
        return torch.as_tensor(getattr(copied, self._target)(*self._args, **self._kwargs))
