"""A planned model as a chain of stages: what runs one after the other, and what each part takes.

For the owner, to see where levels, time and memory go. Levels, scales and packing of a stage are in
the plan, which every asker can read; its time and memory, and what the plain model calls it, are
not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from strongroom.compiler.plan import HiddenLinearLayout, LinearLayout, Plan
from strongroom.engine import catalogued


@dataclass(frozen=True, slots=True)
class MatrixPacking:
    """How the matrix of a stage lies in slots (`engine.periodic_products`).

    Attributes:
        ciphertexts: that hold what the stage makes.
        diagonals: of the matrix of one ciphertext, and one of those before.
        span: slots over which a row is summed.
        period: after how many slots the vector begins again.
        paired: whether a slot holds two numbers of the vector.
        halved: whether it is made to.
    """

    ciphertexts: int
    diagonals: int
    span: int
    period: int
    paired: bool
    halved: bool


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a model as a server runs it, for one ciphertext of rows.

    Attributes:
        kind: "hidden" for a matrix and what is behind it; "scores" for the sums at the end.
        name: for people: "hidden layer 3".
        node: what the plain model calls it; empty if nothing.
        inputs, units: numbers that it takes and makes, of all blocks.
        blocks: of a block-diagonal matrix; 1 of any other.
        function: of the plain model, behind the matrix; empty if none.
        circuits: what stands for it, one after the other: "square tower of depth 2, degree 4".
        levels: that the stage takes.
        primes_before, primes_after: of the ciphertexts that it takes and makes.
        matrix_primes: those of the difference that the matrix takes.
        log_scale: base-2 logarithm of the scale of what it makes.
        packing: of its matrix; None where there are no slots.
        milliseconds: predicted time, which the stages share so that they add up to the plan's.
        working_bytes: memory that it works with, beside weights and keys.
        weight_bytes: memory of its encoded weights.
    """

    kind: Literal["hidden", "scores"]
    name: str
    node: str
    inputs: int
    units: int
    blocks: int
    function: str
    circuits: tuple[str, ...]
    levels: int
    primes_before: int
    primes_after: int
    matrix_primes: int
    log_scale: float
    packing: MatrixPacking | None
    milliseconds: float
    working_bytes: int
    weight_bytes: int


def log2(scale: Fraction) -> float:
    """Of numbers that no float holds, too."""
    return math.log2(scale.numerator) - math.log2(scale.denominator)


def linear_stages(plan: Plan, layout: LinearLayout | HiddenLinearLayout) -> tuple[Stage, ...]:
    """The one stage of a linear model, by its plan."""
    parameters = catalogued(plan.parameters)
    before, after = layout.input_limbs, layout.response_limbs
    dropped = parameters.log_prefix(before) - parameters.log_prefix(after)
    return (
        Stage(
            kind="scores",
            name="scores",
            node="",
            inputs=layout.columns,
            units=layout.outputs,
            blocks=1,
            function="",
            circuits=(),
            levels=0,
            primes_before=before,
            primes_after=after,
            matrix_primes=before - after,
            log_scale=layout.log_input_scale + layout.log_weight_scale - dropped,
            packing=None,
            milliseconds=plan.costs.server_milliseconds,
            working_bytes=plan.costs.server_peak_bytes,
            weight_bytes=plan.costs.model_bytes,
        ),
    )
