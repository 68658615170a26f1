"""Models on real data, with rows that they have not seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

import strongroom
from strongroom import Package


@dataclass(frozen=True)
class Trained:
    """A fitted model and its package.

    Attributes:
        sample: what it was trained and protected with, shape (n, columns).
        held_out: rows that it has not seen.
    """

    model: Any
    sample: Any
    held_out: Any
    package: Package

    @property
    def score_error(self) -> float:
        return self.package.manifest.plan.costs.score_error


def _binary() -> tuple[Any, Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    train, held_out, labels, _ = train_test_split(X, y, test_size=0.3, random_state=0)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(train, labels), train, held_out


def _margins() -> tuple[Any, Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    train, held_out, labels, _ = train_test_split(X, y == 1, test_size=0.3, random_state=1)
    model = make_pipeline(MinMaxScaler(), PCA(10, random_state=0), LinearSVC(random_state=0))
    return model.fit(train, labels), train, held_out


def _named_classes() -> tuple[Any, Any, Any]:
    data = load_wine(as_frame=True)
    names = np.array(["barolo", "grignolino", "barbera"])[data.target]
    train, held_out, labels, _ = train_test_split(data.data, names, random_state=0)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(train, labels), train, held_out


def _many_classes() -> tuple[Any, Any, Any]:
    X, y = load_digits(return_X_y=True)
    train, held_out, labels, _ = train_test_split(X, y.astype(np.int32), random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return model.fit(train, labels), train, held_out[:200]


def _regression() -> tuple[Any, Any, Any]:
    X, y = load_diabetes(return_X_y=True)
    train, held_out, target, _ = train_test_split(X, y, random_state=0)
    return Ridge(alpha=0.1).fit(train, target), train, held_out


def _several_targets() -> tuple[Any, Any, Any]:
    X, y = load_diabetes(return_X_y=True)
    targets = np.column_stack([y, np.log(y), X[:, 2]])
    train, held_out, wanted, _ = train_test_split(X, targets, random_state=0)
    return LinearRegression().fit(train, wanted), train, held_out


def _wide() -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(0)
    X = generator.normal(size=(60, 5000))
    y = (X[:, :50].sum(axis=1) > 0).astype(int)
    return LogisticRegression(C=0.01).fit(X[:40], y[:40]), X[:40], X[40:]


def _many_outputs() -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(1)
    X = generator.normal(size=(300, 100))
    targets = X @ generator.normal(size=(100, 90))
    return LinearRegression().fit(X[:200], targets[:200]), X[:200], X[200:]


def _memory_hungry() -> tuple[Any, Any, Any]:
    # Its answer to a single row has over 12 MB.
    generator = np.random.default_rng(2)
    model = LinearRegression()
    model.coef_ = generator.normal(size=(3000, 512))
    model.intercept_ = np.zeros(3000)
    model.n_features_in_ = 512
    sample = np.vstack([-np.ones(512), np.ones(512)])
    return model, sample, generator.uniform(-1, 1, (1, 512))


MODELS: dict[str, Callable[[], tuple[Any, Any, Any]]] = {
    "binary": _binary,
    "margins": _margins,
    "named-classes": _named_classes,
    "many-classes": _many_classes,
    "regression": _regression,
    "several-targets": _several_targets,
    "wide": _wide,
    "many-outputs": _many_outputs,
    "memory-hungry": _memory_hungry,
}


@cache
def trained(name: str) -> Trained:
    """A model of `MODELS`, fitted and protected once for all tests."""
    model, sample, held_out = MODELS[name]()
    return Trained(model, sample, held_out, strongroom.protect(model, sample=sample, name=name))
