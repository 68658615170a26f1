"""Importing tree models: which framework an object or a file is of, and what becomes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec

from strongroom.errors import ModelError, PolicyError
from strongroom.models.categories import Categories
from strongroom.models.graph import Graph
from strongroom.models.output import OutputSpec
from strongroom.models.rows import InputSpec, shown
from strongroom.models.sklearn_refusals import check_fitted, class_name, refused
from strongroom.models.trees import (
    catboost_import,
    lightgbm_import,
    sklearn_boosting,
    sklearn_trees,
    xgboost_import,
)
from strongroom.models.trees.ensemble import Ensemble, TreeModel
from strongroom.models.trees.graphs import tree_graph
from strongroom.models.trees.model_files import malformed, read_file
from strongroom.models.trees.options import TreeOptions
from strongroom.models.trees.whole import whole_graph

SUFFIXES: Final = (".json", ".ubj", ".txt")
"""Files of tree models; what they hold says which framework wrote them."""

FRAMEWORKS: Final = {
    "xgboost": xgboost_import.import_object,
    "lightgbm": lightgbm_import.import_object,
    "catboost": catboost_import.import_object,
}
READERS: Final = {
    "xgboost": xgboost_import.read_xgboost,
    "lightgbm": lightgbm_import.read_lightgbm,
    "catboost": catboost_import.read_catboost,
}
MODELS: Final = {
    "xgboost": (
        "Booster",
        "XGBClassifier",
        "XGBRegressor",
        "XGBRanker",
        "XGBRFClassifier",
        "XGBRFRegressor",
    ),
    "lightgbm": ("Booster", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
    "catboost": ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"),
}

_SKLEARN: Final = (
    sklearn_trees.SINGLE
    | sklearn_trees.FORESTS
    | sklearn_trees.BAGGED
    | sklearn_boosting.GRADIENT
    | sklearn_boosting.HISTOGRAM
    | sklearn_boosting.ADAPTIVE
    | {"IsolationForest", "AdaBoostRegressor"}
)


def is_tree_estimator(estimator: Any) -> bool:
    """Whether an object is a tree model, of whatever framework."""
    return bool(framework_of(estimator)) or class_name(estimator) in _SKLEARN


def import_trees(
    model: Any, options: TreeOptions | None = None, *, whole: bool = False
) -> Graph | None:
    """Import a tree model, or return None if it isn't one.

    Args:
        model: an object of scikit-learn, XGBoost, LightGBM or CatBoost, or the path of a `.json`,
            `.ubj` or `.txt` file that one of the last three saved.
        options: the dials; None for the usual ones.
        whole: keep the trees as they are (`models.trees.whole`); there are no dials then.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED, -UNFITTED, -VALUES.
    """
    if isinstance(model, str | Path):
        path = Path(model)
        if path.suffix.lower() not in SUFFIXES:
            return None
        found = read_model(path)
    elif is_tree_estimator(model):
        found = _read_estimator("", model)
    else:
        return None
    if whole:
        return whole_graph(found.ensemble, found.name, found.input, found.output)
    return _graph(found, options)


def import_tree_estimator(step: str, estimator: Any) -> tuple[Ensemble, OutputSpec]:
    """Import an estimator for which `is_tree_estimator` holds, the last step of a pipeline.

    Args:
        step: where it is, for messages.
        estimator: fitted, on numbers: the columns that the step before it makes.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED, -UNFITTED, -VALUES.
    """
    model = _read_estimator(step, estimator)
    if model.input.categories:
        raise refused(
            step,
            estimator,
            " of categories that are labels, behind other steps",
            "Encode categories as the numbers 0, 1, 2 and so on before this step",
        )
    return model.ensemble, model.output


def read_model(path: Path) -> TreeModel:
    """The tree model in a file.

    Raises:
        ModelError: SR-MODEL-FILE, -UNSUPPORTED, -VALUES.
    """
    data = read_file(path)
    try:
        return READERS[file_framework(path.name, data)](data)
    except PolicyError as error:  # of what would become a plan
        raise malformed(f"makes no model: {error.message}") from error


def file_framework(name: str, data: bytes) -> str:
    """Which framework wrote a file: "xgboost", "lightgbm" or "catboost".

    Args:
        name: of the file, for messages.
        data: what is in it.

    Raises:
        ModelError: SR-MODEL-FILE if none of them did.
    """
    start = data[:256].lstrip()
    if start.startswith(b"tree"):
        return "lightgbm"
    if start.startswith(b"{") and b'"scale_and_bias"' in data and b'"features_info"' in data:
        return "catboost"
    if start.startswith(b"{") and b"learner" in data:
        return "xgboost"
    raise ModelError(
        "SR-MODEL-FILE",
        f"{shown(name)} is no model of XGBoost, LightGBM or CatBoost",
        "Save the model with its own save_model, CatBoost with format='json'",
    )


def framework_of(estimator: Any) -> str:
    """The library besides scikit-learn that a tree model is of; empty for others."""
    kind = type(estimator)
    library = kind.__module__.partition(".")[0]
    return library if kind.__name__ in MODELS.get(library, ()) else ""


def _read_estimator(step: str, estimator: Any) -> TreeModel:
    framework = framework_of(estimator)
    if framework:
        try:
            return FRAMEWORKS[framework](estimator)
        except PolicyError as error:
            raise refused(
                step, estimator, "", "Train with labels that are booleans, numbers or texts"
            ) from error
    check_fitted(step, estimator)
    name = class_name(estimator)
    categories: tuple[Categories, ...] = ()
    if name in sklearn_boosting.HISTOGRAM:
        ensemble, output, categories = sklearn_boosting.import_histogram_boosting(step, estimator)
    elif name in sklearn_boosting.GRADIENT:
        ensemble, output = sklearn_boosting.import_gradient_boosting(step, estimator)
    elif name in sklearn_boosting.ADAPTIVE:
        ensemble, output = sklearn_boosting.import_adaptive_boosting(step, estimator)
    elif name == "AdaBoostRegressor":
        raise refused(
            step,
            estimator,
            ", a weighted median of trees,",
            "Use GradientBoostingRegressor or a forest",
        )
    else:
        ensemble, output = sklearn_trees.import_forest(step, estimator)
    names = tuple(str(name) for name in getattr(estimator, "feature_names_in_", ()))
    spec = InputSpec(
        ensemble.columns,
        names,
        ensemble.reading.dtype,
        categories=categories,
        missing=tuple(range(ensemble.columns)) if ensemble.reading.missing else (),
    )
    return TreeModel(name, ensemble, spec, output)


def _graph(model: TreeModel, options: TreeOptions | None) -> Graph:
    chosen = options or TreeOptions()
    spec = model.input
    if chosen.grid == "hidden":  # a comparison of numbers has no answer for one that is missing
        spec = msgspec.structs.replace(spec, missing=())
    return tree_graph(model.ensemble, model.name, spec, model.output, chosen)
