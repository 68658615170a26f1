"""What an ONNX model's outputs mean: raw scores, the link after them, and labels.

Labels are LinearClassifier's own; ArgMax of scores or of probabilities; or a look-up of that in a
list. They follow the scores, as in scikit-learn: where the plain ONNX model compares
probabilities that are rounded to equal numbers, its label can differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.links import VALUE_LINKS
from strongroom.models.onnx_file import OnnxValue, malformed
from strongroom.models.onnx_links import Linked, linked_scores
from strongroom.models.onnx_lowering import LABELLING
from strongroom.models.onnx_refusals import unsupported
from strongroom.models.onnx_values import Call, Table, Value, as_table
from strongroom.models.output import Method, OutputSpec


def recognise(
    outputs: list[tuple[OnnxValue, Value]],
) -> tuple[Table, OutputSpec]:
    """The table of raw scores, and how scores become what the ONNX model returns.

    Args:
        outputs: the model's outputs as declared and as lowered.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, naming the first operator that has no
            encrypted form; SR-MODEL-FILE if labels and scores don't belong together.
    """
    labels: list[tuple[OnnxValue, Call]] = []
    others: list[tuple[OnnxValue, Value]] = []
    for declared, value in outputs:
        if isinstance(value, Call) and value.operator in LABELLING:
            labels.append((declared, value))
        else:
            others.append((declared, value))
    if not outputs or len(labels) > 1 or len(others) > 1:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the ONNX model has {len(outputs)} outputs",
            "Export a model that returns labels and scores or probabilities, or one table",
        )
    linked = _scores(others[0][1]) if others else None
    if labels:
        return _classifier(*labels[0], linked)
    assert linked is not None
    if linked.link in VALUE_LINKS - {"softmax"}:
        return linked.scores, _values(others[0][0], linked)
    return linked.scores, _labelled(linked, list(range(max(linked.scores.width, 2))), "<i8")


def _scores(value: Value) -> Linked:
    """The raw scores behind an output, and their link; the output itself where it has none."""
    linked = linked_scores(value)
    table = as_table(value)
    if linked is None and table is not None:
        linked = Linked(table, "identity")
    if linked is None:
        raise _refusal(value)
    if len(linked.scores.shape) > 1:
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"the ONNX model returns rows of {len(linked.scores.shape)} axes",
            "End the model with Flatten",
        )
    return linked


def _values(declared: OnnxValue, linked: Linked) -> OutputSpec:
    """A model that returns its scores as they are, or a function of each."""
    return OutputSpec(
        task="regression",
        link=linked.link,
        outputs=linked.scores.width,
        classes=(),
        label_dtype="<f4" if declared.dtype == "float32" else "<f8",
        flat=linked.scores.flat,
        methods=("predict",),
    )


def _labelled(linked: Linked, classes: list[Any], dtype: str) -> OutputSpec:
    method: Method = "decision_function" if linked.link == "identity" else "predict_proba"
    return OutputSpec(
        task="classification",
        link=linked.link,
        outputs=linked.scores.width,
        classes=tuple(classes),
        label_dtype=dtype,
        flat=False,
        methods=("predict", method),
    )


def _classifier(
    declared: OnnxValue, value: Call, linked: Linked | None
) -> tuple[Table, OutputSpec]:
    classes, compared = _labels(value)
    if linked is None:
        linked = Linked(compared[0], "identity")
    scores = linked.scores
    if scores not in compared:
        raise malformed("compares other scores than it returns")
    if classes is None:
        classes = np.arange(max(scores.width, 2))
    if len(classes) != max(scores.width, 2):
        raise malformed(f"has {len(classes)} labels for {scores.width} scores")
    if classes.dtype.kind == "O":
        return scores, _labelled(linked, classes.tolist(), "|O")
    dtype = np.dtype(declared.dtype if declared.dtype not in ("", "str") else "int64")
    return scores, _labelled(linked, classes.astype(dtype).tolist(), dtype.str)


def _labels(value: Call) -> tuple[NDArray[Any] | None, list[Table]]:
    """The list of labels, if there is one, and the tables of which the largest score decides."""
    classes: NDArray[Any] | None = None
    if value.operator == "ai.onnx.ml.ArrayFeatureExtractor":
        table, index = value.arguments
        if not isinstance(table, np.ndarray) or not isinstance(index, Call):
            raise _refusal(value)
        classes, value = table.reshape(-1), index
    elif value.operator == "Labels":
        classes = next(item for item in value.arguments if isinstance(item, np.ndarray))
        return classes, [item for item in value.arguments if isinstance(item, Table)]
    if value.operator != "ArgMax" or value.attributes.get("axis", 0) not in (1, -1):
        raise _refusal(value)
    if value.attributes.get("select_last_index", 0):
        raise unsupported(value.node, "with select_last_index")
    argument = value.arguments[0]
    linked = _scores(argument)
    two_columns = isinstance(argument, Call) and argument.operator == "Concat"
    if linked.scores.width == 1 and not two_columns:
        raise _refusal(value)
    return classes, [linked.scores]


def _refusal(value: Value) -> ModelError:
    """The error that names the first operator on the way to a value that has no encrypted form:
    all that it takes has one."""
    if not isinstance(value, Call):
        return malformed("returns something that is no table of scores")
    seen: set[int] = set()
    cause: Call | None = None
    while cause is None:
        lacking = [
            argument
            for argument in value.arguments
            if isinstance(argument, Call) and argument.table is None and id(argument) not in seen
        ]
        if lacking:
            value = lacking[0]
            seen.add(id(value))
        else:
            cause = value
    return unsupported(cause.node)
