"""Kernels: support vector machines, kernel ridge, Gaussian processes, Nystroem and kernel PCA.

A kernel of a row and each of the model's points is an affine map and a function of its results:
(gamma x.s + c)^d for polynomials, and exp(-gamma |x - s|^2) = exp(2 gamma x.s - gamma |s|^2 -
gamma |x|^2), where |x|^2 is one more number that the asker computes and encrypts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_products import MAXIMUM_DEGREE, SquaredNorm
from strongroom.models.links import Pairs
from strongroom.models.sklearn_outputs import (
    Predictor,
    Scores,
    classification,
    linear,
    matrix,
    regression,
)
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import class_name, placed, refused
from strongroom.models.sklearn_tables import (
    Activated,
    Projected,
    Table,
    joined,
)

Matrix = NDArray[np.float64]


def _kernel(
    step: str,
    estimator: Any,
    table: Table,
    made: Preprocessing,
    points: Matrix,
    parameters: Mapping[str, Any],
) -> Table:
    """The kernel of each row and each of the points, one column a point.

    Args:
        points: shape (points, columns).
        parameters: gamma, coef0 and degree, as `sklearn.metrics.pairwise` takes them.
    """
    kernel = estimator.kernel
    gamma = parameters.get("gamma")
    gamma = 1.0 / points.shape[1] if gamma is None else float(gamma)
    coef0 = parameters.get("coef0")
    coef0 = 1.0 if coef0 is None else float(coef0)
    degree = parameters.get("degree")
    degree = 3 if degree is None else degree
    origin = placed(step, estimator)
    if kernel == "linear":
        return Projected(table, points.T)
    if kernel in ("poly", "polynomial", "sigmoid"):
        inner = Projected(table, gamma * points.T, np.full(len(points), coef0))
        if kernel == "sigmoid":
            return Activated(inner, "Tanh", {}, origin)
        if degree != int(degree) or not 1 <= degree <= MAXIMUM_DEGREE:
            raise refused(step, estimator, f"(degree={degree})", "Use a degree of 2 or 3")
        return Activated(inner, "Power", {"exponent": int(degree)}, origin)
    if kernel == "rbf":
        return _radial(table, made, points, np.full(points.shape[1], gamma), origin)
    raise refused(
        step, estimator, " with this kernel", "Use the kernel 'rbf', 'poly', 'sigmoid' or 'linear'"
    )


def _radial(
    table: Table, made: Preprocessing, points: Matrix, gammas: Matrix, origin: str
) -> Activated:
    """exp(-sum of gamma_i (x_i - s_i)^2)."""
    public = made.publish(table)
    same = bool((gammas == gammas[0]).all())
    norm = made.add(SquaredNorm(public.places, () if same else tuple(map(float, gammas))))
    scale = -gammas[0] if same else -1.0
    weights = np.vstack([2.0 * (points * gammas).T, np.full((1, len(points)), scale)])
    offset = -(np.square(points) * gammas).sum(axis=1)
    return Activated(Projected(joined([public, norm]), weights, offset), "Exp", {}, origin)


def _pairwise(estimator: Any) -> Mapping[str, Any]:
    """Parameters of the kernel of estimators that call `pairwise_kernels`."""
    return {name: getattr(estimator, name) for name in ("gamma", "coef0", "degree")}


def _support_vectors(step: str, machine: Any, table: Table, made: Preprocessing) -> Table:
    """Kernels of a support vector machine; nothing where its kernel is linear."""
    parameters = {"gamma": machine._gamma, "coef0": machine.coef0, "degree": machine.degree}
    points = matrix(step, machine, machine.support_vectors_)
    return _kernel(step, machine, table, made, points, parameters)


def _dual(machine: Any) -> Matrix:
    dual = machine.dual_coef_
    return np.asarray(dual.toarray() if hasattr(dual, "toarray") else dual, dtype=np.float64)


def _machine(
    step: str, machine: Any, table: Table, made: Preprocessing, weights: Matrix
) -> Projected:
    """Scores of a support vector machine; weights of shape (outputs, support vectors)."""
    if machine.kernel == "linear":
        points = matrix(step, machine, machine.support_vectors_)
        return linear(step, machine, table, weights @ points, machine.intercept_)
    units = _support_vectors(step, machine, table, made)
    return linear(step, machine, units, weights, machine.intercept_)


def _support_regressor(step: str, machine: Any, table: Table, made: Preprocessing) -> Scores:
    scores = _machine(step, machine, table, made, _dual(machine))
    return Scores(scores, regression(1, flat=True))


def _one_class(step: str, machine: Any, table: Table, made: Preprocessing) -> Scores:
    scores = _machine(step, machine, table, made, _dual(machine))
    classes = np.array([-1, 1], dtype=np.intp)
    return Scores(scores, classification(step, machine, 1, "identity", classes=classes))


def _support_classifier(step: str, machine: Any, table: Table, made: Preprocessing) -> Scores:
    if machine.probability not in (False, "deprecated"):
        raise refused(
            step, machine, "(probability=True)", "Use LogisticRegression for probabilities"
        )
    dual = _dual(machine)
    classes = len(machine.classes_)
    if classes == 2:
        scores = _machine(step, machine, table, made, dual)
        return Scores(scores, classification(step, machine, 1, "identity"))
    pairs: Pairs = "ovo"
    if machine.decision_function_shape == "ovr":
        pairs = "ovr_break_ties" if machine.break_ties else "ovr"
    weights = _one_vs_one(dual, np.asarray(machine.n_support_))
    output = classification(step, machine, len(weights), "identity", pairs=pairs)
    return Scores(_machine(step, machine, table, made, weights), output)


def _one_vs_one(dual: Matrix, counts: NDArray[np.integer[Any]]) -> Matrix:
    """Weights of the support vectors, one row a pair of classes.

    Vectors are sorted by class; those of class i have their weight against class j in row j - 1 of
    `dual` if i < j, else in row j (libsvm's README, `sv_coef`).
    """
    ends = np.cumsum(counts)
    slices = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    rows = []
    for i in range(len(counts)):
        for j in range(i + 1, len(counts)):
            row = np.zeros(dual.shape[1])
            row[slices[i]] = dual[j - 1, slices[i]]
            row[slices[j]] = dual[i, slices[j]]
            rows.append(row)
    return np.array(rows)


def _kernel_ridge(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    if model.kernel_params:
        raise refused(step, model, " with kernel_params", "Use gamma, coef0 and degree")
    dual = np.asarray(model.dual_coef_, dtype=np.float64)
    weights = dual.reshape(len(dual), -1).T
    points = matrix(step, model, model.X_fit_)
    units = _kernel(step, model, table, made, points, _pairwise(model))
    scores = linear(step, model, units, weights, 0.0)
    return Scores(scores, regression(len(weights), flat=dual.ndim == 1))


def _gaussian_process(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    if not hasattr(model, "X_train_"):
        raise refused(step, model, " that was not fitted")
    points = matrix(step, model, model.X_train_)
    alpha = np.asarray(model.alpha_, dtype=np.float64).reshape(len(points), -1)
    deviation = np.broadcast_to(np.asarray(model._y_train_std, dtype=np.float64), alpha.shape[1])
    weights = (alpha * deviation).T
    terms = _kernel_terms(step, model, model.kernel_)
    units: list[Table] = []
    scaled: list[Matrix] = []
    bias = np.broadcast_to(np.asarray(model._y_train_mean, dtype=np.float64), alpha.shape[1])
    for factor, length_scale in terms:
        if length_scale is None:
            bias = bias + factor * weights.sum(axis=1)
            continue
        gammas = np.broadcast_to(0.5 / np.square(length_scale), points.shape[1])
        units.append(_radial(table, made, points, np.array(gammas), placed(step, model)))
        scaled.append(factor * weights)
    if not units:
        raise refused(step, model, " without an RBF kernel", "Use ConstantKernel() * RBF()")
    scores = linear(step, model, joined(units), np.hstack(scaled), bias)
    return Scores(scores, regression(len(weights), flat=len(weights) == 1))


def _kernel_terms(step: str, model: Any, kernel: Any) -> list[tuple[float, Any]]:
    """A kernel as a sum of factors times RBF kernels, by their length scales; None: times 1."""
    match class_name(kernel):
        case "RBF":
            return [(1.0, np.asarray(kernel.length_scale, dtype=np.float64))]
        case "ConstantKernel":
            return [(float(kernel.constant_value), None)]
        case "WhiteKernel":
            return []  # of new rows it is zero
        case "Sum":
            left = _kernel_terms(step, model, kernel.k1)
            return left + _kernel_terms(step, model, kernel.k2)
        case "Product":
            products = []
            for first, scale in _kernel_terms(step, model, kernel.k1):
                for second, other in _kernel_terms(step, model, kernel.k2):
                    products.append((first * second, _together(scale, other)))
            return products
    raise refused(
        step,
        model,
        f" with the kernel {type(kernel).__name__[:40]}",
        "Use RBF, ConstantKernel and WhiteKernel, their sums and products",
    )


def _together(scale: Any, other: Any) -> Any:
    """The length scale of the product of two RBF kernels."""
    if scale is None or other is None:
        return other if scale is None else scale
    return (scale**-2.0 + other**-2.0) ** -0.5


def _nystroem(step: str, model: Any, table: Table, made: Preprocessing) -> Table:
    if model.kernel_params:
        raise refused(step, model, " with kernel_params", "Use gamma, coef0 and degree")
    points = matrix(step, model, model.components_)
    units = _kernel(step, model, table, made, points, _pairwise(model))
    return Projected(units, np.asarray(model.normalization_, dtype=np.float64).T)


def _kernel_pca(step: str, model: Any, table: Table, made: Preprocessing) -> Table:
    if model.kernel_params:
        raise refused(step, model, " with kernel_params", "Use gamma, coef0 and degree")
    points = matrix(step, model, model.X_fit_)
    parameters = {**_pairwise(model), "gamma": getattr(model, "gamma_", model.gamma)}
    units = _kernel(step, model, table, made, points, parameters)
    used = np.flatnonzero(model.eigenvalues_)
    vectors = np.zeros_like(model.eigenvectors_)
    vectors[:, used] = model.eigenvectors_[:, used] / np.sqrt(model.eigenvalues_[used])
    # centred: K - column means of the training kernel - row means + their mean
    centre = model._centerer
    weights = vectors - vectors.mean(axis=0)
    offset = (centre.K_fit_all_ - centre.K_fit_rows_) @ vectors
    return Projected(units, weights, offset)


KERNEL_PREDICTORS: dict[str, Predictor] = {
    "GaussianProcessRegressor": _gaussian_process,
    "KernelRidge": _kernel_ridge,
    "NuSVC": _support_classifier,
    "NuSVR": _support_regressor,
    "OneClassSVM": _one_class,
    "SVC": _support_classifier,
    "SVR": _support_regressor,
}
KERNEL_STEPS: dict[str, Callable[[str, Any, Table, Preprocessing], Table]] = {
    "KernelPCA": _kernel_pca,
    "Nystroem": _nystroem,
}
"""What has a kernel, by class: at the end of a model, and before it."""
