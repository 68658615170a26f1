"""scikit-learn's trees and forests: from the arrays of `tree_` to an ensemble.

Source: `sklearn/tree/_tree.pyx` (`_apply_dense`): x is narrowed to float32 and compared with a
threshold in float64, x <= t goes left; `sklearn/ensemble/_forest.py`, `_bagging.py`, `_iforest.py`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.errors import PolicyError
from strongroom.models.links import Link
from strongroom.models.output import Method, OutputSpec
from strongroom.models.sklearn_refusals import class_name, refused
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.reading import Reading
from strongroom.models.trees.tree import Tree

SINGLE: Final = frozenset(
    {"DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"}
)
FORESTS: Final = frozenset(
    {
        "RandomForestClassifier",
        "RandomForestRegressor",
        "ExtraTreesClassifier",
        "ExtraTreesRegressor",
    }
)
BAGGED: Final = frozenset({"BaggingClassifier", "BaggingRegressor"})

FOREST_TIE: Final = 2.0**-13
"""Probabilities that differ by at most this are a tie, which a forest's are exactly and often: the
error of two scores of 14 bits, the precision that a policy asks for unless told otherwise."""


def import_forest(step: str, estimator: Any) -> tuple[Ensemble, OutputSpec]:
    """Import a fitted tree, forest, bagging of trees or isolation forest.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    if class_name(estimator) == "IsolationForest":
        return _isolation_forest(step, estimator)
    single = class_name(estimator) in SINGLE
    members = [estimator] if single else list(estimator.estimators_)
    for member in members:
        if class_name(member) not in SINGLE:
            raise refused(
                step,
                estimator,
                f" of {type(member).__name__[:60]}",
                "Use trees as its estimators",
            )
    columns = int(estimator.n_features_in_)
    places = [np.arange(columns)] * len(members)
    if class_name(estimator) in BAGGED:
        places = [np.asarray(taken) for taken in estimator.estimators_features_]
    if class_name(estimator).endswith("Classifier"):
        check_classes(step, estimator)
        tables = [_probabilities(estimator, member) for member in members]
        output = classifier_output(step, estimator, "mean_probabilities", FOREST_TIE)
    else:
        tables = [member.tree_.value[:, :, 0] for member in members]
        outputs = tables[0].shape[1]
        output = OutputSpec(
            "regression", "identity", outputs, (), "<f8", flat=outputs == 1, methods=("predict",)
        )
    trees = [
        sklearn_tree(member.tree_, table / len(members), tuple(range(output.outputs)), taken)
        for member, table, taken in zip(members, tables, places, strict=True)
    ]
    base = np.zeros(output.outputs)
    return Ensemble.checked(columns, trees, base, tree_reading(estimator)), output


def sklearn_tree(
    grown: Any,
    values: NDArray[np.float64],
    outputs: tuple[int, ...],
    places: NDArray[np.intp] | None = None,
) -> Tree:
    """A tree from scikit-learn's arrays.

    Args:
        grown: `tree_` of the estimator.
        values: what nodes add, shape (nodes, len(outputs)).
        outputs: to which scores.
        places: which column of the table each column of the tree is; None if they are the same.
    """
    feature = np.asarray(grown.feature, dtype=np.intp)
    is_split = np.asarray(grown.children_left) >= 0
    columns = np.where(is_split, feature if places is None else places[np.maximum(feature, 0)], -1)
    nodes = len(columns)
    missing_left = getattr(grown, "missing_go_to_left", None)  # scikit-learn 1.3 and later
    return Tree(
        columns=columns.astype(np.intp),
        thresholds=_as_compared(np.asarray(grown.threshold, dtype=np.float64)),
        left=np.asarray(grown.children_left, dtype=np.intp),
        right=np.asarray(grown.children_right, dtype=np.intp),
        missing_left=(
            np.zeros(nodes, dtype=bool)
            if missing_left is None
            else np.asarray(missing_left).astype(bool)
        ),
        members={},
        members_left=np.zeros(nodes, dtype=bool),
        values=np.asarray(values, dtype=np.float64),
        outputs=outputs,
    )


def tree_reading(estimator: Any) -> Reading:
    """How scikit-learn's trees look at rows."""
    tags = estimator.__sklearn_tags__()
    missing = bool(tags.input_tags.allow_nan) and getattr(estimator, "monotonic_cst", None) is None
    return Reading("float32", "<=", missing, {}, {})


def check_classes(step: str, estimator: Any) -> None:
    """Refuse classifiers of several targets and of one class."""
    classes = estimator.classes_
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        raise refused(step, estimator, " with several targets", "Train one classifier a target")
    if len(classes) < 2:
        raise refused(step, estimator, " with one class", "Train with two classes or more")


def classifier_output(
    step: str,
    estimator: Any,
    link: Link,
    tie: float = 0.0,
    link_scale: float = 1.0,
    decision: bool = False,
) -> OutputSpec:
    """What a classifier returns: one score where there are two classes, else one a class.

    Args:
        step: where the estimator is.
        estimator: with `classes_`.
        link: of its probabilities.
        tie: see `OutputSpec`.
        link_scale: see `OutputSpec`.
        decision: whether it has `decision_function`.
    """
    classes = estimator.classes_
    methods: tuple[Method, ...] = ("predict", "predict_proba")
    try:
        return OutputSpec(
            "classification",
            link,
            1 if len(classes) == 2 else len(classes),
            tuple(classes.tolist()),
            classes.dtype.str,
            flat=False,
            methods=(*methods, "decision_function") if decision else methods,
            link_scale=link_scale,
            tie=tie,
        )
    except PolicyError as error:
        raise refused(
            step,
            estimator,
            f" with {len(classes)} labels of dtype {classes.dtype}",
            "Train with labels that are booleans, numbers or texts, at least two different ones",
        ) from error


def _as_compared(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest number of float32 that a threshold lets to the left: thresholds that no float32
    tells apart become one cut point."""
    with np.errstate(over="ignore"):
        narrow = thresholds.astype(np.float32)
    below = np.nextafter(narrow, np.float32(-np.inf))
    return np.where(narrow.astype(np.float64) > thresholds, below, narrow).astype(np.float64)


def _probabilities(estimator: Any, member: Any) -> NDArray[np.float64]:
    """What nodes of one tree say of the ensemble's classes: probabilities, shape (nodes, classes);
    of two classes, the second's less the first's."""
    value = member.tree_.value[:, 0, :]
    shares = value / value.sum(axis=1, keepdims=True)
    classes = len(estimator.classes_)
    table = np.zeros((len(shares), classes))
    # a bagged tree may not have seen all classes: its own are numbers of the ensemble's
    own = range(classes) if shares.shape[1] == classes else member.classes_.astype(np.intp)
    table[:, list(own)] = shares
    return table[:, 1:] - table[:, :1] if classes == 2 else table


def _isolation_forest(step: str, estimator: Any) -> tuple[Ensemble, OutputSpec]:
    """An outlier has short paths: with the mean length s of its paths, as a multiple of the usual
    one, it is one where 2**-s exceeds -offset_."""
    usual = float(_usual_depth(np.array([estimator._max_samples]))[0])
    if usual == 0.0 or not -1.0 < estimator.offset_ < 0.0:
        raise refused(step, estimator, " of single rows", "Train with more rows a tree")
    members = estimator.estimators_
    trees = []
    for member, taken in zip(members, estimator.estimators_features_, strict=True):
        grown = member.tree_
        length = _depths(grown) + _usual_depth(grown.n_node_samples)
        shares = (length / (usual * len(members)))[:, None]
        trees.append(sklearn_tree(grown, shares, (0,), np.asarray(taken)))
    base = np.array([np.log2(-estimator.offset_)])
    output = OutputSpec(
        "classification", "identity", 1, (-1, 1), "<i8", flat=False, methods=("predict",)
    )
    reading = replace(tree_reading(estimator), missing=True)
    return Ensemble.checked(int(estimator.n_features_in_), trees, base, reading), output


def _depths(grown: Any) -> NDArray[np.float64]:
    """How many splits lead to each node."""
    depths = np.zeros(len(grown.children_left))
    for node in range(len(depths)):  # children come after their parents
        for child in (grown.children_left[node], grown.children_right[node]):
            if child >= 0:
                depths[child] = depths[node] + 1.0
    return depths


def _usual_depth(rows: NDArray[Any]) -> NDArray[np.float64]:
    """Mean depth of an unsuccessful search in a binary tree of so many rows (Liu et al. 2008)."""
    count = np.asarray(rows, dtype=np.float64)
    many = np.maximum(count, 3.0)
    depth = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(count <= 1.0, 0.0, np.where(count == 2.0, 1.0, depth))
