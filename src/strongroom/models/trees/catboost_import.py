"""CatBoost: from its JSON model to an ensemble.

Source: `catboost/libs/model/model_export/json_model_helpers.cpp` of CatBoost (the format). A split
asks x > border in float32: what is not above goes left. In oblivious trees all nodes of a level ask
the same, and split i is bit i of a leaf's number.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.links import Link
from strongroom.models.output import Method, OutputSpec
from strongroom.models.rows import InputSpec, shown
from strongroom.models.trees.ensemble import Ensemble, TreeModel
from strongroom.models.trees.model_files import (
    Section,
    check_shape,
    malformed,
    read_file,
    read_json,
)
from strongroom.models.trees.reading import Reading
from strongroom.models.trees.tree import MAXIMUM_DEPTH, MAXIMUM_NODES, Tree

VALUE_OBJECTIVES: Final[dict[str, Link]] = {
    "RMSE": "identity",
    "MultiRMSE": "identity",
    "MAE": "identity",
    "Quantile": "identity",
    "LogLinQuantile": "identity",
    "MAPE": "identity",
    "Huber": "identity",
    "Lq": "identity",
    "Expectile": "identity",
    "RMSPE": "identity",
    "LogCosh": "identity",
    "Poisson": "exp",
    "Tweedie": "exp",
    "YetiRank": "identity",
    "YetiRankPairwise": "identity",
    "PairLogit": "identity",
    "PairLogitPairwise": "identity",
    "QueryRMSE": "identity",
    "QuerySoftMax": "identity",
    "QueryCrossEntropy": "identity",
    "LambdaMart": "identity",
    "StochasticRank": "identity",
}
CLASSIFIERS: Final[dict[str, Link]] = {
    "Logloss": "logistic",
    "CrossEntropy": "logistic",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "logistic_each",
}
LABEL_DTYPES: Final = {"Integer": "<i8", "Float": "<f8", "Boolean": "|b1", "String": "|O"}

MAXIMUM_OBLIVIOUS_DEPTH: Final = 16
LARGEST: Final = float(np.finfo(np.float32).max)


def read_catboost(data: bytes) -> TreeModel:
    """Import the bytes of a `.json` file: a CatBoostClassifier, CatBoostRegressor or
    CatBoostRanker, as its loss says.

    Raises:
        ModelError: SR-MODEL-FILE, -VALUES, -UNSUPPORTED.
    """
    model = Section.of(read_json(data))
    information = model.section("model_info")
    _check_features(model)
    columns, places, nan_above, names = _float_features(model)
    scale, base = _scale_and_bias(model)
    check_shape(columns, len(base))
    splits = _Splits(places, nan_above)
    if "oblivious_trees" in model.fields:
        trees = [
            _oblivious(section, splits, scale, len(base))
            for section in model.sections("oblivious_trees")
        ]
    else:
        trees = [_nested(tree, splits, scale, len(base)) for tree in model.sections("trees")]
    reading = Reading("float32", "<=", True, {}, {})
    ensemble = Ensemble.checked(columns, trees, base, reading)
    spec = InputSpec(columns, names, "float32", missing=tuple(range(columns)))
    return TreeModel("CatBoost", ensemble, spec, _output(information, len(base)))


def import_object(model: Any) -> TreeModel:
    """Import a CatBoost, CatBoostClassifier, CatBoostRegressor or CatBoostRanker.

    CatBoost writes JSON to files only: one in memory, so that no disk holds the model in the clear.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, -UNFITTED, -VALUES.
    """
    if not model.is_fitted():
        raise ModelError(
            "SR-MODEL-UNFITTED",
            f"{type(model).__name__[:60]} has not been fitted",
            "Call fit before protecting the model",
        )
    if type(model).__name__ == "CatBoost":
        raise _unsupported(
            "no task of its own", "Use CatBoostClassifier, CatBoostRegressor or CatBoostRanker"
        )
    descriptor = os.memfd_create("catboost", os.MFD_CLOEXEC)
    try:
        path = Path(f"/proc/self/fd/{descriptor}")
        try:
            model.save_model(str(path), format="json")
        except Exception as error:  # catboost raises its own errors, for categories for one
            raise _unsupported("features that CatBoost can't export as JSON") from error
        return read_catboost(read_file(path))
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class _Splits:
    """What splits ask, by the number of a feature of floats.

    Attributes:
        columns: places in the table.
        nan_above: whether a missing value counts as above all borders.
    """

    columns: list[int]
    nan_above: list[bool]

    def read(self, split: Section) -> tuple[int, float, bool]:
        """Column, border, and whether a missing value goes left."""
        kind = split.text("split_type")
        if kind != "FloatFeature":
            raise _unsupported(
                f"splits of the type {shown(kind)}", "Encode categories as numbers before training"
            )
        feature = split.integer("float_feature_index")
        if not 0 <= feature < len(self.columns):
            raise malformed(f"has a feature that is not there at {split.place}")
        border = float(np.float32(split.number("border")))
        if abs(border) >= LARGEST:  # such a border only separates what is missing
            border = math.copysign(math.inf, border)
        return self.columns[feature], border, not self.nan_above[feature]


def _check_features(model: Section) -> None:
    features = model.section("features_info")
    for kind in ("categorical_features", "text_features", "embedding_features", "ctrs"):
        if features.fields.get(kind):
            raise _unsupported(kind.replace("_", " "), "Encode them as numbers before training")


def _float_features(model: Section) -> tuple[int, list[int], list[bool], tuple[str, ...]]:
    """Number of columns; each feature's column and whether NaN is above; names, if all have one."""
    sections = model.section("features_info").sections("float_features")
    places = [section.integer("flat_feature_index") for section in sections]
    if not places or sorted(places) != list(range(len(places))):
        raise malformed("has features that are not all columns of a table")
    nan_above = []
    for section in sections:
        treatment = section.text("nan_value_treatment")
        if treatment not in ("AsIs", "AsFalse", "AsTrue"):
            raise malformed(f"has an unknown treatment of missing values at {section.place}")
        nan_above.append(treatment == "AsTrue")
    names = [""] * len(places)
    for place, section in zip(places, sections, strict=True):
        if "feature_id" in section.fields:
            names[place] = section.text("feature_id")
    # columns without names are called by their numbers
    named = all(names) and names != [str(place) for place in range(len(names))]
    return len(places), places, nan_above, tuple(names) if named else ()


def _scale_and_bias(model: Section) -> tuple[float, NDArray[np.float64]]:
    parts = model.items("scale_and_bias")
    if len(parts) != 2:
        raise malformed("has no scale and bias")
    bias = parts[1] if isinstance(parts[1], list) else [parts[1]]
    section = Section({"scale": parts[0], "bias": bias})
    return section.number("scale"), section.numbers("bias")


def _oblivious(section: Section, splits: _Splits, scale: float, outputs: int) -> Tree:
    """A full binary tree: the root asks the last split, so that leaves are in their order."""
    asked = [splits.read(split) for split in reversed(section.sections("splits"))]
    depth = len(asked)
    if depth > MAXIMUM_OBLIVIOUS_DEPTH:
        raise malformed(f"has an oblivious tree deeper than {MAXIMUM_OBLIVIOUS_DEPTH}")
    values = section.numbers("leaf_values", outputs * 2**depth).reshape(-1, outputs) * scale
    inner = 2**depth - 1
    levels = np.repeat(np.arange(depth), 2 ** np.arange(depth))
    nodes = np.arange(inner)
    columns, thresholds, missing_left = (
        np.array(column)[levels] if depth else np.zeros(0)
        for column in (zip(*asked, strict=True) if depth else ([], [], []))
    )
    leaves = np.zeros(len(values))
    return Tree(
        columns=np.concatenate([columns, leaves - 1]).astype(np.intp),
        thresholds=np.concatenate([thresholds, leaves]),
        left=np.concatenate([2 * nodes + 1, leaves]).astype(np.intp),
        right=np.concatenate([2 * nodes + 2, leaves]).astype(np.intp),
        missing_left=np.concatenate([missing_left, leaves]).astype(bool),
        members={},
        members_left=np.zeros(inner + len(values), dtype=bool),
        values=np.concatenate([np.zeros((inner, outputs)), values]),
        outputs=tuple(range(outputs)),
    )


def _nested(root: Section, splits: _Splits, scale: float, outputs: int) -> Tree:
    """A tree of nodes within nodes."""
    columns: list[int] = []
    thresholds: list[float] = []
    missing_left: list[bool] = []
    children: list[list[int]] = []
    values: list[NDArray[np.float64]] = []
    stack = [(root, -1, 0, 0)]
    while stack:
        section, parent, side, depth = stack.pop()
        if len(columns) > MAXIMUM_NODES or depth > MAXIMUM_DEPTH:
            raise malformed("has a tree with too many nodes")
        node = len(columns)
        if parent >= 0:
            children[parent][side] = node
        column, threshold, to_left = -1, 0.0, False
        value = np.zeros(outputs)
        if "split" in section.fields:
            column, threshold, to_left = splits.read(section.section("split"))
            stack.append((section.section("right"), node, 1, depth + 1))
            stack.append((section.section("left"), node, 0, depth + 1))
        elif outputs == 1 and not isinstance(section.fields.get("value"), list):
            value = np.array([section.number("value") * scale])
        else:
            value = section.numbers("value", outputs) * scale
        columns.append(column)
        thresholds.append(threshold)
        missing_left.append(to_left)
        children.append([0, 0])
        values.append(value)
    left, right = np.array(children, dtype=np.intp).T
    return Tree(
        columns=np.array(columns, dtype=np.intp),
        thresholds=np.array(thresholds),
        left=left,
        right=right,
        missing_left=np.array(missing_left, dtype=bool),
        members={},
        members_left=np.zeros(len(columns), dtype=bool),
        values=np.array(values),
        outputs=tuple(range(outputs)),
    )


def _output(information: Section, outputs: int) -> OutputSpec:
    loss = information.section("params").section("loss_function").text("type")
    if loss in VALUE_OBJECTIVES:
        link = VALUE_OBJECTIVES[loss]
        return OutputSpec(
            "regression", link, outputs, (), "<f8", flat=outputs == 1, methods=("predict",)
        )
    if loss not in CLASSIFIERS:
        raise _unsupported(f"the loss {shown(loss)}")
    if "binclass_probability_threshold" in information.fields:
        raise _unsupported("a probability threshold of its own", "Take the threshold off")
    parameters = information.section("class_params")
    kind = parameters.text("class_label_type")
    if kind not in LABEL_DTYPES:
        raise _unsupported(f"labels of the type {shown(kind)}")
    methods: tuple[Method, ...] = ("predict", "predict_proba")
    names = parameters.items("class_names")
    if not all(isinstance(name, bool | int | float | str) for name in names):
        raise malformed("has classes that are neither texts nor numbers")
    return OutputSpec(
        "classification",
        CLASSIFIERS[loss],
        outputs,
        tuple(names),
        LABEL_DTYPES[kind],
        flat=False,
        methods=methods,
    )


def _unsupported(what: str, remedy: str = "") -> ModelError:
    losses = ", ".join((*CLASSIFIERS, *VALUE_OBJECTIVES))
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"the CatBoost model has {what}, which can't be run encrypted",
        remedy or f"Use one of the losses {losses}",
    )
