"""The planner of hidden linear models: the weights are ciphertexts, as the rows are.

The bias is the weight of one more column, which is always as large as the headroom: a score's bound
then follows from the weights' as it does for any other column, and the server holds, and adds,
nothing but these polynomials.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.affine import Affine
from strongroom.compiler.hidden_cost import (
    hidden_client_milliseconds,
    hidden_model_bytes,
    hidden_peak_bytes,
    hidden_server_milliseconds,
    hidden_unit_times,
)
from strongroom.compiler.hidden_guarantee import hidden_linear_guarantee
from strongroom.compiler.hidden_messages import HiddenSizes
from strongroom.compiler.hidden_precision import choose_hidden_scales
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.linear import (
    NEARLY,
    SECRET_KEY_HEADER_BYTES,
    ScaledAffine,
    log_score_order,
    precision_bits_of,
)
from strongroom.compiler.messages import Limbs
from strongroom.compiler.network_messages import mapped_key_bytes
from strongroom.compiler.packing import LinearPacking
from strongroom.compiler.plan import Costs, HiddenLinearLayout, Plan, Prediction
from strongroom.compiler.precision import LinearShape, Scales
from strongroom.compiler.preprocessing import common_range
from strongroom.engine import (
    RELINEARISATION,
    Parameters,
    catalogued,
    satisfying,
    switching_key_bytes,
)
from strongroom.errors import PolicyError
from strongroom.models.graph import Graph
from strongroom.policy import Policy


def hidden_weights(model: ScaledAffine, headroom: float, log_bound: int) -> NDArray[np.float64]:
    """What is encrypted of a model: weights and, as the last column, the bias divided by the
    headroom, all divided by 2^log_bound; shape (outputs, columns + 1)."""
    both = np.hstack([model.weights, model.bias[:, None] / headroom])
    return np.asarray(np.ldexp(both, -log_bound))


def plan_hidden_linear(
    graph: Graph,
    affine: Affine,
    sample: NDArray[np.float64],
    policy: Policy,
    holding: KeyHolding,
) -> Plan:
    """Plan a linear model whose weights stay encrypted; the plan names no key yet.

    Args:
        sample: shape (n, columns), checked rows.
        holding: of the key.

    Raises:
        PolicyError: SR-PLAN-HIDING if no catalogue entry reaches the policy's precision with
            evaluation keys of the policy's size.
        ModelError: SR-MODEL-VALUES.
    """
    features = graph.features.encode(sample)
    centre, half_width = common_range(features)
    model = ScaledAffine.of(affine, centre, half_width)
    with np.errstate(over="ignore"):
        scores = ((features - centre) / half_width) @ model.weights.T + model.bias
    largest = float(np.abs(scores).max())
    log_bound = log_score_order(model, policy)
    best_bits, least_key = -math.inf, math.inf
    for entry in satisfying(policy.security, switching=True):
        parameters = catalogued(entry.name)
        packing = LinearPacking.choose(
            parameters.ring_degree, graph.features.width + 1, graph.output.outputs
        )
        choosing = _Choosing(
            parameters,
            LinearShape(packing, 0, policy.headroom),
            holding,
            policy,
            math.ldexp(largest, -log_bound),
        )
        choice = choosing.cheapest()
        if choice is not None:
            layout = _layout(graph, choosing, choice, log_bound, centre, half_width)
            return Plan(
                protection="fhe",
                parameters=entry.name,
                layout=layout,
                prediction=Prediction(graph.input, graph.features, graph.output),
                guarantee=hidden_linear_guarantee(
                    parameters, graph.features.width, policy, holding, results=packing.groups
                ),
                costs=_costs(choosing, choice, layout),
            )
        best_bits = max(best_bits, choosing.best_bits)
        least_key = min(least_key, choosing.least_key)
    reached = f"{best_bits:.0f} bits" if math.isfinite(best_bits) else "none"
    raise PolicyError(
        "SR-PLAN-HIDING",
        f"with its weights encrypted, scores would keep {reached} of precision where the policy "
        f"asks for {policy.precision_bits}, with evaluation keys of at most "
        f"{policy.key_bytes / 1e6:.1f} MB (the smallest that would do have "
        f"{least_key / 1e6:.1f} MB)",
        "Raise key_bytes, or lower precision_bits, headroom, sanitising_bits, decryption_bits or "
        "the share budget, or train with scaled and less correlated columns",
    )


@dataclass(slots=True)
class _Choosing:
    """The choice of levels and scales with one set of parameters.

    Attributes:
        shape: of scores that are divided by their order of magnitude.
        largest: score of the sample, divided as the weights are.
        best_bits: of precision, among levels whose key the policy allows; after `cheapest`.
        least_key: bytes of the smallest key that keeps enough precision; after `cheapest`.
    """

    parameters: Parameters
    shape: LinearShape
    holding: KeyHolding
    policy: Policy
    largest: float
    best_bits: float = -math.inf
    least_key: float = math.inf

    def cheapest(self) -> Scales | None:
        """Of the levels that keep enough precision, the most precise of those that send nearly
        the fewest bytes for one row; None if there are none."""
        found: list[tuple[int, Scales]] = []
        for limbs in _levels(self.parameters.limbs):
            scales = choose_hidden_scales(
                self.parameters, limbs, self.shape, self.holding, self.policy
            )
            if scales is None:
                continue
            bits = precision_bits_of(self.largest, scales)
            key = switching_key_bytes(self.parameters, limbs.input)
            enough = bits >= self.policy.precision_bits
            if enough:
                self.least_key = min(self.least_key, key)
            if key > self.policy.key_bytes:
                continue
            self.best_bits = max(self.best_bits, bits)
            if enough:
                sizes = self.sizes(scales)
                found.append((sizes.request(1) + sizes.response(1), scales))
        if not found:
            return None
        allowed = NEARLY * min(size for size, _ in found)
        return min(
            (scales for size, scales in found if size <= allowed),
            key=lambda scales: scales.score_error,
        )

    def sizes(self, scales: Scales) -> HiddenSizes:
        """Of messages at these scales."""
        limbs = scales.limbs
        input_scale = Fraction(2) ** scales.log_input
        weight_scale = Fraction(2) ** scales.log_weight
        dropped = Fraction(
            self.parameters.modulus(limbs.input), self.parameters.modulus(limbs.response)
        )
        return HiddenSizes(
            self.parameters,
            self.shape.packing,
            limbs,
            input_scale,
            weight_scale,
            input_scale * weight_scale / dropped,
            seeded=self.holding.share_budget is None,
        )


def _levels(limbs: int) -> Iterator[Limbs]:
    for given in range(1, limbs + 1):
        for response in range(1, given + 1):
            yield Limbs(given, response, response)


def _layout(
    graph: Graph,
    choosing: _Choosing,
    scales: Scales,
    log_bound: int,
    centre: NDArray[np.float64],
    half_width: NDArray[np.float64],
) -> HiddenLinearLayout:
    packing = choosing.shape.packing
    return HiddenLinearLayout(
        columns=graph.features.width,
        outputs=packing.outputs,
        column_chunks=packing.column_chunks,
        outputs_per_ciphertext=packing.outputs_per_ciphertext,
        rows_per_ciphertext=packing.rows_per_ciphertext,
        blocks_per_request=choosing.sizes(scales).blocks_per_request(),
        centre=tuple(map(float, centre)),
        half_width=tuple(map(float, half_width)),
        headroom=float(choosing.shape.headroom),
        holding=choosing.holding,
        input_limbs=scales.limbs.input,
        response_limbs=scales.limbs.response,
        log_bound=log_bound,
        log_input_scale=scales.log_input,
        log_weight_scale=scales.log_weight,
        decryption_log_sigma=scales.decryption_log_sigma,
        log_output_step=scales.log_output_step + log_bound,
    )


def _costs(choosing: _Choosing, scales: Scales, layout: HiddenLinearLayout) -> Costs:
    parameters, packing = choosing.parameters, choosing.shape.packing
    sizes = choosing.sizes(scales)
    times = hidden_unit_times(parameters, scales.limbs)
    rows = layout.blocks_per_request * packing.rows_per_ciphertext
    return Costs(
        server_milliseconds=hidden_server_milliseconds(times, packing),
        client_milliseconds=hidden_client_milliseconds(times, packing),
        server_peak_bytes=hidden_peak_bytes(parameters, scales.limbs, sizes, rows),
        model_bytes=hidden_model_bytes(parameters, scales.limbs, packing),
        secret_key_bytes=SECRET_KEY_HEADER_BYTES + parameters.ring_degree // 4,
        public_key_bytes=0,
        evaluation_key_bytes=switching_key_bytes(parameters, scales.limbs.input),
        mapped_key_bytes=mapped_key_bytes(parameters, [(RELINEARISATION, scales.limbs.input)]),
        request_bytes=sizes.request(1),
        response_bytes=sizes.response(1),
        rows_per_request=rows,
        full_request_bytes=sizes.request(rows),
        full_response_bytes=sizes.response(rows),
        score_error=math.ldexp(scales.score_error, layout.log_bound),
        precision_bits=float(math.floor(precision_bits_of(choosing.largest, scales))),
    )
