"""Layers whose units have different functions: one circuit, with each slot's own coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import ActivationFit, Array, Function
from strongroom.compiler.activation_conditions import fit_conditions
from strongroom.compiler.activation_exact import power_coefficients
from strongroom.compiler.activation_fits import fits, nearest_first
from strongroom.compiler.activation_polynomials import fit_polynomials
from strongroom.compiler.activation_samples import Arguments
from strongroom.compiler.activation_towers import fit_tower
from strongroom.engine.polynomials import Polynomial
from strongroom.errors import ModelError
from strongroom.models.activations import Activation

MOST_LEVELS: Final = 6
"""Of a general polynomial for different functions."""

_DEPTHS: Final = (2, 3)
"""Of towers. One squaring has no good approximation of the identity."""


def mixed_fits(
    functions: Sequence[Activation], choice: NDArray[np.intp], arguments: Array, guard: float
) -> list[ActivationFit]:
    """As `fits`, for a layer in which unit u has functions[choice[u]].

    Args:
        functions: those that occur.
        choice: shape (units,).
        arguments: of a sample, shape (n, units).
        guard: see `fits`.

    Raises:
        ModelError: as `fits`; SR-MODEL-UNSUPPORTED for a step beside other functions.
    """
    used = sorted(set(choice.tolist()))
    if len(used) == 1:
        return fits(functions[used[0]], arguments, guard)
    chosen = {index: functions[index] for index in used}
    if all(function.name == "AllOf" for function in chosen.values()):
        counts = np.array([f.parameters[0] if f.parameters else np.nan for f in functions])
        most = max(function.parameters[0] for function in chosen.values())
        return fit_conditions(most, most - counts[choice])
    if any(function.name == "Step" for function in chosen.values()):
        raise ModelError(
            "SR-MODEL-UNSUPPORTED",
            "a layer has hidden comparisons beside other functions",
            "Reveal the cut points, or protect the parts of the model one by one",
        )
    every = Arguments.of(arguments, guard)
    exact = {index: _exact(one, every.part(choice == index)) for index, one in chosen.items()}

    def function(x: Array) -> Array:
        # What is exact stands for itself: AllOf has no other values but at integers.
        values = np.empty_like(x)
        for index, one in chosen.items():
            values[:, choice == index] = (exact[index] or one)(x[:, choice == index])
        return values

    found = []
    if not any(f.name == "AllOf" for f in chosen.values()):
        found += [fit_tower(function, every, depth) for depth in _DEPTHS]
    least = max([2, *(fit.levels for fit in exact.values() if fit is not None)])
    for levels in range(least, max(least, MOST_LEVELS) + 1):
        parts = {
            index: fit or fit_polynomials(chosen[index], every.part(choice == index), 2**levels - 1)
            for index, fit in exact.items()
        }
        found.append(_joined(function, every, choice, parts))
        if all(exact.values()):
            break
    return nearest_first(function, every, found)


def _exact(function: Activation, arguments: Arguments) -> ActivationFit | None:
    """A polynomial that is the function; None if there is none."""
    if function.name == "AllOf":
        return fit_conditions(function.parameters[0])[-1]
    coefficients = power_coefficients(function)
    if coefficients is None:
        return None
    return fit_polynomials(function, arguments, max(len(coefficients) - 1, 1))


def _joined(
    function: Function,
    arguments: Arguments,
    choice: NDArray[np.intp],
    parts: dict[int, ActivationFit],
) -> ActivationFit:
    """One polynomial for each unit, from fits of one polynomial at most."""
    degree = max(max(part.degree, 1) for part in parts.values())
    coefficients = np.zeros((degree + 1, choice.size))
    maps = np.zeros((4, choice.size))
    for index, part in parts.items():
        units = choice == index
        own = np.array([0.0, 1.0])
        for circuit in part.circuits:
            if not isinstance(circuit, Polynomial):
                raise AssertionError("towers are not joined")
            own = circuit.coefficients
        coefficients[: len(own), units] = own if own.ndim == 2 else own[:, None]
        maps[0, units], maps[1, units] = part.argument_factor, part.argument_offset
        maps[2, units], maps[3, units] = part.value_factor, part.value_offset
    circuits = (Polynomial(coefficients),)
    return ActivationFit.judged(function, arguments, circuits, tuple(maps[:2]), tuple(maps[2:]))
