"""Networks, kernels, likelihoods and distances answer as scikit-learn does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from plain_answers import assert_equal_to_plain, fitted, table
from sklearn import linear_model as lm
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.kernel_approximation import Nystroem
from sklearn.kernel_ridge import KernelRidge
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from sklearn.neighbors import NearestCentroid
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    PolynomialFeatures,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVC, NuSVR, OneClassSVM

from strongroom.compiler.layering import is_affine
from strongroom.errors import InputError
from strongroom.models.sklearn_import import import_sklearn

CLASSIFIERS = [
    MLPClassifier((8, 5), max_iter=15, random_state=0),
    MLPClassifier((5,), activation="tanh", max_iter=15, random_state=0),
    MLPClassifier((5,), activation="logistic", max_iter=15, random_state=0),
    MLPClassifier((5,), activation="identity", max_iter=15, random_state=0),
    SVC(),
    SVC(gamma=0.1, decision_function_shape="ovo"),
    SVC(break_ties=True),
    SVC(kernel="linear"),
    SVC(kernel="poly"),
    SVC(kernel="poly", degree=2, coef0=1.0, gamma="auto"),
    SVC(kernel="sigmoid"),
    NuSVC(nu=0.1),
    NuSVC(nu=0.1, kernel="linear", decision_function_shape="ovo"),
    GaussianNB(),
    GaussianNB(var_smoothing=1e-3),
    BernoulliNB(),
    BernoulliNB(binarize=0.5, fit_prior=False),
    QuadraticDiscriminantAnalysis(reg_param=0.01),
    OneVsRestClassifier(SVC()),
    OneVsRestClassifier(MLPClassifier((4,), max_iter=15, random_state=0)),
]
REGRESSORS = [
    MLPRegressor(hidden_layer_sizes=(8, 5), max_iter=15, random_state=0),
    MLPRegressor(hidden_layer_sizes=(5,), activation="tanh", max_iter=15, random_state=0),
    SVR(),
    SVR(kernel="poly", degree=2),
    SVR(kernel="linear"),
    NuSVR(),
    KernelRidge(),
    KernelRidge(kernel="rbf", gamma=0.1),
    KernelRidge(kernel="poly", gamma=0.1),
    KernelRidge(kernel="sigmoid", gamma=0.01),
    GaussianProcessRegressor(ConstantKernel() * RBF() + WhiteKernel(), normalize_y=True),
    GaussianProcessRegressor(RBF(np.full(10, 2.0)) * RBF(3.0), alpha=0.1, optimizer=None),
]


@pytest.mark.parametrize("data", ["breast_cancer", "wine"])
@pytest.mark.parametrize("model", CLASSIFIERS, ids=repr)
def test_classifiers(model: Any, data: str) -> None:
    X, y = table(data)
    assert_equal_to_plain(fitted(make_pipeline(StandardScaler(), model), X, y), X)


@pytest.mark.parametrize("data", ["breast_cancer", "wine", "iris"])
@pytest.mark.parametrize(
    "model",
    [
        MultinomialNB(),
        ComplementNB(),
        ComplementNB(norm=True),
        GaussianNB(),
        BernoulliNB(binarize=2.0),
        SVC(),
        make_pipeline(PCA(2), SVC()),
        QuadraticDiscriminantAnalysis(reg_param=0.1),
    ],
    ids=repr,
)
def test_classifiers_of_raw_columns(model: Any, data: str) -> None:
    X, y = table(data)
    assert_equal_to_plain(fitted(model, X, y), X)


@pytest.mark.parametrize("targets", ["one", "three"])
@pytest.mark.parametrize("model", REGRESSORS, ids=repr)
def test_regressors(model: Any, targets: str) -> None:
    X, y = (part[:150] for part in table("diabetes"))
    several = y if targets == "one" else np.c_[y, -y, X[:, 0] + y]
    pipeline = make_pipeline(StandardScaler(), model)
    if targets == "three" and "SVR" in repr(model):
        with pytest.raises(ValueError, match="1d"):
            fitted(pipeline, X, several)
        return
    assert_equal_to_plain(fitted(pipeline, X, several), X)


def test_a_network_that_predicts_counts() -> None:
    X, y = table("diabetes")
    model = make_pipeline(
        StandardScaler(), MLPRegressor("poisson", hidden_layer_sizes=(4,), max_iter=20)
    )
    assert_equal_to_plain(fitted(model, X, y), X)


def test_outliers() -> None:
    X, _ = table("wine")
    model = make_pipeline(StandardScaler(), OneClassSVM(nu=0.1))
    assert_equal_to_plain(fitted(model, X, None), X)
    linear = make_pipeline(StandardScaler(), lm.SGDOneClassSVM(random_state=0))
    assert_equal_to_plain(fitted(linear, X, None), X)


@pytest.mark.parametrize("data", ["breast_cancer", "wine"])
def test_bins_of_a_categorical_classifier(data: str) -> None:
    X, y = table(data)
    bins = KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")
    graph = assert_equal_to_plain(fitted(make_pipeline(bins, CategoricalNB()), X, y), X)
    assert is_affine(graph)
    assert graph.features.width == 4 * X.shape[1]


def test_categories_that_a_categorical_classifier_never_saw_are_refused() -> None:
    X = np.random.default_rng(0).integers(0, 4, (60, 3))
    graph = assert_equal_to_plain(fitted(CategoricalNB(), X, X.sum(axis=1) > 4), X)
    with pytest.raises(InputError) as caught:
        graph.input.rows([[0, 1, 2], [3, 7, 0]])
    assert caught.value.code == "SR-INPUT-CATEGORY"
    assert "row 1, column 1" in str(caught.value)


@pytest.mark.parametrize("data", ["breast_cancer", "wine"])
def test_nearest_centroids(data: str) -> None:
    X, y = table(data)
    several = ("decision_function",) if data == "wine" else ()
    model = fitted(NearestCentroid(priors="empirical"), X, y)
    assert_equal_to_plain(model, X, without=several)
    # with equal priors its predictions and its probabilities come from different distances
    equal = fitted(NearestCentroid(shrink_threshold=0.2), X, y)
    assert_equal_to_plain(equal, X, without=("predict_proba", "decision_function"))


@pytest.mark.parametrize(
    "step",
    [
        PolynomialFeatures(2),
        PolynomialFeatures(3, interaction_only=True, include_bias=False),
        PolynomialFeatures((2, 3)),
        Nystroem(n_components=12, random_state=0),
        Nystroem("poly", degree=2, coef0=1.0, gamma=0.1, n_components=12, random_state=0),
        KernelPCA(3, kernel="rbf", gamma=0.1),
        KernelPCA(3, kernel="poly"),
        KernelPCA(3),
    ],
    ids=repr,
)
def test_steps_that_are_not_linear_before_a_linear_model(step: Any) -> None:
    X, y = table("iris")
    for model in (lm.LogisticRegression(), LinearSVC()):
        assert_equal_to_plain(fitted(make_pipeline(StandardScaler(), step, model), X, y), X)


def test_polynomials_keep_a_linear_model_linear() -> None:
    X, y = table("iris")
    model = fitted(make_pipeline(PolynomialFeatures(2), lm.LogisticRegression()), X, y)
    graph = import_sklearn(model)
    assert is_affine(graph)
    assert graph.features.width == 4 + 10


def test_classifiers_against_each_other() -> None:
    X, y = table("wine")
    for one in (LinearSVC(), lm.LogisticRegression(), SVC()):
        model = make_pipeline(StandardScaler(), OneVsOneClassifier(one))
        assert_equal_to_plain(fitted(model, X, y), X)


def test_machines_that_were_fitted_on_sparse_rows() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    X, y = table("wine")
    X = StandardScaler().fit_transform(X)
    for kernel in ("rbf", "linear"):
        model = SVC(kernel=kernel).fit(sparse.csr_matrix(X), y)
        graph = import_sklearn(model)
        dense = SVC(kernel=kernel).fit(X, y)
        assert import_sklearn(dense).features == graph.features


def test_one_distance_serves_all_machines_of_a_model() -> None:
    X, y = table("wine")
    graph = import_sklearn(fitted(OneVsRestClassifier(SVC()), X, y))
    assert graph.features.width == X.shape[1] + 1
