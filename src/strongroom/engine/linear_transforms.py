"""Linear maps on slots: sums of rotated ciphertexts times diagonals, by baby-step giant-step.

A map y[s] = sum over k of d_k[s] x[s + k] has one diagonal d_k for every rotation k that occurs.
Rotations are split into k = i + j, giant steps i being multiples of a stride:

    y = sum over i of rotate_i( sum over j of rotate_{-i}(d_{i+j}) rotate_j(x) )

so that about 2 sqrt(diagonals) rotations do (Halevi, Shoup, CRYPTO 2018). A third level between
the two saves keys: x turned by middle steps 0, s, 2 s, ..., one from the other, and the same baby
steps of each. Plaintext diagonals of zeros cost nothing. Diagonals are plaintexts, or ciphertexts
where the map is to stay hidden.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

import numpy as np
from numpy.typing import NDArray

from strongroom import _native
from strongroom.engine.ciphertext import Ciphertext
from strongroom.engine.encoding import encode_slots
from strongroom.engine.evaluation import transformed
from strongroom.engine.evaluator import Evaluator, require_room
from strongroom.engine.galois import RELINEARISATION, rotation_element, rotation_elements
from strongroom.engine.keys import PublicKey, SecretKey
from strongroom.engine.parameters import Parameters
from strongroom.engine.switching_keys import require_elements

Vector = NDArray[np.float64] | NDArray[np.complex128]

_MIDDLE_COST: Final = 3.5
"""A middle step in baby steps: it is switched, divided and decomposed again."""

_FURTHER_COST: Final = 0.6
"""A baby step of an input beyond the first: its key is in the cache already."""

GIANT_COST: Final = 3.0
"""A giant step in baby steps: it decomposes and divides too."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """Rotations of a baby-step giant-step evaluation; each diagonal's is the sum of one of each.

    Attributes:
        babies, giants: rotation steps, ascending; 0 where the identity occurs.
        chained: giants are 0, s, 2 s, ... and made one from the other, as Horner evaluates a
            polynomial: as much work, and one key for all.
        middles: 0, s, 2 s, ...: by how much the vector is turned before its baby steps.

    Raises:
        ValueError: giants that can't be chained, or middle steps that can't be.
    """

    babies: tuple[int, ...]
    giants: tuple[int, ...]
    chained: bool = False
    middles: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.chained and (len(self.giants) < 3 or not _is_progression(self.giants)):
            raise ValueError(f"giant steps {self.giants} can't be chained")
        if not _is_progression(self.middles):
            raise ValueError(f"middle steps {self.middles} can't be made one from the other")

    @classmethod
    def choose(cls, steps: frozenset[int], *, key_cost: float = 0.0) -> StepPlan:
        """The cheapest split of non-negative rotation steps. Strides are powers of two: rotation
        keys are then shared between maps.

        Args:
            key_cost: what a key is worth, in the time of baby steps.
        """
        if not steps:
            raise ValueError("a linear map has at least one diagonal")
        best: tuple[float, StepPlan] | None = None
        stride = 1
        while True:
            inputs = 1
            while True:
                plan = cls._split(steps, stride, stride * inputs)
                cost = plan.cost + key_cost * len(plan.steps)
                if best is None or cost < best[0]:
                    best = cost, plan
                if stride * inputs > max(steps):
                    break
                inputs *= 2
            if stride > max(steps):
                return best[1]
            stride *= 2

    @classmethod
    def _split(cls, steps: frozenset[int], stride: int, giant_stride: int) -> StepPlan:
        giants = tuple(sorted({k - k % giant_stride for k in steps}))
        return cls(
            tuple(sorted({k % stride for k in steps})),
            giants,
            len(giants) > 2 and _is_progression(giants),
            tuple(range(0, max(k % giant_stride for k in steps) + 1, stride)),
        )

    @property
    def cost(self) -> float:
        """Roughly its time, in baby steps."""
        babies, giants = len(set(self.babies) - {0}), len(set(self.giants) - {0})
        further = len(self.middles) - 1
        time = babies * (1.0 + _FURTHER_COST * further) + _MIDDLE_COST * further
        return time + GIANT_COST * giants

    @property
    def rotations(self) -> tuple[tuple[int, int, int], ...]:
        """Giant, middle and baby step of every diagonal, in the order in which they lie."""
        return tuple(itertools.product(self.giants, self.middles, self.babies))

    @property
    def steps(self) -> frozenset[int]:
        """Rotations that keys are needed for."""
        return frozenset(self.babies + self.middles[1:2] + self.turns) - {0}

    @property
    def turns(self) -> tuple[int, ...]:
        """By how much a key turns each giant step: by as much as it is, or, chained, all by the
        first."""
        return (0, *self.giants[1:2] * (len(self.giants) - 1)) if self.chained else self.giants


@dataclass(frozen=True, slots=True, eq=False)
class LinearTransform:
    """A linear map with plaintext diagonals, for ciphertexts of up to `limbs` primes.

    Attributes:
        scale: of the diagonals; the result has the input's times this.
        plan: the rotations.
        present: which of the plan's rotations have a diagonal; the others are zero.
        native: the diagonals.
    """

    parameters: Parameters
    limbs: int
    scale: Fraction
    plan: StepPlan
    present: tuple[bool, ...]
    native: _native.Diagonals = field(repr=False)

    @classmethod
    def from_diagonals(
        cls,
        parameters: Parameters,
        diagonals: Mapping[int, Vector],
        *,
        scale: Fraction,
        limbs: int | None = None,
        plan: StepPlan | None = None,
    ) -> LinearTransform:
        """Encode a map given as {k: d_k}, each d_k of shape (N/2,).

        Args:
            scale: at which diagonals are encoded.
            limbs: the level at which it will be applied, or higher; all primes by default.
            plan: the rotations; the cheapest by default.
        """
        limbs = limbs or parameters.limbs
        there = {k: d for k, d in diagonals.items() if np.any(d)}
        turned = _turned(parameters, there or dict(itertools.islice(diagonals.items(), 1)))
        plan = plan or StepPlan.choose(frozenset(turned))
        ordered = _in_order(plan, turned)
        present = tuple(values is not None for values in ordered)
        log_repeats = min(map(_log_repeats, turned.values()))
        native = _native.Diagonals(parameters.native, limbs, list(present), log_repeats)
        for place, values in enumerate(ordered):
            if values is not None:
                plaintext = encode_slots(
                    parameters, values, scale, limbs, transformed=True, extended=True
                )
                native.set(place, plaintext.native)
        return cls(parameters, limbs, scale, plan, present, native)

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements that keys are needed for."""
        return rotation_elements(self.parameters, self.plan.steps)


@dataclass(frozen=True, slots=True, eq=False)
class EncryptedLinearTransform:
    """A linear map with encrypted diagonals, for ciphertexts of exactly `limbs` primes or fewer.

    Attributes:
        scale: of the diagonals; the result has the input's times this.
        plan: the rotations.
        diagonals: in the order of the plan; None where it has a rotation that none needs.
    """

    parameters: Parameters
    limbs: int
    scale: Fraction
    plan: StepPlan
    diagonals: tuple[_native.Ciphertext | None, ...] = field(repr=False)

    @classmethod
    def from_diagonals(
        cls,
        key: PublicKey | SecretKey,
        diagonals: Mapping[int, Vector],
        *,
        scale: Fraction,
        limbs: int | None = None,
        plan: StepPlan | None = None,
    ) -> EncryptedLinearTransform:
        """Encode and encrypt a map given as {k: d_k}, each d_k of shape (N/2,).

        Which rotations there are is public; a diagonal of zeros is encrypted as any other.
        """
        parameters = key.parameters
        limbs = limbs or parameters.limbs
        turned = _turned(parameters, diagonals)
        plan = plan or StepPlan.choose(frozenset(turned))
        encrypted = [
            None
            if values is None
            else key.encrypt(
                encode_slots(parameters, values, scale, limbs, transformed=True)
            ).native
            for values in _in_order(plan, turned)
        ]
        return cls(parameters, limbs, scale, plan, tuple(encrypted))

    @classmethod
    def from_ciphertexts(
        cls,
        parameters: Parameters,
        diagonals: Sequence[Ciphertext],
        rotations: Iterable[int],
        *,
        scale: Fraction,
        limbs: int,
        plan: StepPlan,
    ) -> EncryptedLinearTransform:
        """A map whose diagonals somebody else encrypted, turned and in the order of
        `diagonals_in_order`.

        Args:
            rotations: that have a diagonal.

        Raises:
            ValueError: diagonals of other parameters, another packing or too few primes, or not as
                many as rotations.
        """
        places = places_of(plan, rotations)
        left = iter(diagonals)
        if len(diagonals) != sum(place is not None for place in places):
            raise ValueError(f"{len(diagonals)} diagonals are not those of the map's rotations")
        if any(
            d.parameters is not parameters or d.packing != "slots" or d.limbs < limbs
            for d in diagonals
        ):
            raise ValueError("diagonals of other parameters, another packing or a lower level")
        natives = tuple(None if p is None else transformed(next(left)).native for p in places)
        return cls(parameters, limbs, scale, plan, natives)

    @property
    def elements(self) -> frozenset[int]:
        """Galois elements that keys are needed for, and `RELINEARISATION`."""
        return rotation_elements(self.parameters, self.plan.steps) | {RELINEARISATION}


def apply_transform(
    evaluator: Evaluator,
    ciphertext: Ciphertext,
    transform: LinearTransform | EncryptedLinearTransform,
    *,
    drop: int = 0,
) -> Ciphertext:
    """The map applied to a ciphertext's slots, then rescaled by the last `drop` primes.

    Raises:
        ValueError: other parameters, a ciphertext that is not packed by slots, or one of more
            primes than the map was made for.
        KeyStoreError: SR-KEYS-MISSING.
    """
    parameters = transform.parameters
    if evaluator.parameters is not parameters or ciphertext.parameters is not parameters:
        raise ValueError("a linear map and a ciphertext of different parameters")
    if ciphertext.packing != "slots":
        raise ValueError("a linear map acts on slots")
    if not 0 <= drop < ciphertext.limbs <= transform.limbs:
        raise ValueError(
            f"a linear map for {transform.limbs} primes and a ciphertext of {ciphertext.limbs}, "
            f"of which {drop} would be dropped"
        )
    require_elements(evaluator.keys, transform.elements)
    scale = ciphertext.scale * transform.scale
    require_room(parameters, scale, ciphertext.limbs)
    for prime in parameters.primes[ciphertext.limbs - drop : ciphertext.limbs]:
        scale /= prime
    inputs = [ciphertext]
    for _ in transform.plan.middles[1:]:
        inputs.append(evaluator.rotate(inputs[-1], transform.plan.middles[1]))
    babies, giants = (
        [evaluator.keys.key(rotation_element(parameters, k)).native if k else None for k in steps]
        for steps in (transform.plan.babies, transform.plan.turns)
    )
    if isinstance(transform, LinearTransform):
        native = _native.transform_plain(
            parameters.native,
            [its_input.native for its_input in inputs],
            babies,
            giants,
            transform.native,
            transform.plan.chained,
            drop,
            evaluator.threads,
        )
    else:
        native = _native.transform_encrypted(
            parameters.native,
            [its_input.native for its_input in inputs],
            babies,
            giants,
            list(transform.diagonals),
            transform.plan.chained,
            evaluator.keys.key(RELINEARISATION).native,
            drop,
            evaluator.threads,
        )
    return Ciphertext(native, parameters, scale, "slots")


def _is_progression(steps: tuple[int, ...]) -> bool:
    """Whether steps are 0, s, 2 s, ..."""
    return bool(steps) and steps == tuple(i * (steps[1:2] or (0,))[0] for i in range(len(steps)))


def _turned(parameters: Parameters, diagonals: Mapping[int, Vector]) -> dict[int, Vector]:
    """Diagonals by steps from 0 to N/2 - 1."""
    slots = parameters.ring_degree // 2
    turned: dict[int, Vector] = {}
    for steps, values in diagonals.items():
        if values.shape != (slots,):
            raise ValueError(f"a diagonal has one value for each of {slots} slots")
        if steps % slots in turned:
            raise ValueError(f"two diagonals for rotation by {steps % slots}")
        turned[steps % slots] = values
    return turned


def _log_repeats(values: Vector) -> int:
    """log2 of how many times over values repeat, as a power of two."""
    count, period = 0, len(values)
    while period > 1 and np.array_equal(values[: period // 2], values[period // 2 : period]):
        count, period = count + 1, period // 2
    return count


def places_of(plan: StepPlan, rotations: Iterable[int]) -> list[tuple[int, int] | None]:
    """For each place of a plan the rotation whose diagonal lies there, and its giant step; None
    where there is none."""
    left = set(rotations)
    places: list[tuple[int, int] | None] = []
    for giant, middle, baby in plan.rotations:
        rotation = giant + middle + baby
        # Each diagonal once, even in a plan that reaches its rotation in several ways.
        places.append((rotation, giant) if rotation in left else None)
        left.discard(rotation)
    if left:
        raise ValueError("a plan without all rotations of the linear map")
    return places


def diagonals_in_order(plan: StepPlan, diagonals: Mapping[int, Vector]) -> Iterator[Vector]:
    """Those of a map, {k: d_k}, turned back by their giant steps, in the plan's order."""
    return (d for d in _in_order(plan, diagonals) if d is not None)


def _in_order(plan: StepPlan, diagonals: Mapping[int, Vector]) -> list[Vector | None]:
    """Diagonals turned back by their giant steps, in the plan's order."""
    return [
        None if place is None else np.roll(diagonals[place[0]], place[1])
        for place in places_of(plan, diagonals)
    ]
