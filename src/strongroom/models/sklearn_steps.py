"""Transformers before a linear model: those that are affine, prepared for skl2onnx.

What is prepared computes the same as the original on complete rows and converts without loss:
steps that do nothing vanish, columns are numbers instead of names. Originals are not changed.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from strongroom.errors import ModelError
from strongroom.models.extras import extra
from strongroom.models.sklearn_refusals import class_name, placed, refused

AFFINE = frozenset(
    {
        "StandardScaler",
        "MinMaxScaler",
        "MaxAbsScaler",
        "RobustScaler",
        "PCA",
        "IncrementalPCA",
        "TruncatedSVD",
        "SelectKBest",
        "SelectPercentile",
        "SelectFpr",
        "SelectFdr",
        "SelectFwe",
        "GenericUnivariateSelect",
        "SelectFromModel",
        "RFE",
        "RFECV",
        "VarianceThreshold",
    }
)


def below(step: str, name: str) -> str:
    """Where a step inside a step is, for messages."""
    return f"{step}/{name}" if step else str(name)


def check_fitted(step: str, estimator: Any) -> None:
    """Raise ModelError SR-MODEL-UNFITTED unless the estimator has been fitted."""
    not_fitted = extra("sklearn.exceptions").NotFittedError
    try:
        extra("sklearn.utils.validation").check_is_fitted(estimator)
    except not_fitted as error:
        raise ModelError(
            "SR-MODEL-UNFITTED",
            f"{placed(step, estimator)} has not been fitted",
            "Call fit before protecting the model",
        ) from error


def prepared(step: str, transformer: Any) -> Any:
    """A transformer that skl2onnx turns into affine operators, or None if it does nothing.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming step and class; SR-MODEL-UNFITTED.
    """
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return None
    name = class_name(transformer)
    if name == "Pipeline":
        return _pipeline(step, transformer)
    check_fitted(step, transformer)
    if name == "FunctionTransformer":
        if transformer.func is not None:
            raise refused(step, transformer, " with a function", "Apply it before asking")
        return None
    if name == "SimpleImputer":
        return _imputer(step, transformer)
    if name == "ColumnTransformer":
        return _column_transformer(step, transformer)
    if name == "FeatureUnion":
        return _feature_union(step, transformer)
    if name not in AFFINE:
        raise refused(step, transformer)
    if getattr(transformer, "clip", False):
        raise refused(step, transformer, "(clip=True)", "Use clip=False")
    if name in ("PCA", "IncrementalPCA") and transformer.whiten:
        # scikit-learn keeps the divisor of a constant direction above the machine epsilon
        clipped = copy.copy(transformer)
        least = np.finfo(np.float64).eps ** 2
        clipped.explained_variance_ = np.maximum(transformer.explained_variance_, least)
        return clipped
    return transformer


def identity() -> Any:
    """A transformer that does nothing, where skl2onnx needs one."""
    return extra("sklearn.preprocessing").FunctionTransformer()


def _pipeline(step: str, pipeline: Any) -> Any:
    steps = [(name, prepared(below(step, name), inner)) for name, inner in pipeline.steps]
    kept = [(name, inner) for name, inner in steps if inner is not None]
    return extra("sklearn.pipeline").Pipeline(kept) if kept else None


def _imputer(step: str, imputer: Any) -> None:
    """Accept an imputer that leaves complete rows as they are: others are refused as input."""
    if imputer.add_indicator:
        raise refused(step, imputer, "(add_indicator=True)", "Use add_indicator=False")
    missing = imputer.missing_values
    if isinstance(missing, str) or (missing is not None and missing == missing):
        raise refused(
            step, imputer, " of values other than NaN", "Replace such values before asking"
        )
    statistics = np.asarray(imputer.statistics_, dtype=np.float64)
    if np.isnan(statistics).any() and not imputer.keep_empty_features:
        raise refused(
            step, imputer, " that drops empty columns", "Leave empty columns out before training"
        )


def _column_transformer(step: str, transformer: Any) -> Any:
    if transformer.transformer_weights:
        raise refused(step, transformer, " with transformer_weights", "Leave the weights out")
    # resolved by scikit-learn from names, slices, masks and functions
    columns = transformer._transformer_to_input_indices
    parts = []
    for name, inner, _ in transformer.transformers_:
        if isinstance(inner, str) and inner == "drop":
            continue
        if len(columns[name]):
            places = [int(place) for place in columns[name]]
            made = prepared(below(step, name), inner)
            parts.append((name, identity() if made is None else made, places))
    if not parts:
        raise refused(step, transformer, " that keeps no column", "Keep at least one column")
    result = copy.copy(transformer)
    result.transformers = parts
    result.transformers_ = parts
    result.remainder = "drop"
    return result


def _feature_union(step: str, union: Any) -> Any:
    if union.transformer_weights:
        raise refused(step, union, " with transformer_weights", "Leave the weights out")
    parts = []
    for name, inner in union.transformer_list:
        if isinstance(inner, str) and inner == "drop":
            continue
        made = prepared(below(step, name), inner)
        parts.append((name, identity() if made is None else made))
    return extra("sklearn.pipeline").FeatureUnion(parts)
