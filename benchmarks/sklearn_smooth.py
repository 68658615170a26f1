"""One of each supported network, kernel model and likelihood of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator

from sklearn import (
    discriminant_analysis,
    gaussian_process,
    kernel_ridge,
    naive_bayes,
    neighbors,
    neural_network,
    svm,
)
from sklearn_data import SEED
from sklearn_models import Case, scaled


def network_cases() -> Iterator[Case]:
    """Dense networks."""
    for activation in ("relu", "tanh", "logistic"):
        network = neural_network.MLPClassifier(
            (32,), activation=activation, max_iter=100, random_state=SEED
        )
        yield Case("networks", f"MLPClassifier {activation}", "digits", scaled(network), 0.99)
    regressor = neural_network.MLPRegressor(
        hidden_layer_sizes=(16, 16), max_iter=300, alpha=1.0, random_state=SEED
    )
    yield Case("networks", "MLPRegressor", "diabetes", scaled(regressor), 0.99)


def kernel_cases() -> Iterator[Case]:
    """Models that compare a row with rows of the training."""
    for kernel in ("linear", "poly", "rbf"):
        shape = {"kernel": kernel, "degree": 2}
        for data, machine in [
            ("breast cancer", svm.SVC(**shape)),
            ("wine", svm.NuSVC(**shape)),
            ("diabetes", svm.SVR(C=100.0, **shape)),
            ("diabetes", svm.NuSVR(C=100.0, **shape)),
        ]:
            yield Case("kernels", f"{type(machine).__name__} {kernel}", data, scaled(machine))
    kernel = gaussian_process.kernels.ConstantKernel() * gaussian_process.kernels.RBF(5.0)
    for data, name, estimator in [
        ("breast cancer", "SVC sigmoid", svm.SVC(kernel="sigmoid", gamma=0.01)),
        ("breast cancer", "OneClassSVM", svm.OneClassSVM(nu=0.1)),
        ("diabetes", "KernelRidge rbf", kernel_ridge.KernelRidge(kernel="rbf", gamma=0.02)),
        (
            "diabetes",
            "GaussianProcessRegressor",
            gaussian_process.GaussianProcessRegressor(
                kernel + gaussian_process.kernels.WhiteKernel(), normalize_y=True
            ),
        ),
    ]:
        yield Case("kernels", name, data, scaled(estimator))


def likelihood_cases() -> Iterator[Case]:
    """Naive Bayes and what else is a formula of a row's products."""
    for data, estimator in [
        ("wine", naive_bayes.GaussianNB()),
        ("digits", naive_bayes.BernoulliNB(binarize=8.0)),
        ("digits", naive_bayes.MultinomialNB()),
        ("digits", naive_bayes.ComplementNB()),
        ("digits", naive_bayes.CategoricalNB(min_categories=17)),
        ("wine", scaled(neighbors.NearestCentroid())),
        (
            "wine",
            scaled(
                discriminant_analysis.QuadraticDiscriminantAnalysis(
                    reg_param=0.1, store_covariance=True
                )
            ),
        ),
    ]:
        last = estimator[-1] if hasattr(estimator, "steps") else estimator
        yield Case("likelihoods", type(last).__name__, data, estimator)
