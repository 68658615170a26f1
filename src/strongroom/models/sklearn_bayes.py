"""Classifiers of scikit-learn that compare likelihoods or distances: naive Bayes, nearest centroid
and quadratic discriminant analysis.

Their scores are linear in bits, counts or products of at most two columns, which become public.
A class with an additive term that all classes share is as likely without it: only where a
classifier shows its scores do they keep it.
"""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strongroom.models.feature_codes import Above
from strongroom.models.links import Link
from strongroom.models.sklearn_encoders import monomials
from strongroom.models.sklearn_labels import LabelCodes
from strongroom.models.sklearn_outputs import Predictor, Scores, classification, linear
from strongroom.models.sklearn_preprocessing import Preprocessing
from strongroom.models.sklearn_refusals import refused
from strongroom.models.sklearn_tables import Table, width

Weights = NDArray[np.float64]


def _likelihoods(
    step: str,
    estimator: Any,
    table: Table,
    weights: Weights,
    bias: Weights,
    *,
    shown: bool = False,
) -> Scores:
    """Log likelihoods of classes, linear in a table; of two classes their difference.

    Args:
        weights: shape (classes, columns).
        bias: shape (classes,).
        shown: whether `decision_function` shows the scores of several classes.
    """
    if len(estimator.classes_) < 2:
        raise refused(step, estimator, " of one class", "Train with at least two classes")
    binary = len(estimator.classes_) == 2
    if binary:
        weights, bias = weights[1:] - weights[:1], bias[1:] - bias[:1]
    elif not shown:
        weights, bias = weights - weights.mean(axis=0), bias - bias.mean()
    link: Link = "logistic" if binary else "softmax"
    output = classification(
        step,
        estimator,
        len(bias),
        link,
        decision_function=hasattr(estimator, "decision_function") and (binary or shown),
    )
    return Scores(linear(step, estimator, table, weights, bias), output)


def _gaussian(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    columns = range(width(table))
    powers = monomials(table, [*((c,) for c in columns), *((c, c) for c in columns)], made)
    precision = 1.0 / np.asarray(model.var_, dtype=np.float64)
    mean = np.asarray(model.theta_, dtype=np.float64)
    weights = np.hstack([mean * precision, -0.5 * precision])
    squares = np.square(mean) * precision + np.log(2.0 * np.pi / precision)
    bias = np.log(model.class_prior_) - 0.5 * squares.sum(axis=1)
    return _likelihoods(step, model, powers, weights, bias)


def _multinomial(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    bias = np.asarray(model.class_log_prior_)
    return _likelihoods(step, model, table, model.feature_log_prob_, bias)


def _complement(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    bias = np.zeros(len(model.classes_))
    return _likelihoods(step, model, table, model.feature_log_prob_, bias)


def _bernoulli(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    if model.binarize is not None:
        table = made.add(Above(made.publish(table).places, float(model.binarize)))
    absent = np.log1p(-np.exp(model.feature_log_prob_))
    bias = model.class_log_prior_ + absent.sum(axis=1)
    return _likelihoods(step, model, table, model.feature_log_prob_ - absent, bias)


def _categorical(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    counts = [np.shape(probabilities)[1] for probabilities in model.feature_log_prob_]
    codes = [
        LabelCodes(tuple(range(count)), tuple(map(float, range(count))), "refuse", "refuse")
        for count in counts
    ]
    bits = made.encode(table, codes, counts)
    weights = np.hstack(model.feature_log_prob_)
    return _likelihoods(step, model, bits, weights, np.asarray(model.class_log_prior_))


def _centroid(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    if model.metric != "euclidean":
        raise refused(step, model, " with another metric", "Use metric='euclidean'")
    centroids = np.asarray(model.centroids_, dtype=np.float64)
    priors = getattr(model, "class_prior_", np.full(len(centroids), 1.0 / len(centroids)))
    if not np.isclose(priors, 1.0 / len(centroids)).all():
        deviation = np.asarray(model.within_class_std_dev_, dtype=np.float64)
        scale = np.where(deviation != 0, deviation, 1.0) ** -2
        weights = 2.0 * centroids * scale
        bias = 2.0 * np.log(priors) - (np.square(centroids) * scale).sum(axis=1)
        return _likelihoods(step, model, table, weights, bias)
    # with equal priors scikit-learn predicts by distances that it does not scale, unlike those
    # that its probabilities come from: here there are only predictions
    weights = 2.0 * centroids
    bias = -np.square(centroids).sum(axis=1)
    if len(centroids) == 2:
        weights, bias = weights[1:] - weights[:1], bias[1:] - bias[:1]
    output = classification(step, model, len(bias), "identity", decision_function=False)
    return Scores(linear(step, model, table, weights, bias), output)


def _quadratic(step: str, model: Any, table: Table, made: Preprocessing) -> Scores:
    columns = width(table)
    pairs = list(combinations_with_replacement(range(columns), 2))
    powers = monomials(table, [*((c,) for c in range(columns)), *pairs], made)
    weights, bias = [], []
    for mean, rotation, scaling, prior in zip(
        model.means_, model.rotations_, model.scalings_, model.priors_, strict=True
    ):
        half = rotation * scaling**-0.5
        precision = half @ half.T
        # off the diagonal, x_i x_j stands for x_j x_i as well
        squares = [precision[i, j] * (1.0 if i == j else 2.0) for i, j in pairs]
        weights.append(np.concatenate([precision @ mean, -0.5 * np.array(squares)]))
        distance = np.square(mean @ half).sum()
        bias.append(np.log(prior) - 0.5 * (distance + np.log(scaling).sum()))
    return _likelihoods(step, model, powers, np.array(weights), np.array(bias), shown=True)


LIKELIHOODS: dict[str, Predictor] = {
    "BernoulliNB": _bernoulli,
    "CategoricalNB": _categorical,
    "ComplementNB": _complement,
    "GaussianNB": _gaussian,
    "MultinomialNB": _multinomial,
    "NearestCentroid": _centroid,
    "QuadraticDiscriminantAnalysis": _quadratic,
}
"""Such classifiers by class."""
