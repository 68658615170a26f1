"""PyTorch to `Graph`, through torch.onnx in memory.

A module is traced in eval mode with an open number of rows; it is left as it was found. It takes
rows of the sample's shape: (n, columns), or (n, channels, height, width) for images and
(n, channels, length) for windows of a sequence, which askers may then give flat as well.

What it predicts. A module that ends in `Softmax`, `LogSoftmax` or, with one output, `Sigmoid` is a
classifier; its classes are 0, 1, ... unless given. Any other returns what it returns: values, or
with `classes` the labels of the largest output. That function at the end costs nothing, since the
client computes it, so a classifier that should have probabilities had best end in it.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from strongroom.errors import ModelError, PolicyError
from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.onnx_import import import_onnx
from strongroom.models.output import OutputSpec
from strongroom.models.rows import MAXIMUM_AXES, MAXIMUM_COLUMNS


def is_torch_module(model: Any) -> bool:
    """Whether a model is a PyTorch module; PyTorch need not be installed."""
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(model).__mro__}
    return "torch.nn.modules.module.Module" in kinds


def import_torch(module: Any, *, sample: Any = None, classes: Sequence[Any] | None = None) -> Graph:
    """Import a PyTorch module.

    Args:
        module: an `nn.Module` that takes one float tensor of shape (n, columns), or of images as
            above, and returns one of shape (n, outputs) or (n,), every row by itself.
        sample: rows that it takes, in the shape in which it takes them; without it the first
            Linear or BatchNorm1d says how many columns there are.
        classes: labels in the order of the outputs; two for a module of one output, of which the
            second is chosen where the output is above 0.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming operator and node if something can't be run
            encrypted; SR-MODEL-VALUES if the classes don't fit; SR-MODEL-EXTRA.
    """
    graph = import_onnx(exported(module, _row_shape(module, sample)))
    output = graph.output if classes is None else _labelled(graph.output, classes)
    return replace(graph, name=type(module).__name__, output=output)


@contextlib.contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Have a module, with all that is in it, in eval mode for a while."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def tensor_of(module: Any, rows: np.ndarray) -> Any:
    """Rows as the module takes them: of the dtype and on the device of its weights."""
    torch = extra("torch")
    weights = [part for part in module.parameters() if part.is_floating_point()]
    kind = {"dtype": weights[0].dtype, "device": weights[0].device} if weights else {}
    return torch.as_tensor(np.array(rows), **(kind or {"dtype": torch.float32}))


def _row_shape(module: Any, sample: Any) -> tuple[int, ...]:
    """The shape of a row that a module takes."""
    if sample is not None:
        shape = np.shape(sample)
        if not 2 <= len(shape) <= 1 + MAXIMUM_AXES:
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"the sample for the module has {len(shape)} dimensions",
                "Pass rows of shape (n, columns), images of shape (n, channels, height, width), or "
                "windows of shape (n, channels, length)",
            )
        return tuple(map(int, shape[1:]))
    for part in module.modules():
        if hasattr(part, "kernel_size"):
            break  # how large images are, no convolution says
        for attribute in ("in_features", "num_features"):
            size = getattr(part, attribute, None)
            if isinstance(size, int) and 1 <= size <= MAXIMUM_COLUMNS:
                return (size,)
    raise ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"the module {type(module).__name__} doesn't say what shape its rows have",
        "Pass a sample of rows, in the shape in which the module takes them",
    )


def exported(module: Any, shape: tuple[int, ...]) -> Any:
    """The module as an `onnx.ModelProto` with one input of shape (rows, *shape)."""
    torch = extra("torch")
    extra("onnxscript")  # which torch.onnx needs
    with contextlib.ExitStack() as stack:
        stack.enter_context(evaluating(module))
        stack.enter_context(_quiet())
        try:
            program = torch.onnx.export(
                module,
                (tensor_of(module, np.zeros((2, *shape))),),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                input_names=["rows"],
                verbose=False,
            )
            return program.model_proto
        except Exception as error:  # torch raises whatever a module's code leads to
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"the module {type(module).__name__} can't be exported to ONNX for rows of "
                f"shape {shape} ({type(error).__name__})",
                "Check that it takes one float tensor of the sample's shape, with any number of "
                "rows, and does the same with every row",
            ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch.onnx's notes to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _labelled(output: OutputSpec, classes: Sequence[Any]) -> OutputSpec:
    """The same as a classifier with these labels."""
    labels = np.asarray(classes)
    fields = {"classes": tuple(labels.reshape(-1).tolist()), "label_dtype": labels.dtype.str}
    try:
        if output.task == "classification":
            return msgspec.structs.replace(output, **fields)
        probable = output.link == "logistic_each"
        return msgspec.structs.replace(
            output,
            **fields,
            task="classification",
            link="logistic_each" if probable else "identity",
            flat=False,
            methods=("predict", "predict_proba" if probable else "decision_function"),
        )
    except PolicyError as error:
        raise ModelError(
            "SR-MODEL-VALUES",
            f"{len(fields['classes'])} classes don't fit a module of {output.outputs} outputs",
            "Pass different labels of one kind, one an output; two for a module of one output",
        ) from error
