"""What encrypting a network's weights adds to the noise of its sums, and the flooding of results.

A product of ciphertexts has the noise of one times the message of the other, both ways. So the
noise of encrypted weights counts with the values that they meet: of a row its norm, of hidden
values the largest that circuits make where they were fitted, and of slots that hold no value at all
what circuits make of zero.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import placed_circuit
from strongroom.compiler.holding import KeyHolding
from strongroom.compiler.network_levels import NetworkLevels
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.compiler.network_packing import NetworkPacking
from strongroom.compiler.noise import TAIL, log_decryption_sigma, log_sanitising_sigma
from strongroom.engine import Parameters
from strongroom.engine.noise_model import (
    ERROR_DEVIATION,
    NoiseEstimate,
    public_key_deviation,
    rounding_deviation,
    switching_deviation,
)
from strongroom.engine.slot_sums import SumLayout
from strongroom.engine.square_towers import SquareTower
from strongroom.policy import Policy

Array = NDArray[np.float64]

_AFFINE_REACH = 2.0
"""How many times as large as in the sample the values of a step without circuits may be."""


@dataclass(frozen=True, slots=True)
class Hiding:
    """What the noise of encrypted weights follows from, beside the model.

    Attributes:
        holding: of the key.
        reach: largest Euclidean norm of a row.
        arguments: largest of each step's first circuit, in absolute value.
    """

    holding: KeyHolding
    reach: float
    arguments: tuple[float, ...]

    def encryption_deviation(self, parameters: Parameters) -> float:
        """Standard deviation of a coefficient of fresh noise, of weights as of rows: an owner
        encrypts with its secret key, for a committee it is done with the public one."""
        key = self.holding.noise
        return public_key_deviation(parameters, key) if key.collective else ERROR_DEVIATION

    def product_deviation(
        self,
        packing: NetworkPacking,
        number: int,
        x: NoiseEstimate,
        model: NetworkModel,
    ) -> float:
        """Of a step's product, by the noise of its encrypted matrix.

        Args:
            x: the step's vector.
            model: with its circuits.
        """
        layout = packing.steps[number].layout
        fresh = self.encryption_deviation(x.parameters)
        if number == 0:
            squares, sources = self.reach**2, 1
        else:
            values = self.values(packing, number - 1, model)
            sources = packing.steps[number - 1].chunks
            # Of one vector's period.
            squares = sum(float(np.square(v).mean()) for v in values) * layout.period
        met = float(x.scale) * math.sqrt(layout.repeats * squares)
        count = layout.diagonals * layout.terms * sources
        noises = math.sqrt(x.parameters.ring_degree * count) * x.deviation
        both = math.sqrt(2.0) if layout.complex else 1.0
        return both * fresh * math.hypot(met, noises)

    def values(
        self, packing: NetworkPacking, number: int, model: NetworkModel
    ) -> tuple[Array, ...]:
        """The largest absolute value of each slot of what a step makes, shape (S,), for each of its
        chunks."""
        step = model.steps[number]
        units = np.full(step.blocks * step.units, _AFFINE_REACH * self.arguments[number])
        padding = np.zeros(1)
        for circuit in step.circuits:
            if isinstance(circuit, SquareTower):
                units = np.broadcast_to(circuit.largest_values()[-1], units.shape)
            padding = placed_circuit(circuit, np.zeros(1, dtype=np.intp))(padding)
        marks = HiddenStep(
            np.zeros((step.blocks, step.units, 1)), np.ones((step.blocks, step.units)), ()
        )
        return tuple(
            np.where(
                packing.bias_slots(number, marks, chunk) > 0.0,
                units[packing.unit_slots(number, step, chunk)],
                float(np.abs(padding).max()),
            )
            for chunk in range(packing.steps[number].chunks)
        )

    def sum_deviation(
        self,
        packing: NetworkPacking,
        levels: NetworkLevels,
        state: NoiseEstimate,
        model: NetworkModel,
    ) -> float:
        """Of a coefficient of the sums, by their encrypted weights and the relinearisation."""
        parameters, fresh = state.parameters, self.encryption_deviation(state.parameters)
        values = self.values(packing, len(levels.steps) - 1, model)
        # The squares of a polynomial's coefficients add up to the mean square of its slots.
        squares = sum(float(np.square(v).mean()) for v in values)
        noises = math.sqrt(parameters.ring_degree * len(values)) * state.deviation
        error = self.holding.noise.relinearisation_error(parameters.ring_degree)
        return math.hypot(
            fresh * float(state.scale) * math.sqrt(squares),
            fresh * noises,
            switching_deviation(parameters, levels.sum_limbs, error),
        )


def hidden_flood(
    parameters: Parameters,
    sums: SumLayout,
    log_dropped: float,
    log_noise: int,
    policy: Policy,
    holding: KeyHolding,
) -> float:
    """log2 of the flooding of whoever decrypts, at the level of a response: of an owner, or of each
    member of a committee.

    A member's share tells of its part of the key but for what floods it, in all results that the
    key's budget allows, and in proofs of all shares.

    Args:
        log_dropped: log2 of what sums are divided by before they are sent.
        log_noise: no coefficient of the sums has more noise than 2^this.
    """
    exposed = sums.vectors * sums.together
    bound = hidden_bound(parameters, log_dropped, log_noise, holding)
    decryption = log_decryption_sigma(
        policy.decryption_bits, policy.decryption_queries * sums.groups, exposed, bound
    )
    if holding.smudged_results is None:
        return decryption
    bits = max(policy.sanitising_bits, policy.decryption_bits)
    return max(decryption, log_sanitising_sigma(bits, holding.smudged_results * exposed, bound))


def hidden_bound(
    parameters: Parameters, log_dropped: float, log_noise: int, holding: KeyHolding
) -> float:
    """Of the noise of a response's coefficient: that of the sums, divided and rounded, and of the
    bias, which is encrypted at the response's level."""
    key, n = holding.noise, parameters.ring_degree
    bias = public_key_deviation(parameters, key) if key.collective else ERROR_DEVIATION
    rounded = rounding_deviation(n, key) if log_dropped else 0.0
    return math.hypot(math.exp2(log_noise - log_dropped), TAIL * math.hypot(rounded, bias))
