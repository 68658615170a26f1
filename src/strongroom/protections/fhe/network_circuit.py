"""The circuit of a network: everything that both sides derive from a plan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from strongroom.compiler.network_levels import MOST_SCALE_BITS, SPARE_BITS, sent_scale
from strongroom.compiler.network_messages import NetworkSizes, uploaded_key_bytes
from strongroom.compiler.network_noise import Sending
from strongroom.compiler.network_packing import NetworkPacking, StepPacking
from strongroom.compiler.plan import CircuitLayout, CommitteeKey, NetworkLayout, Plan
from strongroom.engine import RELINEARISATION, Parameters, PublicKey, SecretKey, catalogued
from strongroom.engine.hidden_towers import HiddenTowerPlan, TowerLevel
from strongroom.engine.periodic_products import PeriodicLayout
from strongroom.engine.slot_sums import SumLayout
from strongroom.protections.fhe.soundness import (
    binding,
    contradiction,
    require_sound_floods,
    require_sound_ranges,
)
from strongroom.protections.interface import KeyNeed, KeyNeeds

_MOST_CHUNKS = 1024
_MOST_STEPS = 64
_MOST_CIRCUITS = 16
_MOST_VECTORS = 1024
_MOST_KEYS = 1024


@dataclass(frozen=True, slots=True)
class NetworkCircuit:
    """Parameters, packing, exact scales and message sizes of one plan.

    Attributes:
        input_scale, response_scale: of what travels.
        step_limbs: primes of each step's vector, and of what the last step makes.
        step_scales: scales of the same.
        needs: the keys that a server needs.
        binding: 32 bytes that name package and plan in every message.
    """

    parameters: Parameters
    layout: NetworkLayout
    packing: NetworkPacking
    step_limbs: tuple[int, ...]
    step_scales: tuple[Fraction, ...]
    response_scale: Fraction
    sizes: NetworkSizes
    needs: KeyNeeds
    binding: bytes

    @classmethod
    def of(cls, plan: Plan, package: str = "") -> NetworkCircuit:
        """Derive a circuit; the plan may come from a stranger.

        Args:
            package: digest of the package whose messages it shall read and write.

        Raises:
            PolicyError: SR-PLAN-INVALID, SR-PARAMETERS-UNKNOWN.
        """
        parameters, layout = catalogued(plan.parameters), plan.layout
        if not isinstance(layout, NetworkLayout):
            raise contradiction("it is not that of a network")
        _require_sound(plan, layout, parameters)
        packing = _packing(layout, parameters)
        limbs, scales = _levels(layout, parameters)
        score_scale = scales[-1] * Fraction(2) ** layout.log_sum_scale
        if _log2(score_scale) + layout.log_bound + SPARE_BITS > 1e-6 + parameters.log_prefix(
            layout.sum_limbs
        ):
            raise contradiction("its scores do not fit its modulus")
        dropped = math.prod(parameters.primes[layout.response_limbs : layout.sum_limbs])
        response_scale = _sent(score_scale / dropped)
        sizes = NetworkSizes(
            parameters,
            layout.rows_per_ciphertext,
            layout.input_limbs,
            layout.response_limbs,
            scales[0],
            response_scale,
            packing.sums,
            seeded=_is_seeded(plan, layout),
        )
        if not 1 <= layout.blocks_per_request <= sizes.blocks_per_request():
            raise contradiction("a full request would be larger than the protocol allows")
        rows = layout.blocks_per_request * layout.rows_per_ciphertext
        _require_true_sizes(plan, layout, sizes, rows)
        needs = KeyNeeds(
            plan.parameters,
            tuple(KeyNeed(element, its_limbs) for element, its_limbs in layout.keys),
            0 if layout.hidden else layout.sum_limbs,
        )
        return cls(
            parameters,
            layout,
            packing,
            limbs,
            scales,
            response_scale,
            sizes,
            needs,
            binding(plan, package),
        )

    def encrypted_under(self, key: SecretKey | PublicKey) -> NetworkCircuit:
        """The same for weights and rows that are encrypted under a key, secret or public."""
        return replace(self, sizes=replace(self.sizes, seeded=isinstance(key, SecretKey)))

    def sources(self, number: int) -> int:
        """How many ciphertexts a step's vector takes."""
        return self.packing.steps[number - 1].chunks if number else 1

    def product_level(self, number: int) -> tuple[int, Fraction]:
        """Primes and scale of a step's rescaled product."""
        step = self.layout.steps[number]
        scale = self.step_scales[number] * Fraction(2) ** step.log_weight_scale
        return _dropped(self.parameters, self.step_limbs[number], scale, step.drop)

    def tower_plans(self, number: int) -> tuple[HiddenTowerPlan, ...]:
        """Of the circuits of a hidden model's step."""
        limbs, scale = self.product_level(number)
        plans: list[HiddenTowerPlan] = []
        for circuit in self.layout.steps[number].circuits:
            levels = [
                TowerLevel(drop, level.terms, level.constant)
                for drop, level in zip(circuit.drops, circuit.hidden, strict=True)
            ]
            plans.append(HiddenTowerPlan.of(self.parameters, levels, limbs, scale))
            limbs, scale = plans[-1].every_limbs[-1], plans[-1].every_scale[-1]
        return tuple(plans)

    @property
    def input_scale(self) -> Fraction:
        """Of a request's ciphertexts."""
        return self.step_scales[0]

    @property
    def sending(self) -> Sending:
        """What floods follow from."""
        layout = self.layout
        return Sending(self.parameters, self.packing.sums, layout.sum_limbs, layout.response_limbs)

    @property
    def rows_per_request(self) -> int:
        """How many rows a request holds at most."""
        return self.layout.blocks_per_request * self.layout.rows_per_ciphertext


def _is_seeded(plan: Plan, layout: NetworkLayout) -> bool:
    """Whether rows, and weights of a hidden model, are encrypted with the secret key: they are not
    where a committee holds it, or will."""
    if layout.holding is None:
        return True
    if plan.holder is None:
        return layout.holding.share_budget is None
    return not isinstance(plan.holder, CommitteeKey)


def _require_sound_holding(plan: Plan, layout: NetworkLayout, parameters: Parameters) -> None:
    """Whether circuits say what a hidden model's must, and the key is held as floods suppose."""
    holding = layout.holding
    for step in layout.steps:
        for circuit in step.circuits:
            if len(circuit.hidden) != (len(circuit.drops) if holding else 0):
                raise contradiction("its circuits don't say which of their coefficients it has")
            if holding and (circuit.kind != "tower" or 0 in circuit.drops):
                raise contradiction("it has a circuit that can't be hidden")
            for number, level in enumerate(circuit.hidden):
                if list(level.terms) != sorted(set(level.terms) & set(range(number + 1))):
                    raise contradiction("a level of a circuit takes values that it does not have")
    if holding is None:
        return
    if not parameters.special_primes:
        raise contradiction("its parameters have no keys to multiply with")
    if holding.share_budget is None and holding.parts > 1:
        raise contradiction("its owner's key has more than one part")
    if isinstance(plan.holder, CommitteeKey) and holding.share_budget != plan.holder.share_budget:
        raise contradiction("its flooding is for another share budget than its committee's")


def _require_sound(plan: Plan, layout: NetworkLayout, parameters: Parameters) -> None:
    """Everything that must hold before a plan's numbers are computed with."""
    require_sound_ranges(plan, layout, layout.features)
    if not 2.0**-10 <= layout.headroom <= 1024.0:
        raise contradiction("its headroom is out of bounds")
    if not 2.0**-10 <= layout.reach <= 2.0**40:
        raise contradiction("its reach is out of bounds")
    if any(len(step.circuits) > _MOST_CIRCUITS for step in layout.steps):
        raise contradiction("a step has too many circuits")
    _require_sound_holding(plan, layout, parameters)
    if layout.rows_per_ciphertext > _MOST_VECTORS:
        raise contradiction("its ciphertexts hold too many rows")
    limits = (layout.response_limbs, layout.sum_limbs, layout.input_limbs, parameters.limbs)
    if list(limits) != sorted(limits) or limits[0] < 1:
        raise contradiction("its levels are not in order, or not in the chain")
    if not 1 <= len(layout.steps) <= _MOST_STEPS or layout.steps[0].blocks * layout.steps[
        0
    ].inputs != (layout.features):
        raise contradiction("its first step does not take its features")
    largest = parameters.log_prefix(layout.input_limbs)
    if layout.log_input_scale + max(0.0, math.log2(layout.headroom)) + 1.0 > largest:
        raise contradiction("its rows do not fit its modulus")
    if not 0 <= layout.log_noise <= largest:
        raise contradiction("its noise is out of bounds")
    require_sound_floods(layout, largest)
    elements = [element for element, _ in layout.keys]
    if len(elements) > _MOST_KEYS:
        raise contradiction("it asks for too many keys")
    if elements != sorted(set(elements)):
        raise contradiction("its keys are not in order")
    for element, limbs in layout.keys:
        possible = element == RELINEARISATION or (
            element % 2 == 1 and 1 < element < 2 * parameters.ring_degree
        )
        if not possible or not 1 <= limbs <= parameters.limbs:
            raise contradiction(f"there is no key for element {element} at {limbs} primes")


def _require_true_sizes(plan: Plan, layout: NetworkLayout, sizes: NetworkSizes, rows: int) -> None:
    """Whether a plan's costs say what its messages and keys will take: those that it was made for,
    whoever's key it is tried with."""
    holding = layout.holding
    sizes = replace(sizes, seeded=holding is None or holding.share_budget is None)
    public_limbs = 0 if holding is not None else layout.sum_limbs
    true = {
        "rows_per_request": rows,
        "request_bytes": sizes.request(1),
        "response_bytes": sizes.response(1),
        "full_request_bytes": sizes.request(rows),
        "full_response_bytes": sizes.response(rows),
        "evaluation_key_bytes": uploaded_key_bytes(sizes.parameters, layout.keys, public_limbs),
    }
    if any(getattr(plan.costs, name) != value for name, value in true.items()):
        raise contradiction("its costs are not those of its requests")


def _packing(layout: NetworkLayout, parameters: Parameters) -> NetworkPacking:
    slots, vectors = parameters.ring_degree // 2, layout.rows_per_ciphertext
    steps: list[StepPacking] = []
    try:
        for step in layout.steps:
            if not step.chunks <= min(_MOST_CHUNKS, step.units):
                raise ValueError("chunks")
            columns = steps[-1].period if steps else step.inputs
            if steps and (
                step.blocks != 1
                or step.inputs
                != layout.steps[len(steps) - 1].blocks * layout.steps[len(steps) - 1].units
            ):
                raise ValueError("inputs")
            padded = 1 << (step.blocks - 1).bit_length()
            rows = -(-step.units // step.chunks)
            periodic = PeriodicLayout(
                slots,
                padded * vectors,
                rows,
                columns,
                step.span,
                step.period,
                step.paired,
                step.halved,
                step.rotations,
            )
            steps.append(StepPacking(periodic, step.blocks, step.chunks))
        sums = SumLayout(2 * slots, steps[-1].period * vectors, vectors, layout.outputs)
    except ValueError as error:
        raise contradiction("its packing does not fit its ring") from error
    return NetworkPacking(slots, vectors, tuple(steps), sums)


def _levels(
    layout: NetworkLayout, parameters: Parameters
) -> tuple[tuple[int, ...], tuple[Fraction, ...]]:
    """Primes and scale of each step's vector, and of what the last step makes."""
    limbs, scale = layout.input_limbs, Fraction(2) ** layout.log_input_scale
    every_limbs, every_scale = [limbs], [scale]
    for step in layout.steps:
        scale *= Fraction(2) ** step.log_weight_scale
        limbs, scale = _dropped(parameters, limbs, scale, step.drop)
        for circuit in step.circuits:
            limbs, scale = _after(parameters, limbs, scale, circuit)
        every_limbs.append(limbs)
        every_scale.append(scale)
    if limbs < layout.sum_limbs:
        raise contradiction("its sums are at a level that its steps do not leave")
    return tuple(every_limbs), tuple(every_scale)


def _after(
    parameters: Parameters, limbs: int, scale: Fraction, circuit: CircuitLayout
) -> tuple[int, Fraction]:
    if circuit.kind == "polynomial":
        limbs, _ = _dropped(parameters, limbs, scale, sum(circuit.drops))
        return limbs, scale
    for drop in circuit.drops:
        limbs, scale = _dropped(parameters, limbs, scale**2, drop)
    return limbs, scale


def _dropped(
    parameters: Parameters, limbs: int, scale: Fraction, drop: int
) -> tuple[int, Fraction]:
    if not drop < limbs:
        raise contradiction("its steps take more primes than there are")
    divisor = math.prod(parameters.primes[limbs - drop : limbs])
    if max(scale.numerator.bit_length(), scale.denominator.bit_length()) > MOST_SCALE_BITS:
        raise contradiction("its scales are out of bounds")
    return limbs - drop, scale / divisor


def _log2(scale: Fraction) -> float:
    """Of numbers that no float holds, too."""
    return math.log2(scale.numerator) - math.log2(scale.denominator)


def _sent(scale: Fraction) -> Fraction:
    try:
        return sent_scale(scale)
    except OverflowError:
        raise contradiction("its scales are out of bounds") from None
