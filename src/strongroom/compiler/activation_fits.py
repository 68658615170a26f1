"""Which circuits can stand for an activation, by the arguments that it gets in a sample.

For each function what is known of it first: polynomials are exact (`activation_exact`), conditions
are exact at integers (`activation_conditions`), a step is a composition (`activation_steps`). All
else is fitted, by square towers (`activation_towers`) and by general polynomials
(`activation_polynomials`). What a fit does to a model's answers is judged by running the model with
it; here they are only put in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from strongroom.compiler.activation_circuits import ActivationFit, Array, Function
from strongroom.compiler.activation_conditions import fit_conditions
from strongroom.compiler.activation_exact import fit_exactly, power_coefficients
from strongroom.compiler.activation_polynomials import (
    DEGREES,
    fit_homogeneous,
    fit_polynomial,
)
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.activation_steps import MOST_LEVELS, fit_step
from strongroom.compiler.activation_towers import DEPTHS, fit_tower
from strongroom.models.activations import Activation

HOMOGENEOUS: Final = frozenset({"Relu", "LeakyRelu", "Abs"})
"""Functions with f(c x) = c f(x) for c > 0."""

WORTHWHILE: Final = 0.9
"""A costlier fit is kept if its error is at most this share of that of every cheaper one."""

EXACT: Final = 1e-10
"""Relative to the largest value: nothing is nearer that would be of use."""


def fits(activation: Activation, arguments: Array, guard: float) -> list[ActivationFit]:
    """Candidates for one function, by levels, then products; each nearer than those before.

    Args:
        activation: the function.
        arguments: that its units get in a sample: shape (n,) if they are to have one fit, or
            (n, units) if they may have coefficients and ranges of their own, which costs next to
            nothing in a tower and is nearer.
        guard: how far the fits reach beyond what was seen, on either side, as a share of its width.

    Raises:
        ModelError: SR-MODEL-UNSUPPORTED for a degree or number of conditions that can't be
            computed; SR-MODEL-VALUES for arguments that are not finite.
    """
    if activation.name == "AllOf":
        return fit_conditions(activation.parameters[0])
    every = Arguments.of(arguments, guard)
    coefficients = power_coefficients(activation)
    if coefficients is not None:
        return fit_exactly(activation, coefficients, every)
    if activation.name == "Step":
        steps = (fit_step(every, levels) for levels in range(2, MOST_LEVELS + 1))
        return nearest_first(activation, every, (step for step in steps if step is not None))
    found = [fit_tower(activation, every, depth) for depth in DEPTHS]
    homogeneous = activation.name in HOMOGENEOUS and not every.shared
    fit = fit_homogeneous if homogeneous else fit_polynomial
    found += [fit(activation, every, degree) for degree in DEGREES]
    return nearest_first(activation, every, found)


def nearest_first(
    function: Function, arguments: Arguments, candidates: Iterable[ActivationFit]
) -> list[ActivationFit]:
    """In order of cost, without those that are hardly nearer at the sample than a cheaper one."""
    seen = arguments.seen[:, 0] if arguments.shared else arguments.seen
    exact = EXACT * float(np.abs(function(seen)).max())
    judged = sorted(
        (fit.levels, fit.products, float(np.mean(fit.errors(function, seen) ** 2)) ** 0.5, i, fit)
        for i, fit in enumerate(candidates)
    )
    kept: list[ActivationFit] = []
    least: float = np.inf
    for _, _, error, _, fit in judged:
        if least > exact and error < WORTHWHILE * least:
            kept.append(fit)
            least = error
    return kept
