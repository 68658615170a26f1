"""The table's cases, and whether they are all that the importer knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from sklearn_models import Case, boosted_cases, linear_cases, tree_cases
from sklearn_pipelines import pipeline_cases, step_cases
from sklearn_smooth import kernel_cases, likelihood_cases, network_cases

from strongroom.models.sklearn_encoders import ENCODERS
from strongroom.models.sklearn_import import PREDICTORS, SEARCHES
from strongroom.models.sklearn_kernels import KERNEL_STEPS
from strongroom.models.sklearn_steps import AFFINE, SELECTORS
from strongroom.models.trees import sklearn_boosting, sklearn_trees

SUPPORTED = (
    PREDICTORS.keys()
    | {"OneVsOneClassifier", "OneVsRestClassifier"}
    | sklearn_trees.SINGLE
    | sklearn_trees.FORESTS
    | sklearn_trees.BAGGED
    | {"IsolationForest"}
    | sklearn_boosting.GRADIENT
    | sklearn_boosting.HISTOGRAM
    | sklearn_boosting.ADAPTIVE
    | AFFINE.keys()
    | SELECTORS
    | ENCODERS.keys()
    | KERNEL_STEPS.keys()
    | SEARCHES
    | {"ColumnTransformer", "FeatureUnion", "Pipeline"}
)
"""Classes of scikit-learn that the importer takes."""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from linear_cases()
    yield from tree_cases()
    yield from boosted_cases()
    yield from network_cases()
    yield from kernel_cases()
    yield from likelihood_cases()
    yield from step_cases()
    yield from pipeline_cases()


def unlisted(listed: Sequence[Case]) -> list[str]:
    """Supported classes that occur in none of the cases."""
    used = set(chain.from_iterable(map(_classes, (case.estimator for case in listed))))
    return sorted(SUPPORTED - used)


def _classes(estimator: Any) -> set[str]:
    """Names of the classes of an estimator and of all that it is made of."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return {type(part).__name__ for part in parts}
