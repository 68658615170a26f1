"""What a tree model of XGBoost, LightGBM or CatBoost predicts itself, to compare with."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.trees.importing import SUFFIXES, file_framework, framework_of
from strongroom.models.trees.model_files import read_file


def plain_tree_predictions(
    model: Any, graph: Graph, rows: NDArray[np.float64]
) -> NDArray[np.generic[Any]] | None:
    """Predictions of the framework's own code, or None if the model is not of one of these three.

    Args:
        model: as given to `import_trees`: an object, or the path of a file.
        graph: what that made of it.
        rows: shape (n, columns), checked.

    Raises:
        ModelError: SR-MODEL-EXTRA if a file's framework is not installed.
    """
    if isinstance(model, str | Path):
        path = Path(model)
        if path.suffix.lower() not in SUFFIXES:
            return None
        framework = file_framework(path.name, read_file(path))
        model = _loaded(framework, path, graph)
    else:
        framework = framework_of(model)
    if not framework:
        return None
    table = _table(graph, rows)
    if framework == "xgboost" and type(model).__name__ == "Booster":
        table = extra("xgboost").DMatrix(
            table,
            feature_names=model.feature_names,
            feature_types=model.feature_types,
            enable_categorical=True,
        )
    predictions = np.asarray(model.predict(table))
    # CatBoost returns labels of several classes as a table of one column
    return predictions.reshape(-1) if graph.output.task == "classification" else predictions


def _loaded(framework: str, path: Path, graph: Graph) -> Any:
    """The framework's own object from a file."""
    classifier = graph.output.task == "classification"
    if framework == "lightgbm":
        return extra("lightgbm").Booster(model_file=str(path))
    if framework == "catboost":
        library = extra("catboost")
        model = library.CatBoostClassifier() if classifier else library.CatBoostRegressor()
        return model.load_model(str(path), format="json")
    # labels of a Booster are float32 (see `xgboost_import`)
    if classifier and graph.output.label_dtype != "<f4":
        model = extra("xgboost").XGBClassifier()
        model.load_model(str(path))
        return model
    return extra("xgboost").Booster(model_file=str(path))


def _table(graph: Graph, rows: NDArray[np.float64]) -> Any:
    """Rows as the framework takes them: a frame where it knows names or categories by labels."""
    spec = graph.input
    if not (spec.names or spec.categories) or importlib.util.find_spec("pandas") is None:
        return rows
    pandas = extra("pandas")
    frame = pandas.DataFrame(rows, columns=list(spec.names or map(str, range(spec.columns))))
    for categories in spec.categories:
        codes = np.nan_to_num(rows[:, categories.column], nan=-1.0).astype(np.intp)
        frame[frame.columns[categories.column]] = pandas.Categorical.from_codes(
            codes, categories=list(categories.labels)
        )
    return frame
