"""Noise of decrypted scores, beside what a plan's smudging and rounding make.

Everything else that a result carries, noise of encrypted weights and rows above all, must vanish
under the smudging: by then the deviations measured and planned are the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from encrypted_members import ACCESS
from numpy.typing import NDArray

from strongroom.compiler.plan import Plan
from strongroom.protections.fhe.checks import circuit_of
from strongroom.protections.fhe.hidden_linear_circuit import HiddenLinearCircuit
from strongroom.protections.fhe.network_circuit import NetworkCircuit


def noise(
    prefix: str, plan: Plan, answers: NDArray[np.float64], exact: NDArray[np.float64]
) -> dict[str, Any]:
    """Deviations and largest errors of scores, shape (n, outputs).

    Args:
        prefix: of the figures' names.
        answers: as clients opened them, with shares of the fewest members that open any.
        exact: the same in the clear.
    """
    errors = answers - exact
    deviation = float(np.sqrt(np.square(errors).mean()))
    planned = planned_deviation(plan)
    figures = {
        "deviation": deviation,
        "planned_deviation": planned,
        "noise_over_plan": round(deviation / planned, 3),
        "max_score_error": float(np.abs(errors).max()),
        "planned_score_error": plan.costs.score_error,
    }
    return {f"{prefix}_{name}": value for name, value in figures.items()}


def planned_deviation(plan: Plan) -> float:
    """Standard deviation of a score: each answering member smudges, and the client rounds."""
    circuit = circuit_of(plan)
    if isinstance(circuit, HiddenLinearCircuit):
        spread, log_unit = 1.0, circuit.layout.log_bound
    elif isinstance(circuit, NetworkCircuit):
        # The sums of several rows are combinations of as many coefficients.
        spread, log_unit = circuit.sending.spread, 0
    else:
        raise SystemExit("the plan hides no model")
    answering = len(ACCESS.smallest_sets()[0])
    coefficient = math.exp2(circuit.layout.decryption_log_sigma + log_unit)
    smudging = math.sqrt(answering) * coefficient / float(circuit.response_scale)
    return spread * math.hypot(
        smudging, math.ldexp(1.0 / math.sqrt(12.0), circuit.layout.log_output_step)
    )
