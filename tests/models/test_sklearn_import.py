"""What of scikit-learn is refused, and that the refusal names step, class and a way out."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import linear_model as lm
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern
from sklearn.impute import KNNImputer
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from strongroom.errors import ModelError
from strongroom.models.sklearn_import import import_sklearn

X, Y = load_iris(return_X_y=True)
MULTILABEL = np.c_[Y == 0, Y == 1].astype(int)


class OwnScaler(StandardScaler):
    """A subclass may compute anything."""


def refusal(model: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        import_sklearn(model)
    assert "\n" not in str(caught.value)
    return caught.value


def before(step: Any) -> Pipeline:
    return Pipeline([("prep", step), ("clf", lm.LogisticRegression())])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (KNeighborsClassifier(), "KNeighborsClassifier can't be run encrypted. Use SVC"),
        (Pipeline([("s", StandardScaler()), ("clf", KNeighborsClassifier())]),
         "step 'clf': KNeighborsClassifier"),
        (AdaBoostClassifier(lm.LogisticRegression(), n_estimators=2), "AdaBoostClassifier of Log"),
        (SVC(kernel=lambda rows, points: rows @ points.T), "SVC can't be run encrypted. Use the k"),
        (SVC(probability=True), "(probability=True)"),
        (KernelRidge(kernel="poly", degree=2.5), "Use a degree of 2 or 3"),
        (KernelRidge(kernel="laplacian"), "with this kernel"),
        (GaussianProcessRegressor(Matern()), "with the kernel Matern"),
        (GaussianProcessClassifier(), "Use SVC with the kernel 'rbf'"),
        (NearestCentroid(metric="manhattan"), "Use metric='euclidean'"),
        (before(SplineTransformer()), "step 'prep': SplineTransformer"),
        (before(QuantileTransformer(n_quantiles=5)), "Use PowerTransformer"),
        (before(RBFSampler()), "Use Nystroem"),
        (before(FunctionTransformer(lambda rows: rows + 1)), "with a function of its own"),
        (before(KNNImputer()), "Use SimpleImputer"),
        (before(OwnScaler()), "step 'prep': OwnScaler"),
        (before(make_pipeline(StandardScaler(), SplineTransformer())),
         "step 'prep/splinetransformer': SplineTransformer"),
        (before(ColumnTransformer([("one", SplineTransformer(), [0])])), "'prep/one'"),
        (before(make_pipeline(Nystroem(n_components=3), PolynomialFeatures(2))),
         "step 'prep/nystroem': Nystroem is secret"),
        (Pipeline([("map", Nystroem(n_components=3)), ("clf", DecisionTreeClassifier())]),
         "step 'map': Nystroem is secret"),
        (TransformedTargetRegressor(lm.Ridge()), "Protect the regressor inside"),
        (OneVsRestClassifier(KNeighborsClassifier()), "step 'estimator'"),
        (OneVsRestClassifier(lm.SGDClassifier(loss="modified_huber")), "modified Huber"),
        (GridSearchCV(lm.Ridge(), {"alpha": [1.0]}, cv=2, refit=False), "refit"),
        (make_pipeline(StandardScaler(), PCA(2)), "step 'pca': PCA"),
        (make_pipeline(StandardScaler(), "passthrough"), "without a predictor"),
    ],
)  # fmt: skip
def test_what_can_not_be_run_is_refused_by_name_and_place(model: Any, words: str) -> None:
    error = refusal(model.fit(X, Y))
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(error)


@pytest.mark.parametrize(
    "model",
    [
        lm.RidgeClassifier(),
        OneVsRestClassifier(lm.LogisticRegression()),
        MultiOutputClassifier(lm.LogisticRegression()),
        MLPClassifier((3,), max_iter=5),
    ],
    ids=repr,
)
def test_several_labels_a_row_are_refused(model: Any) -> None:
    assert refusal(model.fit(X, MULTILABEL)).code == "SR-MODEL-UNSUPPORTED"


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (lm.LogisticRegression(), "LogisticRegression has not been fitted"),
        (before(StandardScaler()), "step 'prep': StandardScaler"),
        (Pipeline([("s", StandardScaler().fit(X)), ("clf", lm.Ridge())]), "step 'clf': Ridge"),
        (GridSearchCV(lm.Ridge(), {"alpha": [1.0]}), "GridSearchCV"),
        (OneVsRestClassifier(lm.LogisticRegression()), "OneVsRestClassifier"),
    ],
)
def test_models_that_are_not_fitted_are_refused(model: Any, words: str) -> None:
    error = refusal(model)
    assert error.code == "SR-MODEL-UNFITTED"
    assert words in str(error)


def test_coefficients_that_are_no_numbers_are_refused() -> None:
    model = lm.Ridge().fit(X, Y)
    model.coef_ = np.array(["a", "b", "c", "d"])
    assert refusal(model).code == "SR-MODEL-VALUES"


def test_steps_whose_shapes_disagree_are_refused() -> None:
    pipeline = Pipeline([("s", StandardScaler().fit(X[:, :3])), ("clf", lm.Ridge().fit(X, Y))])
    error = refusal(pipeline)
    assert error.code == "SR-MODEL-VALUES"
    assert "step 'clf': Ridge takes 4 columns, but gets 3" in str(error)


def test_the_model_is_left_as_it_was() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    columns = ColumnTransformer([("s", StandardScaler(), ["a"])], remainder="passthrough")
    model = make_pipeline(columns, PCA(3, whiten=True), lm.LogisticRegression()).fit(frame, Y)
    plain = model.predict_proba(frame)
    import_sklearn(model)
    assert np.array_equal(model.predict_proba(frame), plain)


def test_the_graph_says_what_it_is() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    graph = import_sklearn(make_pipeline(StandardScaler(), lm.LogisticRegression()).fit(frame, Y))
    assert graph.name == "LogisticRegression"
    assert graph.input.names == ("a", "b", "c", "d")
    assert graph.input.dtype == "float64"
    assert [tensor.shape for tensor in graph.tensors] == [(None, 4)]
    assert all(constant.dtype == np.float64 for constant in graph.constants.values())


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = lm.Ridge().fit(X, Y)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    error = refusal(model)
    assert error.code == "SR-MODEL-EXTRA"
    assert "pip install 'strongroom[sklearn]'" in str(error)


def test_estimators_that_lack_what_they_were_fitted_to_are_refused() -> None:
    for model, attribute in (
        (lm.Ridge(), "intercept_"),
        (SVC(), "support_vectors_"),
        (MLPClassifier((3,), max_iter=5), "intercepts_"),
        (GaussianNB(), "var_"),
        (make_pipeline(StandardScaler(), lm.Ridge()), "scale_"),
    ):
        model.fit(X, Y)
        delattr(model[0] if isinstance(model, Pipeline) else model, attribute)
        assert refusal(model).code == "SR-MODEL-VALUES"


def test_weights_that_are_no_numbers_are_refused_before_a_plan_is_made() -> None:
    scaler = StandardScaler().fit(X)
    scaler.scale_[1] = np.nan
    polynomial = PolynomialFeatures(2).fit(X)
    model = make_pipeline(scaler, polynomial, lm.Ridge().fit(polynomial.transform(X), Y))
    assert refusal(model).code == "SR-MODEL-VALUES"


def test_importers_load_no_framework_until_they_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frameworks = {"sklearn", "skl2onnx", "skops", "onnx", "pandas"}
    ours = [name for name in sys.modules if name.startswith("strongroom.models")]
    # So that later tests find the package that they have imported from.
    monkeypatch.setattr("strongroom.models", sys.modules["strongroom.models"])
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def guarded(name: str, *rest: Any) -> Any:
        assert name.partition(".")[0] not in frameworks
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)
    __import__("strongroom.models.load")
