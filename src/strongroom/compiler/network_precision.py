"""Which levels keep a policy's precision: the fewest primes first, of those the largest scales.

Larger scales leave more precision above the noise until flooding grows wider than can be sampled;
more primes leave room for larger scales.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from strongroom.compiler.network_hidden_noise import Hiding
from strongroom.compiler.network_levels import Magnitudes, NetworkLevels, walk
from strongroom.compiler.network_model import NetworkModel
from strongroom.compiler.network_noise import (
    ERROR_SIGMAS,
    NetworkFlooding,
    Sending,
    Sensitivity,
    encoding_error,
    flooding,
    hidden_flooding,
    rounded_sums,
    sanitising_flood,
    sum_noise,
)
from strongroom.compiler.network_packing import NetworkPacking
from strongroom.engine import LARGEST_LOG_FLOOD, Parameters
from strongroom.policy import Policy

_HIGHEST_TARGET, _LOWEST_TARGET = 80, 34
_TARGETS_TRIED = 3
_HIDDEN_TARGETS_TRIED = 2
"""Larger scales are always better where nothing is flooded before the response."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """What levels must keep.

    Attributes:
        model: with its weights and circuits.
        sensitivity: of its scores to errors.
        arguments: the largest of each step's first circuit, in absolute value.
        largest: score of the sample, that precision is counted from.
        room: largest score that must not wrap around.
        policy: precision and flooding.
        hidden: what the noise of encrypted weights follows from; None if they are not encrypted.
    """

    model: NetworkModel
    sensitivity: Sensitivity
    arguments: tuple[float, ...]
    largest: float
    room: float
    policy: Policy
    hidden: Hiding | None = None

    @property
    def magnitudes(self) -> Magnitudes:
        """What the levels must have room for."""
        log_bound = math.ceil(math.log2(self.room)) if self.room > 0.0 else 0
        # The rounding of the final weights must vanish beside the precision.
        least = math.ceil(self.policy.precision_bits + 3 - log_bound)
        return Magnitudes(self.arguments, log_bound, least, self.hidden is not None)


@dataclass(frozen=True, slots=True, eq=False)
class KeptPrecision:
    """Levels, and what they keep.

    Attributes:
        levels: with the fewest primes of a response.
        floods: at these levels.
        log_step: decrypted scores are rounded to multiples of 2^this.
        error: of a score, by encryption.
        bits: that the largest score keeps above it.
    """

    levels: NetworkLevels
    floods: NetworkFlooding
    log_step: int
    error: float
    bits: float


def kept_precisions(
    parameters: Parameters,
    packing: NetworkPacking,
    demand: Demand,
    primes: Iterable[int] | None = None,
) -> Iterator[KeptPrecision]:
    """Levels that keep what is demanded, best first.

    Args:
        packing: of the model, in the slots of these parameters.
        primes: numbers of primes of a request that are tried, in this order; all, if None.
    """
    if not math.isfinite(demand.room):
        return
    magnitudes = demand.magnitudes
    circuits = [step.circuits for step in demand.model.steps]
    for limbs in range(1, parameters.limbs + 1) if primes is None else primes:
        tried = 0
        for target in range(_HIGHEST_TARGET, _LOWEST_TARGET, -1):
            levels = walk(parameters, circuits, magnitudes, limbs, target)
            if levels is None:
                continue
            noise = sum_noise(parameters, packing, levels, demand.model, demand.hidden)
            if not math.isfinite(noise):
                continue
            log_noise = math.ceil(math.log2(noise))
            if demand.hidden is not None:
                kept = _kept(parameters, packing, demand, levels, log_noise)
                if kept is not None:
                    yield kept
                    break
                tried += 1
                if tried == _HIDDEN_TARGETS_TRIED:
                    break
                continue
            sending = Sending(parameters, packing.sums, levels.sum_limbs, levels.sum_limbs)
            if sanitising_flood(sending, log_noise, demand.policy.sanitising_bits) > (
                LARGEST_LOG_FLOOD
            ):
                # More primes do not help; smaller scales make less noise.
                continue
            kept = _kept(parameters, packing, demand, levels, log_noise)
            if kept is not None:
                yield kept
            tried += 1
            if tried == _TARGETS_TRIED:
                break


def _kept(
    parameters: Parameters,
    packing: NetworkPacking,
    demand: Demand,
    levels: NetworkLevels,
    log_noise: int,
) -> KeptPrecision | None:
    """What levels keep with the shortest response, if it is what is demanded."""
    largest, policy = demand.largest, demand.policy
    disturbed = ERROR_SIGMAS * encoding_error(parameters, packing, levels, demand.sensitivity)
    sums = rounded_sums(packing, levels, demand.sensitivity)
    allowed = math.ldexp(largest, -policy.precision_bits) if largest else math.inf
    for response_limbs in range(1, levels.sum_limbs + 1):
        its_levels = replace(levels, response_limbs=response_limbs)
        sending = Sending(parameters, packing.sums, levels.sum_limbs, response_limbs)
        scale = float(its_levels.response_scale(parameters))
        if demand.hidden is None:
            floods = flooding(sending, scale, log_noise, policy)
        else:
            floods = hidden_flooding(sending, scale, log_noise, policy, demand.hidden.holding)
        room = parameters.log_prefix(response_limbs) - 2.0
        if floods.decryption_log_sigma > min(room - 3.0, LARGEST_LOG_FLOOD):
            continue
        # Coefficients are rounded to steps, and several of them make a score.
        log_step = math.floor(math.log2(floods.score_deviation / sending.spread)) + 1
        step = math.ldexp(1.0 / math.sqrt(12.0), log_step)
        deviation = math.hypot(floods.score_deviation, sending.spread * math.hypot(step, sums))
        error = ERROR_SIGMAS * deviation + disturbed
        if error <= allowed:
            bits = math.log2(largest / error) if largest > 0.0 else 64.0
            return KeptPrecision(its_levels, floods, log_step, error, bits)
    return None
