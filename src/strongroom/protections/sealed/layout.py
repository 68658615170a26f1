"""What a sealed model takes and gives, and how large messages may become."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan, SealedLayout, TensorSpec
from strongroom.errors import PolicyError
from strongroom.protections.sealed.tensors import DTYPES, content_bytes, dtype_name

MOST_CONTENT_BYTES: Final = 2**30
"""Largest content that any plan may name."""

TENSOR_CONTENT_BYTES: Final = 64 * 2**20
"""Largest content of a model of named tensors, whose sizes nobody knows before."""

_ROWS_BYTES: Final = 4 * 2**20
_MOST_ROWS: Final = 4096


def row_layout(inputs: TensorSpec, outputs: TensorSpec) -> SealedLayout:
    """The layout of a model of rows.

    Args:
        inputs, outputs: shape (None, width) each.
    """
    sizes = [np.dtype(one.dtype).itemsize * math.prod(_row(one)) for one in (inputs, outputs)]
    rows = max(1, min(_MOST_ROWS, _ROWS_BYTES // max(sizes)))
    return SealedLayout(
        inputs=(inputs,),
        outputs=(outputs,),
        rows_per_request=rows,
        request_content_bytes=rows_bytes(inputs, rows),
        response_content_bytes=rows_bytes(outputs, rows),
    )


def tensor_layout(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> SealedLayout:
    """The layout of a model of named tensors."""
    return SealedLayout(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        rows_per_request=1,
        request_content_bytes=TENSOR_CONTENT_BYTES,
        response_content_bytes=TENSOR_CONTENT_BYTES,
    )


def rows_bytes(spec: TensorSpec, rows: int) -> int:
    """The length of a content that is one tensor of so many rows."""
    return content_bytes({spec.name: (spec.dtype, (rows, *_row(spec)))})


def made_up_inputs(layout: SealedLayout) -> dict[str, NDArray[Any]]:
    """Inputs of the smallest shapes that a model of named tensors says it takes: all ones, which
    are numbers, places in a vocabulary and masks alike."""
    return {
        spec.name: np.ones([size if size is not None else 1 for size in spec.shape], spec.dtype)
        for spec in layout.inputs
    }


def layout_of(plan: Plan) -> SealedLayout:
    """The layout of a plan that may come from a stranger.

    Raises:
        PolicyError: SR-PLAN-INVALID.
    """
    layout = plan.layout
    if not isinstance(layout, SealedLayout):
        raise contradiction("it is not that of a sealed model")
    for specs in (layout.inputs, layout.outputs):
        if len({spec.name for spec in specs}) != len(specs):
            raise contradiction("two of its tensors have one name")
        if any(spec.dtype not in DTYPES for spec in specs):
            raise contradiction("a tensor has a type that is not known here")
    if max(layout.request_content_bytes, layout.response_content_bytes) > MOST_CONTENT_BYTES:
        raise contradiction("its messages would be larger than the protocol allows")
    if plan.prediction is not None:
        _require_rows(plan, layout)
    return layout


def mismatch(tensors: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> str:
    """How tensors differ from what a model takes or gives; empty if they don't. No values."""
    if tensors.keys() != {spec.name for spec in specs}:
        wanted = ", ".join(repr(spec.name) for spec in specs)
        return f"{len(tensors)} tensors of other names than {wanted[:300]}"
    for spec in specs:
        array = tensors[spec.name]
        if (dtype := dtype_name(array.dtype)) != spec.dtype:
            return f"tensor {spec.name!r} is {dtype}, not {spec.dtype}"
        if array.shape != spec.shape and (
            len(array.shape) != len(spec.shape)
            or any(
                size not in (None, found)
                for size, found in zip(spec.shape, array.shape, strict=True)
            )
        ):
            wanted = ", ".join("any" if size is None else str(size) for size in spec.shape)
            return f"tensor {spec.name!r} has shape {array.shape}, not ({wanted})"
    return ""


def contradiction(what: str) -> PolicyError:
    """The error for a plan that contradicts itself or is out of bounds."""
    return PolicyError(
        "SR-PLAN-INVALID", f"the plan is not valid: {what}", "Ask the model's owner for a new one"
    )


def _require_rows(plan: Plan, layout: SealedLayout) -> None:
    """The layout is the one for the plan's rows."""
    widths = (plan.features.width, plan.output.outputs)
    if len(layout.inputs) != 1 or len(layout.outputs) != 1:
        raise contradiction("it has more than one table")
    for spec, width in zip((*layout.inputs, *layout.outputs), widths, strict=True):
        if spec.shape != (None, width) or spec.dtype not in ("float32", "float64"):
            raise contradiction("its tables are not those of its rows")
    if plan.features.columns != plan.input.columns:
        raise contradiction("its preprocessing has other columns than its rows")
    if layout != row_layout(*layout.inputs, *layout.outputs):
        raise contradiction("its messages are not those of its tables")


def _row(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(size or 1 for size in spec.shape[1:])
