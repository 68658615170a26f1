"""Predicted noise of linear maps on slots and of matrix products (`noise_model`).

The terms of the double-hoisted evaluation: with P the product of the special primes, rotated inputs
stay multiplied by P, so that baby steps add a key switch each and no rounding; a giant step rounds
its second part only; and one division ends it all.
"""

from __future__ import annotations

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
    steps: dict[int, tuple[int, int]] = {}
    for giant in plan.giants:
        for baby in plan.babies:
            steps.setdefault(giant + baby, (giant, baby))
    scales = {diagonal.scale for diagonal in diagonals.values()}
    if not steps.keys() >= diagonals.keys() or len(scales) != 1:
        raise ValueError("a linear map has diagonals of one scale, all of them in its plan")
    switch = switching_deviation(x.parameters, x.limbs)
    turned = switched(x)
    if encrypted:
        turned = rescale(turned, 0, always=True)
    in_place: Mapping[NoiseSource, float] = {}
    elsewhere: list[float] = []
    magnitude = bias = 0.0
    for rotation, diagonal in diagonals.items():
        giant, baby = steps[rotation]
        term = product(turned if baby else x, truncate(diagonal, x.limbs))
        magnitude += term.magnitude
        bias += term.bias
        if giant or baby:
            elsewhere.append(term.deviation)
        else:
            in_place = term.deviations
    for giant in {steps[rotation][0] for rotation in diagonals}:
        if encrypted:
            elsewhere.append(switch)
        if giant:
            elsewhere += [switch, second_part_deviation(x.parameters.ring_degree)]
    total = replace(
        x,
        scale=x.scale * scales.pop(),
        magnitude=magnitude,
        deviations={**in_place, NoiseSource(): math.hypot(*elsewhere)},
        bias=bias,
    )
    return rescale(total, drop, always=True)


def uniform_transform(
    x: NoiseEstimate, diagonal: NoiseEstimate, plan: StepPlan, count: int
) -> NoiseEstimate:
    """The same for `count` plaintext diagonals that are alike and without noise, in the order of
    their rotations; much quicker where they are many."""
    turned = switched(x)
    in_place = product(x, truncate(diagonal, x.limbs))
    elsewhere = product(turned, truncate(diagonal, x.limbs)).deviation
    switch = switching_deviation(x.parameters, x.limbs)
    turns = sum(giant > 0 for giant in plan.giants)
    # Of each giant step's diagonals, the first is of the vector as it is.
    first = -(-count // len(plan.babies))
    deviation = math.hypot(
        elsewhere * math.sqrt(count - first),
        in_place.deviation * math.sqrt(first),
        math.sqrt(turns) * math.hypot(switch, second_part_deviation(x.parameters.ring_degree)),
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
