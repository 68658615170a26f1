"""LightGBM: from its text model to an ensemble.

Source: `src/io/tree.cpp` and `include/LightGBM/tree.h` of LightGBM (format and decisions),
`src/boosting/gbdt_model_text.cpp` (the file), `src/application/predictor.hpp` (numbers within 1e-35
of zero are zeros). Numbers go left if x <= t in float64, members of a bit set go left.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.categories import Categories
from strongroom.models.links import Link
from strongroom.models.output import Method, OutputSpec
from strongroom.models.rows import InputSpec, shown
from strongroom.models.trees.ensemble import Ensemble, TreeModel
from strongroom.models.trees.lightgbm_text import (
    Fields,
    integer,
    integers,
    numbers,
    read_text,
)
from strongroom.models.trees.model_files import check_shape, malformed
from strongroom.models.trees.reading import CategoryRule, Reading
from strongroom.models.trees.tree import MAXIMUM_NODES, Tree

ZERO: Final = float(np.float32(1e-35))
"""Numbers up to this magnitude count as zero (`kZeroThreshold`)."""

VALUE_OBJECTIVES: Final[dict[str, Link]] = {
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "lambdarank": "identity",
    "rank_xendcg": "identity",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "cross_entropy": "logistic_each",
    "cross_entropy_lambda": "softplus",
}
CLASSIFIERS: Final[dict[str, tuple[Link, Link]]] = {
    "binary": ("logistic", "logistic_each"),
    "multiclass": ("softmax", "softmax"),
    "multiclassova": ("logistic_each", "logistic_each"),
}
"""Link of a classifier's probabilities, and of the values that a Booster returns."""

_MISSING_ZERO, _MISSING_NAN = 1, 2
_WORD_BITS: Final = 32


def read_lightgbm(data: bytes) -> TreeModel:
    """Import the bytes of a `.txt` file; `predict` returns what a Booster's does.

    Raises:
        ModelError: SR-MODEL-FILE, -VALUES, -UNSUPPORTED.
    """
    return _import(data, None)


def import_object(model: Any) -> TreeModel:
    """Import a Booster, LGBMClassifier, LGBMRegressor or LGBMRanker.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, -UNFITTED, -VALUES.
    """
    if type(model).__name__ == "Booster":
        return _import(model.model_to_string().encode(), None)
    if not model.__sklearn_is_fitted__():
        raise ModelError(
            "SR-MODEL-UNFITTED",
            f"{type(model).__name__[:60]} has not been fitted",
            "Call fit before protecting the model",
        )
    classes = getattr(model, "classes_", None)
    return _import(
        model.booster_.model_to_string().encode(), None if classes is None else np.asarray(classes)
    )


def _import(data: bytes, classes: NDArray[Any] | None) -> TreeModel:
    text = read_text(data)
    header = text.header
    columns = integer(header, "max_feature_idx") + 1
    outputs = max(integer(header, "num_tree_per_iteration"), 1)
    check_shape(columns, outputs)
    objective, *parameters = header.get("objective", "none").split()
    output = _output(objective, parameters, outputs, classes)
    readings = _ColumnReadings()
    trees = [
        _tree(block, number, number % outputs, readings) for number, block in enumerate(text.trees)
    ]
    if "average_output" in header and trees:
        rounds = len(trees) // outputs
        trees = [replace(tree, values=tree.values / max(rounds, 1)) for tree in trees]
    ensemble = Ensemble.checked(columns, trees, np.zeros(outputs), readings.reading())
    spec = InputSpec(
        columns,
        _names(header, columns),
        "float64",
        categories=_categories(header, text.rest),
        missing=tuple(range(columns)),
    )
    return TreeModel("LightGBM", ensemble, spec, output)


class _ColumnReadings:
    """What the nodes of all trees say of their columns; they have to say the same."""

    def __init__(self) -> None:
        self.categories: dict[int, CategoryRule] = {}
        self.zeros: set[int] = set()
        self.numbers: set[int] = set()
        self.members = 0

    def category(self, column: int) -> None:
        self.categories[column] = CategoryRule("truncated")

    def number(self, column: int, zero_is_missing: bool) -> None:
        (self.zeros if zero_is_missing else self.numbers).add(column)

    def reading(self) -> Reading:
        """How rows are looked at."""
        if self.zeros & self.numbers:
            raise _unsupported("columns in which zero is missing for some trees only")
        bounds = dict.fromkeys(self.zeros, (-ZERO, ZERO))
        return Reading("float64", "<=", True, bounds, self.categories)


def _tree(fields: Fields, number: int, output: int, readings: _ColumnReadings) -> Tree:
    if fields.get("is_linear", "0") != "0":
        raise _unsupported("linear models in its leaves", "Train with linear_tree=False")
    leaves = integer(fields, "num_leaves")
    splits = leaves - 1
    # so many numbers take at least as many characters
    if leaves < 1 or splits > len(fields.get("leaf_value", "")):
        raise malformed(f"has an impossible number of leaves in tree {number}")
    values = np.concatenate([np.zeros(splits), numbers(fields, "leaf_value", leaves)])
    columns = np.full(splits + leaves, -1, dtype=np.intp)
    thresholds, left, right = np.zeros(len(columns)), columns.copy(), columns.copy()
    missing_left = np.zeros(len(columns), dtype=bool)
    members: dict[int, frozenset[int]] = {}
    if splits:
        columns[:splits] = integers(fields, "split_feature", splits)
        thresholds[:splits] = numbers(fields, "threshold", splits)
        for children, name in ((left, "left_child"), (right, "right_child")):
            given = integers(fields, name, splits)
            # leaf n is written as -n - 1; here leaves come after all splits
            children[:splits] = np.where(given < 0, splits - 1 - given, given)
            if (given >= splits).any():
                raise malformed(f"has a child that is not there in tree {number}")
        kinds = integers(fields, "decision_type", splits)
        bits = _category_lists(fields, readings) if (kinds & 1).any() else []
        for node, kind in enumerate(kinds.tolist()):
            if kind & 1:
                members[node] = _members(bits, thresholds[node], number)
                thresholds[node] = 0.0
                readings.category(int(columns[node]))
                continue  # what is missing is in no list and goes right
            missing_type = kind >> 2 & 3
            readings.number(int(columns[node]), missing_type == _MISSING_ZERO)
            default_left = bool(kind & 2)
            thresholds[node] = _beyond_zero(thresholds[node])
            if missing_type in (_MISSING_ZERO, _MISSING_NAN):
                missing_left[node] = default_left
            else:  # what is missing counts as zero
                missing_left[node] = thresholds[node] >= 0.0
    return Tree(
        columns=columns,
        thresholds=thresholds,
        left=left,
        right=right,
        missing_left=missing_left,
        members=members,
        members_left=np.ones(len(columns), dtype=bool),
        values=values[:, None],
        outputs=(output,),
    )


def _beyond_zero(threshold: float) -> float:
    """A threshold that does the same to all numbers that count as zero as it does to zero."""
    if 0.0 <= threshold < ZERO:
        return ZERO
    return math.nextafter(-ZERO, -math.inf) if -ZERO <= threshold < 0.0 else threshold


def _category_lists(fields: Fields, readings: _ColumnReadings) -> list[frozenset[int]]:
    """The bit sets of a tree, as sets."""
    boundaries = integers(fields, "cat_boundaries", None)
    words = integers(fields, "cat_threshold", None)
    if (np.diff(boundaries) < 0).any() or boundaries.min() < 0 or boundaries.max() > len(words):
        raise malformed("has lists of categories that don't fit")
    if (words < 0).any() or (words >= 2**_WORD_BITS).any():
        raise malformed("has lists of categories that are not 32-bit words")
    # a few bytes of text can stand for 32 members
    readings.members += int(np.bitwise_count(words).sum())
    if readings.members > MAXIMUM_NODES:
        raise malformed(f"lists more than {MAXIMUM_NODES} categories")
    members = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
    return [
        frozenset(np.flatnonzero(members[_WORD_BITS * start : _WORD_BITS * stop]).tolist())
        for start, stop in pairwise(boundaries.tolist())
    ]


def _members(lists: list[frozenset[int]], place: float, tree: int) -> frozenset[int]:
    if not (0 <= place < len(lists) and place == int(place)):
        raise malformed(f"has a list of categories that is not there in tree {tree}")
    return lists[int(place)]


def _output(
    objective: str, parameters: list[str], outputs: int, classes: NDArray[Any] | None
) -> OutputSpec:
    if objective in CLASSIFIERS:
        link, value_link = CLASSIFIERS[objective]
        scale = float(_parameter(parameters, "sigmoid", "1"))
    elif classes is None and objective in (*VALUE_OBJECTIVES, "none"):
        value_link = VALUE_OBJECTIVES.get(objective, "identity")
        if objective == "regression" and "sqrt" in parameters:
            value_link = "signed_square"
        scale = 1.0
    else:
        raise _unsupported(f"the objective {shown(objective)}")
    if not 0.0 < scale < math.inf:
        raise malformed("has an impossible parameter 'sigmoid'")
    if classes is None:
        return OutputSpec(
            "regression",
            value_link,
            outputs,
            (),
            "<f8",
            flat=outputs == 1,
            methods=("predict",),
            link_scale=scale,
        )
    methods: tuple[Method, ...] = ("predict", "predict_proba")
    return OutputSpec(
        "classification",
        link,
        outputs,
        tuple(classes.tolist()),
        classes.dtype.str,
        flat=False,
        methods=methods,
        link_scale=scale,
    )


def _parameter(parameters: list[str], name: str, default: str) -> str:
    found = [text.partition(":")[2] for text in parameters if text.startswith(name + ":")]
    text = found[0] if found else default
    if not re.fullmatch(r"[0-9.eE+-]{1,32}", text):
        raise malformed(f"has an impossible parameter {name!r}")
    return text


def _names(header: Fields, columns: int) -> tuple[str, ...]:
    """Column names, where they are the training table's: LightGBM numbers columns that have none,
    and writes an underscore where a name has a space."""
    names = header.get("feature_names", "").split()
    if len(names) != columns or any("_" in name for name in names):
        return ()
    return tuple(names)


def _categories(header: Fields, rest: str) -> tuple[Categories, ...]:
    """Columns that were categories of a pandas frame, with their labels."""
    _, marker, text = rest.partition("\npandas_categorical:")
    if not marker:
        return ()
    try:
        lists = msgspec.json.decode(
            text.split("\n", 1)[0], type=list[list[bool | int | float | str]] | None
        )
    except (msgspec.DecodeError, RecursionError) as error:
        raise malformed("has a list of pandas categories that can't be read") from error
    infos = header.get("feature_infos", "").split(" ")
    columns = [place for place, info in enumerate(infos) if info[:1] not in ("[", "n", "")]
    if not lists:
        return ()
    if len(lists) != len(columns):
        raise _unsupported(
            "categories of a pandas frame next to others, or in constant columns",
            "Encode categories as numbers before training",
        )
    return tuple(
        Categories(column, tuple(labels), unknown=True)
        for column, labels in zip(columns, lists, strict=True)
    )


def _unsupported(what: str, remedy: str = "") -> ModelError:
    objectives = ", ".join((*CLASSIFIERS, *VALUE_OBJECTIVES))
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"the LightGBM model has {what}, which can't be run encrypted",
        remedy or f"Use one of the objectives {objectives}",
    )
