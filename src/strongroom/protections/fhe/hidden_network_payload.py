"""The payload of a hidden network: all its numbers as ciphertexts.

magic     4  "SRHN"
version   2  1, little-endian
count     4  of the ciphertexts that follow:

    for each step, for each ciphertext that it makes:
        for each ciphertext of its vector, the matrix' diagonals in the order of its rotations
        the bias
        for each circuit, for each level: the factors of values that join the square; the constant
    for each group of sums, for each ciphertext of the last step: the weights
    for each group of sums, the bias

Levels and scales are the plan's, so every ciphertext is written with the scale 1. An owner's are
symmetric, and half of each is a seed; a committee's are made with its public key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

import numpy as np

from strongroom import engine
from strongroom.compiler.activation_circuits import placed_circuit
from strongroom.compiler.network_model import HiddenStep, NetworkModel
from strongroom.engine import Ciphertext, Plaintext, PublicKey, SecretKey
from strongroom.engine.ciphertext import Packing
from strongroom.engine.evaluation import transformed
from strongroom.engine.hidden_towers import HiddenTower, HiddenTowerPlan
from strongroom.engine.linear_transforms import Vector
from strongroom.engine.periodic_products import PeriodicProduct, diagonals_to_encrypt
from strongroom.engine.square_towers import SquareTower
from strongroom.errors import CiphertextError, PackageError
from strongroom.protections.fhe.network_circuit import NetworkCircuit

_HEADER: Final = struct.Struct("<4sHI")
_MAGIC: Final = b"SRHN"
_VERSION: Final = 1
_WRITTEN_SCALE: Final = Fraction(1)


@dataclass(frozen=True, slots=True, eq=False)
class HiddenChunk:
    """What makes one ciphertext of a step: a product for each of the vector's, the bias, and the
    circuits."""

    products: tuple[PeriodicProduct, ...]
    bias: Ciphertext
    circuits: tuple[HiddenTower, ...]


@dataclass(frozen=True, slots=True, eq=False)
class HiddenNetwork:
    """A network of ciphertexts, ready to be computed with.

    Attributes:
        steps: by step, then by the ciphertexts that it makes.
        sums: weights by group, then by the last step's ciphertexts.
        bias: of each group, at the level and scale of a response.
    """

    steps: tuple[tuple[HiddenChunk, ...], ...]
    sums: tuple[tuple[Ciphertext, ...], ...]
    bias: tuple[Ciphertext, ...]


def hidden_network_bytes(circuit: NetworkCircuit) -> int:
    """Exact length of a payload."""
    return _HEADER.size + sum(_size(circuit, limbs) for limbs in _every_limbs(circuit))


def hidden_network_to_bytes(
    circuit: NetworkCircuit, model: NetworkModel, key: SecretKey | PublicKey
) -> bytes:
    """Encrypt a model.

    Args:
        model: with the circuits that the plan was made for.
        key: that of the plan's holder.
    """
    parts = [_HEADER.pack(_MAGIC, _VERSION, sum(1 for _ in _every_limbs(circuit)))]
    for plaintext in _plaintexts(circuit, model):
        encrypted = replace(key.encrypt(plaintext), scale=_WRITTEN_SCALE)
        parts.append(engine.ciphertext_to_bytes(encrypted))
    return b"".join(parts)


def hidden_network_from_bytes(circuit: NetworkCircuit, data: bytes | memoryview) -> HiddenNetwork:
    """Read a model of the shape that its plan says.

    Raises:
        PackageError: SR-PACKAGE-FILE.
    """
    reader = _Reader(circuit, memoryview(data).cast("B"))
    packing, layout = circuit.packing, circuit.layout
    steps = tuple(
        tuple(_read_chunk(circuit, reader, number) for _ in range(packing.steps[number].chunks))
        for number in range(len(packing.steps))
    )
    scale = Fraction(2) ** layout.log_sum_scale
    sums = tuple(
        tuple(
            transformed(reader.take(layout.sum_limbs, scale, "coefficients"))
            for _ in range(packing.steps[-1].chunks)
        )
        for _ in range(packing.sums.groups)
    )
    bias = tuple(
        reader.take(layout.response_limbs, circuit.response_scale, "coefficients")
        for _ in range(packing.sums.groups)
    )
    return HiddenNetwork(steps, sums, bias)


class _Reader:
    """Ciphertexts one after the other."""

    def __init__(self, circuit: NetworkCircuit, data: memoryview) -> None:
        count = sum(1 for _ in _every_limbs(circuit))
        expected = hidden_network_bytes(circuit)
        if len(data) != expected:
            raise _damaged(f"{len(data)} bytes where {expected} belong")
        if _HEADER.unpack_from(data) != (_MAGIC, _VERSION, count):
            raise _damaged("its header is not that of the plan's model")
        self._circuit, self._left = circuit, data[_HEADER.size :]

    def take(self, limbs: int, scale: Fraction, packing: Packing) -> Ciphertext:
        """The next one."""
        circuit, size = self._circuit, _size(self._circuit, limbs)
        body, self._left = self._left[:size], self._left[size:]
        try:
            found = engine.ciphertext_from_bytes(circuit.parameters, body, limbs=limbs)
        except CiphertextError as error:
            raise _damaged("a ciphertext of weights can't be read") from error
        if (found.packing, found.scale) != (packing, _WRITTEN_SCALE):
            raise _damaged("its weights have another packing or scale than belongs there")
        if (found.seed is not None) != circuit.sizes.seeded:
            raise _damaged("its weights are encrypted in another way than its plan says")
        return replace(found, scale=scale, seed=None)


def _read_chunk(circuit: NetworkCircuit, reader: _Reader, number: int) -> HiddenChunk:
    step, packing = circuit.layout.steps[number], circuit.packing.steps[number]
    limbs, scale = circuit.step_limbs[number], Fraction(2) ** step.log_weight_scale
    products = tuple(
        PeriodicProduct.from_ciphertexts(
            circuit.parameters,
            packing.layout,
            [reader.take(limbs, scale, "slots") for _ in range(packing.layout.diagonals)],
            scale=scale,
            limbs=limbs,
        )
        for _ in range(circuit.sources(number))
    )
    plans = circuit.tower_plans(number)
    bias_limbs, bias_scale = circuit.product_level(number)
    bias = transformed(reader.take(bias_limbs, bias_scale, "slots"))
    return HiddenChunk(products, bias, tuple(_read_tower(reader, plan) for plan in plans))


def _read_tower(reader: _Reader, plan: HiddenTowerPlan) -> HiddenTower:
    factors: list[Mapping[int, Ciphertext]] = []
    constants: list[Ciphertext | None] = []
    for number, level in enumerate(plan.levels):
        limbs = plan.every_limbs[number]
        factors.append(
            {
                term: reader.take(limbs, plan.factor_scale(number, term), "slots")
                for term in level.terms
            }
        )
        at = plan.every_limbs[number + 1], plan.every_scale[number + 1]
        constants.append(reader.take(*at, "slots") if level.constant else None)
    return HiddenTower.ready(plan, factors, constants)


def _every_limbs(circuit: NetworkCircuit) -> Iterator[int]:
    """Primes of every ciphertext of a payload."""
    packing, layout = circuit.packing, circuit.layout
    for number, step in enumerate(packing.steps):
        diagonals = circuit.sources(number) * step.layout.diagonals
        for _ in range(step.chunks):
            yield from (circuit.step_limbs[number],) * diagonals
            yield circuit.product_level(number)[0]
            for plan in circuit.tower_plans(number):
                for at, level in enumerate(plan.levels):
                    yield from (plan.every_limbs[at],) * len(level.terms)
                    yield from (plan.every_limbs[at + 1],) * level.constant
    groups = packing.sums.groups
    yield from (layout.sum_limbs,) * (groups * packing.steps[-1].chunks)
    yield from (layout.response_limbs,) * groups


def _size(circuit: NetworkCircuit, limbs: int) -> int:
    return engine.ciphertext_bytes(
        circuit.parameters,
        limbs,
        circuit.parameters.ring_degree,
        seeded=circuit.sizes.seeded,
        scale=_WRITTEN_SCALE,
    )


def _plaintexts(circuit: NetworkCircuit, model: NetworkModel) -> Iterator[Plaintext]:
    """All numbers of a model, in the order of the payload, one polynomial at a time."""
    packing, layout, parameters = circuit.packing, circuit.layout, circuit.parameters
    for number, step in enumerate(model.steps):
        for chunk in range(packing.steps[number].chunks):
            yield from _chunk_plaintexts(circuit, number, step, chunk)
    sums, scale = packing.sums, Fraction(2) ** layout.log_sum_scale
    weights = [packing.sum_weights(model, chunk) for chunk in range(packing.steps[-1].chunks)]
    for group in range(sums.groups):
        rows = slice(group * sums.together, (group + 1) * sums.together)
        for its_weights in weights:
            values = sums.coefficients(its_weights[rows])
            yield engine.encode_coefficients(parameters, values, scale, layout.sum_limbs)
    for group in range(sums.groups):
        rows = slice(group * sums.together, (group + 1) * sums.together)
        values = np.zeros(parameters.ring_degree)
        values[sums.positions(group)] = sums.offsets(model.bias[rows])
        yield engine.encode_coefficients(
            parameters, values, circuit.response_scale, layout.response_limbs
        )


def _chunk_plaintexts(
    circuit: NetworkCircuit, number: int, model: HiddenStep, chunk: int
) -> Iterator[Plaintext]:
    packing, parameters = circuit.packing, circuit.parameters
    step, limbs = circuit.layout.steps[number], circuit.step_limbs[number]
    scale = Fraction(2) ** step.log_weight_scale

    def slots(values: Vector, at: int, at_scale: Fraction) -> Plaintext:
        return engine.encode_slots(parameters, values, at_scale, at)

    for source in range(circuit.sources(number)):
        matrices = packing.matrices(number, model, chunk, source)
        for diagonal in diagonals_to_encrypt(packing.steps[number].layout, matrices):
            yield slots(diagonal, limbs, scale)
    yield slots(packing.bias_slots(number, model, chunk), *circuit.product_level(number))
    units = packing.unit_slots(number, model, chunk)
    for function, plan in zip(model.circuits, circuit.tower_plans(number), strict=True):
        tower = placed_circuit(function, units)
        if not isinstance(tower, SquareTower):
            raise ValueError("only a square tower can be hidden")
        every = np.ones(len(units))
        for at, level in enumerate(plan.levels):
            for term in level.terms:
                values = tower.factors[at, term] * every
                yield slots(values, plan.every_limbs[at], plan.factor_scale(at, term))
            if level.constant:
                values = tower.constants[at] * every
                yield slots(values, plan.every_limbs[at + 1], plan.every_scale[at + 1])


def _damaged(what: str) -> PackageError:
    return PackageError(
        "SR-PACKAGE-FILE",
        f"the payload of the package is damaged: {what}",
        "Fetch the package again from its owner",
    )
