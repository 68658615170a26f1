"""Fits about an extremum: as near to the function as any polynomial of the degree."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.polynomial import polynomial

from strongroom.torch.vertex_fits import (
    FURTHEST_VERTEX,
    GRID,
    GRID_WEIGHT,
    QUANTILES,
    fitted,
    points_of,
)

SEEN = np.random.default_rng(0).normal(size=4000).clip(-2.5, 2.5) / 2.75
FUNCTIONS = {
    "relu": lambda t: np.maximum(2.75 * t, 0.0),
    "silu": lambda t: 2.75 * t / (1.0 + np.exp(-2.75 * t)),
    "softplus": lambda t: np.log1p(np.exp(4.0 * t)),
    "shifted relu": lambda t: np.maximum(3.0 * t + 1.0, 0.0),
}


def distance(values: np.ndarray, others: np.ndarray) -> float:
    """Root mean square, by the weights of a fit."""
    weights = np.repeat([(1 - GRID_WEIGHT) / QUANTILES, GRID_WEIGHT / GRID], [QUANTILES, GRID])
    return math.sqrt(float((weights * (values - others) ** 2).sum()))


def best(points: np.ndarray, values: np.ndarray, degree: int) -> float:
    """The error of the weighted least squares, by another way of solving it."""
    weights = np.repeat([(1 - GRID_WEIGHT) / QUANTILES, GRID_WEIGHT / GRID], [QUANTILES, GRID])
    found = polynomial.polyfit(points, values, degree, w=np.sqrt(weights))
    return distance(polynomial.polyval(points, found), values)


@pytest.mark.parametrize("degree", [2, 4])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_fit_is_the_nearest_polynomial(name: str, degree: int) -> None:
    points = points_of(SEEN)
    values = FUNCTIONS[name](points)
    form = fitted(points, values, degree)
    assert distance(form(points), values) == pytest.approx(best(points, values, degree), rel=1e-6)
    assert (form.cubic, form.quartic) == (0.0, 0.0) or degree == 4


def test_a_parabola_of_an_odd_function_keeps_its_vertex_near() -> None:
    points = points_of(SEEN)
    values = np.tanh(2.0 * points)
    form = fitted(points, values, 2)
    assert abs(form.shift) == FURTHEST_VERTEX
    assert distance(form(points), values) < 1.2 * best(points, values, 2)


def test_a_quartic_follows_an_odd_function() -> None:
    points = points_of(SEEN)
    values = np.tanh(2.0 * points)
    form = fitted(points, values, 4)
    assert distance(form(points), values) == pytest.approx(best(points, values, 4), rel=1e-6)


def test_a_quartic_without_an_extremum_becomes_a_parabola() -> None:
    points = points_of(SEEN)
    values = points + 0.1 * points**3
    form = fitted(points, values, 4)
    assert (form.cubic, form.quartic) == (0.0, 0.0)
    assert distance(form(points), values) < 0.05


def test_a_constant_stays_one() -> None:
    points = points_of(SEEN)
    assert fitted(points, np.full(len(points), 3.0), 2)(points) == pytest.approx(3.0)


def test_points_are_quantiles_of_each_column_and_a_grid() -> None:
    seen = np.stack([SEEN, 0.5 * SEEN], axis=1)
    points = points_of(seen)
    assert points.shape == (QUANTILES + GRID, 2)
    assert points[0].tolist() == seen.min(axis=0).tolist()
    assert points[QUANTILES - 1].tolist() == seen.max(axis=0).tolist()
    assert points[QUANTILES].tolist() == [-1.0, -1.0]
    assert points[-1].tolist() == [1.0, 1.0]
