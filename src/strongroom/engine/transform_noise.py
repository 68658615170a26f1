"""Predicted noise of linear maps on slots and of matrix products (`noise_model`).

The terms of the double-hoisted evaluation: with P the product of the special primes, rotated inputs
stay multiplied by P, so that baby steps add a key switch each and no rounding; a giant step rounds
its second part only; and one division ends it all.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import replace

from strongroom.engine.linear_transforms import StepPlan
from strongroom.engine.matrix_products import MatrixLayout
from strongroom.engine.noise_model import (
    NoiseEstimate,
    NoiseSource,
    product,
    rescale,
    rotate,
    second_part_deviation,
    sum_slots,
    switched,
    switching_deviation,
    truncate,
)


def transform(
    x: NoiseEstimate,
    diagonals: Mapping[int, NoiseEstimate],
    plan: StepPlan,
    *,
    encrypted: bool = False,
    drop: int = 0,
) -> NoiseEstimate:
    """As `apply_transform`.

    The magnitude is the sum over diagonals, which a caller often knows better.

    Args:
        x: the ciphertext.
        diagonals: plaintexts, or ciphertexts, by rotation; those that are not zero.
        plan: the rotations.
        encrypted: whether the diagonals are ciphertexts.
        drop: how many primes to rescale by.

    Raises:
        ValueError: no diagonals, a rotation that is not in the plan, unequal scales, a lower level.
    """
    # By rotation, where the plan has it first.
    steps: dict[int, tuple[int, int, int]] = {}
    for giant, middle, baby in plan.rotations:
        steps.setdefault(giant + middle + baby, (giant, middle, baby))
    scales = {diagonal.scale for diagonal in diagonals.values()}
    if not steps.keys() >= diagonals.keys() or len(scales) != 1:
        raise ValueError("a linear map has diagonals of one scale, all of them in its plan")
    switch = switching_deviation(x.parameters, x.limbs, x.key.error)
    inputs = _inputs(x, plan)
    in_place: Mapping[NoiseSource, float] = {}
    elsewhere: list[float] = []
    magnitude = bias = 0.0
    for rotation, diagonal in diagonals.items():
        giant, middle, baby = steps[rotation]
        turned = inputs[middle]
        if baby:
            turned = switched(turned)
            turned = rescale(turned, 0, always=True) if encrypted else turned
        term = product(turned, truncate(diagonal, x.limbs))
        magnitude += term.magnitude
        bias += term.bias
        if giant or middle or baby:
            elsewhere.append(term.deviation)
        else:
            in_place = term.deviations
    for giant in {steps[rotation][0] for rotation in diagonals}:
        if encrypted:
            elsewhere.append(_relinearising(x))
        if giant:
            elsewhere += [switch, second_part_deviation(x.parameters.ring_degree, x.key)]
    total = replace(
        x,
        scale=x.scale * scales.pop(),
        magnitude=magnitude,
        deviations={**in_place, NoiseSource(): math.hypot(*elsewhere)},
        bias=bias,
    )
    return rescale(total, drop, always=True)


def _inputs(x: NoiseEstimate, plan: StepPlan) -> dict[int, NoiseEstimate]:
    """The vector turned by each middle step."""
    inputs = {0: x}
    for before, middle in itertools.pairwise(plan.middles):
        inputs[middle] = rotate(inputs[before], plan.middles[1])
    return inputs


def _relinearising(x: NoiseEstimate) -> float:
    error = x.key.relinearisation_error(x.parameters.ring_degree)
    return switching_deviation(x.parameters, x.limbs, error)


def uniform_transform(
    x: NoiseEstimate,
    diagonal: NoiseEstimate,
    plan: StepPlan,
    count: int,
    *,
    encrypted: bool = False,
) -> NoiseEstimate:
    """The same for `count` diagonals that are alike and without noise, in the order of their
    rotations; much quicker where they are many.

    Args:
        encrypted: whether they are ciphertexts, whose own noise is then the caller's.
    """
    in_place = product(x, truncate(diagonal, x.limbs))
    # As if all were of the input that was turned most often.
    last = _inputs(x, plan)[plan.middles[-1]]
    first_of_input = product(last, truncate(diagonal, x.limbs)).deviation
    turned = rescale(switched(last), 0, always=True) if encrypted else switched(last)
    elsewhere = product(turned, truncate(diagonal, x.limbs)).deviation
    switch = switching_deviation(x.parameters, x.limbs, x.key.error)
    turns = sum(giant > 0 for giant in plan.giants)
    # Of each input's diagonals in a giant step, the first is of the input as it is.
    first = -(-count // len(plan.babies))
    deviation = math.hypot(
        elsewhere * math.sqrt(count - first),
        first_of_input * math.sqrt(first),
        math.sqrt(turns)
        * math.hypot(switch, second_part_deviation(x.parameters.ring_degree, x.key)),
        math.sqrt(len(plan.giants)) * _relinearising(x) if encrypted else 0.0,
    )
    total = replace(
        in_place,
        magnitude=in_place.magnitude * count,
        deviations={NoiseSource(): deviation},
        bias=in_place.bias * count,
    )
    return rescale(total, 0, always=True)


def matrix_product(
    x: NoiseEstimate,
    layout: MatrixLayout,
    entries: NoiseEstimate,
    plan: StepPlan,
    *,
    encrypted: bool = False,
    drop: int = 0,
) -> NoiseEstimate:
    """As `MatrixProduct.apply`, for a matrix whose diagonals are all like `entries`."""
    diagonals = dict.fromkeys(layout.diagonal_steps, entries)
    folded = transform(x, diagonals, plan, encrypted=encrypted, drop=drop)
    return sum_slots(folded, layout.terms)
