"""Transformers: what each makes of a table, as a formula.

Affine ones stay formulas, so that they become part of the model; all others become public
preprocessing. How steps are put together (pipelines, column transformers, unions) is here, what
encoders and the like do is in `sklearn_encoders`, and kernels are in `sklearn_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models import feature_blocks as blocks
from strongroom.models.sklearn_encoders import ENCODERS
from strongroom.models.sklearn_kernels import KERNEL_STEPS
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import (
    below,
    check_fitted,
    check_width,
    class_name,
    refused,
)
from strongroom.models.sklearn_tables import Picked, Projected, Scaled, Table, joined, select, width

SELECTORS = frozenset(
    {
        "GenericUnivariateSelect",
        "RFE",
        "RFECV",
        "SelectFdr",
        "SelectFpr",
        "SelectFromModel",
        "SelectFwe",
        "SelectKBest",
        "SelectPercentile",
        "SequentialFeatureSelector",
        "VarianceThreshold",
    }
)


def transformed(step: str, transformer: Any, table: Table, made: Preprocessing) -> Table:
    """What a fitted transformer makes of a table.

    Args:
        step: where it is in the model, for messages.
        transformer: of scikit-learn; None and "passthrough" do nothing.
        made: the public preprocessing, to which it may add.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED naming step and class; SR-MODEL-UNFITTED.
    """
    if transformer is None or (isinstance(transformer, str) and transformer == "passthrough"):
        return table
    name = class_name(transformer)
    if name == "Pipeline":
        for inner, one in transformer.steps:
            table = transformed(below(step, inner), one, table, made)
        return table
    if name == "FeatureUnion":
        return _feature_union(step, transformer, table, made)
    if name:
        check_fitted(step, transformer)
        check_width(step, transformer, width(table))
    if name == "ColumnTransformer":
        return _column_transformer(step, transformer, table, made)
    if name in SELECTORS:
        return Picked(table, tuple(np.flatnonzero(transformer.get_support()).tolist()))
    if name in AFFINE:
        return AFFINE[name](transformer, table, made)
    if name in ENCODERS:
        return ENCODERS[name](step, transformer, table, made)
    if name in KERNEL_STEPS:
        return KERNEL_STEPS[name](step, transformer, table, made)
    raise refused(step, transformer)


def _row(numbers: Any) -> NDArray[np.float64] | None:
    return None if numbers is None else np.asarray(numbers, dtype=np.float64)


def _clipped(transformer: Any, table: Table, made: Preprocessing, low: float, high: float) -> Table:
    """The table within bounds, if the transformer asks for it: not affine, so public."""
    if not getattr(transformer, "clip", False):
        return table
    return made.add(blocks.Scaled(made.publish(table).places, clip=(float(low), float(high))))


def _standard(scaler: Any, table: Table, made: Preprocessing) -> Table:
    mean = scaler.mean_ if scaler.with_mean else None
    return Scaled(table, subtract=_row(mean), divide=_row(scaler.scale_))


def _min_max(scaler: Any, table: Table, made: Preprocessing) -> Table:
    scaled = Scaled(table, multiply=_row(scaler.scale_), add=_row(scaler.min_))
    return _clipped(scaler, scaled, made, *scaler.feature_range)


def _max_abs(scaler: Any, table: Table, made: Preprocessing) -> Table:
    return _clipped(scaler, Scaled(table, divide=_row(scaler.scale_)), made, -1.0, 1.0)


def _robust(scaler: Any, table: Table, made: Preprocessing) -> Table:
    centre = scaler.center_ if scaler.with_centering else None
    divide = scaler.scale_ if scaler.with_scaling else None
    return Scaled(table, subtract=_row(centre), divide=_row(divide))


def _pca(pca: Any, table: Table, made: Preprocessing) -> Table:
    matrix = np.asarray(pca.components_, dtype=np.float64).T
    offset = None if pca.mean_ is None else -(np.asarray(pca.mean_, dtype=np.float64) @ matrix)
    projected = Projected(table, matrix, offset)
    if not getattr(pca, "whiten", False):
        return projected
    # scikit-learn keeps the divisor of a constant direction above the machine epsilon
    deviation = np.sqrt(np.asarray(pca.explained_variance_, dtype=np.float64))
    return Scaled(projected, divide=np.maximum(deviation, np.finfo(np.float64).eps))


def _components(transformer: Any, table: Table, made: Preprocessing) -> Table:
    components = transformer.components_
    dense = components.toarray() if hasattr(components, "toarray") else components
    return Projected(table, np.asarray(dense, dtype=np.float64).T)


def _ica(ica: Any, table: Table, made: Preprocessing) -> Table:
    matrix = np.asarray(ica.components_, dtype=np.float64).T
    mean = getattr(ica, "mean_", None) if ica.whiten else None
    return Projected(table, matrix, None if mean is None else -(mean @ matrix))


def _factor_analysis(model: Any, table: Table, made: Preprocessing) -> Table:
    weighted = model.components_ / model.noise_variance_
    covariance = np.linalg.inv(np.eye(len(weighted)) + weighted @ model.components_.T)
    matrix = weighted.T @ covariance
    return Projected(table, matrix, -(model.mean_ @ matrix))


def _discriminant(model: Any, table: Table, made: Preprocessing) -> Table:
    matrix = np.asarray(model.scalings_, dtype=np.float64)[:, : model._max_components]
    # only the solver "svd" centres
    offset = -(model.xbar_ @ matrix) if model.solver == "svd" else None
    return Projected(table, matrix, offset)


AFFINE: dict[str, Callable[[Any, Table, Preprocessing], Table]] = {
    "FactorAnalysis": _factor_analysis,
    "FastICA": _ica,
    "GaussianRandomProjection": _components,
    "IncrementalPCA": _pca,
    "LinearDiscriminantAnalysis": _discriminant,
    "MaxAbsScaler": _max_abs,
    "MinMaxScaler": _min_max,
    "PCA": _pca,
    "RobustScaler": _robust,
    "SparseRandomProjection": _components,
    "StandardScaler": _standard,
    "TruncatedSVD": _components,
}
"""Transformers that stay formulas, but for a clip."""


def _column_transformer(step: str, transformer: Any, table: Table, made: Preprocessing) -> Table:
    # resolved by scikit-learn from names, slices, masks and functions
    columns = transformer._transformer_to_input_indices
    weights = transformer.transformer_weights or {}
    parts = []
    for name, inner, _ in transformer.transformers_:
        places = [int(place) for place in columns[name]]
        if places and not (isinstance(inner, str) and inner == "drop"):
            part = transformed(below(step, name), inner, select(table, places), made)
            parts.append(_weighed(part, weights.get(name)))
    if not parts:
        raise refused(step, transformer, " that keeps no column", "Keep at least one column")
    return joined(parts)


def _feature_union(step: str, union: Any, table: Table, made: Preprocessing) -> Table:
    weights = union.transformer_weights or {}
    parts = [
        _weighed(transformed(below(step, name), inner, table, made), weights.get(name))
        for name, inner in union.transformer_list
        if not (isinstance(inner, str) and inner == "drop")
    ]
    if not parts:
        raise refused(step, union, " that keeps no column", "Keep at least one column")
    return joined(parts)


def _weighed(table: Table, weight: float | None) -> Table:
    if weight is None:
        return table
    return Scaled(table, multiply=np.full(width(table), float(weight)))
