"""How deep a network fits without bootstrapping, said before anything is planned.

Every matrix and every product of ciphertexts ends in a rescaling, which is a level: it takes primes
of the modulus for good. How many levels a ring has is not in the catalogue alone: the scale of all
ciphertexts, and so what a level costs, follows from the policy's precision and from how much noise
must be flooded. So limits are found with the planner's own criterion, on a network that stands for
others: layers of a matrix and a square, all values within ±1, as after a normalisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from strongroom.compiler.activation_circuits import Circuit
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.compiler.network_noise import Sensitivity
from strongroom.compiler.network_packing import NetworkPacking, shapes
from strongroom.compiler.network_precision import Demand, kept_precisions
from strongroom.compiler.plan import NetworkLayout, StepLayout
from strongroom.engine import catalogued, satisfying
from strongroom.engine.polynomials import polynomial_depth
from strongroom.engine.square_towers import SquareTower
from strongroom.policy import Policy

Array = NDArray[np.float64]

SQUARE_LAYER_LEVELS: Final = 2
"""Of a matrix and a square."""

_WIDTH: Final = 64
_ROWS: Final = 50
_REACH: Final = 1.2  # of intervals, beyond the values of the sample


@dataclass(frozen=True, slots=True)
class RingDepth:
    """How deep a network fits a ring.

    Attributes:
        ring_degree: N.
        parameters: the entry of the catalogue that holds most.
        square_layers: layers of a matrix and a square that it holds, one row a ciphertext; 0 if
            not even one.
    """

    ring_degree: int
    parameters: str
    square_layers: int

    @property
    def levels(self) -> int:
        """That these layers take."""
        return SQUARE_LAYER_LEVELS * self.square_layers


def ring_depths(policy: Policy) -> tuple[RingDepth, ...]:
    """How deep a network fits each ring that a policy's security allows, smallest ring first.

    Networks of other activations, of larger values or of more precision hold fewer layers.
    """
    # What else a policy says is not about depth.
    return _ring_depths(
        msgspec.structs.replace(
            Policy(),
            security=policy.security,
            sanitising_bits=policy.sanitising_bits,
            decryption_bits=policy.decryption_bits,
            decryption_queries=policy.decryption_queries,
            precision_bits=policy.precision_bits,
        )
    )


@lru_cache(maxsize=16)
def _ring_depths(policy: Policy) -> tuple[RingDepth, ...]:
    deepest: dict[int, RingDepth] = {}
    for entry in satisfying(policy.security, switching=True):
        layers = _square_layers(entry.name, policy)
        known = deepest.get(entry.ring_degree)
        if known is None or layers > known.square_layers:
            deepest[entry.ring_degree] = RingDepth(entry.ring_degree, entry.name, layers)
    return tuple(deepest[ring_degree] for ring_degree in sorted(deepest))


def _square_layers(parameters: str, policy: Policy) -> int:
    layers = 0
    while keeps(parameters, *square_network(layers + 1), policy):
        layers += 1
    return layers


@lru_cache(maxsize=32)
def square_network(layers: int) -> tuple[NetworkModel, Array]:
    """A network of random matrices and squares, and rows for it, with all values within ±1."""
    generator = np.random.default_rng(0)
    rows = generator.uniform(-1.0, 1.0, (_ROWS, _WIDTH))
    square = SquareTower(np.zeros((1, 1)), np.zeros(1), np.array([-_REACH, _REACH]))
    steps: list[HiddenStep] = []
    values = rows
    for _ in range(layers):
        weights = _normalised(generator.normal(size=(_WIDTH, _WIDTH)), values)
        steps.append(HiddenStep(weights[None], np.zeros((1, _WIDTH)), (square,)))
        values = steps[-1].values(steps[-1].arguments(values))
    weights = _normalised(generator.normal(size=(1, _WIDTH)), values)
    return NetworkModel(tuple(steps), weights, np.zeros(1)), rows


def _normalised(weights: Array, values: Array) -> Array:
    """So that the largest product with a row of values is 1."""
    return np.asarray(weights / np.abs(values @ weights.T).max())


def keeps(
    parameters: str, model: NetworkModel, z: Array, policy: Policy, *, room: float = 0.0
) -> bool:
    """Whether an entry of the catalogue, with all its primes and one row a ciphertext, keeps a
    policy's precision of a model.

    Args:
        z: rows in the common range, shape (n, features).
        room: a score that must not wrap around, if larger than that of these rows.
    """
    chosen = catalogued(parameters)
    packing = NetworkPacking.choose(chosen.ring_degree // 2, 1, shapes(model), len(model.weights))
    if packing is None:
        return False
    arguments: list[float] = []
    values = z
    for step in model.steps:
        taken = step.arguments(values)
        arguments.append(float(np.abs(taken).max()))
        values = step.values(taken)
    largest = float(np.abs(model.scores(z)).max())
    sensitivity = Sensitivity.of(model, z)
    demand = Demand(model, sensitivity, tuple(arguments), largest, max(room, largest), policy)
    return any(True for _ in kept_precisions(chosen, packing, demand, (chosen.limbs,)))


def step_levels(step: HiddenStep) -> int:
    """Levels of a matrix and the circuits behind it."""
    return 1 + sum(map(circuit_levels, step.circuits))


def circuit_levels(circuit: Circuit) -> int:
    """Of one circuit."""
    if isinstance(circuit, SquareTower):
        return circuit.depth
    return polynomial_depth(circuit.degree)


def planned_levels(step: StepLayout) -> int:
    """Levels of a step, by its plan."""
    return 1 + sum(sum(drop > 0 for drop in circuit.drops) for circuit in step.circuits)


def levels_used(layout: NetworkLayout) -> int:
    """Of all steps of a plan."""
    return sum(map(planned_levels, layout.steps))
