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
from sklearn.decomposition import PCA, KernelPCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

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
        (RandomForestClassifier(2), "RandomForestClassifier can't"),
        (Pipeline([("s", StandardScaler()), ("clf", RandomForestClassifier(2))]),
         "step 'clf': RandomForestClassifier"),
        (DecisionTreeRegressor(), "LogisticRegression or Ridge"),
        (SVC(), "kernel that is not linear"),
        (SVR(), "Use LinearSVR"),
        (SVC(kernel="linear"), "several classes"),
        (before(PolynomialFeatures(2)), "step 'prep': PolynomialFeatures"),
        (before(Normalizer()), "use StandardScaler"),
        (before(QuantileTransformer(n_quantiles=5)), "Use RobustScaler"),
        (before(KernelPCA(2)), "Use PCA"),
        (before(MinMaxScaler(clip=True)), "Use clip=False"),
        (before(FunctionTransformer(np.log1p)), "with a function"),
        (before(KNNImputer()), "Fill in missing values"),
        (before(SimpleImputer(add_indicator=True)), "add_indicator=False"),
        (before(SimpleImputer(missing_values=0)), "other than NaN"),
        (before(OwnScaler()), "step 'prep': OwnScaler"),
        (before(make_pipeline(StandardScaler(), PolynomialFeatures(2))),
         "step 'prep/polynomialfeatures': PolynomialFeatures"),
        (before(ColumnTransformer([("one", PolynomialFeatures(), [0])])), "'prep/one'"),
        (before(ColumnTransformer([("one", PCA(1), [0, 1])], transformer_weights={"one": 2})),
         "transformer_weights"),
        (before(FeatureUnion([("one", PCA(1))], transformer_weights={"one": 2})),
         "transformer_weights"),
        (TransformedTargetRegressor(lm.Ridge()), "Protect the regressor inside"),
        (OneVsRestClassifier(RandomForestClassifier(2)), "step 'estimator'"),
        (OneVsRestClassifier(lm.SGDClassifier(loss="modified_huber")), "modified Huber"),
        (GridSearchCV(lm.Ridge(), {"alpha": [1.0]}, cv=2, refit=False), "refit"),
        (make_pipeline(StandardScaler(), PCA(2)), "step 'pca': PCA"),
        (make_pipeline(StandardScaler(), "passthrough"), "without a predictor"),
    ],
)  # fmt: skip
def test_models_that_are_not_linear_are_refused(model: Any, words: str) -> None:
    error = refusal(model.fit(X, Y))
    assert error.code == "SR-MODEL-UNSUPPORTED"
    assert words in str(error)


@pytest.mark.parametrize(
    "model",
    [
        lm.RidgeClassifier(),
        OneVsRestClassifier(lm.LogisticRegression()),
        MultiOutputClassifier(lm.LogisticRegression()),
    ],
    ids=repr,
)
def test_several_labels_a_row_are_refused(model: Any) -> None:
    assert refusal(model.fit(X, MULTILABEL)).code == "SR-MODEL-UNSUPPORTED"


def test_an_imputer_that_drops_a_column_is_refused() -> None:
    holes = X.copy()
    holes[:, 1] = np.nan
    assert "drops empty columns" in str(refusal(before(SimpleImputer()).fit(holes, Y)))


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
    assert refusal(pipeline).code in ("SR-MODEL-UNSUPPORTED", "SR-MODEL-FILE")


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
    for module in [name for name in sys.modules if name.partition(".")[0] == "skl2onnx"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    error = refusal(model)
    assert error.code == "SR-MODEL-EXTRA"
    assert "pip install strongroom[sklearn]" in str(error)


def test_importers_load_no_framework_until_they_need_it(monkeypatch: pytest.MonkeyPatch) -> None:
    frameworks = {"sklearn", "skl2onnx", "skops", "onnx", "pandas"}
    ours = [name for name in sys.modules if name.startswith("strongroom.models")]
    for name in ours:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def guarded(name: str, *rest: Any) -> Any:
        assert name.partition(".")[0] not in frameworks
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", guarded)
    __import__("strongroom.models.load")
