"""scikit-learn's boosted trees: gradient boosting, histogram gradient boosting and AdaBoost.

Source: `sklearn/ensemble/_gb.py` (raw prediction = initial one + learning rate * leaves),
`_hist_gradient_boosting/_predictor.pyx` (x <= t in float64; categories in bit sets go left; what is
unknown is missing), `_weight_boosting.py` (SAMME).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from strongroom.models.categories import Categories
from strongroom.models.links import Link
from strongroom.models.output import OutputSpec
from strongroom.models.sklearn_refusals import class_name, refused
from strongroom.models.trees.ensemble import Ensemble
from strongroom.models.trees.reading import CategoryRule, Reading
from strongroom.models.trees.sklearn_trees import (
    check_classes,
    classifier_output,
    sklearn_tree,
    tree_reading,
)
from strongroom.models.trees.tree import Tree

GRADIENT: Final = frozenset({"GradientBoostingClassifier", "GradientBoostingRegressor"})
HISTOGRAM: Final = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})
ADAPTIVE: Final = frozenset({"AdaBoostClassifier"})

_WORD_BITS: Final = 32


def import_gradient_boosting(step: str, estimator: Any) -> tuple[Ensemble, OutputSpec]:
    """Import a fitted GradientBoostingClassifier or GradientBoostingRegressor.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    columns = int(estimator.n_features_in_)
    starts_with = class_name(estimator.init_)
    constant = starts_with in ("DummyClassifier", "DummyRegressor")
    if not constant and estimator.init_ != "zero":
        raise refused(step, estimator, " with an initial estimator", "Use init=None or init='zero'")
    # with a constant to start from, this is the same for every row
    base = np.array(estimator._raw_predict_init(np.zeros((1, columns), dtype=np.float32))[0])
    output = _gradient_output(step, estimator, len(base))
    trees = [
        sklearn_tree(member.tree_, member.tree_.value[:, 0, :1] * estimator.learning_rate, (place,))
        for members in estimator.estimators_
        for place, member in enumerate(members)
    ]
    return Ensemble.checked(columns, trees, base, tree_reading(estimator)), output


def _gradient_output(step: str, estimator: Any, outputs: int) -> OutputSpec:
    if class_name(estimator) == "GradientBoostingRegressor":
        return _values("identity", outputs)
    check_classes(step, estimator)
    # the exponential loss's scores are half of log odds
    scale = 2.0 if estimator.loss == "exponential" else 1.0
    link: Link = "logistic" if outputs == 1 else "softmax"
    return classifier_output(step, estimator, link, link_scale=scale, decision=True)


def _values(link: Link, outputs: int) -> OutputSpec:
    return OutputSpec(
        "regression", link, outputs, (), "<f8", flat=outputs == 1, methods=("predict",)
    )


def import_histogram_boosting(
    step: str, estimator: Any
) -> tuple[Ensemble, OutputSpec, tuple[Categories, ...]]:
    """Import a fitted HistGradientBoostingClassifier or -Regressor.

    Returns:
        The ensemble, what it returns, and columns of which it takes codes of labels: all columns of
        categories, but those whose labels are their codes already.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    if not isinstance(estimator.loss, str):
        raise refused(step, estimator, " with a loss of its own", "Use a loss of scikit-learn's")
    columns = int(estimator.n_features_in_)
    places, rules, categories = _histogram_columns(step, estimator, columns)
    base = np.asarray(estimator._baseline_prediction, dtype=np.float64).reshape(-1)
    if class_name(estimator) == "HistGradientBoostingClassifier":
        check_classes(step, estimator)
        link: Link = "logistic" if len(base) == 1 else "softmax"
        output = classifier_output(step, estimator, link, decision=True)
    else:
        output = _values("exp" if estimator.loss in ("poisson", "gamma") else "identity", len(base))
    trees = [
        _histogram_tree(predictor, place, places)
        for predictors in estimator._predictors
        for place, predictor in enumerate(predictors)
    ]
    reading = Reading("float64", "<=", True, {}, rules)
    return Ensemble.checked(columns, trees, base, reading), output, categories


def _histogram_columns(
    step: str, estimator: Any, columns: int
) -> tuple[NDArray[np.intp], dict[int, CategoryRule], tuple[Categories, ...]]:
    """Where the trees' columns are in the table (categories come first in trees), which hold
    categories, and their labels."""
    if estimator.is_categorical_ is None:
        return np.arange(columns), {}, ()
    is_category = np.asarray(estimator.is_categorical_, dtype=bool)
    places = np.concatenate([np.flatnonzero(is_category), np.flatnonzero(~is_category)])
    encoder = estimator._preprocessor.named_transformers_["encoder"]
    rules, categories = {}, []
    for column, given in zip(
        np.flatnonzero(is_category).tolist(), encoder.categories_, strict=True
    ):
        labels = [label for label in given.tolist() if label is not None and label == label]
        rules[column] = CategoryRule("codes", len(labels))
        if labels != list(range(len(labels))):
            if not all(isinstance(label, bool | int | float | str) for label in labels):
                raise refused(step, estimator, " of categories that are neither texts nor numbers")
            categories.append(Categories(column, tuple(labels), unknown=True))
    return places, rules, tuple(categories)


def _histogram_tree(predictor: Any, output: int, places: NDArray[np.intp]) -> Tree:
    nodes = predictor.nodes
    is_split = nodes["is_leaf"] == 0
    columns = np.where(is_split, places[nodes["feature_idx"]], -1)
    members = {}
    for node in np.flatnonzero(is_split & (nodes["is_categorical"] != 0)).tolist():
        words = np.asarray(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]])
        bits = np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little")
        members[node] = frozenset(np.flatnonzero(bits).tolist())
    return Tree(
        columns=columns.astype(np.intp),
        thresholds=np.where(is_split, nodes["num_threshold"], 0.0),
        left=nodes["left"].astype(np.intp),
        right=nodes["right"].astype(np.intp),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        members=members,
        members_left=np.ones(len(nodes), dtype=bool),
        values=nodes["value"].astype(np.float64)[:, None],
        outputs=(output,),
    )


def import_adaptive_boosting(step: str, estimator: Any) -> tuple[Ensemble, OutputSpec]:
    """Import a fitted AdaBoostClassifier of trees: each tree votes for a class with its weight.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED.
    """
    check_classes(step, estimator)
    members = estimator.estimators_
    for member in members:
        if class_name(member) not in ("DecisionTreeClassifier", "ExtraTreeClassifier"):
            raise refused(
                step,
                estimator,
                f" of {type(member).__name__[:60]}",
                "Use DecisionTreeClassifier as its estimator",
            )
    classes = len(estimator.classes_)
    weights = np.asarray(estimator.estimator_weights_[: len(members)], dtype=np.float64)
    total = float(estimator.estimator_weights_.sum())
    if not total > 0.0:
        raise refused(step, estimator, " without weights", "Fit the model again")
    trees = []
    for member, weight in zip(members, weights / total, strict=True):
        # a tree's classes are the ensemble's labels, all or some of them
        chosen = member.classes_[member.tree_.value[:, 0, :].argmax(axis=1)]
        votes = np.where(chosen[:, None] == estimator.classes_, 1.0, -1.0 / (classes - 1)) * weight
        if classes == 2:
            votes = votes[:, 1:] - votes[:, :1]
        trees.append(sklearn_tree(member.tree_, votes, tuple(range(votes.shape[1]))))
    link: Link = "logistic" if classes == 2 else "softmax"
    output = classifier_output(step, estimator, link, link_scale=1.0 / (classes - 1), decision=True)
    columns = int(estimator.n_features_in_)
    base = np.zeros(output.outputs)
    return Ensemble.checked(columns, trees, base, tree_reading(estimator)), output
