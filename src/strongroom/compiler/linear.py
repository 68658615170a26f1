"""The planner of linear models: from an affine map and a sample to a plan."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine
from strongroom.compiler.cost import (
    client_milliseconds,
    model_bytes,
    server_milliseconds,
    server_peak_bytes,
    unit_times,
)
from strongroom.compiler.guarantee import linear_guarantee
from strongroom.compiler.messages import Limbs, MessageSizes
from strongroom.compiler.packing import LinearPacking
from strongroom.compiler.plan import Costs, LinearLayout, Plan, Prediction
from strongroom.compiler.precision import LinearShape, Scales, choose_scales
from strongroom.compiler.preprocessing import common_range
from strongroom.engine import Parameters, catalogued, satisfying
from strongroom.errors import ModelError, PolicyError
from strongroom.models.graph import Graph
from strongroom.policy import Policy

SECRET_KEY_HEADER_BYTES: Final = 32
"""In front of a stored secret key."""

_LARGEST_LOG_BOUND: Final = 700
NEARLY: Final = 1.1
"""How much more may be sent for the sake of precision."""


@dataclass(frozen=True, slots=True, eq=False)
class ScaledAffine:
    """The model after preprocessing: scores = z @ weights.T + bias.

    Attributes:
        weights: shape (outputs, columns).
        bias: shape (outputs,).
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    @classmethod
    def of(
        cls, affine: Affine, centre: NDArray[np.float64], half_width: NDArray[np.float64]
    ) -> ScaledAffine:
        """Fold the inverse of the preprocessing z = (x - centre) / half_width into a model.

        Raises:
            ModelError: SR-MODEL-VALUES if that overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            weights = affine.weights * half_width
            bias = affine.bias + affine.weights @ centre
        if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise ModelError(
                "SR-MODEL-VALUES",
                "the model's weights are too large for the range of the sample",
                "Scale the columns before training",
            )
        return cls(weights, bias)


def plan_linear(graph: Graph, affine: Affine, sample: NDArray[np.float64], policy: Policy) -> Plan:
    """Plan a linear model: the cheapest parameters, levels and scales that meet the policy.

    Args:
        sample: shape (n, columns), checked rows.

    Raises:
        PolicyError: SR-POLICY-PRECISION if no catalogue entry reaches the policy's precision.
        ModelError: SR-MODEL-VALUES.
    """
    features = graph.features.encode(sample)
    centre, half_width = common_range(features)
    model = ScaledAffine.of(affine, centre, half_width)
    with np.errstate(over="ignore"):
        scores = ((features - centre) / half_width) @ model.weights.T + model.bias
    largest = float(np.abs(scores).max())
    log_bound = log_score_order(model, policy)
    best_bits = -math.inf
    for entry in satisfying(policy.security, switching=False):
        parameters = catalogued(entry.name)
        packing = LinearPacking.choose(
            parameters.ring_degree, graph.features.width, graph.output.outputs
        )
        shape = LinearShape(packing, log_bound, policy.headroom)
        choice = _cheapest(parameters, shape, largest, policy)
        if isinstance(choice, Scales):
            sizes = _sizes(parameters, packing, choice)
            layout = _layout(packing, sizes, choice, centre, half_width, policy)
            return Plan(
                protection="fhe",
                parameters=entry.name,
                layout=layout,
                prediction=Prediction(graph.input, graph.features, graph.output),
                guarantee=linear_guarantee(
                    parameters,
                    choice.limbs.input,
                    graph.features.width,
                    policy,
                    results=packing.groups,
                ),
                costs=_costs(parameters, packing, sizes, choice, layout, largest),
            )
        best_bits = max(best_bits, choice)
    reached = f"{best_bits:.0f} bits" if math.isfinite(best_bits) else "none"
    raise PolicyError(
        "SR-POLICY-PRECISION",
        f"scores would keep {reached} of precision where the policy asks for "
        f"{policy.precision_bits}",
        "Lower sanitising_bits, decryption_bits, headroom or precision_bits, or train with scaled "
        "and less correlated columns",
    )


def log_score_order(model: ScaledAffine, policy: Policy) -> int:
    """The order of magnitude of the largest score of any input within the headroom."""
    absolute = np.abs(model.weights).sum(axis=1)
    bound = float((policy.headroom * absolute + np.abs(model.bias)).max())
    return max(math.ceil(math.log2(bound)), -_LARGEST_LOG_BOUND) if bound > 0.0 else 0


def _cheapest(
    parameters: Parameters, shape: LinearShape, largest: float, policy: Policy
) -> Scales | float:
    """Of the levels that keep enough precision, the most precise of those that send nearly the
    fewest bytes for one row; or the most bits that any keep."""
    found: list[tuple[int, Scales]] = []
    best_bits = -math.inf
    for limbs in _levels(parameters.limbs):
        scales = choose_scales(parameters, limbs, shape, policy)
        if scales is None:
            continue
        bits = precision_bits_of(largest, scales)
        best_bits = max(best_bits, bits)
        if bits >= policy.precision_bits:
            sizes = _sizes(parameters, shape.packing, scales)
            found.append((sizes.request(1) + sizes.response(1), scales))
    if not found:
        return best_bits
    allowed = NEARLY * min(size for size, _ in found)
    return min(
        (scales for size, scales in found if size <= allowed), key=lambda scales: scales.score_error
    )


def _levels(limbs: int) -> Iterator[Limbs]:
    for given in range(1, limbs + 1):
        for sanitise in range(1, given + 1):
            for response in range(1, sanitise + 1):
                yield Limbs(given, sanitise, response)


def precision_bits_of(largest: float, scales: Scales) -> float:
    """How many bits the largest score keeps; a model whose scores are all zero keeps none to
    lose, and passes."""
    return math.log2(largest / scales.score_error) if largest > 0.0 else 64.0


def _sizes(parameters: Parameters, packing: LinearPacking, scales: Scales) -> MessageSizes:
    score = Fraction(2) ** (scales.log_input + scales.log_weight)
    dropped = Fraction(
        parameters.modulus(scales.limbs.input), parameters.modulus(scales.limbs.response)
    )
    return MessageSizes(
        parameters, packing, scales.limbs, Fraction(2) ** scales.log_input, score / dropped
    )


def _layout(
    packing: LinearPacking,
    sizes: MessageSizes,
    scales: Scales,
    centre: NDArray[np.float64],
    half_width: NDArray[np.float64],
    policy: Policy,
) -> LinearLayout:
    return LinearLayout(
        columns=packing.columns,
        outputs=packing.outputs,
        column_chunks=packing.column_chunks,
        outputs_per_ciphertext=packing.outputs_per_ciphertext,
        rows_per_ciphertext=packing.rows_per_ciphertext,
        blocks_per_request=sizes.blocks_per_request(),
        centre=tuple(map(float, centre)),
        half_width=tuple(map(float, half_width)),
        headroom=float(policy.headroom),
        input_limbs=scales.limbs.input,
        sanitise_limbs=scales.limbs.sanitise,
        response_limbs=scales.limbs.response,
        log_input_scale=scales.log_input,
        log_weight_scale=scales.log_weight,
        flooding_log_sigma=scales.flooding_log_sigma,
        decryption_log_sigma=scales.decryption_log_sigma,
        log_output_step=scales.log_output_step,
    )


def _costs(
    parameters: Parameters,
    packing: LinearPacking,
    sizes: MessageSizes,
    scales: Scales,
    layout: LinearLayout,
    largest: float,
) -> Costs:
    times = unit_times(parameters, scales.limbs)
    rows = layout.blocks_per_request * packing.rows_per_ciphertext
    return Costs(
        server_milliseconds=server_milliseconds(times, packing),
        client_milliseconds=client_milliseconds(times, packing),
        server_peak_bytes=server_peak_bytes(parameters, scales.limbs, sizes, rows),
        model_bytes=model_bytes(parameters, scales.limbs, packing),
        secret_key_bytes=SECRET_KEY_HEADER_BYTES + parameters.ring_degree // 4,
        public_key_bytes=sizes.public_key,
        evaluation_key_bytes=0,
        mapped_key_bytes=0,
        request_bytes=sizes.request(1),
        response_bytes=sizes.response(1),
        rows_per_request=rows,
        full_request_bytes=sizes.request(rows),
        full_response_bytes=sizes.response(rows),
        score_error=scales.score_error,
        precision_bits=float(math.floor(precision_bits_of(largest, scales))),
    )
