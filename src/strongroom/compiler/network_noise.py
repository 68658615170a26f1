"""Predicted noise of a network's sums, and the flooding and precision that follow.

Noise is followed step by step with the engine's models, from the true matrices and circuits, up to
the bound B on a coefficient of the sums. A plan is public, so of B it tells the power of two above
only, and flooding is computed from that.

What is rounded once, when weights are encoded, is not noise: it belongs to the function that the
plan declares, and is judged by what it does to scores.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.network_hidden_noise import Hiding, hidden_bound, hidden_flood
from strongroom.compiler.network_levels import NetworkLevels, StepLevels
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.compiler.network_packing import NetworkPacking
from strongroom.compiler.noise import (
    TAIL,
    log_decryption_sigma,
    log_sanitising_sigma,
    public_variance,
    rounding_variance,
)
from strongroom.engine import Parameters
from strongroom.engine import noise_model as noise
from strongroom.engine.noise_model import ONE_KEY, NoiseEstimate, NoiseSource
from strongroom.engine.slot_functions import slot_function_noise
from strongroom.engine.slot_sums import SumLayout
from strongroom.engine.square_tower_noise import square_tower_deviations
from strongroom.engine.square_tower_plans import SquareTowerPlan
from strongroom.engine.transform_noise import uniform_transform
from strongroom.policy import Policy

Array = NDArray[np.float64]

ERROR_SIGMAS = 5.5
"""A score errs by more than this many standard deviations in about one row of 10^7."""


@dataclass(frozen=True, slots=True)
class NetworkFlooding:
    """Floods and what they leave; logarithms are to base 2.

    Attributes:
        log_noise: no coefficient of the sums has more noise than 2^this, at their level.
        flooding_log_sigma, decryption_log_sigma: in integers at the sums' and the response's level.
        score_deviation: standard deviation of a decrypted score's error.
    """

    log_noise: int
    flooding_log_sigma: float
    decryption_log_sigma: float
    score_deviation: float


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """Noise of what a step makes.

    Attributes:
        estimate: of the noisiest unit.
        shares: deviation of each unit's noise in that of the noisiest, shape (blocks * units,).
    """

    estimate: NoiseEstimate
    shares: Array


def sum_noise(
    parameters: Parameters,
    packing: NetworkPacking,
    levels: NetworkLevels,
    model: NetworkModel,
    hiding: Hiding | None = None,
) -> float:
    """B: bound on the noise of a coefficient of the sums, in integers.

    Args:
        model: with its weights and circuits.
        hiding: of a model whose weights are encrypted; its sums are not re-randomised.
    """
    # What a client rounds is part of its message.
    scale = _power(levels.log_input_scale)
    key = hiding.holding.noise if hiding else ONE_KEY
    row = NoiseEstimate(parameters, levels.input_limbs, scale, 1.0, {}, key=key)
    fresh = noise.encrypted_publicly(row) if key.collective else noise.encrypted(row)
    first = model.steps[0]
    values = _Values(fresh, np.ones(first.blocks * first.inputs))
    for number, step in enumerate(levels.steps):
        product = _product(packing, number, values, model, step, hiding)
        values = _circuits(product, step, model.steps[number], hiding)
    # A sum's noise is a coefficient of the state's times the encoded weights.
    weighted = replace(model, weights=model.weights * values.shares)
    largest = 0.0
    for group in range(packing.sums.groups):
        begin = group * packing.sums.together
        rows = slice(begin, begin + packing.sums.together)
        squares = 0.0
        for chunk in range(packing.steps[-1].chunks):
            weights = packing.sum_weights(weighted, chunk)[rows]
            factor = packing.sums.period // packing.vectors
            squares += float(np.sum(np.mean(np.square(weights * factor), axis=1)))
        largest = max(largest, squares)
    deviation = values.estimate.deviation * math.sqrt(largest) * 2.0**levels.log_sum_scale
    if hiding:
        return TAIL * math.hypot(
            deviation, hiding.sum_deviation(packing, levels, values.estimate, model)
        )
    return TAIL * math.sqrt(deviation**2 + public_variance(parameters.ring_degree))


@dataclass(frozen=True, slots=True)
class Sending:
    """What floods follow from, beside noise and policy; all of it is in the plan.

    Attributes:
        sums: layout of the results.
        sum_limbs, response_limbs: primes when sums are flooded, and of a response.
    """

    parameters: Parameters
    sums: SumLayout
    sum_limbs: int
    response_limbs: int

    @property
    def exposed(self) -> int:
        """Largest number of declared coefficients of one response ciphertext."""
        return self.sums.vectors * self.sums.together

    @property
    def spread(self) -> float:
        """How many times the deviation of a coefficient's error a score's is: the sums of several
        rows are combinations of as many coefficients."""
        return math.sqrt(2.0 * self.sums.vectors - 1.0)

    @property
    def log_dropped(self) -> float:
        """log2 of what a response is divided by after it was flooded."""
        before = self.parameters.log_prefix(self.sum_limbs)
        return before - self.parameters.log_prefix(self.response_limbs)

    @property
    def least_log_noise(self) -> int:
        """What re-randomising alone makes of noise."""
        return math.floor(math.log2(TAIL * math.sqrt(public_variance(self.parameters.ring_degree))))


def flooding(
    sending: Sending, response_scale: float, log_noise: int, policy: Policy
) -> NetworkFlooding:
    """The floods that hide 2^log_noise, and the precision that they leave."""
    server = sanitising_flood(sending, log_noise, policy.sanitising_bits)
    client = decryption_flood(sending, log_noise, policy)
    dropped = sending.log_dropped
    rounding = rounding_variance(sending.parameters.ring_degree) if dropped else 0.0
    sigma = math.hypot(
        math.exp2(server - dropped),
        math.exp2(client),
        math.exp2(log_noise - dropped) / TAIL,
        math.sqrt(rounding),
    )
    return NetworkFlooding(log_noise, server, client, sigma * sending.spread / response_scale)


def hidden_flooding(
    sending: Sending,
    response_scale: float,
    log_noise: int,
    policy: Policy,
    holding: KeyHolding,
) -> NetworkFlooding:
    """The one flood of a hidden model, at the response's level, and the precision that it leaves:
    each part of a committee's key is answered for once."""
    parameters, dropped = sending.parameters, sending.log_dropped
    flood = hidden_flood(parameters, sending.sums, dropped, log_noise, policy, holding)
    noise_left = hidden_bound(parameters, dropped, log_noise, holding) / TAIL
    sigma = math.hypot(math.sqrt(holding.parts) * math.exp2(flood), noise_left)
    return NetworkFlooding(log_noise, flood, flood, sigma * sending.spread / response_scale)


def sanitising_flood(sending: Sending, log_noise: int, sanitising_bits: int) -> float:
    """log2 of the flooding that hides the weights."""
    return log_sanitising_sigma(sanitising_bits, sending.exposed, math.exp2(log_noise))


def decryption_flood(sending: Sending, log_noise: int, policy: Policy) -> float:
    """log2 of the flooding with which a client may publish answers. A row gives as many response
    ciphertexts as there are groups of outputs."""
    dropped = sending.log_dropped
    bound = math.exp2(log_noise - dropped)
    if dropped:
        rounding = TAIL * math.sqrt(rounding_variance(sending.parameters.ring_degree))
        bound = math.hypot(bound, rounding)
    return log_decryption_sigma(
        policy.decryption_bits,
        policy.decryption_queries * sending.sums.groups,
        sending.exposed,
        bound,
    )


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How a model's scores answer to small errors, and how large its values are, on a sample.

    Attributes:
        gains: root mean square of a score's error by that of a step's arguments, a step each.
        mean_squares: of what each step takes.
        last: mean square of what the last step makes, of the row where it is largest.
    """

    gains: tuple[float, ...]
    mean_squares: tuple[float, ...]
    last: float

    @classmethod
    def of(cls, model: NetworkModel, z: Array) -> Sensitivity:
        """Tried on rows z, shape (n, features), with random errors."""
        exact = model.values(z)
        generator = np.random.default_rng(0)
        gains = []
        for number, step in enumerate(model.steps):
            # So small that a derivative is what is seen.
            size = 2.0**-24
            errors = [np.zeros((len(z), s.blocks * s.units)) for s in model.steps]
            errors[number] = generator.normal(size=(len(z), step.blocks * step.units)) * size
            moved = model.values(z, errors)[-1] - exact[-1]
            gains.append(float(np.sqrt(np.square(moved).mean())) / size)
        taken = [z, *exact[:-2]]
        last = float(np.square(exact[-2]).mean(axis=1).max())
        return cls(tuple(gains), tuple(float(np.square(x).mean()) for x in taken), last)


def encoding_error(
    parameters: Parameters,
    packing: NetworkPacking,
    levels: NetworkLevels,
    sensitivity: Sensitivity,
) -> float:
    """Standard deviation of what rounded weights do to scores."""
    squares = 0.0
    for number, step in enumerate(packing.steps):
        layout = step.layout
        # Rounding all N coefficients of a diagonal moves each slot by sqrt(N / 12).
        log_scale = levels.steps[number].log_weight_scale
        slot = math.sqrt(parameters.ring_degree / 12.0) * 2.0**-log_scale
        sources = 1 if number == 0 else packing.steps[number - 1].chunks
        filled = layout.slot_columns / layout.period
        mean_square = sensitivity.mean_squares[number] * (2.0 if layout.complex else 1.0) * filled
        arguments = slot * math.sqrt(layout.diagonals * layout.terms * sources * mean_square)
        squares += (arguments * sensitivity.gains[number]) ** 2
    return math.sqrt(squares)


def rounded_sums(packing: NetworkPacking, levels: NetworkLevels, sensitivity: Sensitivity) -> float:
    """Standard deviation of what rounded final weights add to a coefficient of the sums."""
    # The squares of a polynomial's coefficients add up to the mean square of its slots.
    squares = packing.steps[-1].chunks * sensitivity.last
    return math.sqrt(squares / 12.0) * 2.0**-levels.log_sum_scale


def _product(
    packing: NetworkPacking,
    number: int,
    values: _Values,
    network: NetworkModel,
    levels: StepLevels,
    hiding: Hiding | None,
) -> NoiseEstimate:
    """A step's product. All diagonals are taken to be as large as the largest row makes them."""
    model = network.steps[number]
    layout, x = packing.steps[number].layout, values.estimate
    sources = packing.steps[number - 1].chunks if number else 1
    entries = _largest_row(model.weights) / math.sqrt(layout.diagonals * layout.terms)
    if layout.complex:
        # Half of each, and its conjugate is added at the end.
        entries /= math.sqrt(2.0)
    scale = _power(levels.log_weight_scale)
    exact = NoiseEstimate(x.parameters, x.limbs, scale, entries, {}, key=x.key)
    # What switching keys adds is alike in all slots; what the vector brings is not.
    quiet = replace(x, deviations={})
    if layout.halved:
        quiet = noise.add(quiet, noise.rotate(quiet, layout.half_step))
    product = uniform_transform(
        quiet, exact, layout.step_plan, layout.diagonals, encrypted=hiding is not None
    )
    product = noise.sum_slots(product, layout.terms)
    if layout.complex:
        product = noise.add(product, noise.conjugate(product))
    shared = model.weights * values.shares.reshape(model.blocks, 1, model.inputs)
    brought = x.deviation * _largest_row(shared) * 2.0**levels.log_weight_scale
    deviation = math.hypot(product.deviation * math.sqrt(sources), brought)
    if hiding:
        hidden = hiding.product_deviation(packing, number, x, network)
        deviation = math.hypot(deviation, hidden)
    product = replace(product, deviations={NoiseSource(): deviation})
    # The magnitude is bounded by the circuits' intervals, not by norms.
    product = noise.rescale(product, levels.drop).with_magnitude(1.0)
    if not hiding:
        return product
    bias = {NoiseSource(): hiding.encryption_deviation(x.parameters)}
    return replace(product, deviations={**product.deviations, **bias})


def _circuits(
    product: NoiseEstimate, levels: StepLevels, model: HiddenStep, hiding: Hiding | None
) -> _Values:
    units = model.blocks * model.units
    estimate = product
    fresh = hiding.encryption_deviation(product.parameters) if hiding else 0.0
    for plan in levels.circuits[:-1]:
        estimate = slot_function_noise(estimate, plan, coefficients=fresh)
    if not levels.circuits:
        return _Values(estimate, np.ones(units))
    last = levels.circuits[-1]
    made = slot_function_noise(estimate, last, coefficients=fresh)
    if not isinstance(last, SquareTowerPlan):
        return _Values(made, np.ones(units))
    deviations = square_tower_deviations(estimate, last, coefficients=fresh)
    return _Values(made, np.broadcast_to(deviations / deviations.max(), units))


def _largest_row(weights: Array) -> float:
    """The largest Euclidean norm of a row of weights of shape (blocks, units, inputs)."""
    return float(np.sqrt(np.square(weights).sum(axis=2).max()))


def _power(log_scale: int) -> Fraction:
    return Fraction(2) ** log_scale
