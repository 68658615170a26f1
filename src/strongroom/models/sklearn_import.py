"""scikit-learn to `Graph`.

A model is followed step by step as a formula (`sklearn_tables`). What is affine becomes part of the
model and stays secret; what a step that is not affine needs runs at the asker and is public.
"""

from __future__ import annotations

from typing import Any

from strongroom.errors import ModelError, PolicyError
from strongroom.models.graph import Graph
from strongroom.models.rows import MAXIMUM_COLUMNS
from strongroom.models.sklearn_bayes import LIKELIHOODS
from strongroom.models.sklearn_graphs import graph_of, tree_graph_of
from strongroom.models.sklearn_kernels import KERNEL_PREDICTORS
from strongroom.models.sklearn_networks import NETWORKS
from strongroom.models.sklearn_outputs import Predictor, Scores
from strongroom.models.sklearn_predictors import LINEAR, one_vs_one, one_vs_rest
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import (
    below,
    check_columns,
    check_fitted,
    check_width,
    class_name,
    placed,
    refused,
)
from strongroom.models.sklearn_steps import transformed
from strongroom.models.sklearn_tables import Table, width
from strongroom.models.trees.importing import (
    import_tree_estimator,
    import_trees,
    is_tree_estimator,
)
from strongroom.models.trees.options import TreeOptions

SEARCHES = frozenset(
    {
        "GridSearchCV",
        "RandomizedSearchCV",
        "HalvingGridSearchCV",
        "HalvingRandomSearchCV",
    }
)
PREDICTORS: dict[str, Predictor] = {**LINEAR, **LIKELIHOODS, **NETWORKS, **KERNEL_PREDICTORS}


def import_sklearn(
    estimator: Any, options: TreeOptions | None = None, *, whole_trees: bool = False
) -> Graph:
    """Import a fitted scikit-learn model: a predictor, or a pipeline that ends in one.

    A search (GridSearchCV and the like) stands for its best estimator. The last step may be a tree
    model of another framework.

    Args:
        estimator: the model.
        options: the dials of trees, if it has any; None for the usual ones.
        whole_trees: keep trees as they are (`models.trees.whole`); there are no dials then.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming step and class; SR-MODEL-UNFITTED;
            SR-MODEL-VALUES; SR-MODEL-EXTRA.
    """
    steps = _steps("", estimator)
    place, last = steps[-1]
    if last is None or isinstance(last, str):
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "the pipeline ends without a predictor",
            "Add a predictor such as LogisticRegression or Ridge as its last step",
        )
    if len(steps) == 1 and is_tree_estimator(last):
        graph = import_trees(last, options, whole=whole_trees)
        if graph is not None:
            return graph
    try:
        return _graph(steps, None if whole_trees else options or TreeOptions())
    except PolicyError as error:
        raise ModelError(
            "SR-MODEL-VALUES",
            f"the model's preprocessing can't be public: {error.message}",
            "Fit the model again",
        ) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # a file may hold an estimator whose attributes contradict each other
        raise ModelError(
            "SR-MODEL-VALUES",
            f"{placed(place, last)}, or a step before it, lacks a part of what it was fitted to",
            "Fit the model again, with the version of scikit-learn that is installed here",
        ) from error


def _graph(steps: list[tuple[str, Any]], options: TreeOptions | None) -> Graph:
    """The graph of a pipeline; without options, its trees stay as they are."""
    columns, names = _input(steps)
    made = Preprocessing(columns)
    table: Table = made.rows
    for path, step in steps[:-1]:
        table = transformed(path, step, table, made)
    place, last = steps[-1]
    name = type(last).__name__
    if is_tree_estimator(last):
        ensemble, output = import_tree_estimator(place, last)
        check_columns(place, last, ensemble.columns, width(table))
        return tree_graph_of(name, ensemble, table, made, names, output, options)
    scores = _scores(place, last, table, made)
    return graph_of(name, scores.table, made, names, scores.output)


def _steps(path: str, estimator: Any) -> list[tuple[str, Any]]:
    """The steps of a pipeline, of pipelines at its end too, with their places."""
    name = class_name(estimator)
    if name in SEARCHES:
        check_fitted(path, estimator)
        if not hasattr(estimator, "best_estimator_"):
            raise refused(path, estimator, "(refit=False)", "Use refit=True")
        return _steps(path, estimator.best_estimator_)
    if name != "Pipeline":
        return [(path, estimator)]
    *before, (last_name, last) = estimator.steps
    return [(below(path, name), step) for name, step in before] + _steps(
        below(path, last_name), last
    )


def _input(steps: list[tuple[str, Any]]) -> tuple[int, tuple[str, ...]]:
    """How many columns the rows have, and their names, as the first step that knows them says."""
    for _, step in steps:
        columns = getattr(step, "n_features_in_", None)
        if columns is not None:
            names = tuple(str(name) for name in getattr(step, "feature_names_in_", ()))
            if not 1 <= columns <= MAXIMUM_COLUMNS:
                break
            return int(columns), names
    for place, step in steps:
        if class_name(step):
            check_fitted(place, step)
    raise refused(*steps[-1])


def _scores(place: str, estimator: Any, table: Table, made: Preprocessing) -> Scores:
    """Raw scores of a predictor."""
    name = class_name(estimator)
    if name in ("OneVsRestClassifier", "OneVsOneClassifier"):
        check_fitted(place, estimator)
        check_width(place, estimator, width(table))
        inner = [
            _scores(below(place, "estimator"), one, table, made) for one in estimator.estimators_
        ]
        combined = one_vs_rest if name == "OneVsRestClassifier" else one_vs_one
        return combined(place, estimator, table, inner)
    if name not in PREDICTORS:
        raise refused(place, estimator)
    check_fitted(place, estimator)
    check_width(place, estimator, width(table))
    return PREDICTORS[name](place, estimator, table, made)
