"""XGBoost: from its JSON or UBJSON model to an ensemble.

Source: `doc/model.schema` and `src/tree/io_utils.h` of XGBoost (the format), `src/predictor` and
`include/xgboost/tree_model.h` (how trees are walked): numbers go left if x < t in float32, missing
ones as `default_left` says, categories in a node's list go right.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import ModelError
from strongroom.models.categories import Categories, Label
from strongroom.models.links import Link
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec, shown
from strongroom.models.trees.ensemble import MAXIMUM_VALUES, Ensemble, TreeModel
from strongroom.models.trees.model_files import (
    Section,
    check_shape,
    malformed,
    read_json,
)
from strongroom.models.trees.reading import CategoryRule, Reading
from strongroom.models.trees.tree import Tree
from strongroom.models.trees.ubjson import read_ubjson

VALUE_OBJECTIVES: Final[dict[str, Link]] = {
    "reg:squarederror": "identity",
    "reg:linear": "identity",
    "reg:squaredlogerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:absoluteerror": "identity",
    "reg:quantileerror": "identity",
    "reg:expectileerror": "identity",
    "rank:pairwise": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
    "binary:logitraw": "identity",
    "reg:logistic": "logistic_each",
    "binary:logistic": "logistic_each",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
    "multi:softprob": "softmax",
}
"""What a Booster returns: a value for each score. The objectives that choose a class are below."""

CLASSIFIERS: Final[dict[str, Link]] = {
    "binary:logistic": "logistic",
    "binary:hinge": "identity",
    "multi:softprob": "softmax",
    "multi:softmax": "softmax",
}


def read_xgboost(data: bytes) -> TreeModel:
    """Import the bytes of a `.json` or `.ubj` file.

    A file saved by XGBClassifier holds a classifier; all others return what a Booster returns.

    Raises:
        ModelError: SR-MODEL-FILE, -VALUES, -UNSUPPORTED.
    """
    binary = data[:1] == b"{" and data[1:2] in b"iUIlL"
    model = Section.of(read_ubjson(data) if binary else read_json(data))
    learner = model.section("learner")
    attributes = learner.fields.get("attributes")
    saved_by = attributes.get("scikit_learn", "") if isinstance(attributes, dict) else ""
    classifier = isinstance(saved_by, str) and '"classifier"' in saved_by
    wrapped = bool(saved_by)
    return import_learner(learner, classifier, _best_rounds(learner) if wrapped else None)


def import_object(model: Any) -> TreeModel:
    """Import a Booster, XGBClassifier, XGBRegressor, XGBRanker or one of their forests.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, -UNFITTED, -VALUES.
    """
    kind = type(model).__name__
    if kind == "Booster":
        learner = Section.of(read_ubjson(bytes(model.save_raw("ubj")))).section("learner")
        return import_learner(learner, False, None)
    if not model.__sklearn_is_fitted__():
        raise ModelError(
            "SR-MODEL-UNFITTED",
            f"{kind[:60]} has not been fitted",
            "Call fit before protecting the model",
        )
    booster = model.get_booster()
    learner = Section.of(read_ubjson(bytes(booster.save_raw("ubj")))).section("learner")
    missing = float("nan") if model.missing is None else float(model.missing)
    return import_learner(learner, hasattr(model, "n_classes_"), _best_rounds(learner), missing)


def import_learner(
    learner: Section, classifier: bool, rounds: int | None, missing: float = math.nan
) -> TreeModel:
    """Import what a model file calls its learner.

    Args:
        learner: the section.
        classifier: whether `predict` returns labels, as XGBClassifier's does.
        rounds: how many rounds of boosting predict; None for all.
        missing: the number that counts as missing, besides NaN.
    """
    parameters = learner.section("learner_model_param")
    columns = parameters.integer("num_feature")
    outputs = max(parameters.integer("num_class"), _optional(parameters, "num_target", 1), 1)
    check_shape(columns, outputs)
    objective = learner.section("objective").text("name")
    booster = learner.section("gradient_booster")
    output = _output(objective, outputs, classifier)
    rules: dict[int, CategoryRule] = {}
    trees = _trees(booster, outputs, rounds, rules)
    used = {int(column) for tree in trees for column in np.unique(tree.columns)}
    numbers = {} if math.isnan(missing) else dict.fromkeys(used - rules.keys(), (missing, missing))
    if numbers and rules:
        raise _unsupported("categories together with a number for missing values")
    ensemble = Ensemble.checked(
        columns,
        trees,
        _base(parameters.text("base_score"), objective, outputs),
        Reading("float32", "<", True, numbers, rules),
    )
    categories = _categories(booster)
    names = learner.items("feature_names") if "feature_names" in learner.fields else []
    if not all(isinstance(name, str) for name in names):
        raise malformed("has column names that are not texts")
    if names and len(names) != columns:
        raise malformed(f"has {len(names)} names for {columns} columns")
    spec = InputSpec(
        columns, tuple(names), "float32", categories=categories, missing=tuple(range(columns))
    )
    return TreeModel("XGBoost", ensemble, spec, output)


def _optional(section: Section, name: str, default: int) -> int:
    return section.integer(name) if name in section.fields else default


def _best_rounds(learner: Section) -> int | None:
    """The rounds that early stopping kept, which only the scikit-learn interface goes by."""
    attributes = learner.fields.get("attributes")
    if not isinstance(attributes, dict) or "best_iteration" not in attributes:
        return None
    best = Section.of(attributes, "the attributes").integer("best_iteration")
    if best < 0:
        raise malformed("has a best iteration below 0")
    return best + 1


def _output(objective: str, outputs: int, classifier: bool) -> OutputSpec:
    if objective not in VALUE_OBJECTIVES and objective not in CLASSIFIERS:
        raise _unsupported(f"the objective {shown(objective)}")
    if classifier and objective not in CLASSIFIERS:
        raise _unsupported(f"a classifier with the objective {shown(objective)}")
    if (
        outputs > 1
        and not objective.startswith("multi:")
        and (classifier or objective.startswith(("binary:", "reg:logistic")))
    ):
        raise _unsupported("several labels a row", "Train one model a label")
    if not classifier and objective in VALUE_OBJECTIVES:
        link = VALUE_OBJECTIVES[objective]
        return OutputSpec(
            "regression", link, outputs, (), "<f4", flat=outputs == 1, methods=("predict",)
        )
    link = CLASSIFIERS[objective] if classifier else "identity"
    # XGBClassifier counts classes in int64 (int32 with multi:softmax), a Booster in float32
    dtype = "<f4" if not classifier else "<i4" if objective == "multi:softmax" else "<i8"
    classes = range(max(outputs, 2))
    return OutputSpec(
        "classification",
        link,
        outputs,
        tuple(classes) if classifier else tuple(map(float, classes)),
        dtype,
        flat=False,
        methods=("predict",) if link == "identity" else ("predict", "predict_proba"),
    )


def _base(text: str, objective: str, outputs: int) -> NDArray[np.float64]:
    """Base scores before the link; the file has them after it, in float32."""
    try:
        given = np.array([float(part) for part in text.strip("[]").split(",")], dtype=np.float32)
    except ValueError as error:
        raise malformed("has a base score that is not a number") from error
    if len(given) not in (1, outputs):
        raise malformed(f"has {len(given)} base scores for {outputs} outputs")
    link = VALUE_OBJECTIVES.get(objective)
    with np.errstate(all="ignore"):
        if link == "logistic_each":
            given = -np.log(np.float32(1) / given - np.float32(1))
        elif link == "exp":
            given = np.log(given)
    return np.array(np.broadcast_to(given.astype(np.float64), outputs))


def _trees(
    booster: Section, outputs: int, rounds: int | None, rules: dict[int, CategoryRule]
) -> list[Tree]:
    kind = booster.text("name")
    if kind == "gblinear":
        raise _unsupported("the booster 'gblinear'", "Train a linear model with scikit-learn")
    if kind not in ("gbtree", "dart"):
        raise _unsupported(f"the booster {shown(kind)}")
    model = (booster if kind == "gbtree" else booster.section("gbtree")).section("model")
    found = model.sections("trees")
    info = model.integers("tree_info", len(found))
    factors = booster.numbers("weight_drop", len(found)) if kind == "dart" else np.ones(len(found))
    if rounds is not None:
        per_round = _optional(model.section("gbtree_model_param"), "num_parallel_tree", 1)
        trees_a_round = max(per_round, 1) * (1 if _is_vector(found) else outputs)
        found = found[: rounds * trees_a_round]
    return [
        _tree(section, int(output), outputs, float(factor), rules)
        for section, output, factor in zip(found, info, factors, strict=False)
    ]


def _is_vector(trees: list[Section]) -> bool:
    """Whether leaves hold a number for each output."""
    return bool(trees) and _optional(trees[0].section("tree_param"), "size_leaf_vector", 1) > 1


def _tree(
    section: Section, output: int, outputs: int, factor: float, rules: dict[int, CategoryRule]
) -> Tree:
    left = section.integers("left_children")
    nodes = len(left)
    right = section.integers("right_children", nodes)
    is_split = left >= 0
    columns = np.where(is_split, section.integers("split_indices", nodes), -1)
    with np.errstate(over="ignore"):
        narrow = section.numbers("split_conditions", nodes).astype(np.float32)
    conditions = narrow.astype(np.float64)
    if _is_vector([section]):
        if "leaf_weights" not in section.fields:
            raise _unsupported("trees of several outputs of an older version", "Save it anew")
        weights = section.numbers("leaf_weights")
        rows = weights.reshape(-1, outputs) if len(weights) % outputs == 0 else weights[:0, None]
        leaf = np.where(is_split, 0, right)
        if not len(rows) or leaf.min() < 0 or leaf.max() >= len(rows):
            raise malformed(f"has a leaf without values at {section.place}")
        if nodes * outputs > MAXIMUM_VALUES:
            raise malformed(f"has more than {MAXIMUM_VALUES} values at {section.place}")
        values, adds_to = rows[leaf] * factor, tuple(range(outputs))
    else:
        values, adds_to = conditions[:, None] * factor, (output,)
    members = _members(section, nodes) if "split_type" in section.fields else {}
    for node in members:
        rules[int(columns[node])] = CategoryRule("floored")
    return Tree(
        columns=columns.astype(np.intp),
        thresholds=np.where(is_split, conditions, 0.0),
        left=left.astype(np.intp),
        right=right.astype(np.intp),
        missing_left=section.integers("default_left", nodes).astype(bool),
        members=members,
        members_left=np.zeros(nodes, dtype=bool),
        values=values,
        outputs=adds_to,
    )


def _members(section: Section, nodes: int) -> dict[int, frozenset[int]]:
    """The lists of categories, by node."""
    split_type = section.integers("split_type", nodes)
    places = section.integers("categories_nodes")
    starts = section.integers("categories_segments", len(places))
    sizes = section.integers("categories_sizes", len(places))
    categories = section.integers("categories")
    if (
        ((starts < 0) | (sizes < 0) | (starts + sizes > len(categories))).any()
        or sizes.sum() > len(categories)
        or sorted(places.tolist()) != np.flatnonzero(split_type == 1).tolist()
    ):
        raise malformed(f"has lists of categories that don't fit at {section.place}")
    return {
        int(node): frozenset(categories[start : start + size].tolist())
        for node, start, size in zip(places, starts, sizes, strict=True)
    }


def _categories(booster: Section) -> tuple[Categories, ...]:
    """Columns whose categories were labels in training; the model holds the labels since 3.1."""
    model = booster.fields.get("model")
    cats = model.get("cats") if isinstance(model, dict) else None
    if not isinstance(cats, dict) or not cats.get("enc"):
        return ()
    found = []
    for column, encoding in enumerate(Section.of(cats, "the categories").sections("enc")):
        labels = _labels(encoding)
        if labels:
            found.append(Categories(column, labels, unknown=False))
    return tuple(found)


def _labels(encoding: Section) -> tuple[Label, ...]:
    """The labels of a column: integers, or texts, which are one array of bytes with offsets."""
    values = encoding.integers("values").tolist()
    if "offsets" not in encoding.fields:
        return tuple(values)
    if not all(0 <= value < 128 for value in values):
        # XGBoost 3 counts characters where it stores bytes, and cuts the last labels off
        raise _unsupported(
            "labels of categories beyond ASCII", "Name categories in ASCII before training"
        )
    offsets, text = encoding.integers("offsets").tolist(), bytes(values).decode()
    return tuple(text[start:stop] for start, stop in pairwise(offsets))


def _unsupported(what: str, remedy: str = "") -> ModelError:
    return ModelError(
        "SR-MODEL-UNSUPPORTED",
        f"the XGBoost model has {what}, which can't be run encrypted",
        remedy or f"Use one of the objectives {', '.join(sorted(CLASSIFIERS))}, or a regression",
    )
