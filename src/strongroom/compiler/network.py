"""The planner of networks: from a layered model and a sample to plans.

Three choices, each with its own criterion:

1. which circuits stand for the activations: the cheapest whose answers on the sample agree with the
   model's as the policy demands;
2. parameters, levels and scales: for each entry of the catalogue and each number of rows a
   ciphertext, the fewest primes that keep the policy's precision after all flooding;
3. among those, what the policy's objective asks for, by the cost model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import ActivationFit
from strongroom.compiler.depth_refusal import no_parameters
from strongroom.compiler.holding import ONE_OWNER, KeyHolding
from strongroom.compiler.layer_names import layer_names
from strongroom.compiler.layers import LayeredModel
from strongroom.compiler.network_costs import key_elements, network_costs
from strongroom.compiler.network_fits import candidate_fits, judge
from strongroom.compiler.network_guarantee import network_guarantee
from strongroom.compiler.network_hidden import (
    hidden_levels,
    memory_bytes,
    no_hidden_parameters,
    resident_bytes,
    towers_only,
)
from strongroom.compiler.network_hidden_noise import Hiding
from strongroom.compiler.network_levels import NetworkLevels
from strongroom.compiler.network_messages import NetworkSizes
from strongroom.compiler.network_model import NetworkModel, network_model
from strongroom.compiler.network_noise import Sensitivity
from strongroom.compiler.network_packing import NetworkPacking, StepShape, shapes
from strongroom.compiler.network_precision import Demand, KeptPrecision, kept_precisions
from strongroom.compiler.plan import CircuitLayout, NetworkLayout, Plan, Prediction, StepLayout
from strongroom.compiler.preprocessing import comparison_range, network_range
from strongroom.engine import Parameters, catalogued, satisfying
from strongroom.engine.slot_functions import slot_function_drops
from strongroom.engine.square_tower_plans import SquareTowerPlan
from strongroom.errors import PolicyError
from strongroom.models.graph import Graph
from strongroom.policy import Policy

Array = NDArray[np.float64]

PLANNING_ROWS = 1000
"""Of a larger sample, this many rows are drawn for planning."""

_FARTHEST_ROWS = 20
"""And this many that lie furthest out, so that what the plan accepts holds all of the sample."""

_ROWS_AT_ONCE = 1024

HEADROOM = 1.1
"""How many times the sample's range a row may reach at most: beyond it, polynomials say nothing."""

_GUARD = 0.2
"""How far circuits reach beyond the arguments seen, on either side, as a share of their range."""

_SCORE_ROOM = 2.0
"""How many times the largest score of the sample a score may be."""

_MOST_VECTORS = 64
_SENSITIVITY_ROWS = 100
_REACH = 1.25
"""How many times as far out as the rows of the sample a row as a whole may lie."""
_FAILURES = 3
"""So many circuits are tried where no parameters hold the cheapest: others take as many levels."""
_NEARLY = 1.05
"""How much slower a plan may be that holds more rows."""


@dataclass(frozen=True, slots=True, eq=False)
class NetworkChoice:
    """A plan and the model that it is for.

    Attributes:
        plan: with its costs and its guarantee.
        model: weights and circuits: the payload.
    """

    plan: Plan
    model: NetworkModel


def plan_network(
    graph: Graph,
    layered: LayeredModel,
    sample: Array,
    policy: Policy,
    holding: KeyHolding = ONE_OWNER,
) -> list[NetworkChoice]:
    """Plans that meet a policy, the one to take first.

    Args:
        graph: its features and output.
        layered: what it computes; of two layers at least.
        sample: shape (n, columns), checked rows.
        holding: of the key, if the policy hides the model.

    Raises:
        PolicyError: SR-PLAN-HIDING if the policy hides the model, and this one can't be.
        PolicyError: SR-POLICY-PARITY if no circuits agree well enough, SR-POLICY-PRECISION if no
            parameters in the catalogue hold those that do.
    """
    first = layered.layers[0]
    compared = all(function.name == "Step" for function in first.functions)
    drawn = _drawn(sample)
    features = graph.features.encode(drawn)
    if len(drawn) < len(sample) and not (compared or _are_bits(features)):
        features = np.vstack([features, _farthest(graph, sample, features)])
    if compared:
        weights = first.weights.reshape(first.units, -1)
        centre, half_width = comparison_range(features, weights, first.bias.reshape(-1))
    else:
        centre, half_width = network_range(features)
    z = (features - centre) / half_width
    arguments = layered.arguments(features)
    if compared:
        # All that a row can be.
        ends = first.affine(np.stack([centre - half_width, centre + half_width]))
        arguments[0] = np.vstack([arguments[0], ends])
    if compared or _are_bits(features):
        # All that these features can be is accepted.
        headroom, reach, pushed = 1.0, math.sqrt(z.shape[1]), z[:1]
    else:
        headroom = _rounded_up(HEADROOM * float(np.abs(z).max()))
        norms = np.sqrt(np.square(z).sum(axis=1))
        reach = _rounded_up(_REACH * float(norms.max()))
        pushed = np.clip(_REACH * z[:_SENSITIVITY_ROWS], -headroom, headroom)
    best_agreement = 0.0
    failed: list[_Search] = []
    found_fits = candidate_fits(layered, arguments, _GUARD)
    hidden = policy.hide == "model"
    if hidden:
        found_fits = towers_only(layer_names(graph, layered), found_fits)
    for equals in _by_cost(found_fits):
        judged: list[tuple[float, float, NetworkModel]] = []
        for fits in equals:
            model = network_model(layered, fits, centre, half_width)
            agreement, error = judge(graph.output, model.scores(z), arguments[-1])
            judged.append((agreement, error, model))
        for agreement, error, model in sorted(judged, key=lambda found: (-found[0], found[1])):
            best_agreement = max(best_agreement, agreement)
            if agreement < policy.minimum_agreement:
                continue
            search = _Search(
                graph,
                model,
                Sensitivity.of(model, z[:_SENSITIVITY_ROWS]),
                _largest_arguments(model, z),
                centre,
                half_width,
                arguments[-1],
                error,
                policy,
                _score_room(graph, model, arguments[-1], pushed),
                headroom,
                reach,
                compared,
                shapes(model),
                holding if hidden else None,
            )
            found = search.choices()
            if found:
                return found
            failed.append(search)
            if len(failed) == _FAILURES:
                raise _no_parameters(graph, layered, failed[0], z)
    if failed:
        raise _no_parameters(graph, layered, failed[0], z)
    raise PolicyError(
        "SR-POLICY-PARITY",
        f"polynomials for the activations agree with the model on {best_agreement:.4%} of the "
        f"sample, the policy demands {policy.minimum_agreement:.4%}",
        "Lower minimum_agreement, or train with activations that are polynomials",
    )


def _no_parameters(graph: Graph, layered: LayeredModel, search: _Search, z: Array) -> PolicyError:
    if search.holding is not None:
        return no_hidden_parameters(search.policy, search.too_large)
    names = layer_names(graph, layered)
    return no_parameters(names, search.model, z, search.largest, search.policy)


def _drawn(sample: Array) -> Array:
    if len(sample) <= PLANNING_ROWS:
        return sample
    return sample[np.random.default_rng(0).choice(len(sample), PLANNING_ROWS, replace=False)]


def _are_bits(features: Array) -> bool:
    return bool(((features == 0.0) | (features == 1.0)).all())


def _farthest(graph: Graph, sample: Array, features: Array) -> Array:
    """Features of the rows that lie furthest from those given, by the norm that clients measure."""
    centre, half_width = network_range(features)
    far = np.empty((0, features.shape[1]))
    for start in range(0, len(sample), _ROWS_AT_ONCE):
        part = graph.features.encode(sample[start : start + _ROWS_AT_ONCE])
        far = np.vstack([far, part])
        norms = np.square((far - centre) / half_width).sum(axis=1)
        far = far[np.argsort(-norms, kind="stable")[:_FARTHEST_ROWS]]
    return far


def _largest_arguments(model: NetworkModel, z: Array) -> tuple[float, ...]:
    """Of each step's first circuit, in absolute value."""
    largest = []
    for step in model.steps:
        taken = step.arguments(z)
        largest.append(float(np.abs(taken).max()))
        z = step.values(taken)
    return tuple(largest)


def _score_room(graph: Graph, model: NetworkModel, plain: Array, pushed: Array) -> float:
    """The largest score that levels need room for, and that the bias of the sums is within.

    Args:
        plain: scores of the sample.
        pushed: rows of the sample, pushed outward.
    """
    if (bound := graph.constants.get("bound")) is not None:
        # Circuits are not quite 0 and 1.
        return 1.125 * float(np.asarray(bound))
    with np.errstate(over="ignore", invalid="ignore"):
        # Of so many products that nothing holds them.
        pushed_scores = model.scores(pushed)
    largest = max(_SCORE_ROOM * _largest(plain), _largest(pushed_scores))
    return max(largest, _largest(model.bias))


def _largest(scores: Array) -> float:
    """In absolute value; 0 where there are none."""
    return float(np.abs(scores).max(initial=0.0))


def _kernels(graph: Graph) -> int:
    """How many numbers a graph with convolutions has; 0 for others."""
    if not any(node.operator == "Conv" for node in graph.nodes):
        return 0
    return sum(np.size(constant) for constant in graph.constants.values())


def _stays_masked(parameters: Parameters, layout: NetworkLayout, exposed: int) -> bool:
    """Whether re-randomising survives a public key that its owner crafted.

    Such a key can bring multiples of what the server's mask u is made of to the declared
    coefficients, as far as they have room above the flooding: log2(Q) - log2(flood) bits each, of
    the log2(3) that a coefficient of u has. Enough coefficients must stay unknown that a ring of
    that many would be secure: the table gives 106 bits of modulus at 4096.
    """
    log_modulus = parameters.log_prefix(layout.sum_limbs)
    known = exposed * max(0.0, log_modulus - layout.flooding_log_sigma) / math.log2(3.0)
    return parameters.ring_degree - known >= 4096.0 * log_modulus / 106.0


def _two_digits(x: float) -> float:
    """Rounded up: a plan is public, and an exact number would be an equation on the weights."""
    step = 10.0 ** (math.floor(math.log10(x)) - 1) if x > 0.0 else 1.0
    return float(f"{math.ceil(x / step) * step:.12g}")


def _rounded_up(x: float) -> float:
    """To a sixteenth of its power of two: what a plan tells of a sample is coarse."""
    step = 2.0 ** (math.floor(math.log2(max(x, 2.0**-8))) - 4)
    return math.ceil(max(x, 2.0**-8) / step) * step


def _by_cost(
    candidates: Sequence[Sequence[ActivationFit]],
) -> Iterator[list[tuple[ActivationFit, ...]]]:
    """Combinations of fits, those that cost alike together, by their levels, then products."""

    def cost(fits: tuple[ActivationFit, ...]) -> tuple[int, int]:
        return sum(fit.levels for fit in fits), sum(fit.products for fit in fits)

    combinations = sorted(itertools.islice(itertools.product(*candidates), 1 << 12), key=cost)
    for _, equals in itertools.groupby(combinations, key=cost):
        yield list(equals)


@dataclass(frozen=True, slots=True, eq=False)
class _Search:
    """For parameters, packing and levels of one model.

    Attributes:
        sensitivity: of its scores to errors.
        arguments: the largest of each step's first circuit, on the sample.
        scores: the plain model's on the sample.
        error: of the circuits, in scores.
        largest: score that the levels have room for.
        headroom, reach: largest |z| of a feature, and norm of a row, that is accepted.
        clipped: whether features are only compared.
        shapes: of the steps.
        holding: of the key under which the model is encrypted; None if it is not.
        too_large: bytes of memory of plans that were left out, because no such machine is here.
    """

    graph: Graph
    model: NetworkModel
    sensitivity: Sensitivity
    arguments: tuple[float, ...]
    centre: Array
    half_width: Array
    scores: Array
    error: float
    policy: Policy
    largest: float
    headroom: float
    reach: float
    clipped: bool
    shapes: tuple[StepShape, ...]
    holding: KeyHolding | None = None
    too_large: list[int] = field(default_factory=list)

    def choices(self) -> list[NetworkChoice]:
        """All that meet the policy, best first."""
        found: list[NetworkChoice] = []
        if not math.isfinite(self.largest):
            return found
        for entry in satisfying(self.policy.security, switching=True):
            parameters = catalogued(entry.name)
            vectors = 1
            while vectors <= _MOST_VECTORS:
                plan = self._plan(entry.name, parameters, vectors)
                if plan is None:
                    break
                if self.holding is not None and (needed := resident_bytes(plan)) > memory_bytes():
                    self.too_large.append(needed)
                elif plan.costs.evaluation_key_bytes <= self.policy.key_bytes:
                    found.append(NetworkChoice(plan, self.model))
                vectors *= 2
        return sorted(found, key=lambda choice: self._worth(choice.plan))

    def _worth(self, plan: Plan) -> tuple[float, float]:
        costs, layout = plan.costs, plan.layout
        rows = layout.rows_per_ciphertext if isinstance(layout, NetworkLayout) else 1
        match self.policy.objective:
            case "throughput":
                return costs.server_milliseconds / rows, costs.evaluation_key_bytes
            case "bytes":
                travels = costs.request_bytes + costs.response_bytes
                return travels + costs.evaluation_key_bytes / 1000.0, costs.server_milliseconds
            case _:
                # Rows that come along for nearly nothing are worth a little.
                return costs.server_milliseconds / _NEARLY ** (rows > 1), -rows

    def _plan(self, name: str, parameters: Parameters, vectors: int) -> Plan | None:
        outputs = self.graph.output.outputs
        slots = parameters.ring_degree // 2
        packing = NetworkPacking.choose(slots, vectors, self.shapes, outputs)
        if packing is None:
            return None
        largest = float(np.abs(self.scores).max())
        hiding = None
        if self.holding is not None:
            hiding = Hiding(self.holding, self.reach, self.arguments)
        demand = Demand(
            self.model, self.sensitivity, self.arguments, largest, self.largest, self.policy, hiding
        )
        for kept in kept_precisions(parameters, packing, demand):
            plan = self._made(name, parameters, packing, demand.magnitudes.log_bound, kept)
            if plan is not None:
                return plan
        return None

    def _made(
        self,
        name: str,
        parameters: Parameters,
        packing: NetworkPacking,
        log_bound: int,
        kept: KeptPrecision,
    ) -> Plan | None:
        levels, floods = kept.levels, kept.floods
        sizes = NetworkSizes(
            parameters,
            packing.vectors,
            levels.input_limbs,
            levels.response_limbs,
            Fraction(2) ** levels.log_input_scale,
            levels.response_scale(parameters),
            packing.sums,
            seeded=self.holding is None or self.holding.share_budget is None,
        )
        graph = self.graph
        layout = NetworkLayout(
            features=graph.features.width,
            outputs=graph.output.outputs,
            rows_per_ciphertext=packing.vectors,
            blocks_per_request=sizes.blocks_per_request(),
            centre=tuple(map(float, self.centre)),
            half_width=tuple(map(float, self.half_width)),
            headroom=self.headroom,
            clipped=self.clipped,
            reach=self.reach,
            steps=self._steps(packing, levels),
            input_limbs=levels.input_limbs,
            log_input_scale=levels.log_input_scale,
            log_sum_scale=levels.log_sum_scale,
            sum_limbs=levels.sum_limbs,
            response_limbs=levels.response_limbs,
            keys=key_elements(parameters, packing, levels),
            log_noise=floods.log_noise,
            log_bound=log_bound,
            flooding_log_sigma=floods.flooding_log_sigma,
            decryption_log_sigma=floods.decryption_log_sigma,
            log_output_step=kept.log_step,
            kernels=_kernels(graph),
            holding=self.holding,
        )
        exposed = packing.vectors * packing.sums.together
        # Where askers are trusted with the weights there is nothing to mask.
        sanitised = self.policy.sanitising_bits > 0 and self.holding is None
        if sanitised and not _stays_masked(parameters, layout, exposed):
            return None
        return Plan(
            protection="fhe",
            parameters=name,
            layout=layout,
            prediction=Prediction(graph.input, graph.features, graph.output),
            guarantee=network_guarantee(
                parameters,
                layout,
                graph.features,
                graph.input.column_labels(),
                self.policy,
                results=packing.sums.groups,
            ),
            costs=network_costs(
                parameters,
                packing,
                levels,
                sizes,
                _two_digits(kept.error + self.error),
                float(math.floor(kept.bits)),
            ),
        )

    def _steps(self, packing: NetworkPacking, levels: NetworkLevels) -> tuple[StepLayout, ...]:
        return tuple(
            StepLayout(
                blocks=model.blocks,
                units=model.units,
                inputs=model.inputs,
                chunks=step.chunks,
                span=step.layout.span,
                period=step.layout.period,
                paired=step.layout.paired,
                halved=step.layout.halved,
                rotations=step.layout.rotations,
                log_weight_scale=its_levels.log_weight_scale,
                drop=its_levels.drop,
                circuits=tuple(
                    CircuitLayout(
                        "tower" if isinstance(plan, SquareTowerPlan) else "polynomial",
                        slot_function_drops(plan),
                        hidden_levels(plan) if self.holding is not None else (),
                    )
                    for plan in its_levels.circuits
                ),
            )
            for model, step, its_levels in zip(
                self.model.steps, packing.steps, levels.steps, strict=True
            )
        )
