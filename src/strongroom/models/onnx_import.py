"""ONNX to `Graph`: read, lower, strip the link, keep what the scores need.

The file is not trusted: `onnx_file` bounds and checks it, `onnx_lowering` turns it into the
operators of `Graph`, `onnx_outputs` finds the raw scores. Nothing of the file is ever executed.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from strongroom.errors import ModelError, PolicyError
from strongroom.models.features import Features
from strongroom.models.graph import Graph, Node, Tensor
from strongroom.models.onnx_file import OnnxModel, OnnxNode, OnnxValue, malformed, read_onnx
from strongroom.models.onnx_lowering import Lowering
from strongroom.models.onnx_outputs import recognise
from strongroom.models.onnx_values import Table
from strongroom.models.output import OutputSpec
from strongroom.models.rows import MAXIMUM_AXES, MAXIMUM_COLUMNS, InputSpec, shown

if TYPE_CHECKING:
    import onnx

ROWS = "rows"
"""Name of a graph's one input."""


def import_onnx(
    model: onnx.ModelProto | bytes | Path,
    *,
    input_spec: InputSpec | None = None,
    output_spec: OutputSpec | None = None,
) -> Graph:
    """Import a linear model or a dense network from ONNX.

    A model with one input (n, columns), or several such tables that are taken side by side (each
    of one column: then the inputs' names become column names). An input with more axes, as images
    (n, channels, height, width), is taken as a table whose rows are flattened in C order: the
    last axis runs fastest, as in `images.reshape(len(images), -1)`.

    Args:
        model: the model, its bytes, or the path of a file.
        input_spec: what rows the model takes, where the caller knows better than the file.
        output_spec: how scores become predictions, where the caller knows; then the model's one
            output is the table of raw scores.

    Raises:
        ModelError: SR-MODEL-FILE if the file is malformed; SR-MODEL-UNSUPPORTED, naming
            operator and node, if something in the model can't be run encrypted.
    """
    checked = read_onnx(model)
    try:
        return _import(checked, input_spec, output_spec)
    except PolicyError as error:
        raise malformed("has labels or inputs that make no sense") from error
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        # attributes of an unexpected kind: the format does not say which operator takes which
        raise malformed("has attributes or shapes that make no sense") from error


def _import(
    model: OnnxModel, input_spec: InputSpec | None, output_spec: OutputSpec | None
) -> Graph:
    spec, tables, entry = _inputs(model.inputs)
    if input_spec is not None:
        if input_spec.columns != spec.columns:
            raise malformed("takes another number of columns than expected")
        spec = input_spec
    lowering = Lowering(model, tables, _batch(model.inputs))
    outputs = []
    for declared in model.outputs:
        if declared.name not in lowering.values:
            raise malformed(f"does not make its output {shown(declared.name)}")
        outputs.append((declared, lowering.values[declared.name]))
    scores, recognised = recognise(outputs)
    if output_spec is not None and output_spec.outputs != scores.width:
        raise malformed("makes another number of scores than expected")
    constants = {**lowering.constants}
    nodes = [*lowering.nodes]
    for number, (node, places) in enumerate(entry):
        name = f"input_columns_{number}"
        nodes.insert(0, Node("Gather", node.name, (ROWS, name), node.outputs, {"axis": 1}))
        constants[name] = places
    needed = _needed(nodes, scores.name)
    used = {name for node in needed for name in node.inputs}
    return Graph(
        name=model.name,
        tensors=(Tensor(ROWS, spec.dtype, (None, spec.columns)),),
        nodes=needed,
        constants={name: value for name, value in constants.items() if name in used},
        scores=scores.name,
        input=spec,
        features=Features.plain(spec.columns),
        output=output_spec or recognised,
    )


def _inputs(
    inputs: tuple[OnnxValue, ...],
) -> tuple[InputSpec, dict[str, Table], list[tuple[OnnxNode, np.ndarray]]]:
    """What rows the model takes, its inputs as tables, and how each is cut from the rows."""
    if not inputs:
        raise malformed("has no inputs")
    tables: dict[str, Table] = {}
    entry: list[tuple[OnnxNode, np.ndarray]] = []
    start = 0
    for value in inputs:
        shape = tuple(size for size in value.shape[1:] if size is not None)
        known = 0 < len(shape) == len(value.shape) - 1 and min(shape) > 0
        if not known or value.dtype not in ("float32", "float64"):
            raise ModelError(
                "SR-MODEL-UNSUPPORTED",
                f"input {shown(value.name)} of the ONNX model is not a table of float32 or "
                "float64 with a known number of columns",
                "Export the model with an input of shape (None, columns)",
            )
        width = math.prod(shape)
        name = ROWS if len(inputs) == 1 else f"input_{len(tables)}"
        tables[value.name] = Table(name, shape)
        if len(inputs) > 1:
            node = OnnxNode("Gather", value.name, (), (name,), {})
            entry.append((node, np.arange(start, min(start + width, MAXIMUM_COLUMNS + 1))))
        start += width
        if start > MAXIMUM_COLUMNS:
            raise malformed(f"takes more than {MAXIMUM_COLUMNS} columns")
    named = len(inputs) > 1 and start == len(inputs)
    narrow = all(value.dtype == "float32" for value in inputs)
    spec = InputSpec(
        columns=start,
        names=tuple(value.name for value in inputs) if named else (),
        dtype="float32" if narrow else "float64",
        shape=shape if len(inputs) == 1 and 1 < len(shape) <= MAXIMUM_AXES else (),
    )
    return spec, tables, entry


def _batch(inputs: tuple[OnnxValue, ...]) -> int | None:
    """The number of rows that a model is exported for, if it is one; exporters do so unasked."""
    sizes = {value.shape[0] for value in inputs if value.shape}
    return sizes.pop() if len(sizes) == 1 else None


def _needed(nodes: list[Node], scores: str) -> tuple[Node, ...]:
    """The nodes on which the scores depend, in their order."""
    wanted = {scores}
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            kept.append(node)
            wanted.update(node.inputs)
    return tuple(reversed(kept))
