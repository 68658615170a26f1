"""Predicted noise of square towers on slots (`noise_model`).

All levels share the argument's noise, and a tower's derivative is smaller than its intermediate
values let one think. So every value takes along its derivatives, with their signs, by the argument
and by what each level adds, at points of the interval (forward differentiation).
"""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.engine.noise_model import (
    SLOT_TAIL,
    NoiseEstimate,
    NoiseSource,
    encoding_deviation,
    rounding_deviation,
    switching_deviation,
)
from strongroom.engine.square_tower_plans import SquareTowerPlan
from strongroom.engine.square_towers import Array

_POINTS: Final = 65
_SLOTS_AT_ONCE: Final = 1024


def square_tower(
    x: NoiseEstimate,
    plan: SquareTowerPlan,
    arguments: Array | None = None,
    *,
    encoding: bool = True,
    coefficients: float = 0.0,
) -> NoiseEstimate:
    """As `PreparedSquareTower.evaluate`, where the noise is largest.

    Args:
        x: the argument.
        plan: of the tower.
        arguments: where the tower is looked at, shape (n,), or (n, slots) where slots have their
            own; by default 65 points of its interval.
        encoding: whether the rounding of slots' own coefficients counts. It is the same in every
            evaluation: an error, but no noise.
        coefficients: standard deviation of the noise of encrypted coefficients, in integers; a
            hidden tower's constants join it after the rescaling.

    Returns:
        The noise at the worst of the arguments and slots; the magnitude is the largest of all.

    Raises:
        ValueError: another level or scale than the plan's.
    """
    if (x.limbs, x.scale) != (plan.input_limbs, plan.input_scale):
        raise ValueError("the tower was planned for another level or scale")
    if arguments is None:
        arguments = plan.tower.points(_POINTS)
    slots = plan.tower.slots or 1
    if arguments.ndim == 1:
        arguments = np.broadcast_to(arguments[:, None], (arguments.size, slots))
    found = []
    for begin in range(0, slots, _SLOTS_AT_ONCE):
        units = np.arange(begin, min(begin + _SLOTS_AT_ONCE, slots))
        part = _Differentiation(x, plan, arguments[:, units], units, encoding, coefficients)
        found.append(part.worst())
    worst = max(found, key=lambda estimate: estimate.slot_bound)
    return worst.with_magnitude(max(estimate.magnitude for estimate in found))


def square_tower_deviations(
    x: NoiseEstimate, plan: SquareTowerPlan, *, coefficients: float = 0.0
) -> Array:
    """Deviations of coefficients, in integers, if the noise of each slot's tower were in all slots.

    Shape (slots,), or (1,) where slots have the same. Each at its worst argument; the rounding of
    coefficients is left out.

    Args and Raises: as for `square_tower`.
    """
    if (x.limbs, x.scale) != (plan.input_limbs, plan.input_scale):
        raise ValueError("the tower was planned for another level or scale")
    slots = plan.tower.slots or 1
    points = plan.tower.points(_POINTS)
    if points.ndim == 1:
        points = np.broadcast_to(points[:, None], (points.size, slots))
    found = []
    for begin in range(0, slots, _SLOTS_AT_ONCE):
        units = np.arange(begin, min(begin + _SLOTS_AT_ONCE, slots))
        part = _Differentiation(x, plan, points[:, units], units, False, coefficients)
        found.append(part.deviations())
    return np.concatenate(found)


class _Differentiation:
    """Of some slots' towers at some arguments, shape (n, slots). All is in units of the message,
    and deviations of noise are those of coefficients."""

    def __init__(
        self,
        x: NoiseEstimate,
        plan: SquareTowerPlan,
        arguments: Array,
        units: NDArray[np.intp],
        encoding: bool,
        coefficients: float,
    ) -> None:
        self._encoding = encoding
        self._coefficients = coefficients
        self._x, self._plan, self._degree = x, plan, x.parameters.ring_degree
        self._tower = plan.tower.placed(units)
        self._values = self._tower.values(arguments)
        scale = float(x.scale)
        # Of each value: its derivative by the argument, what each level up to it contributes to
        # its deviation, and what is not random.
        self._slopes = [np.ones_like(arguments)]
        self._own: list[list[Array]] = [[]]
        self._biases = [np.full_like(arguments, x.bias / scale)]
        self._argument = x.deviation / scale
        for level in range(1, self._tower.depth + 1):
            self._level(level)

    def deviations(self) -> Array:
        """Of each slot at its worst argument, in integers."""
        own = np.sqrt(_variance(self._own[-1]))
        total = np.hypot(own, self._argument * self._slopes[-1])
        return np.asarray(total.max(axis=0) * float(self._plan.scale))

    def worst(self) -> NoiseEstimate:
        """The result where its bound is largest."""
        scale = float(self._plan.scale)
        own = np.sqrt(_variance(self._own[-1]))
        total = np.hypot(own, self._argument * self._slopes[-1])
        bounds = SLOT_TAIL * math.sqrt(self._degree) * total + np.abs(self._biases[-1])
        at = np.unravel_index(np.argmax(bounds), bounds.shape)
        gain = abs(float(self._slopes[-1][at])) * scale / float(self._x.scale)
        deviations = {source: d * gain for source, d in self._x.deviations.items()}
        deviations[NoiseSource()] = float(own[at]) * scale
        return replace(
            self._x,
            limbs=self._plan.limbs,
            scale=self._plan.scale,
            magnitude=float(np.abs(self._values[-1]).max()),
            deviations=deviations,
            bias=abs(float(self._biases[-1][at])) * scale,
        )

    def _level(self, level: int) -> None:
        last = level - 1
        # The derivative of this value by those before it.
        inner: dict[int, Array] = {last: 2.0 * self._values[last]}
        for j in self._plan.terms(level):
            inner[j] = inner.get(j, 0.0) + self._tower.factors[last, j]
        own = [
            np.asarray(sum(by * self._own[j][m] for j, by in inner.items() if m < j))
            for m in range(last)
        ]
        slope = np.asarray(sum(by * self._slopes[j] for j, by in inner.items()))
        bias = np.asarray(sum(by * self._biases[j] for j, by in inner.items()))
        fresh, rounding = self._fresh(level)
        self._slopes.append(slope)
        self._own.append([*own, fresh])
        self._biases.append(bias + rounding)

    def _fresh(self, level: int) -> tuple[Array, Array]:
        """What making a value adds, random and not: the square of noise, a key switch, a division,
        and coefficients that are rounded."""
        plan, last = self._plan, level - 1
        squared = plan.every_scale[last] ** 2
        before = np.square(self._argument * self._slopes[last]) + _variance(self._own[last])
        key = self._x.key
        error = key.relinearisation_error(self._degree)
        switched = switching_deviation(self._x.parameters, plan.every_limbs[last], error)
        switched /= float(squared)
        rounded = rounding_deviation(self._degree, key) / float(plan.every_scale[level])
        # Of complex normals, |x x|^2 has twice the mean of |x|^2 |y|^2.
        variance = 2.0 * self._degree * np.square(before) + switched**2 + rounded**2
        bias = np.zeros_like(before)
        terms = plan.terms(level)
        constant_scale = squared if terms else plan.every_scale[level]
        for j in terms:
            scale = squared / plan.every_scale[j]
            variance = variance + np.square(self._coefficients / float(scale) * self._values[j])
            if plan.by_slots(level):
                encoded = self._encoded(plan.tower.factors[last, j], scale)
                variance = variance + np.square(encoded * self._values[j])
            else:
                exact = Fraction(float(plan.tower.factors[last, j].reshape(-1)[0])) * scale
                bias = bias + float((round(exact) - exact) / scale) * self._values[j]
        constants = plan.tower.constants[last]
        if plan.has_constant(level):
            variance = variance + (self._coefficients / float(plan.every_scale[level])) ** 2
        if plan.by_slots(level):
            variance = variance + self._encoded(constants, constant_scale) ** 2
        elif constants.any():
            exact = Fraction(float(constants.reshape(-1)[0])) * constant_scale
            bias = bias + float((round(exact) - exact) / constant_scale)
        return np.sqrt(variance), bias

    def _encoded(self, coefficients: Array, scale: Fraction) -> float:
        if not self._encoding:
            return 0.0
        rms = float(np.sqrt(np.mean(np.square(coefficients))))
        return encoding_deviation(self._degree, rms, scale) / float(scale)


def _variance(deviations: list[Array]) -> Array:
    return np.asarray(sum((np.square(d) for d in deviations), start=np.zeros(())))
