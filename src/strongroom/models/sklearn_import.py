"""scikit-learn to `Graph`, through skl2onnx in double precision.

skl2onnx has no double-precision form of some classifiers and would narrow their weights to
float32. All linear predictors compute X @ coef_.T + intercept_, so the last step is converted
as a LinearRegression with the predictor's coefficients, which skl2onnx writes as MatMul and Add
in float64, and what predictions are made of the scores is read from the estimator itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.graph import Graph
from strongroom.models.onnx_import import import_onnx
from strongroom.models.rows import InputSpec
from strongroom.models.sklearn_predictors import Predictor, linear_predictor
from strongroom.models.sklearn_refusals import class_name, placed, refused
from strongroom.models.sklearn_steps import below, check_fitted, identity, prepared

SEARCHES = frozenset(
    {
        "GridSearchCV",
        "RandomizedSearchCV",
        "HalvingGridSearchCV",
        "HalvingRandomSearchCV",
    }
)


def import_sklearn(estimator: Any) -> Graph:
    """Import a fitted scikit-learn model: a linear predictor, or a pipeline that ends in one.

    A search (GridSearchCV and the like) stands for its best estimator.

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
            "Add a linear model such as LogisticRegression or Ridge as its last step",
        )
    transformers = [
        (f"step_{number}", made)
        for number, (path, step) in enumerate(steps[:-1])
        if (made := prepared(path, step)) is not None
    ]
    if class_name(last):
        check_fitted(place, last)
    predictor = linear_predictor(place, last)
    spec = _input(steps, predictor)
    model = _converted(steps, transformers, predictor, spec)
    return import_onnx(model, input_spec=spec, output_spec=predictor.output)


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


def _input(steps: list[tuple[str, Any]], predictor: Predictor) -> InputSpec:
    """What rows the first step that knows them was fitted on."""
    columns = predictor.coefficients.shape[1]
    for _, step in steps:
        if hasattr(step, "n_features_in_"):
            columns = int(step.n_features_in_)
            break
    names = next(
        (step.feature_names_in_ for _, step in steps if hasattr(step, "feature_names_in_")), ()
    )
    return InputSpec(columns, tuple(str(name) for name in names), "float64")


def _converted(
    steps: list[tuple[str, Any]],
    transformers: list[tuple[str, Any]],
    predictor: Predictor,
    spec: InputSpec,
) -> Any:
    """The pipeline's raw scores as an ONNX model in double precision."""
    place, last = steps[-1]
    scores = extra("sklearn.linear_model").LinearRegression()
    scores.coef_ = predictor.coefficients
    scores.intercept_ = predictor.intercepts
    scores.n_features_in_ = predictor.coefficients.shape[1]
    pipeline = extra("sklearn.pipeline").Pipeline(
        [*(transformers or [("identity", identity())]), ("scores", scores)]
    )
    double = extra("skl2onnx.common.data_types").DoubleTensorType
    try:
        with np.errstate(all="ignore"):
            return extra("skl2onnx").convert_sklearn(
                pipeline,
                name=type(last).__name__,
                initial_types=[("rows", double([None, spec.columns]))],
            )
    except Exception as error:  # skl2onnx raises whatever a shape or attribute leads to
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            f"{placed(place, last)} can't be converted to ONNX ({type(error).__name__})",
            "Check that the model predicts, and that its libraries match those it was made with",
        ) from error
